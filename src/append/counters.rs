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

use super::note::whose;
use super::undo_log::{LockedEntry, UndoLog};
use crate::hash::fnv1a;
use std::io;
use std::os::unix::fs::FileExt;

/// Behind the last entry of a file.
const START: u64 = 1 << 62;
/// The sum of all counts stands first.
const SUM: u64 = START;
/// And the sum of the lines that may have come twice.
const REPEATED: u64 = START + 8;
const STAGES: u64 = START + 64;
const STAGE_SLOTS: u64 = 1 << 16;

impl UndoLog {
    /// One more item of the stage that is too long.
    pub(crate) fn count(&self, stage: &str) -> io::Result<()> {
        self.add(key(stage), SUM, 1)
    }

    /// The count of the stage so far.
    pub(crate) fn counted(&self, stage: &str) -> io::Result<u64> {
        Ok(self.find(key(stage))?.1)
    }

    /// The count of all stages, removed ones included.
    pub(crate) fn counted_in_all(&self) -> io::Result<u64> {
        self.word(SUM)
    }

    /// More lines of a stage ([`whose`]) that may come twice.
    pub(crate) fn count_repeated(&self, whose: u32, lines: u64) -> io::Result<()> {
        self.add(repeated_key(whose), REPEATED, lines)
    }

    /// The lines of a stage that may have come twice.
    pub(crate) fn repeated(&self, stage: &str) -> io::Result<u64> {
        Ok(self.find(repeated_key(whose(stage)))?.1)
    }

    /// Those of all stages.
    pub(crate) fn repeated_in_all(&self) -> io::Result<u64> {
        self.word(REPEATED)
    }

    fn add(&self, key: u64, sum: u64, more: u64) -> io::Result<()> {
        let _alone = LockedEntry::lock(self, START)?;
        let (at, count) = self.find(key)?;
        self.0.write_all_at(&[key.to_le_bytes(), (count + more).to_le_bytes()].concat(), at)?;
        self.0.write_all_at(&(self.word(sum)? + more).to_le_bytes(), sum)
    }

    /// Where the count of this key is, or is to be.
    fn find(&self, own: u64) -> io::Result<(u64, u64)> {
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

/// Of the lines that may have come twice.
fn repeated_key(whose: u32) -> u64 {
    fnv1a(&[&b"repeated\0"[..], &whose.to_le_bytes()].concat()).max(1)
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
        log.count_repeated(whose("stage-1"), 5).unwrap();
        log.count_repeated(whose("stage-2"), 2).unwrap();
        let repeated = (log.repeated("stage-1").unwrap(), log.repeated_in_all().unwrap());
        assert_eq!((repeated, log.counted("stage-1").unwrap()), ((5, 7), 1));
    }
}
