//! When the queues are saved, for what a power cut may cost (`sync`): workers say that something changed, one thread of
//! the supervisor (the *saver*) saves ([`image`], [`disk`]) and says what is safe.
//!
//! A live arena can't be made safe itself: the system writes its pages when and in which order it likes. So what is in
//! it is copied under the lock, which makes it one moment of all queues, positions and states, and that copy replaces
//! the one before it on the disk as a whole. Every change has a number; who needs one to be safe waits until a copy is
//! on the disk that was taken after it.
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | after a change, before it is counted | a change that no copy is taken for | [`QueueAdmin::release`](super::QueueAdmin::release) counts one more; so does whoever inherits the lock |
//! | after it is counted, before the saver is woken | a saver asleep | release wakes it |
//! | waiting for its change to be safe | nothing: it had happened | – |
//! | the saver, with the supervisor | an older copy | all workers die, too; the next start saves before its workers begin |

use super::layout::{self, sync};
use super::memory::{Arena, Memory};
use super::steward::QueueAdmin;
use super::{Fault, disk, futex, image};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::{Duration, Instant};

/// `queues.saved` for `queues`.
pub(super) const SAVED: &str = "saved";

/// What has to be safe before a worker goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Nothing, and nothing is saved.
    Nothing,
    /// Nothing: it is saved a while later.
    Later,
    /// What it has put.
    Puts,
}

impl Arena {
    /// From now on so much has to be safe.
    pub fn demand(&self, safety: Safety) {
        let memory = &self.0;
        [sync::URGENT, sync::ASLEEP].iter().for_each(|&word| memory.word32(word).store(0, Relaxed));
        memory.store(layout::SAFETY, safety as u64);
    }

    /// Wakes the saver, whatever it waits for.
    pub fn nudge_saver(&self) {
        hurry(&self.0);
    }

    /// Sleeps until something has changed since the change number `saved`, or somebody hurries the saver.
    pub fn wait_for_change(&self, saved: u64) {
        let memory = &self.0;
        let asleep = memory.word32(sync::ASLEEP);
        asleep.store(1, Relaxed);
        // Looked at after the store: whoever changes something later sees it and wakes.
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        if memory.load(sync::CHANGES) == saved && memory.word32(sync::URGENT).load(Acquire) == 0 {
            futex::wait(asleep, 1, None);
        }
        asleep.store(0, Relaxed);
    }

    /// Lets more changes come until then; less if somebody waits for one of them to be safe.
    pub fn wait_for_more(&self, until: Instant) {
        let urgent = self.0.word32(sync::URGENT);
        while urgent.load(Acquire) == 0 && Instant::now() < until {
            futex::wait(urgent, 0, Some(until));
        }
    }

    /// All up to the change of this number is safe.
    pub fn say_safe(&self, change: u64) {
        let memory = &self.0;
        memory.store(sync::SAFE, change);
        let bell = memory.word32(sync::BELL);
        bell.fetch_add(1, AcqRel); // pairs with the Acquire in `wait_until_safe`: then the number is seen too
        futex::wake(bell, i32::MAX);
    }
}

impl Arena {
    /// Whether a power cut may not cost everything: then what is written elsewhere must not be lost before the queues.
    pub fn is_saved(&self) -> bool {
        self.0.load(layout::SAFETY) != Safety::Nothing as u64
    }

    /// What was saved of the queues in this file is out of date.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn forget_saved(queues: &Path) -> io::Result<()> {
        match std::fs::remove_file(disk::beside(queues, SAVED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl QueueAdmin {
    /// Saves what is in all queues at one moment beside their file; returns the number of the last change in it, and all
    /// who wait for that one go on.
    ///
    /// # Errors
    /// When the disk refuses: then what was saved before is still there. Or when the memory is damaged.
    pub fn save(&mut self, queues: &Path) -> Result<u64, Fault> {
        let (change, bytes) = self.image()?;
        let saved = disk::beside(queues, SAVED);
        disk::replace(&saved, &bytes).map_err(|error| Fault::File("failed to write", saved, error))?;
        self.hand.arena.say_safe(change);
        Ok(change)
    }

    /// A copy of what is in all queues at one moment, and the number of the last change in it.
    ///
    /// # Errors
    /// When the memory is damaged.
    pub fn image(&mut self) -> Result<(u64, Vec<u8>), Fault> {
        let whose = self.hand.arena.identity()?;
        let memory = self.hand.memory();
        memory.word32(sync::URGENT).store(0, Relaxed); // who comes now is in it, or hurries again
        let tx = self.hand.begin()?;
        let change = tx.memory.load(sync::CHANGES);
        Ok((change, image::take(&tx, &whose)?))
    }
}

/// Something has changed: counted under the lock, once the change is certain.
#[inline]
pub(super) fn count_change(memory: &Memory) -> Option<u64> {
    if memory.load(layout::SAFETY) == Safety::Nothing as u64 {
        return None;
    }
    let change = memory.load(sync::CHANGES).wrapping_add(1);
    memory.store(sync::CHANGES, change);
    Some(change)
}

/// After the unlock: the saver hears of it, if it sleeps.
#[inline]
pub(super) fn tell_saver(memory: &Memory) {
    // Pairs with the fence in `wait_for_change`.
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    let asleep = memory.word32(sync::ASLEEP);
    if asleep.load(Relaxed) != 0 && asleep.swap(0, Relaxed) != 0 {
        futex::wake(asleep, 1);
    }
}

/// Makes good what a dead worker may have owed.
pub(super) fn make_good(memory: &Memory) {
    if count_change(memory).is_some() {
        memory.word32(sync::ASLEEP).store(0, Relaxed);
        futex::wake(memory.word32(sync::ASLEEP), 1);
    }
}

/// Whether whoever has made this change must wait until it is safe.
#[inline]
pub(super) fn must_wait(memory: &Memory, change: u64) -> bool {
    memory.load(layout::SAFETY) == Safety::Puts as u64 && (memory.load(sync::SAFE) as i64) < change as i64
}

/// Waits until a change is on the disk.
pub(super) fn wait_until_safe(memory: &Memory, change: u64) {
    wait(memory, change, None);
}

/// The same, but not for longer than this; whether it is.
pub(super) fn is_safe_within(memory: &Memory, change: u64, patience: Duration) -> bool {
    !must_wait(memory, change) || wait(memory, change, Some(Instant::now() + patience))
}

fn wait(memory: &Memory, change: u64, until: Option<Instant>) -> bool {
    let bell = memory.word32(sync::BELL);
    loop {
        let seen = bell.load(Acquire);
        if !must_wait(memory, change) {
            return true;
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            return false;
        }
        hurry(memory);
        futex::wait(bell, seen, until);
    }
}

fn hurry(memory: &Memory) {
    let (urgent, asleep) = (memory.word32(sync::URGENT), memory.word32(sync::ASLEEP));
    urgent.store(1, std::sync::atomic::Ordering::Release);
    asleep.store(0, Relaxed);
    futex::wake(asleep, 1);
    futex::wake(urgent, 1);
}
