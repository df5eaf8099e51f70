//! The items of a file of version 6: in the rings, on the stacks of returned ones, and in workers' hands.

use super::layout::{self, ENTRY, HOLDINGS, MAX_QUEUES, RETURNED_MAX, RING_MAX, class_of, queue, slot};
use super::words::Words;
use crate::queue::arena::fault::Fault;
use std::iter;

/// Of a descriptor's second word: length (32 bits), failed attempts (20), queue (11), whether it is no item.
const LENGTH: u64 = 0xffff_ffff;
const FAILURES: u32 = 32;
const MAX_FAILURES: u64 = (1 << 20) - 1;
const QUEUE: u32 = 52;
const BLOCK: u64 = 1 << 63;
/// An item of at most this many bytes is in the descriptor's first word.
const INLINE: u64 = 8;
/// Slots of a ring, or entries, that are read together.
const READ_TOGETHER: u64 = 1024;

/// An item as its descriptor has it.
#[derive(Clone, Copy)]
pub(super) struct Item {
    data: u64,
    meta: u64,
    pub sequence: u64,
    pub mark: u64,
    /// It was in work.
    begun: bool,
}

impl Item {
    fn of_entry(entry: &[u64]) -> Item {
        Item { data: entry[0], meta: entry[1], sequence: entry[2], mark: entry[3], begun: false }
    }

    pub(super) fn failures(&self) -> u64 {
        (self.meta >> FAILURES & MAX_FAILURES) + u64::from(self.begun)
    }

    fn queue(&self) -> u64 {
        self.meta >> QUEUE & 0x7ff
    }

    fn len(&self) -> u64 {
        self.meta & LENGTH
    }

    pub(super) fn belongs_to(&self, q: u64) -> Result<(), Fault> {
        match self.queue() == q && self.meta & BLOCK == 0 {
            true => Ok(()),
            false => Err(Fault::Foreign(format!("queue {q} holds an item of queue {}", self.queue()))),
        }
    }

    /// Its block, if it has one, which is large enough.
    pub(super) fn block(&self) -> Result<Option<u64>, Fault> {
        if self.len() <= INLINE {
            return Ok(None);
        }
        match class_of(self.data) {
            Some(size) if size >= self.len() => Ok(Some(self.data)),
            _ => Err(Fault::damaged("a block's place", self.sequence, self.data)),
        }
    }

    pub(super) fn payload(&self, words: &Words) -> Result<Vec<u8>, Fault> {
        let len = self.len() as usize;
        match self.block()? {
            Some(block) => words.bytes(block, len),
            None => Ok(self.data.to_le_bytes()[..len].to_vec()),
        }
    }
}

/// What all workers hold.
pub(super) struct Held {
    /// Of each queue.
    pub items: Vec<Vec<Item>>,
    /// Bytes of reserved blocks, charged to each queue.
    pub bytes: Vec<u64>,
    pub reserved: Vec<u64>,
}

pub(super) fn held(words: &Words) -> Result<Held, Fault> {
    let n = MAX_QUEUES as usize;
    let mut held = Held { items: vec![Vec::new(); n], bytes: vec![0; n], reserved: Vec::new() };
    for number in 0..words.word(layout::OPENED)?.min(layout::MAX_SLOTS) {
        let at = layout::SLOTS + number * layout::SLOT_SIZE;
        let live: [u64; HOLDINGS as usize / 64] = words.array(at + slot::BITMAP)?;
        if live.iter().all(|&word| word == 0) {
            continue;
        }
        let begun = words.word(at + slot::BEGUN)?;
        let entries = words.words(at + slot::ENTRIES, (HOLDINGS * ENTRY / 8) as usize)?;
        for (i, entry) in (0..).zip(entries.chunks_exact(ENTRY as usize / 8)) {
            if live[i / 64] >> (i % 64) & 1 == 1 {
                held.add(Item { begun: begun == i as u64 + 1, ..Item::of_entry(entry) })?;
            }
        }
    }
    Ok(held)
}

impl Held {
    fn add(&mut self, item: Item) -> Result<(), Fault> {
        let q = item.queue() as usize;
        if q >= self.items.len() {
            return Err(Fault::Foreign(format!("a worker holds an item of queue {q}")));
        }
        if item.meta & BLOCK == 0 {
            self.items[q].push(item);
        } else {
            let size =
                class_of(item.data).ok_or_else(|| Fault::damaged("a block's place", 0_u64, item.data))?;
            self.bytes[q] += size;
            self.reserved.push(item.data);
        }
        Ok(())
    }
}

/// What a queue says of its items.
pub(super) struct Ledger {
    q: u64,
    tail: u64,
    head: u64,
    returned: u64,
    leased: u64,
    bytes: u64,
    k: u64,
}

impl Ledger {
    pub(super) fn read(words: &Words, q: u64) -> Result<Ledger, Fault> {
        let word = |which| words.word(layout::queue(q) + which);
        let (tail, head, returned) = (word(queue::TAIL)?, word(queue::HEAD)?, word(queue::RETURNED)?);
        let ended = [word(queue::DROPPED_OLD)?, word(queue::DONE)?, word(queue::DEAD)?];
        let out = ended.into_iter().fold(head, u64::wrapping_sub);
        let ledger = Ledger {
            q,
            tail,
            head,
            returned,
            leased: out.wrapping_sub(returned),
            bytes: word(queue::BYTES)?,
            k: word(queue::RING)?,
        };
        let fits = ledger.k <= RING_MAX && tail.wrapping_sub(head) <= 1 << ledger.k;
        if !fits || returned >= RETURNED_MAX || ledger.leased > RETURNED_MAX {
            return Err(Fault::Foreign(format!("queue {q}: its ledger does not add up")));
        }
        Ok(ledger)
    }

    pub(super) fn waiting(&self) -> u64 {
        self.tail.wrapping_sub(self.head) + self.returned
    }

    pub(super) fn leased(&self) -> u64 {
        self.leased
    }

    pub(super) fn check_leases(&self, held: u64) -> Result<(), Fault> {
        match self.leased == held {
            true => Ok(()),
            false => Err(Fault::Foreign(format!(
                "queue {}: {} items are leased, workers hold {held}",
                self.q, self.leased
            ))),
        }
    }

    pub(super) fn check_bytes(&self, in_use: u64) -> Result<(), Fault> {
        match self.bytes == in_use {
            true => Ok(()),
            false => Err(Fault::Foreign(format!(
                "queue {}: {} bytes are charged, {in_use} are in use",
                self.q, self.bytes
            ))),
        }
    }

    /// The items that have left the ring: `leases`, and the returned ones.
    pub(super) fn waiting_outside(&self, words: &Words, leases: Vec<Item>) -> Result<Vec<Item>, Fault> {
        let mut items = leases;
        for first in (0..self.returned).step_by(READ_TOGETHER as usize) {
            let n = (self.returned - first).min(READ_TOGETHER);
            let entries = words.words(layout::returned(self.q) + first * ENTRY, (n * ENTRY / 8) as usize)?;
            items.extend(entries.chunks_exact(ENTRY as usize / 8).map(Item::of_entry));
        }
        Ok(items)
    }

    /// The items in the ring, the oldest first.
    pub(super) fn in_ring<'a>(&'a self, words: &'a Words) -> impl Iterator<Item = Result<Item, Fault>> + 'a {
        let mut position = self.head;
        iter::from_fn(move || {
            let slots = 1 << self.k;
            let n = self.tail.wrapping_sub(position).min(READ_TOGETHER).min(slots - (position & (slots - 1)));
            let first = position;
            position = position.wrapping_add(n);
            (n > 0).then(|| self.ring_part(words, first, n))
        })
        .flat_map(|part| {
            let (items, fault) = match part {
                Ok(items) => (items, None),
                Err(fault) => (Vec::new(), Some(Err(fault))),
            };
            items.into_iter().map(Ok).chain(fault)
        })
    }

    fn ring_part(&self, words: &Words, first: u64, n: u64) -> Result<Vec<Item>, Fault> {
        let slots = words.words(layout::ring_slot(self.q, self.k, first), 2 * n as usize)?;
        let item = |(i, slot): (u64, &[u64])| Item {
            data: slot[0],
            meta: slot[1],
            sequence: first.wrapping_add(i),
            mark: 0,
            begun: false,
        };
        Ok((0..).zip(slots.chunks_exact(2)).map(item).collect())
    }
}
