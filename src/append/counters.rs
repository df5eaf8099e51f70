//! Counters that the workers of a run share, one for each stage: they outlive workers, and are no part of any queue.
//!
//! They stand in the undo log, behind the entries of all files: each in the first slot, from the hash of the stage's name
//! on, that is its own or still empty. One lock is for all.
//!
//! # Crash table
//!
//! | killed … | left behind |
//! |---|---|
//! | before the write of the stage's count | nothing; the lock goes with the process |
//! | before the write of the sum | the stage has one more than the sum knows |

use super::undo_log::{LockedEntry, UndoLog};
use crate::hash::fnv1a;
use std::io;
use std::os::unix::fs::FileExt;

/// Behind the last entry of a file.
const START: u64 = 1 << 62;
/// The sum of all counts stands first.
const SUM: u64 = START;
const STAGES: u64 = START + 64;
const STAGE_SLOTS: u64 = 1 << 16;

impl UndoLog {
    /// One more for the stage.
    pub(crate) fn count(&self, stage: &str) -> io::Result<()> {
        let _alone = LockedEntry::lock(self, START)?;
        let (at, count) = self.find(stage)?;
        let entry = [key(stage).to_le_bytes(), (count + 1).to_le_bytes()].concat();
        self.0.write_all_at(&entry, at)?;
        self.0.write_all_at(&(self.word(SUM)? + 1).to_le_bytes(), SUM)
    }

    /// The count of the stage so far.
    pub(crate) fn counted(&self, stage: &str) -> io::Result<u64> {
        Ok(self.find(stage)?.1)
    }

    /// The count of all stages, removed ones included.
    pub(crate) fn counted_in_all(&self) -> io::Result<u64> {
        self.word(SUM)
    }

    /// Where the stage's count is, or is to be.
    fn find(&self, stage: &str) -> io::Result<(u64, u64)> {
        let own = key(stage);
        let mut at = STAGES + own % STAGE_SLOTS * 16;
        loop {
            match self.word(at)? {
                0 => return Ok((at, 0)),
                other if other == own => return Ok((at, self.word(at + 8)?)),
                _ => at += 16,
            }
        }
    }

    fn word(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        match self.0.read_exact_at(&mut bytes, at) {
            // Nothing was written there yet.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            result => result.map(|()| u64::from_le_bytes(bytes)),
        }
    }
}

/// Never 0, which an empty slot holds.
fn key(stage: &str) -> u64 {
    fnv1a(stage.as_bytes()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_its_count_and_the_sum_is_that_of_all() {
        let log = UndoLog::create().unwrap();
        assert_eq!((log.counted("a").unwrap(), log.counted_in_all().unwrap()), (0, 0));
        let names: Vec<String> = (0..1000).map(|i| format!("stage-{i}")).collect();
        for (i, name) in names.iter().enumerate() {
            (0..i % 3).for_each(|_| log.count(name).unwrap());
        }
        for (i, name) in names.iter().enumerate() {
            assert_eq!(log.counted(name).unwrap(), i as u64 % 3);
        }
        assert_eq!(log.counted_in_all().unwrap(), 999);
    }
}
