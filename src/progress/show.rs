//! The thread that asks for the status and shows it.

use super::bars::{self, Bars};
use super::estimate::Estimate;
use super::status_line::StatusLine;
use super::terminal_thread::{Picture, TerminalThread};
use super::{Form, lines};
use crate::status::Snapshot;
use log::{Level, log};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Asks for the status; `None`: the run is over.
pub(super) type Ask = Box<dyn Fn() -> Option<Snapshot> + Send>;

/// Progress is shown until this is dropped.
#[derive(Debug)]
pub(crate) struct Show {
    /// Only where there are bars.
    terminal: Option<TerminalThread>,
}

impl Show {
    /// Nothing is drawn yet; what is written to the [`terminal`](Show::terminal) is shown.
    ///
    /// # Errors
    /// When there can't be another thread.
    pub(crate) fn prepare(form: &Form) -> io::Result<Show> {
        let picture = match form {
            Form::Bars => Picture::Bars(Bars::new()),
            Form::OneLine(stage) => Picture::OneLine(StatusLine::new(stage.clone())),
            Form::Lines(_) => return Ok(Show { terminal: None }),
        };
        Ok(Show { terminal: Some(TerminalThread::start(picture)?) })
    }

    /// Begins.
    ///
    /// # Errors
    /// When there can't be another thread.
    pub(crate) fn begin(&self, form: &Form, ask: Ask) -> io::Result<()> {
        let (form, terminal) = (form.clone(), self.terminal.clone());
        thread::Builder::new().name("progress".to_owned()).spawn(move || match (form, terminal) {
            (Form::Bars | Form::OneLine(_), Some(terminal)) => draw(&terminal, &ask),
            (Form::Bars | Form::OneLine(_), None) => {}
            (Form::Lines(first), _) => log_lines(first, &ask),
        })?;
        Ok(())
    }

    /// Where lines are written above the bars, if there are bars.
    pub(crate) fn terminal(&self) -> Option<&TerminalThread> {
        self.terminal.as_ref()
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            terminal.end();
        }
    }
}

fn draw(terminal: &TerminalThread, ask: &Ask) {
    let mut estimate = Estimate::new();
    while let Some(snapshot) = ask() {
        if !terminal.draw(estimate.update(snapshot)) {
            return;
        }
        thread::sleep(bars::DRAW_INTERVAL);
    }
}

fn log_lines(first: Duration, ask: &Ask) {
    let (start, mut estimate) = (Instant::now(), Estimate::new());
    let mut due = Duration::ZERO;
    // The first snapshot only starts the clock.
    while let Some(snapshot) = ask() {
        let readings = estimate.update(snapshot);
        if due >= first {
            log!(target: "mprun::progress", Level::Info, "{}", lines::line(&readings));
        }
        due = lines::next(due);
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
}
