//! What is noted of a file, as bytes: all numbers little-endian.

/// The file: its device and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    /// Stands for a name, not for the file that has it now: no device has this number. The hash (FNV-1a) is the same in
    /// every version of this program, for an upgrade in place hands the notes over.
    pub fn of_name(name: &[u8]) -> FileId {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        FileId { device: u64::MAX, inode: name.iter().fold(0xcbf2_9ce4_8422_2325, step) }
    }
}

/// Whose place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub file: FileId,
    /// The run has begun with this file: what is in it now may be the run's own.
    pub has_begun: bool,
}

/// A write that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Where it begins, in bytes from the file's start.
    pub start: u64,
    /// How many bytes it is.
    pub length: u64,
    /// Nothing of the file was behind `start`: what is there now may be cut off.
    pub at_end: bool,
}

pub(super) type Bytes = [u8; 24];

impl Owner {
    pub fn encode(&self) -> Bytes {
        encode([self.file.device, self.file.inode, 1 + u64::from(self.has_begun)])
    }

    /// `None`: the place is nobody's.
    pub fn decode(bytes: Bytes) -> Option<Owner> {
        let [device, inode, state] = decode(bytes);
        (state > 0).then_some(Owner { file: FileId { device, inode }, has_begun: state > 1 })
    }
}

impl Note {
    pub fn encode(&self) -> Bytes {
        encode([self.start, self.length, u64::from(self.at_end)])
    }

    /// `None`: no write has begun that has not ended.
    pub fn decode(bytes: Bytes) -> Option<Note> {
        let [start, length, at_end] = decode(bytes);
        (length > 0).then_some(Note { start, length, at_end: at_end != 0 })
    }
}

fn encode(numbers: [u64; 3]) -> Bytes {
    let mut bytes = Bytes::default();
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn decode(bytes: Bytes) -> [u64; 3] {
    std::array::from_fn(|i| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[i * 8..][..8]);
        u64::from_le_bytes(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_comes_back_as_it_was() {
        let note = Note { start: 1 << 40, length: 3, at_end: true };
        assert_eq!(Note::decode(note.encode()), Some(note));
        assert_eq!(Note::decode(Bytes::default()), None);
        let owner = Owner { file: FileId { device: 0, inode: u64::MAX }, has_begun: false };
        assert_eq!(Owner::decode(owner.encode()), Some(owner));
        assert_eq!(Owner::decode(Bytes::default()), None);
    }
}
