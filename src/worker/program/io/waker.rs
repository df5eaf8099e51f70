//! Items in a queue, signalled by a descriptor: so that one wait covers the queues and the program's pipes.
//!
//! Queues wake by futex, pipes by poll. A thread sleeps on the queues' words in the worker's place, when the worker has
//! found them empty, and signals a descriptor. While items come faster than they are worked off it never sleeps.

use crate::queue::{QueueWaiter, Wait, WorkerHandle};
use crate::stage::{Failure, Reach};
use crate::sys::needs::DENIED;
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// A worker whose program has nothing to say waits for the queues alone this long, before the thread does: the way
/// through it takes as long again as all else, and where items come one by one the next one is mostly there by then.
pub(crate) const QUEUE_WAIT: Duration = Duration::from_millis(1);

/// See [`QUEUE_WAIT`].
pub(crate) fn queue_wait() -> Wait {
    Wait::Until(Instant::now() + QUEUE_WAIT)
}

/// The same where the program may write at any moment and items come by the hundred: a few times as long as it takes
/// to publish a hundred.
const BURST_WAIT: Duration = Duration::from_micros(100);

/// See [`BURST_WAIT`].
pub(crate) fn burst_wait() -> Wait {
    Wait::Until(Instant::now() + BURST_WAIT)
}

/// The thread sleeps and writes eight bytes.
const STACK_BYTES: usize = 64 * 1024;

pub(crate) struct Waker {
    event: Arc<EventFd>,
    sleepers: Sender<QueueWaiter>,
    is_armed: bool,
}

impl Waker {
    /// Call it with the worker's signals blocked: they are for its first thread.
    pub(crate) fn new() -> io::Result<Waker> {
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(named)?;
        let event = Arc::new(event);
        let (sleepers, received) = channel();
        let theirs = Arc::clone(&event);
        let thread = std::thread::Builder::new().name("waker".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || sleep(&received, &theirs))?;
        Ok(Waker { event, sleepers, is_armed: false })
    }

    /// After a `take` that came back empty: the descriptor tells when to try again.
    pub(crate) fn arm(&mut self, queues: &WorkerHandle) {
        if !self.is_armed {
            // The thread ends with the process only.
            self.is_armed = self.sleepers.send(queues.waiter()).is_ok();
        }
    }

    /// Whether it has signalled. If so, take, or pass the wake-up on: see [`QueueWaiter`].
    pub(crate) fn has_fired(&mut self) -> bool {
        let rung = self.is_armed && self.event.read().is_ok();
        self.is_armed &= !rung;
        rung
    }

    /// Whether it sleeps in the worker's place: then there is nothing to take until it has signalled.
    pub(crate) fn is_armed(&self) -> bool {
        self.is_armed
    }

    /// To wait for, as long as it is armed.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.is_armed.then(|| self.event.as_fd())
    }
}

fn named(errno: nix::errno::Errno) -> io::Error {
    io::Error::new(
        io::Error::from(errno).kind(),
        format!("failed to make an event descriptor (eventfd2): {errno}"),
    )
}

/// Whether a waker can be had; an error that no later worker would be spared reaches all of them.
pub(crate) fn probe() -> Result<(), Failure> {
    match EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC) {
        Ok(_) => Ok(()),
        Err(errno @ (Errno::ENOSYS | Errno::EPERM | Errno::EACCES)) => {
            Err(Failure::with_reach(format!("{}; {DENIED}", named(errno)), Reach::Never))
        }
        Err(errno) => Err(named(errno).into()),
    }
}

fn sleep(received: &Receiver<QueueWaiter>, event: &EventFd) {
    for sleeper in received {
        sleeper.sleep();
        // Its counter can't overflow: it is read before the next one is sent.
        let _ = event.write(1);
    }
}
