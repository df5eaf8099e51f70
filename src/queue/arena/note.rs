//! A queue's note: a few words that only the worker writes which has leased the queue's one item.
//!
//! The holder of a stage's token leaves there what it is about to do outside. If it dies, the token goes back to its queue,
//! and whoever leases it next finds the note: in the same run, after an upgrade in place, in the next run of the same arena.
//! Of what is restored from a saved copy there is none.
//!
//! The first word is not 0 in a note that is whole.
//!
//! | killed … | left behind |
//! |---|---|
//! | before the first word is 0 | the note before |
//! | after that, before it is set | none |
//! | after that | the new one |

use super::attach::Arena;
use super::fault::Fault;
use super::layout::{NOTE_WORDS, QueueAt};
use crate::queue::QueueId;
use std::sync::atomic::{Ordering::Release, fence};

impl Arena {
    /// The note of a queue; `None`: there is none.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn note(&self, q: QueueId) -> Result<Option<[u64; NOTE_WORDS]>, Fault> {
        let at = QueueAt::of(q)?.note();
        let words = std::array::from_fn(|i| self.0.load(at.word(i)));
        Ok((words[0] != 0).then_some(words))
    }

    /// Leaves a note, whose first word must not be 0. For the holder of the queue's one item.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn set_note(&self, q: QueueId, words: &[u64; NOTE_WORDS]) -> Result<(), Fault> {
        self.clear_note(q)?;
        let at = QueueAt::of(q)?.note();
        for (i, &word) in words.iter().enumerate().skip(1) {
            self.0.store(at.word(i), word);
        }
        fence(Release); // the compiler, too, leaves the first word for the end
        self.0.store(at.word(0), words[0]);
        Ok(())
    }

    /// Takes the note away.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn clear_note(&self, q: QueueId) -> Result<(), Fault> {
        self.0.store(QueueAt::of(q)?.note().word(0), 0);
        fence(Release);
        Ok(())
    }
}
