//! What is staged: outputs that no transaction has shown yet, and the blocks reserved for more of them.

use super::outputs::{NO_LEASE, Outputs};
use crate::queue::QueueId;
use crate::queue::arena::descriptor::{MAX_EXTENT_ITEMS, Meta};
use crate::queue::arena::extent;
use crate::queue::arena::layout::{BlockAt, Class};
use std::collections::VecDeque;
use std::mem;

/// Outputs staged at once, at most; more are published in parts.
pub(super) const MAX_STAGED: usize = 512;
/// Outputs with a block each that one transaction publishes: of more the first are published early, in a part of their own.
pub const MAX_BLOCKS: usize = MAX_STAGED - MAX_SPARES;
/// Blocks reserved ahead, at most.
pub(super) const MAX_SPARES: usize = 64;
/// Longer items have a block of their own, at whose start they lie.
pub(super) const MAX_EXTENT_ITEM: usize = 2048;
pub(super) const NO_ENTRY: u16 = u16::MAX;

/// Which of the staged items.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

/// Items of a queue that are staged together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece {
    /// One item. `entry`: of its block, if it has one.
    Item { data: u64, meta: Meta, entry: u16 },
    /// Items in one block.
    Extent(StagedExtent),
    /// That many items have no room: they count as dropped.
    Dropped(usize),
    /// That many items of a queue without a reader.
    Void(usize),
}

/// An extent that a worker fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StagedExtent {
    pub block: BlockAt,
    pub class: Class,
    pub entry: u16,
    /// Its items before this one are published, or dropped.
    pub first: usize,
    /// Items in it, those included.
    pub count: usize,
    /// Items that its table entry counts as outstanding and unpublished: once some of it was published.
    pub unpublished: usize,
    /// Their bytes, line ends included.
    pub bytes: usize,
    /// Bytes of the longest item that it takes.
    pub max_item: usize,
    /// Its last item may have company.
    pub is_open: bool,
}

impl StagedExtent {
    pub(super) fn new(block: BlockAt, class: Class, entry: u16, max_item: usize) -> StagedExtent {
        StagedExtent {
            block,
            class,
            entry,
            first: 0,
            count: 0,
            unpublished: 0,
            bytes: 0,
            max_item,
            is_open: true,
        }
    }
}

impl Piece {
    pub(super) fn items(&self) -> usize {
        match self {
            Piece::Item { .. } => 1,
            Piece::Extent(extent) => extent.count - extent.first,
            Piece::Dropped(n) | Piece::Void(n) => *n,
        }
    }

    /// Forgets some of its items, not all. What an extent forgets stays in its block, and counts no more.
    fn forget(&mut self, n: usize, end: End) {
        match (self, end) {
            (Piece::Extent(extent), End::Front) => (extent.first, extent.is_open) = (extent.first + n, false),
            (Piece::Extent(extent), End::Back) => (extent.count, extent.is_open) = (extent.count - n, false),
            (Piece::Dropped(items) | Piece::Void(items), _) => *items -= n,
            (Piece::Item { .. }, _) => {}
        }
    }

    /// The table entry of its block.
    pub(super) fn entry(&self) -> Option<u16> {
        match self {
            Piece::Item { entry, .. } => (*entry != NO_ENTRY).then_some(*entry),
            Piece::Extent(extent) => Some(extent.entry),
            Piece::Dropped(_) | Piece::Void(_) => None,
        }
    }
}

/// What is staged for one queue, in order.
#[derive(Debug)]
pub(super) struct StagedQueue {
    pub queue: QueueId,
    pub pieces: VecDeque<Piece>,
    /// Items and bytes that were staged since the last time that all was published.
    staged: (usize, usize),
    /// The same, of the time before: as much is likely to come.
    expected: (usize, usize),
    /// Some of the pieces are no items.
    pub is_decided: bool,
}

impl StagedQueue {
    fn new(queue: QueueId) -> StagedQueue {
        let pieces = VecDeque::with_capacity(MAX_STAGED);
        StagedQueue { queue, pieces, staged: (0, 0), expected: (0, 0), is_decided: false }
    }

    /// Bytes that the next extent should have room for, this item's included; `None`: no other item is likely to come.
    pub(super) fn extent_bytes(&self, item: usize) -> Option<usize> {
        let (staged, bytes) = self.staged;
        let (items, expected) = self.expected;
        match items.saturating_sub(staged) {
            0 | 1 if staged == 0 => None,
            0 | 1 => Some((bytes + item) * 2), // more than last time: as much again
            _ => Some(expected.saturating_sub(bytes).max(item)),
        }
    }

    /// The extent that an item of `len` bytes goes into, if one is open that has room for it.
    #[inline]
    pub(super) fn open_extent(&mut self, len: usize) -> Option<&mut StagedExtent> {
        let Some(Piece::Extent(open)) = self.pieces.back_mut() else { return None };
        let size = open.class.block_size() as usize;
        let has_room = open.is_open
            && len <= open.max_item
            && open.count < MAX_EXTENT_ITEMS
            && extent::fits(size, open.count, open.bytes, len);
        has_room.then_some(open)
    }

    #[inline]
    pub(super) fn count(&mut self, items: usize, bytes: usize) {
        self.staged = (self.staged.0 + items, self.staged.1 + bytes);
    }

    /// As many items as announced will come, of the bytes that they had before.
    fn expect(&mut self, items: usize) {
        let each = self.expected.1.checked_div(self.expected.0).unwrap_or(64);
        self.expected = (items, items * each);
    }

    fn published(&mut self) {
        self.expected = mem::take(&mut self.staged);
        self.is_decided = false;
    }

    /// Whether number `i` of what is staged is an item.
    pub(super) fn is_item(&self, mut i: usize) -> bool {
        for piece in &self.pieces {
            match i.checked_sub(piece.items()) {
                Some(left) => i = left,
                None => return matches!(piece, Piece::Item { .. } | Piece::Extent(_)),
            }
        }
        false
    }

    /// Forgets `n` of them. `entries` gets those of the blocks that nothing is staged in any more.
    fn take(&mut self, mut n: usize, end: End, entries: &mut Vec<u16>) {
        while n > 0 {
            let piece = match end {
                End::Front => self.pieces.pop_front(),
                End::Back => self.pieces.pop_back(),
            };
            let Some(mut piece) = piece else { return };
            let gone = piece.items().min(n);
            n -= gone;
            if gone == piece.items() {
                entries.extend(piece.entry());
                continue;
            }
            piece.forget(gone, end);
            match end {
                End::Front => self.pieces.push_front(piece),
                End::Back => self.pieces.push_back(piece),
            }
        }
    }

    /// An output that is no item.
    pub(super) fn add_decided(&mut self, piece: Piece) {
        self.is_decided = true;
        match (self.pieces.back_mut(), piece) {
            (Some(Piece::Dropped(n)), Piece::Dropped(more)) | (Some(Piece::Void(n)), Piece::Void(more)) => {
                *n += more;
            }
            (_, piece) => self.pieces.push_back(piece),
        }
    }
}

/// A reserved block that is not used yet.
#[derive(Clone, Copy)]
pub(super) struct Spare {
    pub queue: QueueId,
    pub class: Class,
    pub block: BlockAt,
    pub entry: u16,
}

#[derive(Default)]
pub(super) struct Staging {
    pub queues: Vec<StagedQueue>,
    /// Of them, the last that was asked for.
    last: usize,
    /// Where the outputs go, and which leases they are of.
    pub outputs: Outputs,
    pub spares: Vec<Spare>,
    /// A block reserved for a list of outputs that have to wait for their turn.
    pub list: Option<Spare>,
    /// Leases `0 .. named` are named by outputs.
    pub named: usize,
    /// Table entries of the pieces.
    pub blocks: usize,
    /// Blocks that outputs took since all were published.
    used_blocks: usize,
    /// Blocks that are likely needed: as many as before, or as announced by `reserve`.
    pub expected_blocks: usize,
    /// All or nothing: no put waits, and nothing is published early.
    pub is_whole: bool,
    /// Of a stage with shared queues: where its commits go, whose bytes are bounded like their number.
    pub line: Option<QueueId>,
    /// All outputs have room, whatever the limits of their queues say.
    pub is_regardless: bool,
    /// The next output is an item that has failed this often.
    pub failures: u32,
    /// An output found no room meanwhile.
    pub lacked_room: bool,
    /// The full disk was logged.
    pub disk_is_full: bool,
    /// The slot says that the worker waits for room on the disk.
    pub waits_for_disk: bool,
}

impl Staging {
    /// With room for what is pushed inside the lock.
    pub(super) fn new() -> Staging {
        Staging { spares: Vec::with_capacity(MAX_SPARES + 1), ..Staging::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.outputs.len() == 0
    }

    /// Announces the number of outputs that come next.
    pub(super) fn reserve(&mut self, outputs: usize, items: usize) {
        self.expected_blocks = outputs;
        self.queues.iter_mut().for_each(|queue| queue.expect(items));
    }

    /// What is staged for a queue: its place in the list.
    #[inline]
    pub(super) fn index(&mut self, queue: QueueId) -> usize {
        let known = self.queues.iter().position(|staged| staged.queue == queue);
        self.last = known.unwrap_or(self.queues.len());
        if known.is_none() {
            self.queues.push(StagedQueue::new(queue));
        }
        self.last
    }

    #[inline]
    pub(super) fn add_output(&mut self, outputs: &[QueueId], for_lease: Option<usize>) {
        self.named = self.named.max(for_lease.map_or(0, |i| i + 1));
        self.outputs.push(outputs, for_lease.map_or(NO_LEASE, |i| i as u32));
    }

    /// Outputs that may be staged: beside those of a stage with shared queues there is room for its commit and a token.
    pub(super) fn most(&self) -> usize {
        MAX_STAGED - if self.line.is_some() { 2 } else { 0 }
    }

    /// Outputs that can be staged still.
    pub(super) fn room(&self) -> usize {
        self.most().saturating_sub(self.outputs.len())
    }

    /// The extent for one more output that goes where the one before went; `None`: there is more to do for it.
    #[inline]
    pub(super) fn open_for(&mut self, queue: QueueId, len: usize) -> Option<&mut StagedExtent> {
        if self.outputs.len() >= self.most() || self.outputs.last_queue() != Some(queue) {
            return None;
        }
        let staged = &mut self.queues[self.last];
        if staged.queue == queue { staged.open_extent(len) } else { None }
    }

    /// An output was put into the extent that [`Staging::open_for`] named.
    #[inline]
    pub(super) fn add_alike(&mut self, len: usize, for_lease: Option<usize>) {
        self.queues[self.last].count(1, len);
        self.named = self.named.max(for_lease.map_or(0, |i| i + 1));
        self.outputs.push_alike(1, for_lease.map_or(NO_LEASE, |i| i as u32));
    }

    /// Several were, which are no lease's.
    pub(super) fn add_all_alike(&mut self, items: usize, bytes: usize) {
        self.queues[self.last].count(items, bytes);
        self.outputs.push_alike(items, NO_LEASE);
    }

    /// Forgets all outputs from number `from` on; returns the table entries of blocks that nothing is staged in any more.
    pub(super) fn truncate(&mut self, from: usize) -> Vec<u16> {
        let mut entries = Vec::new();
        let gone: Vec<(Vec<QueueId>, usize)> =
            self.outputs.from(from).map(|(queues, n)| (queues.to_vec(), n)).collect();
        for (queues, n) in gone {
            for queue in queues {
                let i = self.index(queue);
                // All of them are in front of an output that is being staged.
                let end = if from == 0 { End::Front } else { End::Back };
                self.queues[i].take(n, end, &mut entries);
            }
        }
        self.blocks -= entries.len().min(self.blocks);
        self.outputs.truncate(from);
        entries
    }

    /// The last item that was staged for a queue is taken back; the table entry that is free now.
    pub(super) fn take_back(&mut self, queue: QueueId) -> Vec<u16> {
        let (i, mut entries) = (self.index(queue), Vec::new());
        self.queues[i].take(1, End::Back, &mut entries);
        self.blocks -= entries.len().min(self.blocks);
        entries
    }

    /// One block more is held.
    pub(super) fn add_block(&mut self) {
        (self.blocks, self.used_blocks) = (self.blocks + 1, self.used_blocks + 1);
    }

    /// Everything is published or thrown away.
    pub(super) fn clear(&mut self) {
        self.expected_blocks = mem::take(&mut self.used_blocks);
        self.queues.iter_mut().for_each(StagedQueue::published);
        self.named = 0;
    }
}
