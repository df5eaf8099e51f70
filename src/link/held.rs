//! The sequences of the items that this machine has of a shared queue, as the one item of a hidden queue: 16 bytes each.

use crate::broker::{MARK_LEN, Sequence};
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HeldSet(pub(super) BTreeSet<Sequence>);

impl HeldSet {
    pub(super) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|sequence| sequence.to_mark()).collect()
    }

    /// `None`: the bytes are no such set.
    pub(super) fn decode(bytes: &[u8]) -> Option<HeldSet> {
        let (marks, rest) = bytes.as_chunks::<MARK_LEN>();
        let sequences =
            marks.iter().filter_map(|mark| Sequence::split_mark(mark)).map(|(sequence, _)| sequence);
        rest.is_empty().then(|| HeldSet(sequences.collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn with(&self, more: impl IntoIterator<Item = Sequence>) -> HeldSet {
        HeldSet(self.0.iter().copied().chain(more).collect())
    }

    pub(super) fn without(&self, gone: &BTreeSet<Sequence>) -> HeldSet {
        HeldSet(self.0.difference(gone).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_comes_back_as_it_was() {
        let none = HeldSet::default();
        assert_eq!(HeldSet::decode(&none.encode()), Some(none.clone()));
        let some = none.with([Sequence(5, 1), Sequence(2, u64::MAX)]);
        assert_eq!((some.encode().len(), HeldSet::decode(&some.encode())), (32, Some(some.clone())));
        assert_eq!(HeldSet::decode(&some.encode()[1..]), None);
        assert_eq!(some.without(&BTreeSet::from([Sequence(2, u64::MAX)])), none.with([Sequence(5, 1)]));
    }
}
