//! How many dead letters there are: counted when somebody looks and the file has changed since, on a thread of its own,
//! so that a slow disk holds up nobody.

use crate::dead_letter::{self, Amount, Store};
use crate::status::Snapshot;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// Who asks gets the last count, if a new one takes longer.
const COUNT_WITHIN: Duration = Duration::from_millis(500);

/// The letters of one file.
pub struct Kept {
    path: Arc<Path>,
    last: Arc<Mutex<Option<(Stamp, Amount)>>>,
    /// One count at a time.
    turn: Arc<tokio::sync::Semaphore>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, u64, SystemTime);

impl Kept {
    /// Of this store.
    pub fn of(store: &Store) -> Kept {
        let turn = Arc::new(tokio::sync::Semaphore::new(1));
        Kept { path: store.path.as_path().into(), last: Arc::default(), turn }
    }

    /// Fills in what only a look at the file tells.
    pub async fn tell(&self, snapshot: &mut Snapshot) {
        if let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            let (path, last) = (Arc::clone(&self.path), Arc::clone(&self.last));
            let count = tokio::task::spawn_blocking(move || {
                count(&path, &last);
                drop(turn);
            });
            // What takes longer ends by itself, and the next one who looks sees it.
            let _ = timeout(COUNT_WITHIN, count).await;
        }
        let last = self.last.lock().ok().and_then(|last| *last);
        let amount = last.map(|(_, amount)| amount).unwrap_or_default();
        let kept = &mut snapshot.letters;
        (kept.letters, kept.bytes, kept.dropped) = (amount.letters, amount.bytes, amount.dropped);
    }
}

fn count(path: &Path, last: &Mutex<Option<(Stamp, Amount)>>) {
    let stamp = std::fs::metadata(path)
        .ok()
        .map(|about| Stamp(about.ino(), about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
    let Some(stamp) = stamp else {
        if let Ok(mut last) = last.lock() {
            *last = None;
        }
        return;
    };
    if last.lock().is_ok_and(|last| last.is_some_and(|(seen, _)| seen == stamp)) {
        return;
    }
    // What can't be read is told where it is to be written.
    if let Ok(amount) = dead_letter::amount(path)
        && let Ok(mut last) = last.lock()
    {
        *last = Some((stamp, amount));
    }
}
