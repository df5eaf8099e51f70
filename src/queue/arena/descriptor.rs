//! The two words that stand for an item (or a reserved block) wherever it is: data and meta.
//!
//! data: the payload itself if it has at most 8 bytes, else the offset of its block.
//! meta: length (31 bits) | failed attempts (20) | queue (12) | BLOCK (1): a reserved block, not an item.

use super::layout::INLINE;
use crate::queue::QueueId;

const BLOCK: u64 = 1 << 63;
const LENGTH: u64 = (1 << FAILURES) - 1;
const FAILURES: u32 = 31;
/// The count of failed attempts stays here: enough for every `attempts` of a pipeline file.
const MAX_FAILURES: u64 = (1 << 20) - 1;
const QUEUE: u32 = 51;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Meta(pub u64);

impl Meta {
    #[inline]
    pub(crate) fn item(len: usize, queue: QueueId) -> Meta {
        Meta(len as u64 | u64::from(queue.0) << QUEUE)
    }

    pub(crate) fn reserved(queue: QueueId) -> Meta {
        Meta(BLOCK | u64::from(queue.0) << QUEUE)
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        (self.0 & LENGTH) as usize
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
        self.0 & BLOCK != 0
    }

    /// Whether `data` is the offset of a block.
    #[inline]
    pub(crate) fn has_block(self) -> bool {
        self.is_block() || self.len() > INLINE
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
        assert!(Meta::reserved(QueueId(7)).is_block() && !meta.is_block());
    }
}
