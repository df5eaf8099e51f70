//! The words of a file, read one by one where they are. A file that shrinks meanwhile is an error, not a signal.

use crate::queue::arena::fault::Fault;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

/// A file of words, and the values of an unfinished transaction that are true instead of what it says.
pub(super) struct Words {
    file: File,
    decided: BTreeMap<u64, u64>,
}

impl Words {
    pub(super) fn open(fd: &OwnedFd) -> Result<Words, Fault> {
        let fd = fd.try_clone().map_err(|error| Fault::System("failed to copy a descriptor", error))?;
        Ok(Words { file: File::from(fd), decided: BTreeMap::new() })
    }

    /// From now on this word has another value.
    pub(super) fn put(&mut self, at: u64, value: u64) {
        self.decided.insert(at, value);
    }

    pub(super) fn bytes(&self, at: u64, len: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; len];
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Fault::Foreign(format!("it ends before byte {}", at.saturating_add(len as u64))))
            }
            Err(error) => Err(Fault::System("failed to read the queues of an earlier version", error)),
        }
    }

    pub(super) fn words(&self, at: u64, n: usize) -> Result<Vec<u64>, Fault> {
        let bytes = self.bytes(at, n * 8)?;
        let (chunks, _) = bytes.as_chunks::<8>();
        let mut words: Vec<u64> = chunks.iter().map(|chunk| u64::from_ne_bytes(*chunk)).collect();
        for (offset, value) in self.decided.range(at..at + n as u64 * 8) {
            words[((offset - at) / 8) as usize] = *value;
        }
        Ok(words)
    }

    pub(super) fn array<const N: usize>(&self, at: u64) -> Result<[u64; N], Fault> {
        let words = self.words(at, N)?;
        Ok(std::array::from_fn(|i| words[i]))
    }

    pub(super) fn word(&self, at: u64) -> Result<u64, Fault> {
        self.array(at).map(|[word]| word)
    }

    /// The text at a place, its length at another, cut to what there can be.
    pub(super) fn text(&self, len: u64, at: u64, max: u64) -> Result<String, Fault> {
        let len = self.word(len)?.min(max) as usize;
        let words = self.words(at, len.div_ceil(8))?;
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).take(len).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
