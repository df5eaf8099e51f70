//! This machine's copy of a pipeline's state, and those who wait for it to change.

use super::state::{Answer, Applied, Fitting, ItemRef, Line, Message, News, State, StoredCommit};
use super::wire::{self, Decoded, Framed, RequestId, Unreadable};
use crate::broker::{Fault, Full, SharedQueue, Woken};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot, watch};

/// Bytes of waiting items that are kept here; others are asked for when they are taken.
const CACHED_BYTES: usize = 32 << 20;

/// What the server has sent before it refused something is read in this time.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What a request waits for.
pub(super) struct Pending {
    pub answer: oneshot::Sender<Answer>,
    /// A request for that many items: if fewer come, the machine is woken once there are more.
    pub wants: Option<(SharedQueue, u32)>,
}

/// Those who wait for a queue of a run.
#[derive(Default)]
struct Waiting {
    run: u64,
    for_items: BTreeSet<SharedQueue>,
    /// Each with the greatest length at which a commit that found no room has some.
    for_room: BTreeMap<SharedQueue, u64>,
    woken: VecDeque<Woken>,
}

/// A state as the last snapshot has it.
pub(super) struct Loaded {
    pub state: State,
    pub through: u64,
    /// The place of its head; 0: there is none yet.
    pub head: u64,
    pub len: u64,
}

pub(super) struct Inner {
    pub state: State,
    /// The last message that is applied.
    pub at: u64,
    /// When it came.
    came: Instant,
    /// What the server said of its time, and when.
    known_time: Option<(u64, Instant)>,
    /// The head of the last snapshot, and the place in the log that it is of.
    pub head: u64,
    pub head_came: Instant,
    pub snapshot_through: u64,
    pub snapshot_len: u64,
    /// By how much it was longer than the state's weight.
    pub overhead: u64,
    /// Bytes of the log since then.
    pub bytes_since: u64,
    pub is_saving: bool,
    /// After one that failed.
    pub saves_again_at: Option<Instant>,
    /// The reserve is being made larger.
    pub is_growing: bool,
    /// After a try for which there was no room.
    pub grows_again_at: Option<Instant>,
    fault: Option<Fault>,
    pending: HashMap<u64, Pending>,
    waiting: Waiting,
    cache: HashMap<u64, Bytes>,
    cached_bytes: usize,
    most_cached: usize,
}

impl Inner {
    /// The server's time, about: that of the last message is old where nothing comes.
    pub(super) fn now(&self) -> u64 {
        let since = |(then, at): (u64, Instant)| then + at.elapsed().as_millis() as u64;
        since((self.state.now, self.came)).max(self.known_time.map_or(0, since))
    }

    /// The server has said what time it is.
    pub(super) fn learn_time(&mut self, now: Option<u64>) {
        self.known_time = now.map(|now| (now, Instant::now()));
    }

    /// The pipeline was dropped, or the machine's run was: what comes next is of another one.
    fn has_lost_its_run(&self) -> bool {
        self.waiting.run != 0 && !self.state.runs.contains_key(&self.waiting.run)
    }

    fn keep(&mut self, message: u64, bytes: &Bytes) {
        if self.cached_bytes + bytes.len() <= self.most_cached {
            // What came with it in one read is not to be kept with it.
            self.cache.insert(message, Bytes::copy_from_slice(bytes));
            self.cached_bytes += bytes.len();
        }
    }

    fn drop_unused(&mut self) {
        for message in self.state.blobs.freed() {
            self.cached_bytes -= self.cache.remove(&message).map_or(0, |bytes| bytes.len());
        }
    }

    pub(super) fn cached(&self, message: u64) -> Option<Bytes> {
        self.cache.get(&message).cloned()
    }

    /// The message that holds an item, and where; `None`: nothing holds it any more, or its parts are several.
    pub(super) fn place(&self, item: ItemRef) -> Option<(u64, Range<usize>)> {
        self.state.blobs.place(item)
    }

    /// The messages that hold an item, each with the bytes of it that lie there; `None`: nothing holds it any more.
    pub(super) fn places(&self, item: ItemRef) -> Option<Vec<(u64, Range<usize>)>> {
        self.state.blobs.places(item)
    }
}

pub(super) struct Replica {
    inner: Mutex<Inner>,
    connection: u64,
    /// The last message that is applied.
    at: watch::Sender<u64>,
    woken: Notify,
}

impl Replica {
    /// Of a state as it was after that message of the log.
    pub(super) fn new(loaded: Loaded, connection: u64, caches: bool) -> Replica {
        let Loaded { state, through, head, len } = loaded;
        let inner = Inner {
            overhead: len.saturating_sub(state.weight()),
            state,
            at: through,
            came: Instant::now(),
            known_time: None,
            head,
            head_came: Instant::now(),
            snapshot_through: through,
            snapshot_len: len,
            bytes_since: 0,
            is_saving: false,
            saves_again_at: None,
            is_growing: false,
            grows_again_at: None,
            fault: None,
            pending: HashMap::new(),
            waiting: Waiting::default(),
            cache: HashMap::new(),
            cached_bytes: 0,
            most_cached: if caches { CACHED_BYTES } else { 0 },
        };
        Replica {
            inner: Mutex::new(inner),
            connection,
            at: watch::Sender::new(through),
            woken: Notify::new(),
        }
    }

    pub(super) fn connection(&self) -> u64 {
        self.connection
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state.
    pub(super) fn see<T>(&self, look: impl FnOnce(&State, u64) -> T) -> Result<T, Fault> {
        let inner = self.lock();
        match &inner.fault {
            Some(fault) => Err(fault.clone()),
            None => Ok(look(&inner.state, inner.now())),
        }
    }

    /// How many of the commits would happen now; who waits for room in a queue is woken. See [`State::fitting`].
    pub(super) fn fitting(
        &self,
        run: u64,
        line: Line<'_>,
        commits: &[StoredCommit],
        spare: Option<u64>,
    ) -> Fitting {
        let mut inner = self.lock();
        let found = inner.state.fitting(run, line, commits, spare);
        if let (0, Some(Full::Queue(queue)), Some(commit)) =
            (found.count, found.stopped.full, commits.first())
        {
            let fits_at = inner.state.fits_at(run, queue, commit);
            inner.waiting.waits_for_room(queue, fits_at);
        }
        found
    }

    /// The connection is of no use any more.
    pub(super) fn fail(&self, fault: Fault) {
        let mut inner = self.lock();
        inner.fault.get_or_insert(fault);
        inner.pending.clear();
        drop(inner);
        self.woken.notify_one();
        self.at.send_modify(|_| ());
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.lock().fault.clone()
    }

    /// Its machine is one of this run: what changes there is told.
    pub(super) fn belongs_to(&self, run: u64) {
        self.lock().waiting.run = run;
    }

    pub(super) fn expect(&self, number: u64, pending: Pending) -> Result<(), Fault> {
        let mut inner = self.lock();
        match &inner.fault {
            Some(fault) => Err(fault.clone()),
            None => {
                inner.pending.insert(number, pending);
                Ok(())
            }
        }
    }

    /// What no request can be answered for any more, if that is so or is just being read.
    pub(super) async fn last_fault(&self) -> Option<Fault> {
        _ = tokio::time::timeout(LAST_WORDS, self.reach(u64::MAX)).await;
        self.fault()
    }

    pub(super) fn forget(&self, number: u64) {
        self.lock().pending.remove(&number);
    }

    /// Waits until the message is applied.
    pub(super) async fn reach(&self, message: u64) -> Result<(), Fault> {
        let mut at = self.at.subscribe();
        loop {
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            if *at.borrow_and_update() >= message {
                return Ok(());
            }
            if at.changed().await.is_err() {
                return Err(Fault::Away("the connection broke".into()));
            }
        }
    }

    pub(super) async fn woken(&self) -> Woken {
        loop {
            {
                let mut inner = self.lock();
                match &inner.fault {
                    // The next request is answered so: there is nothing to connect to again.
                    Some(Fault::Superseded) => inner.waiting.woken.clear(),
                    Some(_) => return Woken::Away,
                    None => {}
                }
                if let Some(woken) = inner.waiting.woken.pop_front() {
                    return woken;
                }
            }
            self.woken.notified().await;
        }
    }

    /// A message that changes nothing of the state.
    pub(super) fn pass(&self, message: u64) {
        self.lock().at = message;
        self.at.send_replace(message);
    }

    pub(super) fn apply_part(&self, message: u64, time: u64, whole: &Bytes) {
        let mut inner = self.lock();
        inner.state.apply(message, time, &Message::Part);
        inner.bytes_since += whole.len() as u64;
        inner.keep(message, whole);
        inner.came = Instant::now();
        drop(inner);
        self.pass(message);
    }

    pub(super) fn apply(&self, message: &Logged<'_>, decoded: &Decoded) {
        let source = decoded.source(message.place, message.parts, message.part_len);
        let mut inner = self.lock();
        let applied =
            inner.state.apply(message.place, message.time, &Message::Request(&decoded.request, source));
        inner.came = Instant::now();
        inner.bytes_since += message.bytes.len() as u64;
        if inner.state.blobs.is_used(message.place) {
            inner.keep(message.place, message.bytes);
        }
        inner.drop_unused();
        let is_woken = self.answer(&mut inner, decoded.id, applied);
        if inner.has_lost_its_run() {
            inner.fault.get_or_insert(Fault::Superseded);
        }
        inner.at = message.place;
        drop(inner);
        self.at.send_replace(message.place);
        if is_woken {
            self.woken.notify_one();
        }
    }

    /// Those who wait for what has changed are woken before the answer makes others wait.
    fn answer(&self, inner: &mut Inner, id: RequestId, applied: Applied) -> bool {
        let Applied { answer, run, news } = applied;
        if run == inner.waiting.run {
            news.into_iter().for_each(|news| inner.waiting.tell(news));
        }
        if id.connection == self.connection
            && let Some(Pending { answer: sender, wants }) = inner.pending.remove(&id.number)
        {
            inner.waiting.note(&answer, wants);
            // Nobody waits for the answer of a request that took too long.
            let _ = sender.send(answer);
        }
        !inner.waiting.woken.is_empty()
    }
}

impl Waiting {
    fn tell(&mut self, news: News) {
        let woken = match news {
            News::Items(queue) if self.for_items.remove(&queue) => Woken::Items(queue),
            News::Room { queue, len } if self.for_room.get(&queue).is_some_and(|fits_at| len <= *fits_at) => {
                self.for_room.remove(&queue);
                Woken::Room(queue)
            }
            News::Change(queue) => Woken::Items(queue),
            News::Items(_) | News::Room { .. } => return,
        };
        if !self.woken.contains(&woken) {
            self.woken.push_back(woken);
        }
    }

    fn note(&mut self, answer: &Answer, wants: Option<(SharedQueue, u32)>) {
        match (answer, wants) {
            (Answer::Taken(taken), Some((queue, n))) if taken.len() < n as usize => {
                self.for_items.insert(queue);
            }
            (Answer::Judged(judged), _) => {
                if let Some(Full::Queue(queue)) = judged.full {
                    // A look ahead says at which length, before the next request.
                    self.waits_for_room(queue, u64::MAX);
                }
            }
            _ => {}
        }
    }

    /// More than one stage may wait: the first that has room is woken, and with it all.
    fn waits_for_room(&mut self, queue: SharedQueue, fits_at: u64) {
        let longest = self.for_room.entry(queue).or_default();
        *longest = fits_at.max(*longest);
    }
}

/// A request as the log has it.
pub(super) struct Logged<'a> {
    pub place: u64,
    /// Milliseconds since 1970, by the server's clock.
    pub time: u64,
    pub parts: &'a [u64],
    pub part_len: u32,
    /// What stands in its last message.
    pub bytes: &'a Bytes,
}

/// What a message of the log asks for.
pub(super) fn read(message: &Bytes) -> Result<Framed, Unreadable> {
    wire::read(message)
}
