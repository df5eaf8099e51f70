//! Where bytes lie: the state names them by message and place, and counts what still needs each message.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Bytes in the data of a request's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct Span {
    pub at: u32,
    pub len: u32,
}

/// The bytes of an item: from `at` on in what the message and its parts hold together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct ItemRef {
    /// The message's place in the log.
    pub blob: u64,
    pub at: u32,
    pub len: u32,
}

/// What a request was read from.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker::jetstream) struct Source<'a> {
    /// Its message's place in the log.
    pub blob: u64,
    /// Where its data begin.
    pub base: u32,
    /// Messages that hold what stands before the last part; mostly none.
    pub parts: &'a [u64],
    /// Bytes of each of them.
    pub part_len: u32,
    pub has_data: bool,
}

impl Source<'_> {
    pub(super) fn item(&self, span: Span) -> ItemRef {
        ItemRef { blob: self.blob, at: self.base.saturating_add(span.at), len: span.len }
    }
}

/// A message that something still needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Blob {
    uses: u32,
    parts: Vec<u64>,
    part_len: u32,
}

/// A message that nothing needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Garbage {
    message: u64,
    /// The message by which it became so.
    since: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct Blobs {
    used: BTreeMap<u64, Blob>,
    garbage: Vec<Garbage>,
    /// Parts whose request has yet to come, and the time at which they came.
    unclaimed: BTreeMap<u64, u64>,
    /// The place in the log that is applied.
    at: u64,
    /// Up to here all that nothing needed is deleted.
    cleaned: u64,
}

/// So long a part waits for its request.
const UNCLAIMED_FOR: u64 = 600_000;

impl Blobs {
    /// The message at this place is applied now.
    pub(super) fn begin(&mut self, at: u64, now: u64) {
        self.at = at;
        if self.unclaimed.is_empty() {
            return;
        }
        let is_old = |since: u64| now.saturating_sub(since) >= UNCLAIMED_FOR;
        let old = self.unclaimed.iter().filter(|(_, since)| is_old(**since)).map(|(message, _)| *message);
        self.garbage.extend(old.map(|message| Garbage { message, since: at }));
        self.unclaimed.retain(|_, since| !is_old(*since));
    }

    pub(super) fn add_part(&mut self, now: u64) {
        self.unclaimed.insert(self.at, now);
    }

    pub(in crate::broker::jetstream) fn has_parts(&self, parts: &[u64]) -> bool {
        parts.iter().all(|part| self.unclaimed.contains_key(part))
    }

    /// Parts whose request does not come.
    pub(super) fn abandon(&mut self, parts: &[u64]) {
        let since = self.at;
        let gone = parts.iter().filter(|part| self.unclaimed.remove(part).is_some());
        self.garbage.extend(gone.map(|&message| Garbage { message, since }));
    }

    /// How many messages are needed.
    pub(super) fn messages(&self) -> usize {
        self.used.len()
    }

    /// The parts belong to the message that is applied, as long as something needs it.
    pub(super) fn claim(&mut self, source: &Source<'_>) {
        if !source.has_data {
            return;
        }
        for part in source.parts {
            self.unclaimed.remove(part);
        }
        let (parts, part_len) = (source.parts.to_vec(), source.part_len);
        self.used.insert(self.at, Blob { uses: 1, parts, part_len });
    }

    /// The use that [`Blobs::claim`] has counted is over.
    pub(super) fn settle(&mut self) {
        self.release(self.at);
    }

    pub(super) fn add(&mut self, item: ItemRef) {
        self.used.entry(item.blob).or_default().uses += 1;
    }

    pub(super) fn release_item(&mut self, item: ItemRef) {
        self.release(item.blob);
    }

    fn release(&mut self, message: u64) {
        let Some(blob) = self.used.get_mut(&message) else { return };
        blob.uses -= 1;
        if blob.uses == 0 {
            let parts = self.used.remove(&message).map(|blob| blob.parts).unwrap_or_default();
            let since = self.at;
            let all = parts.into_iter().chain([message]);
            self.garbage.extend(all.map(|message| Garbage { message, since }));
        }
    }

    pub(in crate::broker::jetstream) fn is_used(&self, message: u64) -> bool {
        self.used.contains_key(&message)
    }

    /// The message that holds an item, and where its bytes lie there, if the message is whole.
    pub(in crate::broker::jetstream) fn place(&self, item: ItemRef) -> Option<(u64, Range<usize>)> {
        let is_whole = self.used.get(&item.blob)?.parts.is_empty();
        is_whole.then(|| (item.blob, item.at as usize..item.at as usize + item.len as usize))
    }

    /// The messages that hold an item, each with where its bytes lie there; `None`: nothing needs them any more.
    pub(in crate::broker::jetstream) fn places(&self, item: ItemRef) -> Option<Vec<(u64, Range<usize>)>> {
        let blob = self.used.get(&item.blob)?;
        let part_len = blob.part_len.max(1) as usize;
        let (mut at, end, mut places) = (item.at as usize, item.at as usize + item.len as usize, Vec::new());
        while at < end {
            let part = at / part_len;
            let (message, before, until) = match blob.parts.get(part) {
                Some(part_message) => (*part_message, part * part_len, (part + 1) * part_len),
                None => (item.blob, blob.parts.len() * part_len, end),
            };
            let until = until.min(end);
            places.push((message, at - before..until - before));
            at = until;
        }
        Some(places)
    }

    /// What nothing needs any more since the message that was applied last.
    pub(in crate::broker::jetstream) fn freed(&self) -> impl Iterator<Item = u64> {
        let freed = self.garbage.iter().rev().take_while(|garbage| garbage.since == self.at);
        freed.map(|garbage| garbage.message)
    }

    /// The first message that is needed, of those up to `through`.
    pub(in crate::broker::jetstream) fn floor(&self, through: u64) -> u64 {
        let part = self.used.values().filter_map(|blob| blob.parts.first()).min();
        let first = self.used.keys().next().into_iter().chain(part).chain(self.unclaimed.keys().next()).min();
        first.copied().unwrap_or(u64::MAX).min(through + 1)
    }

    /// Messages from `floor` on, up to `through`, that nothing needs and that are not deleted yet.
    pub(in crate::broker::jetstream) fn garbage(&self, floor: u64, through: u64) -> Vec<u64> {
        let old = self.garbage.iter().map(|garbage| garbage.message);
        let old = old.filter(|message| (floor..=through.min(self.cleaned)).contains(message));
        let is_needed = self.is_needed();
        let new = (floor.max(self.cleaned + 1)..=through).filter(|message| !is_needed(message));
        old.chain(new).collect()
    }

    /// What is deleted, and the message before which all is.
    pub(in crate::broker::jetstream) fn deleted(&self) -> (u64, Vec<u64>) {
        let garbage: BTreeSet<u64> = self.garbage.iter().map(|garbage| garbage.message).collect();
        let floor = garbage.first().map_or(u64::MAX, |first| *first).min(self.floor(self.cleaned));
        let is_there = self.is_needed();
        let deleted =
            (floor..=self.cleaned).filter(|message| !is_there(message) && !garbage.contains(message));
        (floor, deleted.collect())
    }

    fn is_needed(&self) -> impl Fn(&u64) -> bool {
        let parts: BTreeSet<u64> = self.used.values().flat_map(|blob| &blob.parts).copied().collect();
        move |message| {
            self.used.contains_key(message) || self.unclaimed.contains_key(message) || parts.contains(message)
        }
    }

    /// What had become garbage up to `through` is deleted, up to `deletes_through`.
    pub(super) fn cleaned(&mut self, through: u64, deletes_through: u64) {
        self.garbage.retain(|garbage| garbage.since > through || garbage.message > deletes_through);
        self.cleaned = self.cleaned.max(deletes_through);
    }
}
