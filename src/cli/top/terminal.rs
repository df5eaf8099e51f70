//! The terminal, taken and given back: at the end, by a panic (ratatui's hook), and by a signal that ends the program.
//! After `kill -9` nobody can do it: `reset` does.
//!
//! Keys are read by ourselves, in one `poll` with signals and news: crossterm's reader spins for ever once the terminal
//! is gone.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::{flag, low_level::pipe};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What ends a program.
const ENDS: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// The terminal, as long as it is ours.
pub struct Session {
    terminal: DefaultTerminal,
    /// The signal that came; 0: none.
    signal: Arc<AtomicUsize>,
    woken: UnixStream,
    wake: UnixStream,
}

/// What there is to react to.
#[derive(Debug)]
pub enum Input {
    /// Somebody woke us, or the size has changed.
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
    pub fn enter() -> io::Result<Session> {
        let signal = Arc::new(AtomicUsize::new(0));
        let (woken, wake) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        for number in ENDS {
            // First what came, then the waking: handlers run in this order.
            flag::register_usize(number, Arc::clone(&signal), usize::try_from(number).unwrap_or(0))?;
            pipe::register(number, wake.try_clone()?)?;
        }
        pipe::register(SIGWINCH, wake.try_clone()?)?;
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        Ok(Session { terminal, signal, woken, wake })
    }

    /// A byte written to it makes [`Session::next`] return.
    pub fn waker(&self) -> io::Result<UnixStream> {
        self.wake.try_clone()
    }

    /// Draws it all, in the size that the terminal has now.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    /// What comes next.
    pub fn next(&mut self) -> io::Result<Input> {
        loop {
            let signal = self.signal.load(Ordering::SeqCst);
            if signal != 0 {
                return Ok(Input::Signal(u8::try_from(signal).unwrap_or(0)));
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
                if self.signal.load(Ordering::SeqCst) == 0 {
                    return Ok(Input::Woken);
                }
            } else if typed {
                return self.typed();
            }
        }
    }

    fn take_wakings(&mut self) {
        let mut bytes = [0; 64];
        while matches!(self.woken.read(&mut bytes), Ok(1..)) {}
    }

    /// A terminal that is gone ends us as its signal would, which may come later or not at all.
    fn typed(&self) -> io::Result<Input> {
        let mut bytes = [0; 256];
        match nix::unistd::read(io::stdin().as_fd(), &mut bytes) {
            Ok(0) | Err(Errno::EIO) => Ok(Input::Signal(u8::try_from(SIGHUP).unwrap_or(1))),
            Ok(length) => Ok(Input::Typed(bytes[..length].to_vec())),
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(Input::Woken),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.terminal.show_cursor(); // a terminal that is gone needs none
        let _ = ratatui::try_restore();
    }
}
