//! What every thread that works on an arena has: the mapping, its identity for the lock, and its buffers.

use super::lock::{self, LockPriority, RobustThread};
use super::tx::{Scratch, Tx};
use crate::queue::arena::layout::{self, JournalAt};
use crate::queue::arena::{attach::Arena, fault::Fault, memory::Memory};

pub(crate) struct Session {
    pub arena: Arena,
    thread: RobustThread,
    scratch: Scratch,
}

impl Session {
    /// `journal`: this thread's alone.
    pub(crate) fn open(arena: Arena, journal: JournalAt) -> Result<Session, Fault> {
        Ok(Session { arena, thread: RobustThread::new()?, scratch: Scratch::new(journal) })
    }

    #[inline]
    pub(crate) fn begin(&mut self) -> Result<Tx<'_>, Fault> {
        self.begin_with(LockPriority::High)
    }

    #[inline]
    pub(crate) fn begin_with(&mut self, priority: LockPriority) -> Result<Tx<'_>, Fault> {
        Tx::begin(&self.arena.0, &self.thread, &mut self.scratch, priority)
    }

    #[inline]
    pub(crate) fn memory(&self) -> &Memory {
        &self.arena.0
    }

    /// What the kernel does when this thread dies, for a simulated death.
    #[cfg(any(test, feature = "inject"))]
    pub(crate) fn die(&self) {
        lock::simulate_death(self.memory().word32(layout::LOCK), &self.thread);
    }

    pub(crate) fn lock_owner(&self) -> Option<u32> {
        lock::owner(self.memory().word32(layout::LOCK))
    }
}
