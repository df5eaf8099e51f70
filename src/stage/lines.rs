//! Telling lines apart in what is read piece by piece.

use super::Failure;
use std::io;

/// Bytes asked for at once.
const CHUNK: usize = 64 * 1024;

/// The longest line that is put together: no queue takes a longer item.
const MAX_LINE: usize = 1 << 30;

/// Bytes read and not yet handed out as lines. A line ends with `\n`, which is not part of it; a `\r` before it is.
#[derive(Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line starts.
    start: usize,
    /// No line end stands before this.
    scanned: usize,
}

impl Lines {
    /// The next complete line.
    pub fn next(&mut self) -> Option<&[u8]> {
        let end = self.scanned + memchr::memchr(b'\n', &self.buffer[self.scanned..])?;
        let start = std::mem::replace(&mut self.start, end + 1);
        self.scanned = end + 1;
        Some(&self.buffer[start..end])
    }

    /// What is there of a line whose end isn't.
    pub fn partial(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Bytes that are there and not handed out.
    pub fn len(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Hands out the last line, which has no end; none if there is nothing.
    pub fn last(&mut self) -> Option<&[u8]> {
        let start = std::mem::replace(&mut self.start, self.buffer.len());
        self.scanned = self.buffer.len();
        (start < self.buffer.len()).then(|| &self.buffer[start..])
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.make_room();
        self.buffer.extend_from_slice(bytes);
    }

    /// Adds what one call of `read` gives; returns how much that was (0: the end).
    pub fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.scanned = self.buffer.len();
        self.make_room();
        let held = self.buffer.len();
        self.buffer.resize(held + CHUNK, 0);
        let result = read(&mut self.buffer[held..]);
        self.buffer.truncate(held + result.as_ref().map_or(0, |&n| n.min(CHUNK)));
        result
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Lines::default();
    }

    /// Refuses to put together a line that no queue would take.
    pub fn check_length(&self) -> Result<(), Failure> {
        match self.len() > MAX_LINE {
            true => Err(Failure::fatal(format!("a line is longer than {MAX_LINE} bytes"))),
            false => Ok(()),
        }
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| lines.next().map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = b"one\n\ntwo\r\n\xff\nlast";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for mut piece in text.chunks(size) {
                lines.fill(|into| io::Read::read(&mut piece, into)).unwrap();
                seen.extend(all(&mut lines));
            }
            assert_eq!(seen, [&b"one"[..], b"", b"two\r", b"\xff"], "pieces of {size}");
            assert_eq!(lines.partial(), b"last");
            assert_eq!(lines.last(), Some(&b"last"[..]));
            assert_eq!(lines.last(), None);
            assert_eq!(lines.len(), 0);
        }
    }

    #[test]
    fn a_failed_read_changes_nothing() {
        let mut lines = Lines::default();
        lines.push(b"a\nb");
        assert!(lines.fill(|_| Err(io::ErrorKind::Other.into())).is_err());
        assert_eq!(lines.len(), 3);
        assert!(lines.next().is_none_or(|line| line == b"a"));
    }
}
