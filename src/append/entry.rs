//! What an entry of the undo log holds, as bytes: all numbers little-endian.

use crate::hash::fnv1a;

/// The file: its device and its number there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    /// Stands for a name, not for the file that has it now: no device has this number. The hash is the same in every
    /// version of this program, since an upgrade in place keeps the undo log.
    pub(super) fn of_name(name: &[u8]) -> FileId {
        FileId { device: u64::MAX, inode: fnv1a(name) }
    }
}

/// The file that an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryOwner {
    pub file: FileId,
    /// The run has begun with this file: what is in it now may be the run's own.
    pub has_begun: bool,
}

/// A write that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PendingWrite {
    /// Where it begins, in bytes from the file's start.
    pub start: u64,
    /// How many bytes it is.
    pub length: u64,
    /// Nothing of the file was behind `start`: what is there now may be cut off.
    pub at_end: bool,
}

pub(super) type Bytes = [u8; 24];

impl EntryOwner {
    pub(super) fn encode(&self) -> Bytes {
        encode([self.file.device, self.file.inode, 1 + u64::from(self.has_begun)])
    }

    /// `None`: the entry is free.
    pub(super) fn decode(bytes: Bytes) -> Option<EntryOwner> {
        let [device, inode, state] = decode(bytes);
        (state > 0).then_some(EntryOwner { file: FileId { device, inode }, has_begun: state > 1 })
    }
}

impl PendingWrite {
    pub(super) fn encode(&self) -> Bytes {
        encode([self.start, self.length, u64::from(self.at_end)])
    }

    /// `None`: no write has begun that has not ended.
    pub(super) fn decode(bytes: Bytes) -> Option<PendingWrite> {
        let [start, length, at_end] = decode(bytes);
        (length > 0).then_some(PendingWrite { start, length, at_end: at_end != 0 })
    }
}

fn encode(numbers: [u64; 3]) -> Bytes {
    let mut bytes = Bytes::default();
    bytes.as_chunks_mut().0.iter_mut().zip(numbers).for_each(|(to, number)| *to = number.to_le_bytes());
    bytes
}

fn decode(bytes: Bytes) -> [u64; 3] {
    std::array::from_fn(|i| u64::from_le_bytes(bytes.as_chunks().0[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_comes_back_as_it_was() {
        let write = PendingWrite { start: 1 << 40, length: 3, at_end: true };
        assert_eq!(PendingWrite::decode(write.encode()), Some(write));
        assert_eq!(PendingWrite::decode(Bytes::default()), None);
        let owner = EntryOwner { file: FileId { device: 0, inode: u64::MAX }, has_begun: false };
        assert_eq!(EntryOwner::decode(owner.encode()), Some(owner));
        assert_eq!(EntryOwner::decode(Bytes::default()), None);
    }
}
