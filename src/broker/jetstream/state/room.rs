//! What may grow while the server's store is full, or nearly so: from the log alone, so that each machine comes to the same.
//!
//! The reserve (`../reserve.rs`) has room for two snapshots, for the requests of a while, and for a share a queue. It is made larger before
//! the state grows beyond what it was made for; until then sources wait. Why nothing stands still:
//!
//! * An end of an item needs no more room than its request. What has ended is deleted by the second snapshot behind it.
//! * A queue that holds less than [`SHARE`] takes what a stage makes of items that it ends, whatever is full. So a stage goes on once those
//!   behind it have emptied its outputs, and the last ones only end items.
//! * The last of the reserve only a snapshot may use. Where even that is gone, what has ended before the last snapshot is deleted, which
//!   needs no room, and is room for the next one.

use super::State;
use super::queue::StoredQueue;
use super::request::{Line, StoredCommit, StoredEnd};
use super::reserved::{Reserved, Room, SHARE};
use super::run::Run;
use crate::broker::{Full, Judged, Sequence, SharedQueue};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a snapshot, at most: an item that waits, a lease beside it, a message with items.
const ITEM: u64 = 28;
const DELIVERY: u64 = 100;
const MESSAGE: u64 = 32;
/// Bytes of a commit in the log, beside its items, about.
const MESSAGE_BYTES: u64 = 1 << 10;
/// Items of a queue that one machine may lease.
const LEASED_AT_ONCE: u64 = 4096;

impl StoredCommit {
    pub(in crate::broker::jetstream) fn output_bytes(&self) -> u64 {
        self.outputs.iter().map(|(_, span)| u64::from(span.len)).sum()
    }

    /// By how much the state's weight rises with it, at most.
    pub(in crate::broker::jetstream) fn weight(&self) -> u64 {
        let [outputs, ends] = [self.outputs.len() as u64, self.ends.len() as u64];
        MESSAGE + outputs.saturating_sub(ends) * (ITEM + DELIVERY)
    }
}

impl StoredQueue {
    fn weight(&self) -> u64 {
        let [items, deliveries] = [self.len(), self.deliveries() as u64];
        items * ITEM
            + deliveries.max(items.min(LEASED_AT_ONCE)) * DELIVERY
            + self.letters.len() as u64 * (ITEM + DELIVERY)
    }
}

impl State {
    /// How long its snapshot is, as far as that grows with the items: an estimate that rises by no less than the snapshot does.
    pub(in crate::broker::jetstream) fn weight(&self) -> u64 {
        let queues = self.runs.values().flat_map(|run| &run.queues);
        self.blobs.messages() as u64 * MESSAGE + queues.map(StoredQueue::weight).sum::<u64>()
    }

    pub(in crate::broker::jetstream) fn queues(&self) -> usize {
        self.latest().map_or(0, |(_, run)| run.queues.len())
    }

    /// See [`Run::fitting`].
    pub(in crate::broker::jetstream) fn fitting(
        &self,
        run: u64,
        line: Line<'_>,
        commits: &[StoredCommit],
        spare: Option<u64>,
    ) -> Fitting {
        let Some(run) = self.runs.get(&run).filter(|run| run.is_present(line.who)) else {
            return Fitting { count: commits.len(), void: BTreeSet::new(), stopped: Judged::default() };
        };
        let room = self.room();
        run.fitting(
            line,
            commits,
            Room { is_short: room.is_short || spare.is_some(), ..room },
            spare.unwrap_or(u64::MAX),
        )
    }

    /// See [`Run::fits_at`].
    pub(in crate::broker::jetstream) fn fits_at(
        &self,
        run: u64,
        queue: SharedQueue,
        commit: &StoredCommit,
    ) -> u64 {
        self.runs.get(&run).map_or(u64::MAX, |run| run.fits_at(queue, commit))
    }

    pub(super) fn room(&self) -> Room {
        let Reserved { weight, share } = self.reserved;
        Room { is_short: self.is_short, left: weight.saturating_sub(self.weight()), share }
    }

    /// The reserve is as large as that. Where it was not, it may have become smaller.
    pub(super) fn has_reserved(&mut self, reserved: Reserved) {
        self.reserved = match self.is_short {
            true => reserved,
            false => self.reserved.or(reserved),
        };
        self.is_short = false;
    }
}

/// What a look ahead at the commits of a line finds.
pub(in crate::broker::jetstream) struct Fitting {
    /// So many would happen or be refused now, from the first on.
    pub count: usize,
    /// The places of those of them that are refused, or were judged before.
    pub void: BTreeSet<usize>,
    /// What the next one would be answered.
    pub stopped: Judged,
}

/// What the commits before have changed of a queue.
#[derive(Default)]
struct Added {
    items: i64,
    bytes: u64,
    /// In order. They mostly come so.
    ended: Vec<Sequence>,
}

impl Added {
    /// Where it stands, or is to stand.
    fn find(&self, sequence: Sequence) -> Result<usize, usize> {
        match self.ended.last().is_none_or(|last| *last < sequence) {
            true => Err(self.ended.len()),
            false => self.ended.binary_search(&sequence),
        }
    }
}

/// What the commits before will have changed.
struct Ahead {
    queues: BTreeMap<SharedQueue, Added>,
    position: Vec<u8>,
}

impl Ahead {
    /// Whether they leave it what it needs.
    fn allows(&self, commit: &StoredCommit) -> bool {
        let is_ended = |end: &StoredEnd| {
            self.queues.get(&end.queue).is_some_and(|added| added.find(end.sequence).is_ok())
        };
        commit.begins_at(&self.position) && !commit.ends.iter().any(is_ended)
    }

    fn items(&self, queue: &SharedQueue) -> i64 {
        self.queues.get(queue).map_or(0, |added| added.items)
    }

    fn bytes(&self, queue: &SharedQueue) -> u64 {
        self.queues.get(queue).map_or(0, |added| added.bytes)
    }

    fn happens(&mut self, commit: &StoredCommit) {
        if let Some((_, to)) = &commit.step {
            self.position.clone_from(to);
        }
        for end in &commit.ends {
            let added = self.queues.entry(end.queue).or_default();
            if let Err(at) = added.find(end.sequence) {
                added.ended.insert(at, end.sequence);
                added.items -= 1;
            }
        }
        for (queue, span) in &commit.outputs {
            let added = self.queues.entry(*queue).or_default();
            (added.items, added.bytes) = (added.items + 1, added.bytes + u64::from(span.len) + ITEM);
        }
    }
}

impl Run {
    /// Whether the broker can keep what the commit adds.
    pub(super) fn look_for_memory(
        &self,
        commit: &StoredCommit,
        room: Room,
        added: impl Fn(&SharedQueue) -> u64,
    ) -> Result<(), Full> {
        let Room { is_short, left, share } = room;
        if !commit.grows() {
            return Ok(());
        }
        let is_wide = !is_short && commit.weight() <= left;
        if commit.ends.is_empty() {
            let may = is_wide && commit.output_bytes() <= share;
            return may.then_some(()).ok_or(Full::Memory);
        }
        let is_full = |name: &SharedQueue| {
            let rest = SHARE.saturating_sub(added(name));
            self.queue(*name).is_some_and(|queue| queue.holds(rest))
        };
        let full = commit.outputs.iter().map(|(name, _)| *name).find(|name| !is_wide && is_full(name));
        full.map_or(Ok(()), |queue| Err(Full::Queue(queue)))
    }
}

impl Run {
    /// A look ahead, as [`Run::commit`] will judge. `spare`: bytes for what stages make of items, where that goes into the reserve.
    fn fitting(&self, line: Line<'_>, commits: &[StoredCommit], mut room: Room, spare: u64) -> Fitting {
        let field = format!("{}:{}/{}", line.who.machine, line.who.life, line.name);
        let last = self.lines.get(&field).map_or(0, |line| line.last);
        let mut void = BTreeSet::new();
        let stop = |count, void, full| {
            let stopped = Judged { full, before: last, ..Judged::default() };
            Fitting { count, void, stopped }
        };
        let position = self.position(line.place).to_vec();
        let mut ahead = Ahead { queues: BTreeMap::new(), position };
        let mut bytes = 0;
        for (n, commit) in commits.iter().enumerate() {
            if commit.number <= last || !ahead.allows(commit) || !self.is_allowed(line.who, commit) {
                void.insert(n);
                continue;
            }
            let is_narrow = room.is_short || commit.weight() > room.left;
            if commit.grows() && is_narrow && !commit.ends.is_empty() {
                bytes += commit.output_bytes() + MESSAGE_BYTES;
                if bytes > spare {
                    return stop(n, void, Some(Full::Memory));
                }
                if n > 0 && bytes > SHARE / 4 {
                    return stop(n, void, None);
                }
            }
            if let Err(full) = self.look_ahead(commit, room, &ahead) {
                return stop(n, void, Some(full));
            }
            room.took(commit);
            ahead.happens(commit);
        }
        stop(commits.len(), void, None)
    }

    fn look_ahead(&self, commit: &StoredCommit, room: Room, ahead: &Ahead) -> Result<(), Full> {
        self.look_for_memory(commit, room, |queue| ahead.bytes(queue))?;
        self.look_for_room(commit, |queue| ahead.items(queue)).map(drop).map_err(Full::Queue)
    }
}

impl StoredQueue {
    /// Whether its items have that many bytes.
    fn holds(&self, bytes: u64) -> bool {
        let mut sum = 0;
        bytes == 0
            || self.lengths().any(|len| {
                sum += u64::from(len) + ITEM;
                sum >= bytes
            })
    }
}

impl Room {
    /// The commit has happened.
    pub(super) fn took(&mut self, commit: &StoredCommit) {
        if commit.grows() {
            self.left = self.left.saturating_sub(commit.weight());
        }
    }
}
