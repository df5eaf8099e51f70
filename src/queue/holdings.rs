//! What a worker holds: a table of entries and a bitmap of which are live. Leased items and reserved blocks both.

use super::descriptor::Meta;
use super::event::Event;
use super::layout::{self, BITMAP_WORDS, HOLDINGS, queue, slot};
use super::memory::Memory;
use super::tx::Tx;
use super::{Fault, ring};

/// The live bits of a slot's table.
pub(super) type Bitmap = [u64; BITMAP_WORDS];

pub(super) fn bitmap(memory: &Memory, slot: usize) -> Bitmap {
    std::array::from_fn(|i| memory.load(slot + slot::BITMAP + i * 8))
}

pub(super) fn entries(bitmap: &Bitmap) -> impl Iterator<Item = u16> + '_ {
    (0..HOLDINGS as u16).filter(|&i| bitmap[i as usize / 64] >> (i % 64) & 1 == 1)
}

/// Entries that are free both before and after the transaction: only those may be written before its commit.
pub(super) struct Free {
    taken: Bitmap,
    word: usize,
}

impl Free {
    pub fn neither(before: &Bitmap, after: &Bitmap) -> Free {
        Free { taken: std::array::from_fn(|i| before[i] | after[i]), word: 0 }
    }
}

impl Iterator for Free {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        while self.word < BITMAP_WORDS {
            let free = !self.taken[self.word];
            if free != 0 {
                let bit = free.trailing_zeros();
                self.taken[self.word] |= 1 << bit;
                return Some((self.word * 64) as u16 + bit as u16);
            }
            self.word += 1;
        }
        None
    }
}

#[inline]
pub(super) fn is_live(bitmap: &Bitmap, entry: u16) -> bool {
    bitmap.get(entry as usize / 64).is_some_and(|word| word >> (entry % 64) & 1 == 1)
}

#[inline]
pub(super) fn mark(bitmap: &mut Bitmap, entry: u16) {
    bitmap[entry as usize / 64] |= 1 << (entry % 64);
}

#[inline]
pub(super) fn clear(bitmap: &mut Bitmap, entry: u16) {
    bitmap[entry as usize / 64] &= !(1 << (entry % 64));
}

/// Collects the words of the bitmap that the transaction changes.
#[inline]
pub(super) fn save(tx: &mut Tx<'_>, slot: usize, before: &Bitmap, after: &Bitmap) {
    for i in 0..BITMAP_WORDS {
        if before[i] != after[i] {
            tx.set(slot + slot::BITMAP + i * 8, after[i]);
        }
    }
}

/// How a lease ends.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    Done,
    Dead,
}

/// Ends leases: counts them for their queues and frees their blocks. Bits are the caller's. `ended` gets the queues
/// (by offset) concerned, for the notifications after the commit.
pub(super) fn end(
    tx: &mut Tx<'_>,
    slot: usize,
    leases: &[u16],
    how: End,
    ended: &mut Ended,
) -> Result<(), Fault> {
    let mut run: Option<(usize, u64, u64)> = None; // queue, items, bytes
    for &entry in leases {
        let at = layout::holding(slot, entry as usize);
        let meta = Meta(tx.memory.load(at + 8));
        let queue = layout::queue_at(meta.queue())?;
        let freed = if meta.has_block() { tx.free(tx.memory.load(at))? } else { 0 };
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

fn count(tx: &mut Tx<'_>, run: Option<(usize, u64, u64)>, how: End, ended: &mut Ended) {
    let Some((at, items, bytes)) = run else { return };
    let counter = if how == End::Done { queue::DONE } else { queue::DEAD };
    tx.add(at + counter, items);
    if bytes > 0 {
        tx.subtract(at + queue::BYTES, bytes);
    }
    ended.note(at, bytes > 0);
}

/// The queues whose leases a transaction ended, and whether bytes became free.
#[derive(Default)]
pub(super) struct Ended {
    /// Offsets, which are even; odd: bytes became free.
    queues: [u32; layout::MAX_FAN + 1],
    n: usize,
}

impl Ended {
    fn note(&mut self, at: usize, bytes: bool) {
        let (at, bytes) = (at as u32, u32::from(bytes)); // queues lie in the first megabyte
        if let Some(known) = self.queues[..self.n].iter_mut().find(|known| **known & !1 == at) {
            *known |= bytes;
        } else if self.n < self.queues.len() {
            self.queues[self.n] = at | bytes;
            self.n += 1;
        }
    }

    /// After the commit: who waits for bytes, or for the end, is told.
    #[inline]
    pub fn tell(&self, tx: &mut Tx<'_>) {
        for &word in &self.queues[..self.n] {
            let at = (word & !1) as usize;
            if word & 1 == 1 {
                // All: who needs little may go where who needs much can't yet.
                tx.notify_all_idle(Event::of(at, queue::BYTES_FREE));
            }
            ring::tell_if_drained(tx, at);
        }
    }
}
