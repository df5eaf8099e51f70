//! A queue's notes: a few words that only the worker writes which has leased the queue's one item.
//!
//! The holder of a stage's token leaves there what it is about to do outside. If it dies, the token goes back to its queue,
//! and the next worker that leases it finds the notes: in the same run, after an upgrade in place, in the next run of the same arena.
//! What is restored from a saved copy has [`RESTORED_NOTE`] instead.
//!
//! There are two, so that one stays while the other is written. The first word is not 0 in one that is whole.
//!
//! | killed … | left behind |
//! |---|---|
//! | before the first word is 0 | the note before |
//! | after that, before it is set | the other note |
//! | after that | the new one |

use super::attach::Arena;
use super::fault::Fault;
use super::layout::{NOTE_WORDS, QueueAt};
use crate::queue::QueueId;
use std::sync::atomic::{Ordering::Release, fence};

/// Left beside what is restored after a power cut: what was written outside since it was saved does not count.
pub(in crate::queue) const RESTORED_NOTE: [u64; NOTE_WORDS] = {
    let mut words = [0; NOTE_WORDS];
    words[0] = u64::MAX;
    words
};

impl Arena {
    /// One of the two notes of a queue; `None`: there is none.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn note(&self, q: QueueId, second: bool) -> Result<Option<[u64; NOTE_WORDS]>, Fault> {
        let at = QueueAt::of(q)?.note(second);
        let words = std::array::from_fn(|i| self.0.load(at.word(i)));
        Ok((words[0] != 0).then_some(words))
    }

    /// Leaves a note, whose first word must not be 0, in one of the two places. For the holder of the queue's one item.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn set_note(&self, q: QueueId, second: bool, words: &[u64; NOTE_WORDS]) -> Result<(), Fault> {
        let at = QueueAt::of(q)?.note(second);
        self.0.store(at.word(0), 0);
        fence(Release); // the compiler, too, keeps the order
        for (i, &word) in words.iter().enumerate().skip(1) {
            self.0.store(at.word(i), word);
        }
        fence(Release);
        self.0.store(at.word(0), words[0]);
        Ok(())
    }

    /// Takes both notes away.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn clear_notes(&self, q: QueueId) -> Result<(), Fault> {
        let queue = QueueAt::of(q)?;
        [false, true].into_iter().for_each(|second| self.0.store(queue.note(second).word(0), 0));
        fence(Release);
        Ok(())
    }
}
