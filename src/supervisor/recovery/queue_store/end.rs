//! The queues at the end of a run: removed, or put away for the next one.

use super::{Location, QueueStore};
use crate::queue::Arena;
use crate::service::NotifySocket;
use crate::supervisor::recovery::saver::{LastSaver, Saver};
use crate::sys::threads::spawn_without_signals;
use crossbeam_channel::{RecvTimeoutError, bounded};
use log::{Level, log};
use std::time::Duration;

/// The system may take this long to free the room of removed queues before that is said.
const FREE_LIMIT: Duration = Duration::from_secs(1);

/// The memory of queues that are concluded. Their file, if they are removed, has no name any more, and is freed with the last use
/// of it. That takes a minute for thousands of queues where the file system tells the disk of each piece (`discard`). No signal
/// ends it, and an exit would do the same: so it comes when nothing else is left to do.
pub(crate) struct Room(Arena);

impl Room {
    /// Frees it. `takes_long` is called meanwhile, once that has taken a second.
    pub(crate) fn free(self, takes_long: impl FnOnce() + Send + 'static) {
        free(self.0, FREE_LIMIT, takes_long);
    }
}

fn free<T>(room: T, limit: Duration, takes_long: impl FnOnce() + Send + 'static) {
    let (freed, is_freed) = bounded::<()>(0);
    // Without a thread nothing is said.
    let _ = spawn_without_signals("room", move || {
        if is_freed.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            takes_long();
        }
    });
    drop(room);
    drop(freed);
}

impl QueueStore {
    /// Whether another run can recover what is left.
    pub(crate) fn keeps_queues(&self) -> bool {
        self.location != Location::Memory
    }

    /// All workers have ended. `through`: all work is done, the next run starts anew. `waits`: the disk has
    /// no room, for this reason; whether to try it again. Whether all could be put away, and the memory that is left.
    pub(crate) fn conclude(
        self,
        through: bool,
        manager: &NotifySocket,
        waits: &mut dyn FnMut(&str) -> bool,
    ) -> (bool, Room) {
        let QueueStore { arena, location, saver, .. } = self;
        let saver = saver.map(Saver::end);
        let result = match (&location, through) {
            (Location::Memory, _) | (Location::Store(_), false) => Ok(()),
            (Location::Store(name), true) => manager.remove_fd(name).map_err(|error| error.to_string()),
            (Location::File(path), true) => {
                // What was saved goes first: alone it would be of no use.
                Arena::forget_saved(path)
                    .and_then(|()| std::fs::remove_file(path))
                    .map_err(|error| format!("{}: {error}", path.display()))
            }
            (Location::File(_), false) => put_away(&arena, saver.as_ref(), waits),
        };
        match (&result, &location) {
            (Err(why), _) => log!(target: "mprun", Level::Error, "failed to put the queues away: {why}"),
            (Ok(()), Location::File(path)) if !through => {
                log!(target: "mprun", Level::Info, "the next start continues from {}", path.display());
            }
            (Ok(()), _) => {}
        }
        (result.is_ok(), Room(arena))
    }
}

/// Writes what the queues hold to the disk, for the next run and for a power cut, and waits for room as long as `waits`
/// says. What could not be written is in the file all the same, unless the power fails.
fn put_away(
    arena: &Arena,
    saver: Option<&LastSaver>,
    waits: &mut dyn FnMut(&str) -> bool,
) -> Result<(), String> {
    loop {
        let saved = saver.map_or(Ok(()), LastSaver::save).and_then(|()| arena.leave());
        let Err(fault) = saved else { return Ok(()) };
        let why = fault.to_string();
        if !fault.is_no_room() || !waits(&why) {
            // It counts as left in good order, as far as that can be.
            let left = arena.leave();
            let cost = if left.is_ok() { "a power cut loses what came last" } else { "a power cut loses it" };
            return Err(format!("{why}; the next start continues from the file all the same, but {cost}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, Sender, unbounded};

    const LIMIT: Duration = Duration::from_secs(60);

    /// Is not free before that was said.
    struct Slow(Receiver<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.recv_timeout(LIMIT).unwrap();
        }
    }

    #[test]
    fn that_room_takes_long_to_free_is_said_meanwhile_and_else_not_at_all() {
        let (says, said): (Sender<()>, _) = unbounded();
        free(Slow(said), Duration::ZERO, move || says.send(()).unwrap());
        let (says, said) = unbounded();
        free((), LIMIT, move || says.send(()).unwrap());
        assert!(said.recv_timeout(LIMIT).is_err_and(|error| error == RecvTimeoutError::Disconnected));
    }
}
