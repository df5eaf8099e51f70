//! Where staged outputs go and which leases they are of, in few words: mostly hundreds that follow each other go to the
//! same queues.

use crate::queue::QueueId;
use std::collections::VecDeque;

/// No lease.
pub(super) const NO_LEASE: u32 = u32::MAX;

/// Outputs that follow each other and go to the same queues.
#[derive(Debug)]
struct Run {
    queues: Vec<QueueId>,
    len: usize,
}

/// Outputs that follow each other and are of one lease.
#[derive(Clone, Copy, Debug)]
struct Owner {
    lease: u32,
    len: usize,
}

/// All outputs that are not published, in their order.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    runs: VecDeque<Run>,
    owners: VecDeque<Owner>,
    len: usize,
    /// The memory of a run that is published: the next one needs no allocation.
    spare: Vec<QueueId>,
}

impl Outputs {
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One output more.
    #[inline]
    pub(super) fn push(&mut self, queues: &[QueueId], lease: u32) {
        if self.runs.back().is_none_or(|run| run.queues != queues) {
            let mut own = std::mem::take(&mut self.spare);
            own.clear();
            own.extend_from_slice(queues);
            self.runs.push_back(Run { queues: own, len: 0 });
        }
        self.push_alike(1, lease);
    }

    /// The one queue that the last output goes to.
    #[inline]
    pub(super) fn last_queue(&self) -> Option<QueueId> {
        match self.runs.back()?.queues[..] {
            [queue] => Some(queue),
            _ => None,
        }
    }

    /// `n` outputs more that go where the one before goes.
    #[inline]
    pub(super) fn push_alike(&mut self, n: usize, lease: u32) {
        self.len += n;
        if let Some(run) = self.runs.back_mut() {
            run.len += n;
        }
        match self.owners.back_mut() {
            Some(owner) if owner.lease == lease => owner.len += n,
            Some(_) | None => self.owners.push_back(Owner { lease, len: n }),
        }
    }

    /// The queues of the outputs, in order, and how many outputs each time.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&[QueueId], usize)> {
        self.runs.iter().map(|run| (run.queues.as_slice(), run.len))
    }

    /// The same, of the outputs from number `from` on.
    pub(super) fn from(&self, from: usize) -> impl Iterator<Item = (&[QueueId], usize)> {
        let mut skip = from;
        self.runs().filter_map(move |(queues, len)| {
            let skipped = skip.min(len);
            skip -= skipped;
            (skipped < len).then_some((queues, len - skipped))
        })
    }

    /// The queues of output `i`.
    pub(super) fn queues_of(&self, i: usize) -> Option<&[QueueId]> {
        self.from(i).next().map(|(queues, _)| queues)
    }

    /// How many of the first `n` are tokens: they are the last of them, and none stands by itself for long.
    pub(super) fn last_tokens(&self, n: usize, hidden: &[QueueId]) -> usize {
        let is_token = |i: &usize| {
            self.queues_of(*i).is_some_and(|queues| matches!(queues, [queue] if hidden.contains(queue)))
        };
        (0..n).rev().take(hidden.len()).take_while(is_token).count()
    }

    /// The leases of the outputs, in order, and how many outputs each time.
    pub(super) fn owners(&self) -> impl Iterator<Item = (u32, usize)> {
        self.owners.iter().map(|owner| (owner.lease, owner.len))
    }

    /// The first output of lease `i`, or of a later one.
    pub(super) fn first_of(&self, i: usize) -> Option<usize> {
        let mut before = 0;
        for (lease, len) in self.owners() {
            if lease != NO_LEASE && lease as usize >= i {
                return Some(before);
            }
            before += len;
        }
        None
    }

    /// The oldest lease with an output after the first `published`.
    pub(super) fn oldest_after(&self, published: usize) -> Option<usize> {
        let mut before = 0;
        let rest = self.owners.iter().filter(|owner| {
            before += owner.len;
            before > published
        });
        rest.map(|owner| owner.lease as usize).min()
    }

    /// The first `n` are published, and the first `done` leases have ended.
    pub(super) fn publish(&mut self, n: usize, done: usize) {
        self.len -= n;
        if self.len == 0 {
            self.owners.clear();
            self.spare = self.runs.drain(..).next_back().map_or_else(Vec::new, |run| run.queues);
            return;
        }
        let mut left = n;
        while let Some(run) = self.runs.front_mut() {
            let gone = run.len.min(left);
            (run.len, left) = (run.len - gone, left - gone);
            if run.len > 0 {
                break;
            }
            self.spare = self.runs.pop_front().map_or_else(Vec::new, |run| run.queues);
        }
        let mut left = n;
        while let Some(owner) = self.owners.front_mut() {
            let gone = owner.len.min(left);
            (owner.len, left) = (owner.len - gone, left - gone);
            if owner.len > 0 {
                break;
            }
            self.owners.pop_front();
        }
        for owner in &mut self.owners {
            if owner.lease != NO_LEASE {
                owner.lease -= done as u32;
            }
        }
    }

    /// Forgets all but the first `n`.
    pub(super) fn truncate(&mut self, n: usize) {
        let mut left = n;
        self.runs.retain_mut(|run| {
            run.len = run.len.min(left);
            left -= run.len;
            run.len > 0
        });
        let mut left = n;
        self.owners.retain_mut(|owner| {
            owner.len = owner.len.min(left);
            left -= owner.len;
            owner.len > 0
        });
        self.len = self.len.min(n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_found_again_by_their_place() {
        let (a, b) = ([QueueId(1)], [QueueId(2)]);
        let both = [QueueId(1), QueueId(2)];
        let mut outputs = Outputs::default();
        let all: [(&[QueueId], u32); 7] =
            [(&a, 0), (&a, 0), (&a, 1), (&b, 1), (&both, 2), (&both, NO_LEASE), (&a, 3)];
        all.into_iter().for_each(|(queues, lease)| outputs.push(queues, lease));
        let runs = |outputs: &Outputs, from| {
            outputs.from(from).map(|(queues, n)| (queues.len(), queues[0].0, n)).collect::<Vec<_>>()
        };
        assert_eq!(runs(&outputs, 0), [(1, 1, 3), (1, 2, 1), (2, 1, 2), (1, 1, 1)]);
        assert_eq!(runs(&outputs, 5), [(2, 1, 1), (1, 1, 1)]);
        assert_eq!((outputs.first_of(1), outputs.first_of(3), outputs.first_of(4)), (Some(2), Some(6), None));
        assert_eq!(
            (outputs.oldest_after(0), outputs.oldest_after(3), outputs.oldest_after(7)),
            (Some(0), Some(1), None)
        );
        outputs.truncate(6);
        outputs.publish(3, 1);
        assert_eq!(runs(&outputs, 0), [(1, 2, 1), (2, 1, 2)]);
        assert_eq!(outputs.owners().collect::<Vec<_>>(), [(0, 1), (1, 1), (NO_LEASE, 1)]);
        assert_eq!((outputs.len(), outputs.queues_of(2)), (3, Some(&both[..])));
        outputs.truncate(0);
        assert_eq!((outputs.len(), runs(&outputs, 0).len()), (0, 0));
    }
}
