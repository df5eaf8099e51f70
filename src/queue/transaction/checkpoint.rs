//! The workers' side of saving, for what a power cut may cost (`sync`): changes are counted, one thread of the supervisor
//! (the *saver*) saves a copy of all queues (`recovery/checkpoint.rs`) and says up to which change.
//!
//! A live arena can't be made safe itself: the system writes its pages when and in which order it likes. So what is in
//! it is copied under the lock, which makes it one moment of all queues, positions and states, and that copy replaces
//! the one before it on the disk as a whole. A worker that needs its change to be safe waits until a copy is on the disk
//! that was taken after it.
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | after a change, before it is counted | a change that no copy is taken for | [`QueueAdmin::release`](crate::queue::QueueAdmin::release) counts one more; so does the next owner of the lock |
//! | after it is counted, before the saver is woken | a saver asleep | release wakes it |
//! | waiting for its change to be saved | nothing: it had happened | – |
//! | the saver, with the supervisor | an older copy | all workers die, too; the next start saves before its workers begin |

use crate::queue::arena::layout::{self, checkpoint};
use crate::queue::arena::{attach::Arena, futex, memory::Memory};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::fence;
use std::time::Instant;

/// What has to be saved before a worker continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing, and nothing is saved.
    Nothing,
    /// Nothing: it is saved a while later.
    Later,
    /// What it has put.
    Puts,
}

impl Arena {
    /// What has to be saved from now on.
    pub fn set_durability(&self, durability: Durability) {
        let memory = &self.0;
        [checkpoint::URGENT, checkpoint::IDLE].iter().for_each(|&word| memory.word32(word).store(0, Relaxed));
        memory.store(layout::DURABILITY, durability as u64);
    }

    /// Whether a power cut may not cost everything: then what is written elsewhere must not be lost before the queues.
    pub fn is_saved(&self) -> bool {
        self.0.load(layout::DURABILITY) != Durability::Nothing as u64
    }

    /// Wakes the saver, whatever it waits for.
    pub fn request_checkpoint(&self) {
        request(&self.0);
    }

    /// Sleeps until something has changed since the change number `saved`, or a checkpoint is requested.
    pub fn wait_for_change(&self, saved: u64) {
        let memory = &self.0;
        let idle = memory.word32(checkpoint::IDLE);
        idle.store(1, Relaxed);
        // Read after the store: a later change finds the saver idle and wakes it.
        fence(SeqCst);
        if memory.load(checkpoint::CHANGES) == saved && memory.word32(checkpoint::URGENT).load(Acquire) == 0 {
            futex::wait(idle, 1, None);
        }
        idle.store(0, Relaxed);
    }

    /// Lets more changes come until then; less if a worker waits for one of them to be saved.
    pub fn wait_for_more(&self, until: Instant) {
        let urgent = self.0.word32(checkpoint::URGENT);
        while urgent.load(Acquire) == 0 && Instant::now() < until {
            futex::wait(urgent, 0, Some(until));
        }
    }

    /// All up to the change of this number is saved.
    pub fn mark_saved(&self, change: u64) {
        let memory = &self.0;
        memory.store(checkpoint::SAVED, change);
        let sequence = memory.word32(checkpoint::SAVED_SEQUENCE);
        sequence.fetch_add(1, AcqRel); // pairs with the Acquire in `wait_until_saved`: then the number is seen too
        futex::wake(sequence, i32::MAX);
    }
}

/// Something has changed: counted under the lock, once the change is certain.
#[inline]
pub(super) fn count_change(memory: &Memory) -> Option<u64> {
    if memory.load(layout::DURABILITY) == Durability::Nothing as u64 {
        return None;
    }
    let change = memory.load(checkpoint::CHANGES).wrapping_add(1);
    memory.store(checkpoint::CHANGES, change);
    Some(change)
}

/// After the unlock: wakes the saver, if it is idle.
#[inline]
pub(super) fn notify_saver(memory: &Memory) {
    fence(SeqCst); // pairs with the one in `wait_for_change`
    let idle = memory.word32(checkpoint::IDLE);
    if idle.load(Relaxed) != 0 && idle.swap(0, Relaxed) != 0 {
        futex::wake(idle, 1);
    }
}

/// Counts and announces what a dead worker may have left uncounted.
pub(crate) fn count_change_of_dead(memory: &Memory) {
    if count_change(memory).is_some() {
        memory.word32(checkpoint::IDLE).store(0, Relaxed);
        futex::wake(memory.word32(checkpoint::IDLE), 1);
    }
}

/// Whether the maker of this change must wait until it is saved.
#[inline]
pub(crate) fn must_wait(memory: &Memory, change: u64) -> bool {
    let saved = memory.load(checkpoint::SAVED) as i64;
    memory.load(layout::DURABILITY) == Durability::Puts as u64 && saved < change as i64
}

/// Waits until a change is on the disk, if it must be; false if it is not at that time.
pub(crate) fn wait_until_saved(memory: &Memory, change: u64, until: Option<Instant>) -> bool {
    wait_while(memory, until, || must_wait(memory, change))
}

/// Waits until all changes so far are on the disk, if any ever are.
pub(crate) fn wait_until_all_saved(memory: &Memory) {
    let change = memory.load(checkpoint::CHANGES) as i64;
    let is_saved = || memory.load(layout::DURABILITY) != Durability::Nothing as u64;
    wait_while(memory, None, || is_saved() && (memory.load(checkpoint::SAVED) as i64) < change);
}

fn wait_while(memory: &Memory, until: Option<Instant>, is_unsaved: impl Fn() -> bool) -> bool {
    let sequence = memory.word32(checkpoint::SAVED_SEQUENCE);
    loop {
        let seen = sequence.load(Acquire);
        if !is_unsaved() {
            return true;
        }
        if until.is_some_and(|until| until <= Instant::now()) {
            return false;
        }
        request(memory);
        futex::wait(sequence, seen, until);
    }
}

fn request(memory: &Memory) {
    let (urgent, idle) = (memory.word32(checkpoint::URGENT), memory.word32(checkpoint::IDLE));
    urgent.store(1, Release);
    idle.store(0, Relaxed);
    futex::wake(idle, 1);
    futex::wake(urgent, 1);
}
