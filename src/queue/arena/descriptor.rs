//! The two words that stand for items (or a reserved block) wherever they are: data and meta.
//!
//! | what | data | meta |
//! |---|---|---|
//! | one item of at most 8 bytes | its payload | length (31 bits), failed attempts (20), queue (12), 0 |
//! | one longer item | its block | the same |
//! | a span: items of an extent that follow each other | the extent's block | first (15), count (15), 0, failed attempts (20), queue (12), 1 |
//! | a block that a worker has reserved | the block | unpublished items (15), 0 (15), 1, 0 (20), queue (12), 1 |

use super::layout::INLINE;
use crate::queue::QueueId;

const LENGTH: u64 = (1 << FAILURES) - 1;
const FAILURES: u32 = 31;
/// The count of failed attempts stays here: enough for every `attempts` of a pipeline file.
const MAX_FAILURES: u64 = (1 << 20) - 1;
const QUEUE: u32 = 51;
/// Not one item: a span or a reserved block.
const SPECIAL: u64 = 1 << 63;
const RESERVED: u64 = 1 << 30;
const COUNT: u32 = 15;
const MAX_COUNT: u64 = (1 << COUNT) - 1;

/// Items of one extent, at most.
pub(crate) const MAX_EXTENT_ITEMS: usize = MAX_COUNT as usize;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Meta(pub u64);

/// Items of an extent that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The place of the first in the extent.
    pub first: usize,
    pub count: usize,
}

impl Meta {
    #[inline]
    pub(crate) fn item(len: usize, queue: QueueId) -> Meta {
        Meta(len as u64 | u64::from(queue.0) << QUEUE)
    }

    #[inline]
    pub(crate) fn span(span: Span, queue: QueueId) -> Meta {
        Meta(SPECIAL | u64::from(queue.0) << QUEUE).with_span(span)
    }

    /// `unpublished`: items in the block that count as outstanding, though no queue has them yet.
    pub(crate) fn reserved(queue: QueueId, unpublished: usize) -> Meta {
        Meta(SPECIAL | RESERVED | u64::from(queue.0) << QUEUE | unpublished as u64 & MAX_COUNT)
    }

    /// The bytes of one item.
    #[inline]
    pub(crate) fn len(self) -> usize {
        (self.0 & LENGTH) as usize
    }

    /// The items that it stands for.
    #[inline]
    pub(crate) fn items(self) -> usize {
        match self.as_span() {
            Some(span) => span.count,
            None => usize::from(!self.is_block()),
        }
    }

    /// Which items of the extent it stands for; `None`: it is no span.
    #[inline]
    pub(crate) fn as_span(self) -> Option<Span> {
        let span =
            Span { first: (self.0 & MAX_COUNT) as usize, count: (self.0 >> COUNT & MAX_COUNT) as usize };
        (self.0 & (SPECIAL | RESERVED) == SPECIAL).then_some(span)
    }

    /// The same, for other items of the extent.
    #[inline]
    pub(crate) fn with_span(self, Span { first, count }: Span) -> Meta {
        Meta(self.0 & !LENGTH | first as u64 & MAX_COUNT | (count as u64 & MAX_COUNT) << COUNT)
    }

    /// Of a reserved block: items that count as outstanding.
    pub(crate) fn unpublished(self) -> u64 {
        self.0 & MAX_COUNT
    }

    #[inline]
    pub(crate) fn queue(self) -> QueueId {
        QueueId((self.0 >> QUEUE) as u16 & 0xfff)
    }

    /// Attempts that were begun and failed.
    #[inline]
    pub(crate) fn failures(self) -> u32 {
        (self.0 >> FAILURES & MAX_FAILURES) as u32
    }

    pub(crate) fn failed_once_more(self) -> Meta {
        self.failed(u64::from(self.failures()) + 1)
    }

    /// The same item after this number of failed attempts.
    pub(crate) fn failed(self, times: u64) -> Meta {
        Meta(self.0 & !(MAX_FAILURES << FAILURES) | times.min(MAX_FAILURES) << FAILURES)
    }

    /// A reserved block that is not published yet.
    #[inline]
    pub(crate) fn is_block(self) -> bool {
        self.0 & (SPECIAL | RESERVED) == SPECIAL | RESERVED
    }

    /// Whether `data` is the offset of a block.
    #[inline]
    pub(crate) fn has_block(self) -> bool {
        self.0 & SPECIAL != 0 || self.len() > INLINE
    }
}

/// The data word of a short payload.
#[inline]
pub(crate) fn inline_word(bytes: &[u8]) -> u64 {
    let mut word = [0; INLINE];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_keeps_its_parts_apart() {
        let meta = Meta::item(1 << 30, QueueId(4095));
        assert_eq!((meta.len(), meta.queue(), meta.failures()), (1 << 30, QueueId(4095), 0));
        let failed = (0..1_000_000).fold(meta, |meta, _| meta.failed_once_more());
        assert_eq!((failed.len(), failed.queue(), failed.failures()), (1 << 30, QueueId(4095), 1_000_000));
        let failed = (0..100_000).fold(failed, |meta, _| meta.failed_once_more());
        assert_eq!(
            (failed.len(), failed.queue(), failed.failures()),
            (1 << 30, QueueId(4095), (1 << 20) - 1)
        );
        assert!(!meta.is_block() && meta.as_span().is_none() && meta.items() == 1);
    }

    #[test]
    fn an_item_a_run_and_a_reserved_block_are_told_apart() {
        let most = Span { first: MAX_EXTENT_ITEMS, count: MAX_EXTENT_ITEMS };
        let span = Meta::span(most, QueueId(4095)).failed(7);
        assert_eq!(
            (span.as_span(), span.items(), span.queue()),
            (Some(most), MAX_EXTENT_ITEMS, QueueId(4095))
        );
        assert_eq!((span.failures(), span.is_block(), span.has_block()), (7, false, true));
        let one = span.with_span(Span { first: 3, count: 1 });
        assert_eq!((one.as_span(), one.failures()), (Some(Span { first: 3, count: 1 }), 7));
        let reserved = Meta::reserved(QueueId(7), MAX_EXTENT_ITEMS);
        assert_eq!((reserved.is_block(), reserved.as_span(), reserved.items()), (true, None, 0));
        assert_eq!((reserved.unpublished(), reserved.queue()), (MAX_EXTENT_ITEMS as u64, QueueId(7)));
    }
}
