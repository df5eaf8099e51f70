//! What the holder of a stage's token notes before it writes, and what that tells after its death. Pure.
//!
//! A turn writes its lines in pieces, one write each. The kernel ends a write that is interrupted between two pages of
//! the file. So the note holds a checksum of the piece up to each page's end: whether what stands in the file is the
//! beginning of the piece is known without a copy of it.

use super::entry::FileId;
use crate::hash::fnv1a;
use crc32fast::Hasher;

/// Words of a note, as there is room for in the queues' memory.
pub(crate) const NOTE_WORDS: usize = 16;
/// Bytes of a piece of several lines, at most.
pub(super) const PIECE_BYTES: usize = 64 * 1024;
/// The kernel stops a write at multiples of this, or of more.
pub(super) const PAGE: u64 = if cfg!(test) { 16 } else { 4096 };
const SUMS: usize = 18;

/// The number of the turn in what is left beside a token that was restored after a power cut.
pub(super) const RESTORED: u64 = u64::MAX;

/// A turn that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// One more than the last that was committed.
    pub number: u64,
    /// [`whose`] of the stage.
    pub whose: u32,
}

/// A stage, in as few bits as a note has room for.
pub(crate) fn whose(stage: &str) -> u32 {
    (fnv1a(stage.as_bytes()) >> 33) as u32
}

/// A piece that is about to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The turn that it belongs to: one more than the last that was committed. Never 0.
    pub turn: u64,
    pub file: FileId,
    /// Where the turn began: up to here the file counts.
    pub start: u64,
    /// Where the piece begins, and where it ends.
    pub piece: u64,
    pub end: u64,
    /// Other bytes stand among those of the turn.
    pub is_mixed: bool,
    /// Whose lines they are: [`whose`] of the stage.
    pub whose: u32,
    /// Of the turn's pieces before this one.
    before: u32,
    sums: [u32; SUMS],
}

/// What to do about a turn that was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// Nothing of it is in the file.
    Nothing,
    /// All behind the start is its own: it goes.
    Cut,
    /// Something else is behind the start, or among what is: everything stays.
    Keep,
}

/// How many bytes lie between two checksums of a piece.
fn step(length: u64) -> u64 {
    let pages = length / PAGE + 2; // it may begin and end in the middle of one
    pages.div_ceil(SUMS as u64) * PAGE
}

/// Where the checksums of a piece end.
fn ends(piece: u64, end: u64) -> impl Iterator<Item = u64> {
    let step = step(end - piece);
    let first = (piece / step + 1) * step;
    (0..).map(move |i| first + i * step).take_while(move |&at| at < end).chain(std::iter::once(end))
}

impl Note {
    /// Of `bytes`, to be written at `piece`; `before`: the checksum of the turn's bytes so far.
    pub(super) fn new(
        Turn { number, whose }: Turn,
        file: FileId,
        start: u64,
        piece: u64,
        bytes: &[u8],
        before: u32,
    ) -> Note {
        let end = piece + bytes.len() as u64;
        let (mut sums, mut hasher, mut done) = ([0; SUMS], Hasher::new(), 0);
        for (sum, at) in sums.iter_mut().zip(ends(piece, end)) {
            let upto = usize::try_from(at - piece).unwrap_or(bytes.len());
            hasher.update(&bytes[done..upto]);
            (*sum, done) = (hasher.clone().finalize(), upto);
        }
        Note { turn: number, file, start, piece, end, is_mixed: false, whose, before, sums }
    }

    pub(crate) fn words(&self) -> [u64; NOTE_WORDS] {
        let mut words = [0; NOTE_WORDS];
        let FileId { device, inode } = self.file;
        words[..6].copy_from_slice(&[self.turn, device, inode, self.start, self.piece, self.end]);
        words[6] = u64::from(self.before) | u64::from(self.is_mixed) << 32 | u64::from(self.whose) << 33;
        for (word, pair) in words[7..].iter_mut().zip(self.sums.chunks(2)) {
            *word = u64::from(pair[0]) | u64::from(pair[1]) << 32;
        }
        words
    }

    /// What [`Note::words`] has made.
    pub(crate) fn of_words(words: &[u64; NOTE_WORDS]) -> Note {
        let [turn, device, inode, start, piece, end, flags, ..] = *words;
        let sums = std::array::from_fn(|i| (words[7 + i / 2] >> (32 * (i % 2))) as u32);
        let (is_mixed, whose) = (flags >> 32 & 1 != 0, (flags >> 33) as u32);
        Note {
            turn,
            file: FileId { device, inode },
            start,
            piece,
            end,
            is_mixed,
            whose,
            before: flags as u32,
            sums,
        }
    }

    /// What to do with a file of this length. `read` gives the bytes of it from one place to another.
    pub(crate) fn settlement<E>(
        &self,
        length: u64,
        read: impl FnMut(u64, u64) -> Result<Vec<u8>, E>,
    ) -> Result<Settlement, E> {
        Ok(match length {
            _ if length <= self.start => Settlement::Nothing,
            _ if length > self.end || self.is_mixed => Settlement::Keep,
            _ if self.is_beginning(length, read)? => Settlement::Cut,
            _ => Settlement::Keep,
        })
    }

    /// Whether what stands from the turn's start up to `length` are its own bytes.
    fn is_beginning<E>(
        &self,
        length: u64,
        mut read: impl FnMut(u64, u64) -> Result<Vec<u8>, E>,
    ) -> Result<bool, E> {
        if length < self.piece || crc(self.start, self.piece, &mut read)? != self.before {
            return Ok(false);
        }
        let checked = ends(self.piece, self.end).zip(self.sums).take_while(|&(at, _)| at <= length).last();
        let known = match checked {
            Some((at, sum)) if crc(self.piece, at, &mut read)? == sum => at,
            Some(_) => return Ok(false),
            None => self.piece,
        };
        // Between two checksums only one long line is known by what it is: no line end is in it.
        let is_one_line = self.end - self.piece > PIECE_BYTES as u64;
        Ok(known == length || is_one_line && !read(known, length)?.contains(&b'\n'))
    }
}

fn crc<E>(from: u64, to: u64, read: &mut impl FnMut(u64, u64) -> Result<Vec<u8>, E>) -> Result<u32, E> {
    let (mut hasher, mut at) = (Hasher::new(), from);
    while at < to {
        let next = to.min(at + PIECE_BYTES as u64);
        hasher.update(&read(at, next)?);
        at = next;
    }
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Turn = Turn { number: 1, whose: 0 };
    const FILE: FileId = FileId { device: 1, inode: 2 };

    fn read(file: &[u8]) -> impl FnMut(u64, u64) -> Result<Vec<u8>, ()> {
        let file = file.to_vec();
        move |from, to| Ok(file[from as usize..to as usize].to_vec())
    }

    fn settled(note: &Note, file: &[u8]) -> Settlement {
        note.settlement(file.len() as u64, read(file)).unwrap()
    }

    #[test]
    fn a_note_comes_back_as_it_was() {
        let note = Note {
            is_mixed: true,
            ..Note::new(Turn { number: 7, whose: whose("stage") }, FILE, 3, 1 << 40, &[9; 200], u32::MAX)
        };
        assert_eq!(Note::of_words(&note.words()), note);
    }

    /// The decision for each length that a file can have, with its own bytes or with others behind the start.
    #[test]
    fn only_the_beginning_of_the_noted_bytes_is_cut_off() {
        let (old, lines) = (b"0123456789\n", b"aaaaaaaaaa\nbbbbbbbbbbbbbbbb\ncccccccccccccc\n");
        let note = Note::new(TURN, FILE, 11, 11, lines, 0);
        let whole = [&old[..], lines].concat();
        for length in 0..=whole.len() {
            let on_page = length % PAGE as usize == 0 || length == whole.len();
            let expected = match length {
                0..=11 => Settlement::Nothing,
                _ if on_page => Settlement::Cut,
                _ => Settlement::Keep, // no kernel leaves it so
            };
            assert_eq!(settled(&note, &whole[..length]), expected, "{length}");
        }
        for length in 12..whole.len() {
            let theirs: Vec<u8> = old.iter().copied().chain(std::iter::repeat_n(b'x', length - 11)).collect();
            assert_eq!(settled(&note, &theirs), Settlement::Keep, "{length} bytes, others'");
        }
        assert_eq!(settled(&note, &[&whole[..], b"theirs\n"].concat()), Settlement::Keep);
        assert_eq!(settled(&note, &[&whole[..32], b"theirs\n"].concat()), Settlement::Keep);
        assert_eq!(settled(&Note { is_mixed: true, ..note }, &whole), Settlement::Keep);
    }

    #[test]
    fn the_pieces_before_the_last_are_known_by_one_checksum() {
        let (first, second) = (b"first piece\n", b"second piece, longer than a page\n");
        let note = Note::new(TURN, FILE, 0, first.len() as u64, second, crc32fast::hash(first));
        let whole = [&first[..], second].concat();
        assert_eq!(settled(&note, &whole), Settlement::Cut);
        assert_eq!(settled(&note, &whole[..32]), Settlement::Cut);
        assert_eq!(settled(&note, &whole[..first.len()]), Settlement::Cut);
        assert_eq!(settled(&note, &whole[..first.len() - 1]), Settlement::Keep);
        let other = [&b"other piece\n"[..], second].concat();
        assert_eq!(settled(&note, &other), Settlement::Keep);
    }

    #[test]
    fn of_a_line_longer_than_a_piece_all_that_has_no_line_end_is_its_own() {
        let line = [vec![b'x'; PIECE_BYTES + 5000], b"\n".to_vec()].concat();
        let note = Note::new(TURN, FILE, 0, 0, &line, 0);
        for length in [1, 4096, 9999, PIECE_BYTES, line.len() - 1, line.len()] {
            assert_eq!(settled(&note, &line[..length]), Settlement::Cut, "{length}");
            let theirs = [&line[..length - 1], b"\n"].concat();
            let expected = if length == line.len() { Settlement::Cut } else { Settlement::Keep };
            assert_eq!(settled(&note, &theirs), expected, "{length}, and a line end");
        }
    }

    #[test]
    fn there_is_a_checksum_for_each_page_of_a_usual_piece() {
        for piece in [0, 1, 15, 16, 17] {
            let end = piece + 16 * PAGE;
            let all: Vec<u64> = ends(piece, end).collect();
            assert!(all.len() <= SUMS && all.windows(2).all(|pair| pair[1] - pair[0] <= PAGE), "{all:?}");
        }
        for length in [1, 17 * PAGE, 100 * PAGE, 1 << 30] {
            assert!(ends(5, 5 + length).count() <= SUMS, "{length}");
        }
    }
}
