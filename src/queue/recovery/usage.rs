//! Who uses an arena, and how it was left.

use crate::queue::arena::layout::{self, IDENTITY_AREA, identity};
use crate::queue::arena::{attach::Arena, fault::Fault, futex, identity::User, memory::Memory};
use crate::queue::transaction::lock;
use std::fs;

/// This boot of the machine; zeros where the system doesn't tell.
pub(in crate::queue) fn boot() -> [u64; 2] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| digits.get(range).and_then(|half| u64::from_str_radix(half, 16).ok()).unwrap_or(0);
    [half(0..16), half(16..32)]
}

/// Whether the power may have failed while it was in use: then it is unknown which of its pages reached the disk.
pub(in crate::queue) fn is_torn(memory: &Memory) -> bool {
    let used_in = identity::BOOT.map(|word| memory.load(word));
    memory.load(identity::CLEAN) == 0 && used_in != boot()
}

impl Arena {
    /// Who used it last, or uses it now.
    pub fn user(&self) -> User {
        identity::USER.map(|word| self.0.load(word)).into()
    }

    /// Notes that it is in use, before anything changes in it: cut off from now on it is torn.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin_use(&self) -> Result<(), Fault> {
        identity::BOOT.iter().zip(boot()).for_each(|(&word, half)| self.0.store(word, half));
        self.0.store(identity::CLEAN, 0);
        self.0.sync(IDENTITY_AREA)
    }

    /// Notes who uses it from now on. On a disk that is there before anything else changes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn enter(&self, user: User) -> Result<(), Fault> {
        let words = [u64::from(user.pid), user.since, user.run];
        identity::USER.iter().zip(words).for_each(|(&at, word)| self.0.store(at, word));
        self.begin_use()
    }

    /// Writes everything to the disk, and says so in the file. No process may be at work any more.
    ///
    /// # Errors
    /// When the disk refuses: it then counts as still in use.
    pub fn leave(&self) -> Result<(), Fault> {
        self.0.sync_file()?;
        self.0.store(identity::CLEAN, 1);
        self.0.sync(IDENTITY_AREA)
    }

    /// A lock word that still names an owner, in an arena that no other process has open: a death without its kernel.
    pub(super) fn free_stale_lock(&self) {
        let word = self.0.word32(layout::LOCK);
        lock::declare_dead(word);
        futex::wake(word, 1);
    }
}
