//! The thread that saves the queues of a durable pipeline again and again, for a power cut: `sync`.
//!
//! What is saved, and why that is right, says the queue's `saving` module. Here is when: a second after a change, at once when
//! a put waits for it, and never so often that it takes more than a tenth of the time.

use crate::append::{self, Counts};
use crate::config::Sync;
use crate::queue::{Arena, Durability, Fault, LoneItem, QueueAdmin};
use crate::supervisor::error::SetUpError;
use crate::supervisor::machine::recovered::Label;
use crate::worker;
use log::{Level, log};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// So long changes gather before they are saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// The time that saving takes, times this, passes before the next time, unless a put waits for it.
const PAUSE_PER_SAVE: u32 = 10;

/// Saves the queues until its end.
pub(crate) struct Saver {
    arena: Arena,
    path: PathBuf,
    ends: Arc<AtomicBool>,
    failure: Failure,
    thread: JoinHandle<()>,
}

/// Why the queues can't be saved now, for who looks.
type Failure = Arc<Mutex<Option<String>>>;

impl Saver {
    /// Saves them for the first time, before anybody works on them, and from now on. `None`: nothing is to be saved, and
    /// what an earlier run has saved is out of date from now on.
    pub(crate) fn start(arena: &Arena, path: &Path, sync: Sync) -> Result<Option<Saver>, SetUpError> {
        let durability = match sync {
            Sync::Never => Durability::Nothing,
            Sync::Interval => Durability::Later,
            Sync::Always => Durability::Puts,
        };
        arena.set_durability(durability);
        if durability == Durability::Nothing {
            Arena::forget_saved(path).map_err(|error| SetUpError::System("remove what was saved", error))?;
            return Ok(None);
        }
        let mut admin = QueueAdmin::open(arena.clone())?;
        let mut files = CountedFiles::default();
        let saved = admin.save_after(path, &mut |tokens| files.sync(tokens))?;
        let ends = Arc::new(AtomicBool::new(false));
        let failure = Failure::default();
        let of_thread = (arena.clone(), path.to_owned(), Arc::clone(&ends), Arc::clone(&failure));
        let thread = thread::Builder::new().name("saver".to_owned());
        let thread = thread.spawn(move || {
            keep_saving((&of_thread.0, &of_thread.1), &of_thread.2, &of_thread.3, saved, files)
        });
        let thread = thread.map_err(|error: io::Error| SetUpError::System("start a thread", error))?;
        Ok(Some(Saver { arena: arena.clone(), path: path.to_owned(), ends, failure, thread }))
    }

    /// Why the queues can't be saved now.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All workers have ended: from now on only what is requested is saved.
    pub(crate) fn end(self) -> LastSaver {
        self.ends.store(true, Relaxed);
        self.arena.request_checkpoint();
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            log!(target: "mprun", Level::Error, "the thread that saves the queues has panicked");
        }
        LastSaver { arena: self.arena, path: self.path }
    }
}

/// Saves what is left at the end.
pub(crate) struct LastSaver {
    arena: Arena,
    path: PathBuf,
}

impl LastSaver {
    pub(crate) fn save(&self) -> Result<(), Fault> {
        let mut files = CountedFiles::default();
        let mut admin = QueueAdmin::open(self.arena.clone())?;
        admin.save_after(&self.path, &mut |tokens| files.sync(tokens)).map(drop)
    }
}

/// The files that stages write by turns: what counts of them is on the disk before the queues that say so.
#[derive(Default)]
struct CountedFiles {
    /// What was synced last, by the token's label.
    synced: BTreeMap<String, Counts>,
}

impl CountedFiles {
    fn sync(&mut self, tokens: &[LoneItem]) -> io::Result<()> {
        for (label, token) in tokens {
            let state = match Label::parse(label) {
                Some(Label::Token { .. }) => worker::state_of(token),
                Some(Label::Print) => token,
                Some(
                    Label::Queue(_)
                    | Label::Spill(_)
                    | Label::Window { .. }
                    | Label::Line(_)
                    | Label::Held(_),
                )
                | None => continue,
            };
            let Some(counts) = Counts::decode(state) else { continue };
            if self.synced.get(label) != Some(&counts) {
                append::sync(&counts)?;
                self.synced.insert(label.clone(), counts);
            }
        }
        Ok(())
    }
}

fn keep_saving(
    (arena, path): (&Arena, &Path),
    ends: &AtomicBool,
    shown: &Mutex<Option<String>>,
    mut saved: u64,
    mut files: CountedFiles,
) {
    let mut admin = match QueueAdmin::open(arena.clone()) {
        Ok(admin) => admin,
        Err(fault) => return log!(target: "mprun", Level::Error, "the queues can't be saved: {fault}"),
    };
    let mut failure: Option<String> = None;
    let (mut last, mut pause) = (Instant::now(), SAVE_INTERVAL);
    while !ends.load(Relaxed) {
        arena.wait_for_change(saved);
        arena.wait_for_more(last + pause);
        if ends.load(Relaxed) {
            break;
        }
        let begun = Instant::now();
        let done = admin.save_after(path, &mut |tokens| files.sync(tokens));
        pause = SAVE_INTERVAL.max(begun.elapsed() * PAUSE_PER_SAVE);
        last = Instant::now();
        match done {
            Ok(change) => {
                saved = change;
                if failure.take().is_some() {
                    *shown.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    log!(target: "mprun", Level::Info, "the queues are saved again");
                }
            }
            Err(fault) => {
                let why = fault.to_string();
                if failure.as_ref() != Some(&why) {
                    log!(
                        target: "mprun",
                        Level::Error,
                        "the queues can't be saved: {why}; until they are, a power cut costs more than `sync` says"
                    );
                    *shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
                    failure = Some(why);
                }
                // A waiting put makes the next save due at once; but a disk that refuses does so the next moment, too.
                std::thread::park_timeout(SAVE_INTERVAL);
            }
        }
    }
}
