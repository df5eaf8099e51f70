//! Dead letters that get another chance: each is marked, put back into its queue, and then erased.
//!
//! # What is promised
//!
//! If any process (supervisor, worker, client) is killed by `kill -9` at any moment: where the queues are kept, each letter
//! that is tried again is put exactly once, whatever requests follow. Queues in memory only end with the supervisor, and
//! the items that were put end with them.
//!
//! After a power cut, a letter that was put within the last seconds may be there again: the letters' file is not
//! synchronized for each of them.
//!
//! # Crash table
//!
//! The queue remembers the letter that was put last, in the step that publishes its item. Only one letter is under way at
//! a time, and a letter that was found marked is settled before the next one is begun: so the queue still knows.
//!
//! | killed … | left behind | what follows |
//! |---|---|---|
//! | before the mark | the letter | nothing happened |
//! | between the mark and the put | the letter, marked | the queue remembers another one, or none: the mark is taken away |
//! | between the put and the erasure | the same, and its item in the queue | the queue remembers it: it is erased |
//! | while erasing | a letter whose first byte is gone | that byte is what counts |
//! | the client, anywhere | a request whose reply goes nowhere | it is done all the same |
//! | the supervisor, with queues in memory | the letter, marked or not | the next run's queues remember none: it waits as before |

use super::ask::{Ask, ask};
use crate::control::protocol::{Answer, Put, Reason, Refused, Reply, Request, Retried, Retry};
use crate::dead_letter::{self, Entry, Letter, Letters};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// For room in the queue of a letter, before the letter is refused.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries to put, the first and the longest.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(5);
const MAX_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Puts letters back, one at a time. There is one of it in a run.
pub(crate) struct Retrier {
    ask: Ask,
    path: Arc<Path>,
    /// A letter may be marked of which it is not known whether it was put.
    unsettled: bool,
    /// Bytes of erased letters that are still in the file.
    erased_bytes: u64,
}

/// The outcome for one letter.
enum RetryOutcome {
    Put,
    Missing,
    Refused(Refused),
}

/// Puts back the letters of these keys, in the order of the keys.
pub(super) async fn retry(retrier: Arc<Mutex<Retrier>>, wanted: Retry) -> Result<Retried, Refused> {
    // On its own: a client that goes away must not leave a letter half-way.
    let work = tokio::spawn(async move { retrier.lock().await.named(wanted).await });
    work.await.unwrap_or_else(|error| Err(failed(&error)))
}

impl Retrier {
    /// For the letters at `path`; `ask` asks the supervisor.
    pub(crate) fn new(ask: Ask, path: &Path) -> Retrier {
        Retrier { ask, path: path.into(), unsettled: true, erased_bytes: 0 }
    }

    async fn named(&mut self, wanted: Retry) -> Result<Retried, Refused> {
        self.settle().await?;
        let mut retried = Retried::default();
        let mut full = BTreeSet::new();
        let mut moved = 0;
        for key in &wanted.keys {
            let Some(letter) = self.find(key, &mut moved).await? else {
                retried.missing += 1;
                continue;
            };
            // One wait for room in vain is enough for a queue.
            let timeout = if full.contains(&letter.text.queue) { Duration::ZERO } else { ROOM_TIMEOUT };
            let (queue, line) = (letter.text.queue.clone(), letter.line);
            match self.one(letter, Some(timeout)).await? {
                RetryOutcome::Put => retried.put += 1,
                RetryOutcome::Missing => retried.missing += 1,
                RetryOutcome::Refused(refused) => {
                    if refused.reason == Reason::Full {
                        full.insert(queue);
                    }
                    retried.refused.push(format!("{line}: {}", refused.error));
                }
            }
        }
        self.tidy().await?;
        Ok(retried)
    }

    /// Puts back all that are chosen of those that are there now, and waits for room as long as it takes. `refused` hears
    /// of each that can't be.
    ///
    /// # Errors
    /// When the letters can't be read or written, or the run is over.
    pub(crate) async fn all(
        &mut self,
        chosen: &(dyn Fn(&Letter) -> bool + Send + Sync),
        refused: &mut (dyn FnMut(u64, String) + Send),
    ) -> Result<u64, Refused> {
        self.settle().await?;
        let mut put = 0;
        let mut letters = self.aside(Letters::open).await?;
        loop {
            let (entry, rest) = tokio::task::spawn_blocking(move || (letters.next(), letters))
                .await
                .map_err(|error| failed(&error))?;
            letters = rest;
            let Some(entry) = entry else { break };
            let Entry::Letter(letter) = entry.map_err(|error| self.failed(&error))? else { continue };
            if !chosen(&letter) {
                continue;
            }
            let line = letter.line;
            match self.one(letter, None).await? {
                RetryOutcome::Put => put += 1,
                RetryOutcome::Missing => {}
                RetryOutcome::Refused(why) => refused(line, why.error),
            }
        }
        self.tidy().await?;
        Ok(put)
    }

    /// Decides about letters that were left marked: put or not.
    async fn settle(&mut self) -> Result<(), Refused> {
        if !self.unsettled {
            return Ok(());
        }
        for letter in self.aside(marked).await? {
            let (queue, key) = (letter.text.queue.clone(), letter.number);
            match self.put(Put { queue, item: Vec::new(), origin: None, key, only_asks: true }).await {
                Ok(_) => self.erase(letter).await.map(drop)?,
                Err(refused) if is_certain(refused.reason) => self.mark(letter, false).await.map(drop)?,
                Err(refused) => return Err(refused),
            };
        }
        self.unsettled = false;
        Ok(())
    }

    async fn one(&mut self, letter: Letter, timeout: Option<Duration>) -> Result<RetryOutcome, Refused> {
        let Some(item) = letter.bytes() else {
            let error =
                "it was too long to be an item, and only its beginning is here: raise `max_item`, and read it again".to_owned();
            return Ok(RetryOutcome::Refused(Refused::new(Reason::Failed, error)));
        };
        self.unsettled = true;
        if !self.mark(letter.clone(), true).await? {
            self.unsettled = false;
            return Ok(RetryOutcome::Missing);
        }
        let (queue, origin, key) = (letter.text.queue.clone(), letter.text.origin.clone(), letter.number);
        let put = Put { queue, item, origin, key, only_asks: false };
        let fate = match self.put_within(put, timeout).await {
            Ok(_) => {
                self.erase(letter).await?;
                RetryOutcome::Put
            }
            Err(refused) if is_certain(refused.reason) => {
                self.mark(letter, false).await?;
                RetryOutcome::Refused(refused)
            }
            // It may be put still, or is put and not safe: that is found out before the next one.
            Err(refused) if refused.reason == Reason::Stopping => return Err(refused),
            Err(refused) => return Ok(RetryOutcome::Refused(refused)),
        };
        self.unsettled = false;
        Ok(fate)
    }

    /// `None`: as long as it takes.
    async fn put_within(&self, put: Put, timeout: Option<Duration>) -> Reply {
        let (start, mut delay) = (Instant::now(), FIRST_RETRY_DELAY);
        loop {
            match self.put(put.clone()).await {
                Err(refused)
                    if refused.reason == Reason::Full
                        && timeout.is_none_or(|timeout| start.elapsed() < timeout) => {}
                reply => return reply,
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(MAX_RETRY_DELAY);
        }
    }

    async fn put(&self, put: Put) -> Result<Answer, Refused> {
        ask(&self.ask, Request::Put(put)).await
    }

    async fn mark(&self, letter: Letter, marked: bool) -> Result<bool, Refused> {
        self.aside(move |path| dead_letter::mark(path, &letter, marked)).await
    }

    async fn tidy(&mut self) -> Result<(), Refused> {
        let erased = self.erased_bytes;
        if self.aside(move |path| dead_letter::tidy(path, erased)).await? {
            self.erased_bytes = 0;
        }
        Ok(())
    }

    async fn erase(&mut self, letter: Letter) -> Result<bool, Refused> {
        self.erased_bytes += letter.length as u64 + 1;
        self.aside(move |path| dead_letter::cross_out(path, &letter)).await
    }

    /// The letter of this key. `moved`: how far the last one was from where it had been seen.
    async fn find(&self, key: &str, moved: &mut i64) -> Result<Option<Letter>, Refused> {
        let (key, hint) = (key.to_owned(), *moved);
        let found = self.aside(move |path| dead_letter::find(path, &key, hint)).await?;
        Ok(found.map(|(letter, by)| {
            *moved = by;
            letter
        }))
    }

    /// On a thread of its own: a wait for the file's lock must not delay the other requests.
    async fn aside<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let path = Arc::clone(&self.path);
        match tokio::task::spawn_blocking(move || act(&path)).await {
            Ok(result) => result.map_err(|error| self.failed(&error)),
            Err(error) => Err(failed(&error)),
        }
    }

    fn failed(&self, error: &io::Error) -> Refused {
        failed(&format!("{}: {error}", self.path.display()))
    }
}

/// Whether it is certain that the item is not, and will not be, in its queue.
fn is_certain(reason: Reason) -> bool {
    matches!(reason, Reason::Full | Reason::Ended | Reason::NoSuchQueue | Reason::TooMany | Reason::NotPut)
}

/// The marked letters, mostly one at most, without their items.
fn marked(path: &Path) -> io::Result<Vec<Letter>> {
    let mut marked = Vec::new();
    for entry in Letters::open(path)? {
        if let Entry::Letter(letter) = entry?
            && letter.marked
        {
            marked.push(letter.without_item());
        }
    }
    Ok(marked)
}

fn failed(error: &dyn std::fmt::Display) -> Refused {
    Refused::new(Reason::Failed, error.to_string())
}
