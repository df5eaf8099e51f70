//! Where the supervisor waits: one channel, and the next deadline. Small threads put notices in; they decide nothing.

use crate::control::protocol::{Reply, Request};
use crate::sys::start_signals;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1};
use signal_hook::iterator::Signals;
use std::io;
use std::thread;
use std::time::Instant;
use tokio::sync::oneshot;

/// Something outside wants attention.
pub enum Notice {
    /// SIGCHLD: a child ended or was stopped.
    Child,
    /// SIGUSR1: a worker is ready.
    Doorbell,
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hangup,
    /// SIGTSTP: Ctrl-Z.
    Suspend,
    /// Somebody asks over the control socket.
    Asked(Box<Request>, oneshot::Sender<Reply>),
    /// Something in the folders of the pipeline file changed its name or content.
    FileTouched,
}

/// The stack of a thread that only passes notices on.
pub const SMALL_STACK: usize = 128 * 1024;

/// The receiving end.
pub struct Inbox {
    sender: Sender<Notice>,
    receiver: Receiver<Notice>,
}

impl Inbox {
    /// From here on the signals of [`Notice`] are taken in, none is lost.
    pub fn open() -> io::Result<Inbox> {
        start_signals::unblock_all()?;
        let (sender, receiver) = unbounded();
        let signals = Signals::new([SIGCHLD, SIGUSR1, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTSTP])?;
        let to = sender.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .stack_size(SMALL_STACK)
            .spawn(move || pass_on(signals, &to))?;
        Ok(Inbox { sender, receiver })
    }

    /// For one more thread that has notices.
    pub fn sender(&self) -> Sender<Notice> {
        self.sender.clone()
    }

    /// The next notice; `None` when `until` comes first. Without `until` it waits as long as it takes.
    pub fn wait(&self, until: Option<Instant>) -> Option<Notice> {
        let received = match until {
            Some(until) => self.receiver.recv_deadline(until),
            None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        // It can't be disconnected: a sender is kept here.
        received.ok()
    }
}

fn pass_on(mut signals: Signals, to: &Sender<Notice>) {
    for signal in signals.forever() {
        let notice = match signal {
            SIGCHLD => Notice::Child,
            SIGUSR1 => Notice::Doorbell,
            SIGTERM => Notice::Terminate,
            SIGINT => Notice::Interrupt,
            SIGQUIT => Notice::Quit,
            SIGTSTP => Notice::Suspend,
            _ => Notice::Hangup,
        };
        if to.send(notice).is_err() {
            return; // nobody waits any more: the run is over
        }
    }
}
