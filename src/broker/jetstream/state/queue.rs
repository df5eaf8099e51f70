//! One shared queue: its items, leases, letters and ledger. The rules are those of `redis/scripts/`, so that a pipeline can't tell one
//! broker from another.

use super::blobs::{Blobs, ItemRef};
use super::request::{Taken, Who};
use crate::broker::{Ledger, QueueSettings, Registered, Sequence, WriterState};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

/// The cause of a dead letter that no machine wrote.
const ALL_DIED: &str = "every machine that had it died";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    bytes: ItemRef,
    attempts: u32,
}

/// What one request has taken has one owner in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner(Arc<Who>);

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Owner, D::Error> {
        Who::deserialize(deserializer).map(|who| Owner(Arc::new(who)))
    }
}

/// An item that is delivered, or that was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Delivery {
    /// `None`: it was given back.
    owner: Option<Owner>,
    since: u64,
    count: u32,
}

impl Delivery {
    fn is_of(&self, who: &Who) -> bool {
        self.owner.as_ref().is_some_and(|owner| *owner.0 == *who)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct StoredLetter {
    pub item: ItemRef,
    pub cause: String,
    pub attempts: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct StoredQueue {
    pub settings: QueueSettings,
    put: u64,
    done: u64,
    dead: u64,
    dropped: u64,
    pub is_sealed: bool,
    /// Waiting and leased.
    items: BTreeMap<Sequence, Item>,
    last_item: Sequence,
    /// Items up to this one have been delivered.
    last_delivered: Sequence,
    deliveries: BTreeMap<Sequence, Delivery>,
    pub letters: BTreeMap<Sequence, StoredLetter>,
    last_letter: Sequence,
    pub letters_dropped: u64,
    /// By the places of their stages.
    pub writers: BTreeMap<String, WriterState>,
}

fn next(last: &mut Sequence, now: u64) -> Sequence {
    *last = if now > last.0 { Sequence(now, 0) } else { Sequence(last.0, last.1 + 1) };
    *last
}

impl StoredQueue {
    pub(super) fn new(settings: &QueueSettings) -> StoredQueue {
        let zero = Sequence(0, 0);
        StoredQueue {
            settings: settings.clone(),
            put: 0,
            done: 0,
            dead: 0,
            dropped: 0,
            is_sealed: false,
            items: BTreeMap::new(),
            last_item: zero,
            last_delivered: zero,
            deliveries: BTreeMap::new(),
            letters: BTreeMap::new(),
            last_letter: zero,
            letters_dropped: 0,
            writers: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.items.len() as u64
    }

    /// Whether a machine could take an item.
    pub(super) fn has_waiting(&self) -> bool {
        let is_new = |(id, _): (&Sequence, _)| *id > self.last_delivered;
        self.items.last_key_value().is_some_and(is_new) || self.returned().next().is_some()
    }

    pub(super) fn deliveries(&self) -> usize {
        self.deliveries.len()
    }

    /// Of its items, waiting and leased.
    pub(super) fn lengths(&self) -> impl Iterator<Item = u32> {
        self.items.values().map(|item| item.bytes.len)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.is_sealed && self.items.is_empty()
    }

    pub(super) fn put(&mut self, bytes: ItemRef, now: u64, blobs: &mut Blobs) {
        blobs.add(bytes);
        self.put += 1;
        self.items.insert(next(&mut self.last_item, now), Item { bytes, attempts: 0 });
    }

    /// The queue is full, and drops what comes.
    pub(super) fn drop_new(&mut self) {
        self.put += 1;
        self.dropped += 1;
    }

    pub(super) fn is_held(&self, id: Sequence, who: &Who) -> bool {
        self.deliveries.get(&id).is_some_and(|delivery| delivery.is_of(who))
    }

    pub(in crate::broker::jetstream) fn held(&self, who: &Who) -> Vec<Sequence> {
        let of = |(id, delivery): (&Sequence, &Delivery)| (delivery.is_of(who)).then_some(*id);
        self.deliveries.iter().filter_map(of).collect()
    }

    /// Up to `n` items: those given back first, then those whose lease has expired, then new ones. Whether an item became a letter.
    pub(super) fn take(
        &mut self,
        who: &Who,
        n: usize,
        expired_after: Option<u64>,
        most: u32,
        now: u64,
    ) -> (Vec<Taken>, bool) {
        let who = Owner(Arc::new(who.clone()));
        let mut taking = Taking { who, now, most, taken: Vec::new(), has_letters: false };
        let returned: Vec<Sequence> = self.returned().take(n).collect();
        returned.into_iter().for_each(|id| taking.claim(self, id));
        if let Some(wait) = expired_after
            && taking.taken.len() < n
        {
            let room = n - taking.taken.len();
            let is_idle = |delivery: &Delivery| now.saturating_sub(delivery.since) >= wait;
            let idle = self.deliveries.iter().filter(|(_, delivery)| is_idle(delivery));
            let idle: Vec<Sequence> = idle.map(|(id, _)| *id).take(room).collect();
            idle.into_iter().for_each(|id| taking.claim(self, id));
        }
        let room = n.saturating_sub(taking.taken.len());
        let new = self.items.range((Excluded(self.last_delivered), Unbounded)).map(|(id, _)| *id);
        let new: Vec<Sequence> = new.take(room).collect();
        new.into_iter().for_each(|id| {
            self.last_delivered = id;
            taking.hand_out(self, id, 1);
        });
        (taking.taken, taking.has_letters)
    }

    fn returned(&self) -> impl Iterator<Item = Sequence> {
        self.deliveries.iter().filter(|(_, delivery)| delivery.owner.is_none()).map(|(id, _)| *id)
    }

    pub(super) fn extend(&mut self, leases: &[Sequence], who: &Who, now: u64) -> Vec<Sequence> {
        let mut lost = Vec::new();
        for id in leases {
            match self.deliveries.get_mut(id).filter(|delivery| delivery.is_of(who)) {
                Some(delivery) => delivery.since = now,
                None => lost.push(*id),
            }
        }
        lost
    }

    /// The delivery is taken back as well: a machine that drains charges nothing. Whether something went back.
    pub(super) fn give_back(&mut self, leases: &[(Sequence, u32)], who: &Who, now: u64) -> bool {
        let mut has_given = false;
        for (id, attempts) in leases {
            let delivery = self.deliveries.get_mut(id).filter(|delivery| delivery.is_of(who));
            let Some(delivery) = delivery else { continue };
            *delivery = Delivery { owner: None, since: now, count: delivery.count.saturating_sub(1) };
            if let Some(item) = self.items.get_mut(id).filter(|_| *attempts > 0) {
                item.attempts = *attempts;
            }
            has_given = true;
        }
        has_given
    }

    /// All that it holds goes back; deliveries stay counted, as nothing says that it was innocent.
    pub(super) fn release_all(&mut self, who: &Who, now: u64) -> u64 {
        let mut released = 0;
        for delivery in self.deliveries.values_mut().filter(|delivery| delivery.is_of(who)) {
            (delivery.owner, delivery.since) = (None, now);
            released += 1;
        }
        released
    }

    fn remove(&mut self, id: Sequence) -> Option<Item> {
        self.deliveries.remove(&id);
        self.items.remove(&id)
    }

    pub(super) fn end(&mut self, id: Sequence, blobs: &mut Blobs) {
        if let Some(item) = self.remove(id) {
            blobs.release_item(item.bytes);
            self.done += 1;
        }
    }

    pub(super) fn dead_letter(&mut self, id: Sequence, cause: &str, attempts: u32, now: u64) {
        if let Some(item) = self.remove(id) {
            let letter = StoredLetter { item: item.bytes, cause: cause.to_owned(), attempts };
            self.letters.insert(next(&mut self.last_letter, now), letter);
            self.dead += 1;
        }
    }

    pub(super) fn has_letter(&self, id: Sequence) -> bool {
        self.letters.contains_key(&id)
    }

    /// What it holds becomes an item, of the same run or of another one.
    pub(super) fn take_letter(&mut self, id: Sequence, is_same: bool) -> Option<ItemRef> {
        let letter = self.letters.remove(&id)?;
        match is_same {
            true => self.dead -= 1,
            false => self.letters_dropped += 1,
        }
        Some(letter.item)
    }

    /// What a letter held. The capacity does not count: under backpressure there would never be room.
    pub(super) fn put_back(&mut self, bytes: ItemRef, is_same: bool, now: u64) {
        self.items.insert(next(&mut self.last_item, now), Item { bytes, attempts: 0 });
        self.put += u64::from(!is_same);
    }

    pub(super) fn discard(&mut self, letters: &[Sequence], blobs: &mut Blobs) -> u64 {
        let gone: Vec<StoredLetter> = letters.iter().filter_map(|id| self.letters.remove(id)).collect();
        gone.iter().for_each(|letter| blobs.release_item(letter.item));
        self.letters_dropped += gone.len() as u64;
        gone.len() as u64
    }

    /// A sealed queue gets no new writer; one that was struck off with its machine is new.
    pub(super) fn register(&mut self, place: &str) -> Registered {
        match self.registered(place) {
            Some(known) => known,
            None => {
                self.writers.insert(place.to_owned(), WriterState::Open);
                Registered::Open
            }
        }
    }

    /// What it says to the writer without a change; `None`: it would be new.
    pub(in crate::broker::jetstream) fn registered(&self, place: &str) -> Option<Registered> {
        match self.writers.get(place) {
            Some(WriterState::Open) => Some(Registered::Open),
            Some(WriterState::Ended) => Some(Registered::Ended),
            Some(WriterState::Struck) | None => self.is_sealed.then_some(Registered::Sealed),
        }
    }

    pub(in crate::broker::jetstream) fn ledger(&self) -> Ledger {
        let leased = self.deliveries.values().filter(|delivery| delivery.owner.is_some()).count() as u64;
        let StoredQueue { put, done, dead, dropped, .. } = *self;
        Ledger { put, done, dead, dropped, waiting: self.len() - leased, leased }
    }

    /// When the oldest item that waits was put.
    pub(in crate::broker::jetstream) fn oldest(&self) -> Option<u64> {
        let new = self.items.range((Excluded(self.last_delivered), Unbounded)).map(|(id, _)| id.0).next();
        let returned = self.returned().map(|id| id.0).next();
        new.into_iter().chain(returned).min()
    }

    /// Leased items by machine.
    pub(in crate::broker::jetstream) fn leased(&self) -> BTreeMap<String, u64> {
        let mut by_machine = BTreeMap::new();
        for owner in self.deliveries.values().filter_map(|delivery| delivery.owner.as_ref()) {
            *by_machine.entry(owner.0.machine.clone()).or_default() += 1;
        }
        by_machine
    }

    pub(super) fn forget_items(self, blobs: &mut Blobs) {
        self.items.into_values().for_each(|item| blobs.release_item(item.bytes));
        self.letters.into_values().for_each(|letter| blobs.release_item(letter.item));
    }
}

/// One request for items.
struct Taking {
    who: Owner,
    now: u64,
    most: u32,
    taken: Vec<Taken>,
    has_letters: bool,
}

impl Taking {
    fn claim(&mut self, queue: &mut StoredQueue, id: Sequence) {
        let Some(count) = queue.deliveries.get(&id).map(|delivery| delivery.count) else { return };
        if count >= self.most {
            let attempts = queue.items.get(&id).map_or(0, |item| item.attempts);
            queue.dead_letter(id, ALL_DIED, attempts, self.now);
            self.has_letters = true;
        } else {
            self.hand_out(queue, id, count + 1);
        }
    }

    fn hand_out(&mut self, queue: &mut StoredQueue, id: Sequence, count: u32) {
        let Some(item) = queue.items.get(&id) else { return };
        let delivery = Delivery { owner: Some(self.who.clone()), since: self.now, count };
        queue.deliveries.insert(id, delivery);
        let taken = Taken { sequence: id, item: item.bytes, attempts: item.attempts, deliveries: count };
        self.taken.push(taken);
    }
}
