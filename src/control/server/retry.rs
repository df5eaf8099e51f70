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
//! | the disk, which does not take the put in time | the same | no other letter is put before that one is settled |
//! | while erasing | a letter whose first byte is gone | that byte is what counts |
//! | the client, anywhere | a request whose reply goes nowhere | the letter that is under way is put and erased; the others wait as before |
//! | the supervisor, with queues in memory | the letter, marked or not | the next run's queues remember none: it waits as before |

use super::ask::{Ask, ask};
use super::slots::either;
use crate::control::protocol::{Answer, Put, Reason, Refused, Reply, Request, Retried, Retry};
use crate::dead_letter::{self, Entry, Finder, Letter, Letters};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{self, Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, oneshot};

/// For room in the queue of a letter, before the letter is refused.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries to put, the first and the longest.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(5);
const MAX_RETRY_DELAY: Duration = Duration::from_millis(200);
/// Letters that are found with one read of the file where all are tried again.
const LOT: usize = 4096;

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

/// Letters that are tried again one after the other, found together.
type Lot = Arc<sync::Mutex<Finder>>;

/// Puts back the letters of these keys, in the order of the keys, as long as the client waits for it.
pub(super) async fn retry(retrier: Arc<Mutex<Retrier>>, wanted: Retry) -> Result<Retried, Refused> {
    let (mut sender, receiver) = oneshot::channel();
    // On its own: a client that goes away must not leave a letter half-way.
    tokio::spawn(async move {
        let mut own = None;
        either(async { own = Some(retrier.lock().await) }, sender.closed()).await;
        if let Some(mut retrier) = own {
            let retried = retrier.named(&wanted, &|| sender.is_closed()).await;
            let _ = sender.send(retried);
        }
    });
    receiver.await.unwrap_or_else(|error| Err(failed(&error)))
}

impl Retrier {
    /// For the letters at `path`; `ask` asks the supervisor.
    pub(crate) fn new(ask: Ask, path: &Path) -> Retrier {
        Retrier { ask, path: path.into(), unsettled: true, erased_bytes: 0 }
    }

    async fn named(
        &mut self,
        wanted: &Retry,
        client_has_left: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Retried, Refused> {
        self.settle().await?;
        let mut retried = Retried::default();
        let mut full = BTreeSet::new();
        let mut finder = Finder::default();
        let numbers: Vec<Option<u64>> = wanted.keys.iter().map(|key| finder.add_key(key)).collect();
        let lot = Lot::new(finder.into());
        for number in numbers {
            if client_has_left() {
                break;
            }
            let found = match number {
                Some(number) => self.with(&lot, move |lot, path| lot.letter(path, number)).await?,
                None => None,
            };
            let Some(letter) = found else {
                retried.missing += 1;
                continue;
            };
            // A queue remembers the last letter alone.
            if let Err(refused) = self.settle().await {
                retried.refused.push(format!("{} and those behind it: {}", letter.line, refused.error));
                break;
            }
            // One wait for room in vain is enough for a queue.
            let timeout = if full.contains(&letter.text.queue) { Duration::ZERO } else { ROOM_TIMEOUT };
            let (queue, line) = (letter.text.queue.clone(), letter.line);
            match self.one(&lot, letter, Some(timeout)).await? {
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
            let (mut finder, mut numbers) = (Finder::default(), Vec::new());
            while numbers.len() < LOT {
                let (entry, rest) = tokio::task::spawn_blocking(move || (letters.next(), letters))
                    .await
                    .map_err(|error| failed(&error))?;
                letters = rest;
                let Some(entry) = entry else { break };
                let Entry::Letter(letter) = entry.map_err(|error| self.failed(&error))? else { continue };
                if chosen(&letter) {
                    finder.add(&letter);
                    numbers.push(letter.number);
                }
            }
            if numbers.is_empty() {
                break;
            }
            put += self.lot(&Lot::new(finder.into()), numbers, refused).await?;
        }
        self.tidy().await?;
        Ok(put)
    }

    async fn lot(
        &mut self,
        lot: &Lot,
        numbers: Vec<u64>,
        refused: &mut (dyn FnMut(u64, String) + Send),
    ) -> Result<u64, Refused> {
        let mut put = 0;
        for number in numbers {
            let found = self.with(lot, move |lot, path| lot.letter(path, number)).await?;
            let Some(letter) = found else { continue };
            self.settle().await?;
            let line = letter.line;
            match self.one(lot, letter, None).await? {
                RetryOutcome::Put => put += 1,
                RetryOutcome::Missing => {}
                RetryOutcome::Refused(why) => refused(line, why.error),
            }
        }
        Ok(put)
    }

    /// Decides about letters that were left marked: put or not.
    async fn settle(&mut self) -> Result<(), Refused> {
        if !self.unsettled {
            return Ok(());
        }
        let marked = self.aside(marked).await?;
        let mut finder = Finder::default();
        marked.iter().for_each(|letter| finder.add(letter));
        let lot = Lot::new(finder.into());
        for letter in marked {
            let (queue, key) = (letter.text.queue.clone(), letter.number);
            match self.put(Put { queue, item: Vec::new(), origin: None, key, only_asks: true }).await {
                Ok(_) => self.erase(&lot, &letter).await?,
                Err(refused) if is_certain(refused.reason) => {
                    self.mark(&lot, &letter, false).await?;
                }
                Err(refused) => return Err(refused),
            };
        }
        self.unsettled = false;
        Ok(())
    }

    async fn one(
        &mut self,
        lot: &Lot,
        letter: Letter,
        timeout: Option<Duration>,
    ) -> Result<RetryOutcome, Refused> {
        let Some(item) = letter.bytes() else {
            let error =
                "it was too long to be an item, and only its beginning is here: raise `max_item`, and read it again".to_owned();
            return Ok(RetryOutcome::Refused(Refused::new(Reason::Failed, error)));
        };
        self.unsettled = true;
        if !self.mark(lot, &letter, true).await? {
            self.unsettled = false;
            return Ok(RetryOutcome::Missing);
        }
        let (queue, origin, key) = (letter.text.queue.clone(), letter.text.origin.clone(), letter.number);
        let put = Put { queue, item, origin, key, only_asks: false };
        let fate = match self.put_within(put, timeout).await {
            Ok(_) => {
                self.erase(lot, &letter).await?;
                RetryOutcome::Put
            }
            Err(refused) if is_certain(refused.reason) => {
                self.mark(lot, &letter, false).await?;
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

    async fn mark(&self, lot: &Lot, letter: &Letter, marked: bool) -> Result<bool, Refused> {
        let number = letter.number;
        self.with(lot, move |lot, path| lot.mark(path, number, marked)).await
    }

    async fn tidy(&mut self) -> Result<(), Refused> {
        let erased = self.erased_bytes;
        if self.aside(move |path| dead_letter::tidy(path, erased)).await? {
            self.erased_bytes = 0;
        }
        Ok(())
    }

    async fn erase(&mut self, lot: &Lot, letter: &Letter) -> Result<(), Refused> {
        self.erased_bytes += letter.length as u64 + 1;
        let number = letter.number;
        self.with(lot, move |lot, path| lot.cross_out(path, number)).await.map(drop)
    }

    async fn with<T: Send + 'static>(
        &self,
        lot: &Lot,
        act: impl FnOnce(&mut Finder, &Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let lot = Arc::clone(lot);
        self.aside(move |path| act(&mut lot.lock().unwrap_or_else(PoisonError::into_inner), path)).await
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Done;
    use crate::dead_letter::{Cause, DeadLetter, Store, append_line};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::SystemTime;

    /// A queue as the supervisor has it: it remembers the last letter, and says that it is put once the disk has it.
    #[derive(Default)]
    struct Queue {
        last: u64,
        put: Vec<Vec<u8>>,
    }

    fn asked(queue: &mut Queue, put: Put, disk_takes: bool) -> Reply {
        if queue.last != put.key {
            if put.only_asks {
                return Err(Refused::new(Reason::NotPut, "not the last one"));
            }
            queue.last = put.key;
            queue.put.push(put.item);
        }
        match disk_takes {
            true => Ok(Answer::Done(Done { done: String::new(), steps: Vec::new() })),
            false => Err(Refused::new(Reason::Failed, "the disk has not taken it")),
        }
    }

    #[tokio::test]
    async fn what_the_disk_has_not_taken_is_settled_before_another_letter_is_put() {
        let folder = std::env::temp_dir().join(format!("mprun-retry-{}", std::process::id()));
        let store = Store::at(folder.join("dead.jsonl"), Path::new("/p.toml"));
        for id in 0..3_u8 {
            let (cause, time) = (Cause::Signal("SIGSEGV".into()), SystemTime::UNIX_EPOCH);
            let letter = DeadLetter {
                item: &[b'a' + id],
                stage: "parse",
                worker: 0,
                queue: "lines",
                id: id.into(),
                origin: None,
                attempts: 1,
                cause,
                stderr: &[],
                time,
                run: "r",
            };
            append_line(&store, letter.line(&store.pipeline).unwrap(), false).unwrap();
        }
        let keys: Vec<String> = Letters::open(&store.path)
            .unwrap()
            .filter_map(|entry| match entry.unwrap() {
                Entry::Letter(letter) => Some(letter.key()),
                Entry::Torn { .. } => None,
            })
            .collect();
        let (queue, disk) = (Arc::new(sync::Mutex::new(Queue::default())), Arc::new(AtomicBool::new(false)));
        let (its, takes) = (Arc::clone(&queue), Arc::clone(&disk));
        let ask: Ask = Arc::new(move |request, reply| {
            let Request::Put(put) = request else { panic!("another request") };
            let _ = reply.send(asked(&mut its.lock().unwrap(), put, takes.load(Ordering::Relaxed)));
        });
        let mut retrier = Retrier::new(ask, &store.path);
        let retried = retrier.named(&Retry { keys: keys.clone() }, &|| false).await.unwrap();
        assert_eq!((retried.put, retried.refused.len()), (0, 2), "{retried:?}");
        disk.store(true, Ordering::Relaxed);
        let retried = retrier.named(&Retry { keys }, &|| false).await.unwrap();
        assert_eq!((retried.put, retried.missing, retried.refused.len()), (2, 1, 0), "{retried:?}");
        assert_eq!(queue.lock().unwrap().put, [b"a", b"b", b"c"]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
