//! The sequences of the items that this machine has of a shared queue, as the one item of a hidden queue: 16 bytes each.

use crate::broker::{MARK_LEN, Sequence};

/// In order, each once: what comes is mostly younger than all that is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct HeldSet(Vec<Sequence>);

impl HeldSet {
    fn of(mut sequences: Vec<Sequence>) -> HeldSet {
        if !sequences.is_sorted_by(|before, behind| before < behind) {
            sequences.sort_unstable();
            sequences.dedup();
        }
        HeldSet(sequences)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * MARK_LEN);
        self.0.iter().for_each(|sequence| bytes.extend_from_slice(&sequence.to_mark()));
        bytes
    }

    /// `None`: the bytes are no such set.
    pub(super) fn decode(bytes: &[u8]) -> Option<HeldSet> {
        let (marks, rest) = bytes.as_chunks::<MARK_LEN>();
        let sequences =
            marks.iter().filter_map(|mark| Sequence::split_mark(mark)).map(|(sequence, _)| sequence);
        rest.is_empty().then(|| HeldSet::of(sequences.collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn sequences(&self) -> &[Sequence] {
        &self.0
    }

    pub(super) fn with(&self, more: impl IntoIterator<Item = Sequence>) -> HeldSet {
        let more = more.into_iter();
        let mut all = Vec::with_capacity(self.0.len() + more.size_hint().0);
        all.extend_from_slice(&self.0);
        all.extend(more);
        HeldSet::of(all)
    }

    pub(super) fn without(&self, gone: impl IntoIterator<Item = Sequence>) -> HeldSet {
        let gone = HeldSet::of(gone.into_iter().collect());
        HeldSet(self.0.iter().filter(|sequence| gone.0.binary_search(sequence).is_err()).copied().collect())
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
        assert_eq!(some.without([Sequence(2, u64::MAX)]), none.with([Sequence(5, 1)]));
        assert_eq!(
            some.without([Sequence(9, 9), Sequence(5, 1), Sequence(3, 0)]),
            none.with([Sequence(2, u64::MAX)])
        );
        assert_eq!(some.with([Sequence(5, 1), Sequence(4, 4)]).sequences().len(), 3, "each once");
    }
}
