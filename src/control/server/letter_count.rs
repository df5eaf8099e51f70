//! The number of dead letters: counted for a status request if the file has changed since, on a thread of its own, so
//! that a slow disk does not delay other clients.

use crate::dead_letter::{Amount, LetterCounter, Store};
use crate::status::Snapshot;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// If a new count takes longer, the answer holds the last one.
const COUNT_TIMEOUT: Duration = Duration::from_millis(500);

/// The letters of one file.
pub(super) struct LetterCount {
    path: Arc<Path>,
    /// The last answer, as long as the file can be read.
    last: Arc<Mutex<Option<Amount>>>,
    /// One count at a time.
    counter: Arc<tokio::sync::Mutex<LetterCounter>>,
}

impl LetterCount {
    pub(super) fn new(store: &Store) -> LetterCount {
        LetterCount { path: store.path.as_path().into(), last: Arc::default(), counter: Arc::default() }
    }

    pub(super) async fn fill_in(&self, snapshot: &mut Snapshot) {
        if let Ok(mut counter) = Arc::clone(&self.counter).try_lock_owned() {
            let (path, last) = (Arc::clone(&self.path), Arc::clone(&self.last));
            let run = snapshot.run.clone();
            let count = tokio::task::spawn_blocking(move || {
                // A file that can't be read is reported by its writer.
                let counted = counter.count(&path, &run).ok();
                *last.lock().unwrap_or_else(PoisonError::into_inner) = counted;
            });
            // A longer count ends by itself, and the next request gets it.
            let _ = timeout(COUNT_TIMEOUT, count).await;
        }
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Not counted yet, or not readable: as many as have been written.
        let written = snapshot.letters_written_here();
        let unknown = || Amount { letters: written, of_run: written, ..Amount::default() };
        let amount = last.unwrap_or_else(unknown);
        let letters = &mut snapshot.letters;
        (letters.letters, letters.of_run) = (amount.letters, Some(amount.of_run));
        (letters.bytes, letters.dropped) = (amount.bytes, amount.dropped);
    }
}
