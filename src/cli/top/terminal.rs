//! The terminal, taken and given back: at the end, by a panic, while this process is stopped (Ctrl-Z), and by a signal
//! that ends it. After `kill -9` only `reset` helps.
//!
//! | it … | then |
//! |---|---|
//! | hangs up, its reader is gone | what is written to it goes nowhere, and the next look for input ends `top` |
//! | stops us (Ctrl-Z, SIGTSTP) | it is given back first; SIGCONT takes it again, in the state that it has by then |
//! | is stopped and continued behind our back (SIGSTOP) | SIGCONT takes it again: a shell has changed its modes meanwhile |
//! | has another size, whatever it says | the size is bounded (see [`crate::terminal`]), the screen drawn anew |
//!
//! Keys are read by ourselves, in one `poll` with signals and news: crossterm's reader spins for ever once the terminal
//! is gone. Modes are set by ourselves: crossterm remembers those of the first time only.

use super::canvas::Canvas;
use crate::sys::suspend::{SuspendScope, suspend};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use ratatui::Frame;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::{flag, low_level::pipe};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Signals that end the program.
const END_SIGNALS: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// The modes of the terminal before it was taken; none: it is not taken.
static ORIGINAL_MODES: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal, as long as it is ours.
pub(super) struct Session {
    canvas: Canvas,
    /// The signal that came and ends us; 0: none.
    signal: Arc<AtomicUsize>,
    /// SIGTSTP came.
    stop: Arc<AtomicBool>,
    /// SIGCONT came.
    continued: Arc<AtomicBool>,
    woken: UnixStream,
    wake: UnixStream,
}

/// What there is to react to.
#[derive(Debug)]
pub(super) enum Input {
    /// There is an update, or the size has changed.
    Woken,
    /// This was typed.
    Typed(Vec<u8>),
    /// This signal asks us to end.
    Signal(u8),
}

impl Session {
    /// Takes it.
    ///
    /// # Errors
    /// When it can't do what is needed; then it is as it was.
    pub(super) fn enter() -> io::Result<Session> {
        let (signal, stop, continued) = (Arc::default(), Arc::default(), Arc::default());
        let (woken, wake) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        // First what came, then the waking: handlers run in this order.
        for number in END_SIGNALS {
            flag::register_usize(number, Arc::clone(&signal), usize::try_from(number).unwrap_or(0))?;
        }
        flag::register(SIGTSTP, Arc::clone(&stop))?;
        flag::register(SIGCONT, Arc::clone(&continued))?;
        for number in END_SIGNALS.into_iter().chain([SIGTSTP, SIGCONT, SIGWINCH]) {
            pipe::register(number, wake.try_clone()?)?;
        }
        give_back_at_a_panic();
        let canvas = Canvas::new()?;
        take()?;
        Ok(Session { canvas, signal, stop, continued, woken, wake })
    }

    /// A byte written to it makes [`Session::next`] return.
    pub(super) fn waker(&self) -> io::Result<UnixStream> {
        self.wake.try_clone()
    }

    /// Draws it all, in the size that the terminal has now.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.canvas.draw(draw)
    }

    /// Gives the terminal back, stops with all of its process group, and takes it again.
    pub(super) fn suspend(&mut self, scope: SuspendScope) -> io::Result<()> {
        give_back();
        suspend(scope);
        self.stop.store(false, Ordering::SeqCst);
        self.take_again()
    }

    fn take_again(&mut self) -> io::Result<()> {
        self.continued.store(false, Ordering::SeqCst);
        give_back();
        // A terminal that is gone meanwhile is found out by the next look for input.
        let _ = take();
        self.canvas.forget()
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> io::Result<Input> {
        loop {
            let signal = self.signal.load(Ordering::SeqCst);
            if signal != 0 {
                return Ok(Input::Signal(u8::try_from(signal).unwrap_or(0)));
            }
            if self.canvas.is_gone() {
                return Ok(hung_up());
            }
            if self.stop.load(Ordering::SeqCst) {
                self.suspend(SuspendScope::Process)?;
                return Ok(Input::Woken);
            }
            if self.continued.load(Ordering::SeqCst) {
                self.take_again()?;
                return Ok(Input::Woken);
            }
            let stdin = io::stdin();
            let mut both =
                [&stdin.as_fd(), &self.woken.as_fd()].map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
            match poll(&mut both, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            let [typed, woken] = both.map(|fd| fd.any().unwrap_or(true));
            if woken {
                self.take_wakings();
                if !self.has_signal() {
                    return Ok(Input::Woken);
                }
            } else if typed {
                return typed_bytes();
            }
        }
    }

    fn has_signal(&self) -> bool {
        let came = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
        self.signal.load(Ordering::SeqCst) != 0 || came(&self.stop) || came(&self.continued)
    }

    fn take_wakings(&mut self) {
        let mut bytes = [0; 64];
        while matches!(self.woken.read(&mut bytes), Ok(1..)) {}
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal that is gone ends us as its signal would, which may come later or not at all.
fn hung_up() -> Input {
    Input::Signal(u8::try_from(SIGHUP).unwrap_or(1))
}

fn typed_bytes() -> io::Result<Input> {
    let mut bytes = [0; 256];
    match nix::unistd::read(io::stdin().as_fd(), &mut bytes) {
        Ok(0) | Err(Errno::EIO) => Ok(hung_up()),
        Ok(length) => Ok(Input::Typed(bytes[..length].to_vec())),
        Err(Errno::EINTR | Errno::EAGAIN) => Ok(Input::Woken),
        Err(error) => Err(error.into()),
    }
}

/// Keys come one by one and unseen, and there is a screen of our own. Of a shell in the background, this stops us until
/// we are in the foreground.
fn take() -> io::Result<()> {
    let before = tcgetattr(io::stdin())?;
    let mut raw = before.clone();
    cfmakeraw(&mut raw);
    tcsetattr(io::stdin(), SetArg::TCSANOW, &raw)?;
    *ORIGINAL_MODES.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    execute!(io::stdout(), EnterAlternateScreen, Hide).inspect_err(|_| give_back())
}

/// As it was. Nothing that fails here matters: then the terminal is gone.
fn give_back() {
    let Some(before) = ORIGINAL_MODES.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &before);
    let _ = io::stdout().flush();
}

/// Before the message, which is read on the usual screen. The message itself is written by the hook that was there: it
/// takes a standard error that is gone, where `eprintln!` would be the panic inside the panic that aborts.
fn give_back_at_a_panic() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        default_hook(panic);
    }));
}
