//! What a worker holds: a table of entries and a bitmap of which are live. Leased items and reserved blocks both.

use super::delayed::{self, Delay};
use super::{counts, returned, tx::Tx};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{BITMAP_WORDS, HOLDINGS, MAX_FAN, QueueAt, SlotAt, queue, slot};
use crate::queue::arena::{descriptor::Meta, memory::Memory};

/// The live bits of a slot's table.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Bitmap([u64; BITMAP_WORDS]);

impl Bitmap {
    pub(crate) fn load(memory: &Memory, slot: SlotAt) -> Bitmap {
        Bitmap(std::array::from_fn(|i| memory.load((slot + slot::BITMAP).word(i))))
    }

    /// The first word that is not empty.
    pub(crate) fn first_word(&self) -> Option<u64> {
        self.0.iter().copied().find(|&word| word != 0)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = u16> + '_ {
        (0..HOLDINGS as u16).filter(|&entry| self.is_live(entry))
    }

    #[inline]
    pub(crate) fn is_live(&self, entry: u16) -> bool {
        self.0.get(entry as usize / 64).is_some_and(|word| word >> (entry % 64) & 1 == 1)
    }

    #[inline]
    pub(crate) fn mark(&mut self, entry: u16) {
        self.0[entry as usize / 64] |= 1 << (entry % 64);
    }

    #[inline]
    pub(crate) fn clear(&mut self, entry: u16) {
        self.0[entry as usize / 64] &= !(1 << (entry % 64));
    }

    /// Collects the words that the transaction changes.
    #[inline]
    pub(crate) fn save(&self, tx: &mut Tx<'_>, slot: SlotAt, before: &Bitmap) {
        for i in 0..BITMAP_WORDS {
            if before.0[i] != self.0[i] {
                tx.set((slot + slot::BITMAP).word(i), self.0[i]);
            }
        }
    }
}

/// Entries that are free both before and after the transaction: only those may be written before its commit.
pub(crate) struct FreeEntries {
    taken: Bitmap,
    word: usize,
}

impl FreeEntries {
    pub(crate) fn of_both(before: &Bitmap, after: &Bitmap) -> FreeEntries {
        FreeEntries { taken: Bitmap(std::array::from_fn(|i| before.0[i] | after.0[i])), word: 0 }
    }
}

impl Iterator for FreeEntries {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        while self.word < BITMAP_WORDS {
            let free = !self.taken.0[self.word];
            if free != 0 {
                let bit = free.trailing_zeros();
                self.taken.0[self.word] |= 1 << bit;
                return Some((self.word * 64) as u16 + bit as u16);
            }
            self.word += 1;
        }
        None
    }
}

/// How a lease ends.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum End {
    Done,
    Dead,
}

/// Ends leases: counts them for their queues and frees their blocks. Bits are the caller's. `ended` gets the queues
/// concerned, for the notifications after the commit.
pub(crate) fn end(
    tx: &mut Tx<'_>,
    slot: SlotAt,
    leases: &[u16],
    how: End,
    ended: &mut EndedQueues,
) -> Result<(), Fault> {
    let mut run: Option<(QueueAt, u64, u64)> = None; // queue, items, bytes
    for &entry in leases {
        let at = slot.entry(entry);
        let meta = tx.memory.meta(at);
        let queue = QueueAt::of(meta.queue())?;
        let freed = if meta.has_block() { tx.free(tx.memory.block_of(at))? } else { 0 };
        run = match run {
            Some((same, n, bytes)) if same == queue => Some((queue, n + 1, bytes + freed)),
            other => {
                count(tx, other, how, ended);
                Some((queue, 1, freed))
            }
        };
    }
    count(tx, run, how, ended);
    Ok(())
}

fn count(tx: &mut Tx<'_>, run: Option<(QueueAt, u64, u64)>, how: End, ended: &mut EndedQueues) {
    let Some((queue, items, bytes)) = run else { return };
    let counter = if how == End::Done { queue::DONE } else { queue::DEAD };
    tx.add(queue + counter, items);
    if bytes > 0 {
        tx.subtract(queue + queue::BYTES, bytes);
    }
    ended.note(queue, bytes > 0);
}

/// A lease goes back to its queue, at once or after a while, or a reserved block to its free stack; the bit is the caller's.
/// Where no room is left for one more delayed item it goes back at once. Returns the queue.
pub(crate) fn give_back(
    tx: &mut Tx<'_>,
    slot: SlotAt,
    entry: u16,
    delay: Option<Delay>,
    change: impl FnOnce(Meta) -> Meta,
) -> Result<QueueAt, Fault> {
    let at = slot.entry(entry);
    let meta = tx.memory.meta(at);
    let queue = QueueAt::of(meta.queue())?;
    if meta.is_block() {
        let size = tx.free(tx.memory.block_of(at))?;
        tx.subtract(queue + queue::BYTES, size);
        return Ok(queue);
    }
    let meta = change(meta);
    let is_delayed = match delay {
        Some(delay) => delayed::put(tx, queue, at, meta, delay)?,
        None => false,
    };
    if !is_delayed {
        returned::push(tx, queue, at, meta)?;
    }
    Ok(queue)
}

/// The queues whose leases a transaction ended, and whether bytes became free.
#[derive(Default)]
pub(crate) struct EndedQueues {
    /// A queue's index, and in the lowest bit whether bytes became free.
    queues: [u16; MAX_FAN + 1],
    n: usize,
}

impl EndedQueues {
    fn note(&mut self, queue: QueueAt, bytes: bool) {
        let (index, bytes) = ((queue.index() << 1) as u16, u16::from(bytes));
        if let Some(known) = self.queues[..self.n].iter_mut().find(|known| **known & !1 == index) {
            *known |= bytes;
        } else if self.n < self.queues.len() {
            self.queues[self.n] = index | bytes;
            self.n += 1;
        }
    }

    /// After the commit: waiters for bytes, or for the end of the queue, are woken.
    #[inline]
    pub(crate) fn notify(&self, tx: &mut Tx<'_>) {
        for &word in &self.queues[..self.n] {
            let queue = QueueAt::nth(word >> 1);
            if word & 1 == 1 {
                // All: a small item may go where a large one can't yet.
                tx.notify_all_idle(queue + queue::BYTES_FREE);
            }
            if counts::is_drained(tx, queue) {
                tx.notify_all(queue + queue::NOT_EMPTY);
            }
        }
    }
}
