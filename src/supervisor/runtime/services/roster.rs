//! The process groups of services, for the guardian: a file in memory that both have, a number for each slot.

use crate::queue::SlotId;
use crate::sys::fd;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

const ENTRY: u64 = 4;

#[derive(Debug)]
pub(crate) struct Roster(File);

impl Roster {
    pub(crate) fn new() -> io::Result<Roster> {
        Ok(Roster(File::from(fd::memory_file(c"mprun-services")?)))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// A service's process has this slot. The kernel keeps so small a write together.
    pub(crate) fn enter(&self, slot: SlotId, pid: u32) -> io::Result<()> {
        self.0.write_all_at(&pid.to_le_bytes(), u64::from(slot.0) * ENTRY)
    }

    /// It is reaped: its number may be another's from now on.
    pub(crate) fn strike(&self, slot: SlotId) {
        let _ = self.enter(slot, 0); // memory that was written before
    }

    /// All that are entered.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let length = self.0.metadata().map_or(0, |about| about.len());
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        if self.0.read_exact_at(&mut bytes, 0).is_err() {
            return Vec::new();
        }
        let (entries, _) = bytes.as_chunks::<4>();
        entries.iter().map(|entry| u32::from_le_bytes(*entry)).filter(|pid| *pid != 0).collect()
    }
}

impl From<OwnedFd> for Roster {
    fn from(fd: OwnedFd) -> Roster {
        Roster(File::from(fd))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_entered_and_not_struck_is_found() {
        let roster = Roster::new().unwrap();
        assert!(roster.pids().is_empty());
        roster.enter(SlotId(3), 300).unwrap();
        roster.enter(SlotId(1), 100).unwrap();
        assert_eq!(roster.pids(), [100, 300]);
        roster.strike(SlotId(1));
        let other = Roster::from(roster.fd().try_clone_to_owned().unwrap());
        assert_eq!(other.pids(), [300]);
    }
}
