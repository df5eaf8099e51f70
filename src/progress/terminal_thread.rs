//! The thread that has the terminal: it draws the bars, or the line, and writes lines above them. A terminal may be stopped (Ctrl-S):
//! then this thread waits, and nothing else.

use super::bars::Bars;
use super::estimate::Reading;
use super::status_line::StatusLine;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

/// Drawings and pieces of text that wait for the terminal.
const CHANNEL_LENGTH: usize = 64;
/// How long a stopped terminal may hold up a suspension or the end.
const ORDER_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum Order {
    Draw(Vec<Reading>),
    Write(Vec<u8>),
    /// Take the bars away, say so, and wait for the other end of the second channel to go.
    Suspend(Sender<()>, Receiver<()>),
    /// Take the bars away, say so, and draw no more.
    End(Sender<()>),
}

/// What is drawn.
#[derive(Debug)]
pub(super) enum Picture {
    Bars(Bars),
    OneLine(StatusLine),
}

impl Picture {
    fn draw(&mut self, readings: &[Reading]) {
        match self {
            Picture::Bars(bars) => bars.draw(readings),
            Picture::OneLine(line) => line.draw(readings),
        }
    }

    /// Above bars a text needs room; the line has a row of its own.
    fn write(&self, text: &[u8]) {
        match self {
            Picture::Bars(bars) => bars.without(|| write(text)),
            Picture::OneLine(_) => write(text),
        }
    }

    fn without(&mut self, act: impl FnOnce()) {
        match self {
            Picture::Bars(bars) => bars.without(act),
            Picture::OneLine(line) => line.without(act),
        }
    }

    fn clear(&mut self) {
        match self {
            Picture::Bars(bars) => bars.clear(),
            Picture::OneLine(line) => line.clear(),
        }
    }
}

/// A way to the thread.
#[derive(Clone, Debug)]
pub(crate) struct TerminalThread(Sender<Order>);

impl TerminalThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there can't be another thread.
    pub(super) fn start(picture: Picture) -> io::Result<TerminalThread> {
        let (to, orders) = bounded(CHANNEL_LENGTH);
        thread::Builder::new().name("terminal".to_owned()).spawn(move || run(&orders, picture))?;
        Ok(TerminalThread(to))
    }

    /// Draws what was seen, unless the terminal is behind. False: there is no thread any more.
    pub(crate) fn draw(&self, readings: Vec<Reading>) -> bool {
        !matches!(
            self.0.try_send(Order::Draw(readings)),
            Err(crossbeam_channel::TrySendError::Disconnected(_))
        )
    }

    /// Does something while there are no bars, if the terminal lets them be taken away in time.
    pub(crate) fn without_bars(&self, act: impl FnOnce()) {
        let ((ready, is_ready), (_over, until_over)) = (bounded(1), bounded(0));
        self.ask(Order::Suspend(ready, until_over), &is_ready);
        act();
    }

    /// Takes the bars away for the rest of the run.
    pub(crate) fn end(&self) {
        let (done, is_done) = bounded(1);
        self.ask(Order::End(done), &is_done);
    }

    fn ask(&self, order: Order, answer: &Receiver<()>) {
        let until = Instant::now() + ORDER_TIMEOUT;
        if self.0.send_deadline(order, until).is_ok() {
            let _ = answer.recv_deadline(until);
        }
    }
}

/// Lines above the bars.
impl Write for TerminalThread {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.send(Order::Write(text.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(orders: &Receiver<Order>, picture: Picture) {
    let mut picture = Some(picture);
    for order in orders {
        match (order, picture.as_mut()) {
            (Order::Draw(readings), Some(picture)) => picture.draw(&readings),
            (Order::Draw(_), None) => {}
            (Order::Write(text), Some(picture)) => picture.write(&text),
            (Order::Write(text), None) => write(&text),
            (Order::Suspend(ready, over), Some(picture)) => picture.without(|| suspend(&ready, &over)),
            (Order::Suspend(ready, over), None) => suspend(&ready, &over),
            (Order::End(done), _) => {
                if let Some(mut picture) = picture.take() {
                    picture.clear();
                }
                let _ = done.send(()); // it may have stopped waiting
            }
        }
    }
}

fn write(text: &[u8]) {
    let _ = io::stderr().lock().write_all(text); // the terminal may be gone
}

fn suspend(ready: &Sender<()>, over: &Receiver<()>) {
    let _ = ready.send(()); // it may have stopped waiting
    let _ = over.recv();
}
