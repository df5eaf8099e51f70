//! A file in memory between a link and its supervisor: one shows the other a text, such as a snapshot.

use crate::hash;
use crate::status::Snapshot;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The text's length and hash, then JSON.
pub(crate) struct Board(pub(crate) File);

const HEAD: usize = 16;

impl Board {
    pub(crate) fn write(&self, snapshot: &Snapshot) -> io::Result<()> {
        self.write_text(&serde_json::to_vec(snapshot)?)
    }

    pub(super) fn write_text(&self, text: &[u8]) -> io::Result<()> {
        let head = [(text.len() as u64).to_le_bytes(), hash::fnv1a(text).to_le_bytes()].concat();
        self.0.write_all_at(&head, 0)?;
        self.0.write_all_at(text, HEAD as u64)
    }

    pub(crate) fn read(&self) -> Option<Snapshot> {
        serde_json::from_slice(&self.read_text()?).ok()
    }

    /// `None`: there is none yet, or another one is being written over it.
    pub(crate) fn read_text(&self) -> Option<Vec<u8>> {
        let mut head = [0; HEAD];
        self.0.read_exact_at(&mut head, 0).ok()?;
        let number = |at: usize| head[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        let len = usize::try_from(number(0)?.min(self.0.metadata().ok()?.len())).ok()?;
        let mut text = vec![0; len];
        self.0.read_exact_at(&mut text, HEAD as u64).ok()?;
        (hash::fnv1a(&text) == number(8)?).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture::snapshot;
    use crate::sys::fd;

    #[test]
    fn what_was_written_is_read_and_a_part_of_it_is_not() {
        let board = Board(File::from(fd::memory_file(c"board").unwrap()));
        assert_eq!(board.read(), None);
        let long = Snapshot { pipeline: "x".repeat(100_000), ..snapshot() };
        for seen in [long, snapshot()] {
            board.write(&seen).unwrap();
            assert_eq!(board.read(), Some(seen));
        }
        board.0.write_all_at(b"{", HEAD as u64 + 20).unwrap();
        assert_eq!(board.read(), None);
    }
}
