//! What is staged: outputs that no transaction has shown yet, and the blocks reserved for more of them.

use super::runs::Runs;
use crate::queue::QueueId;
use crate::queue::arena::descriptor::Meta;
use crate::queue::arena::layout::{BlockAt, Class};
use std::ops::Range;

/// Outputs staged at once, at most; more are published in parts.
pub(super) const MAX_STAGED: usize = 512;
/// Outputs with a block each that one transaction publishes: of more the first are published early, in a part of their own.
pub const MAX_BLOCKS: usize = MAX_STAGED - MAX_SPARES;
/// Blocks reserved ahead, at most.
pub(super) const MAX_SPARES: usize = 64;
pub(super) const NO_LEASE: u32 = u32::MAX;
pub(super) const NO_ENTRY: u16 = u16::MAX;

/// What becomes of one staged put.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Disposition {
    Publish,
    /// Counted as dropped.
    Drop,
    /// Its queue has no reader any more.
    Void,
}

/// One output for one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Put {
    pub queue: QueueId,
    pub data: u64,
    pub meta: Meta,
    pub entry: u16,
    pub disposition: Disposition,
}

impl Put {
    /// The table entry of its block.
    pub(super) fn entry(&self) -> Option<u16> {
        (self.entry != NO_ENTRY).then_some(self.entry)
    }
}

/// One output of a stage: a put for each of its queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub first: u32,
    pub count: u32,
    /// Index of the lease it is an output of, or NO_LEASE.
    pub lease: u32,
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
    pub puts: Vec<Put>,
    pub groups: Vec<Group>,
    /// Groups that are published already.
    pub published: usize,
    pub spares: Vec<Spare>,
    /// Where the groups go.
    pub runs: Runs,
    /// Leases `0 .. named` are named by outputs.
    pub named: usize,
    /// Some output's disposition was decided when it was put.
    pub decided: bool,
    /// Table entries of the puts.
    pub blocks: usize,
    /// Blocks that are likely needed: as many as before, or as announced by `reserve`.
    pub expected_blocks: usize,
    /// All or nothing: no put waits, and nothing is published early.
    pub is_whole: bool,
    /// An output found no room meanwhile.
    pub lacked_room: bool,
    /// The full disk was logged.
    pub disk_is_full: bool,
}

impl Staging {
    /// With room for what is pushed inside the lock.
    pub(super) fn new() -> Staging {
        Staging { spares: Vec::with_capacity(MAX_SPARES + 1), ..Staging::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Announces the number of outputs that come next.
    pub(super) fn reserve(&mut self, outputs: usize) {
        self.expected_blocks = outputs;
    }

    pub(super) fn puts_of(&self, groups: Range<usize>) -> Range<usize> {
        let end = groups.end.checked_sub(1).map(|last| self.groups[last]);
        match end {
            Some(last) if !groups.is_empty() => {
                self.groups[groups.start].first as usize..(last.first + last.count) as usize
            }
            _ => 0..0,
        }
    }

    #[inline]
    pub(super) fn add_group(&mut self, outputs: &[QueueId], for_lease: Option<usize>) {
        self.runs.push(if let [q] = outputs { Some(*q) } else { None });
        self.named = self.named.max(for_lease.map_or(0, |i| i + 1));
        let lease = for_lease.map_or(NO_LEASE, |i| i as u32);
        let first = self.puts.len() - outputs.len();
        self.groups.push(Group { first: first as u32, count: outputs.len() as u32, lease });
    }

    /// Where the last of these groups goes.
    pub(super) fn last_queue(&self, groups: Range<usize>) -> Option<QueueId> {
        self.groups[groups].last().map(|group| self.puts[group.first as usize].queue)
    }

    pub(super) fn truncate(&mut self, groups: usize, puts: usize, blocks: usize) {
        self.runs.truncate(groups);
        self.groups.truncate(groups);
        self.puts.truncate(puts);
        self.blocks -= blocks;
    }

    /// Forgets what was decided about these groups by a transaction that does not publish them after all.
    pub(super) fn reconsider(&mut self, groups: Range<usize>) {
        let puts = self.puts_of(groups);
        for put in self.puts[puts].iter_mut().filter(|put| put.entry != NO_ENTRY || !put.meta.has_block()) {
            put.disposition = Disposition::Publish;
        }
    }

    pub(super) fn clear(&mut self) {
        self.expected_blocks = self.blocks;
        self.puts.clear();
        self.groups.clear();
        self.runs.clear();
        self.published = 0;
        self.blocks = 0;
        self.named = 0;
        self.decided = false;
    }
}
