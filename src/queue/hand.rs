//! What every thread that works on an arena has: the mapping, its identity for the lock, and its buffers.

use super::lock::{Haste, Me};
use super::memory::{Arena, Memory};
use super::tx::{Scratch, Tx};
use super::{Fault, layout};

pub(super) struct Hand {
    pub arena: Arena,
    pub me: Me,
    pub scratch: Scratch,
}

impl Hand {
    /// `journal`: a place in the layout that is this thread's alone.
    pub fn open(arena: Arena, journal: usize) -> Result<Hand, Fault> {
        Ok(Hand { arena, me: Me::new()?, scratch: Scratch::new(journal) })
    }

    #[inline]
    pub fn begin(&mut self) -> Result<Tx<'_>, Fault> {
        self.begin_with(Haste::Eager)
    }

    #[inline]
    pub fn begin_with(&mut self, haste: Haste) -> Result<Tx<'_>, Fault> {
        Tx::begin(&self.arena.0, &self.me, &mut self.scratch, haste)
    }

    #[inline]
    pub fn memory(&self) -> &Memory {
        &self.arena.0
    }

    /// What the kernel does when this thread dies, for a simulated death.
    #[cfg(any(test, feature = "inject"))]
    pub fn die(&self) {
        super::lock::simulate_death(self.memory().word32(layout::LOCK), &self.me);
    }

    pub fn lock_owner(&self) -> Option<u32> {
        super::lock::owner(self.memory().word32(layout::LOCK))
    }
}
