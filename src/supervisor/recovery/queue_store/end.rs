//! The queues at the end of a run: removed, or put away for the next one.

use super::{Location, QueueStore};
use crate::queue::Arena;
use crate::service::NotifySocket;
use crate::supervisor::recovery::saver::{LastSaver, Saver};
use log::{Level, log};

impl QueueStore {
    /// Whether another run can recover what is left.
    pub(crate) fn keeps_queues(&self) -> bool {
        self.location != Location::Memory
    }

    /// All workers have ended. `through`: all work is done, the next run starts anew. `waits`: the disk has
    /// no room, for this reason; whether to try it again. Whether all could be put away.
    pub(crate) fn conclude(
        self,
        through: bool,
        manager: &NotifySocket,
        waits: &mut dyn FnMut(&str) -> bool,
    ) -> bool {
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
        result.is_ok()
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
