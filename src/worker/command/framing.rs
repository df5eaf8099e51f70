//! How items are told apart in a stream of bytes: written to a program, and read from one piece by piece.

use crate::config::pipeline::Framing;
use std::fmt;
use std::ops::Range;

/// Appends an item as a program reads it.
pub(super) fn encode(framing: Framing, item: &[u8], into: &mut Vec<u8>) -> Result<(), NotEncodable> {
    let tail = begin(framing, item, into)?;
    into.extend_from_slice(item);
    into.extend_from_slice(tail);
    Ok(())
}

/// Appends what comes before an item; returns what comes after it.
pub(super) fn begin(
    framing: Framing,
    item: &[u8],
    into: &mut Vec<u8>,
) -> Result<&'static [u8], NotEncodable> {
    let ended = |by: &'static [u8; 1]| match memchr::memchr(by[0], item) {
        Some(_) => Err(NotEncodable::Holds(framing)),
        None => Ok(&by[..]),
    };
    match framing {
        Framing::Lines => ended(b"\n"),
        Framing::Nul => ended(b"\0"),
        Framing::Netstring => {
            into.extend_from_slice(item.len().to_string().as_bytes());
            into.push(b':');
            Ok(b",")
        }
        Framing::U32be => {
            let length = u32::try_from(item.len()).map_err(|_| NotEncodable::TooLong)?;
            into.extend_from_slice(&length.to_be_bytes());
            Ok(b"")
        }
    }
}

/// Why an item can't be written to a program with this framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotEncodable {
    /// It holds the byte that would end it.
    Holds(Framing),
    /// Its length doesn't fit.
    TooLong,
}

impl fmt::Display for NotEncodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotEncodable::Holds(Framing::Nul) => {
                f.write_str("the item holds a NUL byte, so it can't be handed over with framing \"nul\"")
            }
            NotEncodable::Holds(_) => f.write_str(
                "the item holds a line end, so it can't be handed over as a line: another framing can",
            ),
            NotEncodable::TooLong => f.write_str("the item is too long for framing \"u32be\""),
        }
    }
}

/// What is wrong with a program's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadFrame {
    /// An item of at least so many bytes.
    TooLong { least: u64, most: u64 },
    /// No frame begins like this.
    Malformed(Framing),
    /// It ended in the middle of a frame.
    Truncated(Framing),
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |framing: &Framing| match framing {
            Framing::Netstring => "netstring",
            Framing::U32be => "u32be frame",
            Framing::Lines => "line",
            Framing::Nul => "item",
        };
        match self {
            BadFrame::TooLong { least, most } => {
                write!(f, "it wrote an item of {least} bytes or more; max_item is {most} bytes")
            }
            BadFrame::Malformed(framing) => write!(f, "what it wrote is no {}", name(framing)),
            BadFrame::Truncated(framing) => {
                write!(f, "its output ended in the middle of a {}", name(framing))
            }
        }
    }
}

/// Digits of a netstring's length: enough for every item that a queue takes.
const MAX_DIGITS: usize = 10;

/// Bytes read and not yet handed out as items. Each byte is looked at once, and moved at most once on average.
pub(super) struct Decoder {
    framing: Framing,
    most: u64,
    buffer: Vec<u8>,
    /// Where the next item's frame starts.
    start: usize,
    /// Bytes from `start` in which no end was found.
    scanned: usize,
    /// Where valid bytes end: what follows is room to read into.
    filled: usize,
}

impl Decoder {
    /// `most`: bytes of one item.
    pub fn new(framing: Framing, most: u64) -> Decoder {
        Decoder { framing, most, buffer: Vec::new(), start: 0, scanned: 0, filled: 0 }
    }

    /// The next whole item.
    pub fn next(&mut self) -> Result<Option<&[u8]>, BadFrame> {
        let found = match self.framing {
            Framing::Lines => self.ended_by(b'\n')?,
            Framing::Nul => self.ended_by(0)?,
            Framing::Netstring => self.netstring()?,
            Framing::U32be => self.u32be()?,
        };
        Ok(found.map(|item| &self.buffer[item]))
    }

    /// The output has ended: what is left is the last item, if it needs no end.
    pub fn last(&mut self) -> Result<Option<&[u8]>, BadFrame> {
        let rest = std::mem::replace(&mut self.start, self.filled)..self.filled;
        self.scanned = 0;
        match self.framing {
            _ if rest.is_empty() => Ok(None),
            Framing::Lines | Framing::Nul => Ok(Some(&self.buffer[rest])),
            Framing::Netstring | Framing::U32be => Err(BadFrame::Truncated(self.framing)),
        }
    }

    /// All that is there, as it is.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Forgets so many bytes.
    pub fn skip(&mut self, bytes: usize) {
        self.start += bytes.min(self.pending());
        self.scanned = 0;
    }

    /// Bytes that are there and belong to no item handed out.
    pub fn pending(&self) -> usize {
        self.filled - self.start
    }

    /// Room to read into, at least `wanted` bytes; then [`Decoder::filled`] says how many were.
    pub fn room(&mut self, wanted: usize) -> &mut [u8] {
        let pending = self.pending();
        // Moves no more bytes than were handed out since the last move.
        if self.start >= pending {
            self.buffer.copy_within(self.start..self.filled, 0);
            (self.start, self.filled) = (0, pending);
        }
        let wanted = self.filled + wanted.max(self.expected());
        if self.buffer.len() < wanted {
            // By its own factor, so that a long item costs a constant number of moves per byte.
            self.buffer.resize(wanted.max(self.buffer.len() * 2), 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// So many bytes of the room were filled.
    pub fn filled(&mut self, bytes: usize) {
        self.filled += bytes;
        debug_assert!(self.filled <= self.buffer.len());
    }

    /// Whether it has much more memory than it needs now.
    pub fn has_slack(&self, keep: usize) -> bool {
        self.buffer.len() > keep && self.pending() <= keep
    }

    /// Gives back the memory that a long item needed.
    pub fn shrink(&mut self, keep: usize) {
        if self.pending() == 0 && self.buffer.len() > keep {
            *self = Decoder::new(self.framing, self.most);
        }
    }

    #[inline]
    fn ended_by(&mut self, end: u8) -> Result<Option<Range<usize>>, BadFrame> {
        let from = self.start + self.scanned;
        let Some(length) = memchr::memchr(end, &self.buffer[from..self.filled]) else {
            self.scanned = self.pending();
            self.check(self.scanned as u64)?;
            return Ok(None);
        };
        let item = self.start..from + length;
        self.check(item.len() as u64)?;
        (self.start, self.scanned) = (item.end + 1, 0);
        Ok(Some(item))
    }

    fn netstring(&mut self) -> Result<Option<Range<usize>>, BadFrame> {
        let malformed = BadFrame::Malformed(Framing::Netstring);
        let Some((digits, length)) = self.netstring_length()? else { return Ok(None) };
        let first = self.start + digits + 1;
        let Some(end) = usize::try_from(length).ok().and_then(|length| first.checked_add(length)) else {
            return Err(malformed);
        };
        if end >= self.filled {
            return Ok(None);
        }
        if self.buffer[end] != b',' {
            return Err(malformed);
        }
        self.start = end + 1;
        Ok(Some(first..end))
    }

    /// The digits of the length, and the length, once its colon is there.
    fn netstring_length(&self) -> Result<Option<(usize, u64)>, BadFrame> {
        let malformed = BadFrame::Malformed(Framing::Netstring);
        let bytes = &self.buffer[self.start..self.filled];
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).take(MAX_DIGITS + 1).count();
        let (number, rest) = bytes.split_at(digits);
        let leads_with_zero = digits > 1 && number[0] == b'0';
        match rest.first() {
            _ if digits > MAX_DIGITS || leads_with_zero => Err(malformed),
            Some(b':') if digits > 0 => {
                let length = number.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
                self.check(length)?;
                Ok(Some((digits, length)))
            }
            Some(_) => Err(malformed),
            None => Ok(None),
        }
    }

    fn u32be(&mut self) -> Result<Option<Range<usize>>, BadFrame> {
        let bytes = &self.buffer[self.start..self.filled];
        let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*head);
        self.check(u64::from(length))?;
        if rest.len() < length as usize {
            return Ok(None);
        }
        let first = self.start + 4;
        self.start = first + length as usize;
        Ok(Some(first..self.start))
    }

    /// Bytes still to come of an item whose length is known.
    fn expected(&self) -> usize {
        let whole = match self.framing {
            Framing::Lines | Framing::Nul => return 0,
            Framing::Netstring => match self.netstring_length() {
                Ok(Some((digits, length))) => digits as u64 + 2 + length,
                Ok(None) | Err(_) => return 0,
            },
            Framing::U32be => match self.buffer[self.start..self.filled].first_chunk::<4>() {
                Some(head) => 4 + u64::from(u32::from_be_bytes(*head)),
                None => return 0,
            },
        };
        usize::try_from(whole.min(self.most + 16)).unwrap_or(0).saturating_sub(self.pending())
    }

    #[inline]
    fn check(&self, length: u64) -> Result<(), BadFrame> {
        match length > self.most {
            true => Err(BadFrame::TooLong { least: length, most: self.most }),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Framing; 4] = [Framing::Lines, Framing::Nul, Framing::Netstring, Framing::U32be];

    fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Vec<u8>>, BadFrame> {
        decoder.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        decoder.filled(bytes.len());
        let mut seen = Vec::new();
        while let Some(item) = decoder.next()? {
            seen.push(item.to_vec());
        }
        Ok(seen)
    }

    #[test]
    fn items_are_the_same_however_they_come() {
        let items: [&[u8]; 6] = [b"one", b"", b"two\r", b"\xff\xfe", &[b'x'; 300], b"12:,"];
        for framing in ALL {
            let mut bytes = Vec::new();
            items.iter().for_each(|item| encode(framing, item, &mut bytes).unwrap());
            for size in (1..bytes.len()).step_by(3) {
                let mut decoder = Decoder::new(framing, 300);
                let seen: Vec<Vec<u8>> =
                    bytes.chunks(size).flat_map(|piece| feed(&mut decoder, piece).unwrap()).collect();
                assert_eq!(seen, items, "{framing:?} in pieces of {size}");
                assert_eq!((decoder.pending(), decoder.last()), (0, Ok(None)));
            }
        }
    }

    #[test]
    fn an_item_that_holds_its_own_end_is_refused() {
        let mut bytes = Vec::new();
        assert_eq!(encode(Framing::Lines, b"a\nb", &mut bytes), Err(NotEncodable::Holds(Framing::Lines)));
        assert_eq!(encode(Framing::Nul, b"a\0b", &mut bytes), Err(NotEncodable::Holds(Framing::Nul)));
        assert_eq!(bytes, b"");
        encode(Framing::Netstring, b"a\nb\0", &mut bytes).unwrap();
        assert_eq!(bytes, b"4:a\nb\0,");
    }

    #[test]
    fn a_last_line_needs_no_end_but_a_cut_frame_is_an_error() {
        for (framing, bytes, last) in [
            (Framing::Lines, &b"a\nrest"[..], Ok(Some(&b"rest"[..]))),
            (Framing::Nul, b"a\0rest", Ok(Some(b"rest"))),
            (Framing::Netstring, b"1:a,4:res", Err(BadFrame::Truncated(Framing::Netstring))),
            (Framing::Netstring, b"1:a,4", Err(BadFrame::Truncated(Framing::Netstring))),
            (Framing::U32be, b"\0\0\0\x01a\0\0", Err(BadFrame::Truncated(Framing::U32be))),
        ] {
            let mut decoder = Decoder::new(framing, 100);
            assert_eq!(feed(&mut decoder, bytes).unwrap(), [b"a"]);
            assert_eq!(decoder.last(), last);
        }
    }

    #[test]
    fn an_item_that_is_too_long_is_noticed_before_it_is_read() {
        let too_long = |framing, bytes: &[u8]| feed(&mut Decoder::new(framing, 10), bytes).unwrap_err();
        assert_eq!(too_long(Framing::Lines, &[b'x'; 11]), BadFrame::TooLong { least: 11, most: 10 });
        assert_eq!(too_long(Framing::Lines, b"xxxxxxxxxxx\n"), BadFrame::TooLong { least: 11, most: 10 });
        assert_eq!(
            too_long(Framing::Netstring, b"4000000000:"),
            BadFrame::TooLong { least: 4_000_000_000, most: 10 }
        );
        assert_eq!(too_long(Framing::U32be, &[0, 0, 0, 11]), BadFrame::TooLong { least: 11, most: 10 });
        assert_eq!(feed(&mut Decoder::new(Framing::Lines, 10), b"xxxxxxxxxx\n").unwrap(), [b"xxxxxxxxxx"]);
    }

    #[test]
    fn what_is_no_netstring_is_an_error() {
        for bytes in [&b"x"[..], b":", b"3x", b"03:abc,", b"3:abcd", b"12345678901:"] {
            let error = feed(&mut Decoder::new(Framing::Netstring, 100), bytes).unwrap_err();
            assert_eq!(error, BadFrame::Malformed(Framing::Netstring), "{bytes:?}");
        }
        assert_eq!(feed(&mut Decoder::new(Framing::Netstring, 100), b"0:,").unwrap(), [b""]);
    }

    #[test]
    fn a_long_item_in_small_pieces_is_moved_a_few_times_only() {
        for framing in ALL {
            let item = vec![b'x'; 8 << 20];
            let mut bytes = Vec::new();
            encode(framing, &item, &mut bytes).unwrap();
            let start = std::time::Instant::now();
            let mut decoder = Decoder::new(framing, 16 << 20);
            let seen: usize = bytes.chunks(512).map(|piece| feed(&mut decoder, piece).unwrap().len()).sum();
            assert_eq!(seen, 1);
            // Looking at each byte again with every piece would be 64 GiB of looking.
            assert!(
                start.elapsed() < std::time::Duration::from_secs(10),
                "{framing:?}: {:?}",
                start.elapsed()
            );
            decoder.shrink(1 << 16);
            assert!(decoder.buffer.is_empty());
        }
    }
}
