//! The number of dead letters: counted for a status request if the file has changed since, on a thread of its own, so
//! that a slow disk does not delay other clients.

use crate::dead_letter::{self, Amount, Store};
use crate::status::Snapshot;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// If a new count takes longer, the answer holds the last one.
const COUNT_TIMEOUT: Duration = Duration::from_millis(500);

/// The letters of one file.
pub(super) struct LetterCount {
    path: Arc<Path>,
    last: Arc<Mutex<Option<Counted>>>,
    /// One count at a time.
    turn: Arc<tokio::sync::Semaphore>,
}

/// What a file held that had this stamp; one that is not there has none.
type Counted = (Option<Stamp>, Amount);

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, SystemTime);

impl LetterCount {
    pub(super) fn new(store: &Store) -> LetterCount {
        let turn = Arc::new(tokio::sync::Semaphore::new(1));
        LetterCount { path: store.path.as_path().into(), last: Arc::default(), turn }
    }

    pub(super) async fn fill_in(&self, snapshot: &mut Snapshot) {
        if let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            let (path, last) = (Arc::clone(&self.path), Arc::clone(&self.last));
            let run = snapshot.run.clone();
            let count = tokio::task::spawn_blocking(move || {
                count(&path, &run, &last);
                drop(turn);
            });
            // A longer count ends by itself, and the next request gets it.
            let _ = timeout(COUNT_TIMEOUT, count).await;
        }
        let last = self.last.lock().ok().and_then(|last| *last);
        // Not counted yet, or not readable: as many as have been written.
        let written = snapshot.letters_written_here();
        let unknown = || Amount { letters: written, of_run: written, ..Amount::default() };
        let amount = last.map_or_else(unknown, |(_, amount)| amount);
        let letters = &mut snapshot.letters;
        (letters.letters, letters.of_run) = (amount.letters, Some(amount.of_run));
        (letters.bytes, letters.dropped) = (amount.bytes, amount.dropped);
    }
}

fn count(path: &Path, run: &str, last: &Mutex<Option<Counted>>) {
    let stamp = match std::fs::metadata(path) {
        Ok(about) => {
            Some(Stamp(about.ino(), about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH)))
        }
        // No letter was written yet, or all of them were taken away.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(_) => {
            if let Ok(mut last) = last.lock() {
                *last = None;
            }
            return;
        }
    };
    if last.lock().is_ok_and(|last| last.is_some_and(|(seen, _)| seen == stamp)) {
        return;
    }
    // A file that can't be read is reported by its writer.
    if let Ok(amount) = dead_letter::amount(path, run)
        && let Ok(mut last) = last.lock()
    {
        *last = Some((stamp, amount));
    }
}
