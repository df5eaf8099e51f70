//! How items are told apart in a stream of bytes: written to a program, and read from one, or from a file, piece by piece.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// `framing`: how items are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framing {
    /// Each ends with a line end.
    #[default]
    Lines,
    /// Each ends with a zero byte.
    Nul,
    /// `5:hello,`
    Netstring,
    /// A length of four bytes, the highest first.
    U32be,
}

impl Framing {
    /// All there are.
    pub(crate) const ALL: [Framing; 4] = [Framing::Lines, Framing::Nul, Framing::Netstring, Framing::U32be];

    /// As the pipeline file says it.
    pub fn word(self) -> &'static str {
        match self {
            Framing::Lines => "lines",
            Framing::Nul => "nul",
            Framing::Netstring => "netstring",
            Framing::U32be => "u32be",
        }
    }

    /// What one item is called.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Framing::Lines => "line",
            Framing::Nul => "item",
            Framing::Netstring => "netstring",
            Framing::U32be => "u32be frame",
        }
    }
}

/// Appends an item as a program reads it.
pub(crate) fn encode(framing: Framing, item: &[u8], into: &mut Vec<u8>) -> Result<(), NotEncodable> {
    let tail = begin(framing, item, into)?;
    into.extend_from_slice(item);
    into.extend_from_slice(tail);
    Ok(())
}

/// Appends what comes before an item; returns what comes after it.
pub(crate) fn begin(
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
pub(crate) enum NotEncodable {
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

/// What is wrong with bytes that should be items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFrame {
    /// An item of at least so many bytes.
    TooLong { least: u64, most: u64 },
    /// No frame begins like this.
    Malformed(Framing),
    /// It ended in the middle of a frame.
    Truncated(Framing),
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadFrame::TooLong { least, most } => {
                write!(f, "it wrote an item of {least} bytes or more; max_item is {most} bytes")
            }
            BadFrame::Malformed(framing) => write!(f, "what it wrote is no {}", framing.noun()),
            BadFrame::Truncated(framing) => {
                write!(f, "its output ended in the middle of a {}", framing.noun())
            }
        }
    }
}

/// Digits of a netstring's length: enough for every item that a queue takes.
const MAX_DIGITS: usize = 10;

/// Bytes kept of the beginning of an item that is skipped.
pub(crate) const MAX_HEAD_BYTES: usize = 1024;

/// An item that was too long, and was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overlong {
    /// Where its frame began: bytes before it.
    pub start: u64,
    /// Its bytes, without its frame.
    pub length: u64,
    /// The first of them.
    pub head: Vec<u8>,
}

/// An item that is being skipped: a position within it, from which another process can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skip {
    /// What is known of it: its length is what was skipped so far.
    pub item: Overlong,
    /// Bytes still to come of it and its frame; `None`: its end will show.
    pub left: Option<u64>,
}

/// Bytes read and not yet handed out as items. Each byte is looked at once, and moved at most once on average.
///
/// An item longer than the limit is an error, again and again. Who can do without it says [`Decoder::begin_skip`], then
/// [`Decoder::skip`] until that returns what was skipped. So a stream of any length is read in bounded memory.
#[derive(Debug)]
pub(crate) struct Decoder {
    framing: Framing,
    most: u64,
    buffer: Vec<u8>,
    /// Bytes of the stream before the buffer.
    base: u64,
    /// Where the next item's frame starts.
    start: usize,
    /// Bytes from `start` in which no end was found.
    scanned: usize,
    /// Where valid bytes end: what follows is room to read into.
    filled: usize,
    skip: Option<Skip>,
}

impl Decoder {
    /// `most`: bytes of one item.
    pub fn new(framing: Framing, most: u64) -> Decoder {
        Decoder::resume(framing, most, 0, None)
    }

    /// Goes on at a position of the stream, perhaps in the middle of an item that is being skipped.
    pub fn resume(framing: Framing, most: u64, position: u64, skip: Option<Skip>) -> Decoder {
        Decoder { framing, most, buffer: Vec::new(), base: position, start: 0, scanned: 0, filled: 0, skip }
    }

    /// From now on an item may have so many bytes.
    pub fn set_most(&mut self, most: u64) {
        self.most = most;
    }

    /// Bytes of the stream that were handed out, or skipped.
    pub fn position(&self) -> u64 {
        self.base + self.start as u64
    }

    /// The item that is being skipped.
    pub fn skipping(&self) -> Option<&Skip> {
        self.skip.as_ref()
    }

    /// The next whole item.
    pub fn next(&mut self) -> Result<Option<&[u8]>, BadFrame> {
        if let Some(skip) = &self.skip {
            return Err(BadFrame::TooLong { least: skip.item.length, most: self.most });
        }
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

    /// The item that [`Decoder::next`] has refused as too long is to be skipped.
    pub fn begin_skip(&mut self) -> Result<(), BadFrame> {
        if self.skip.is_some() {
            return Ok(());
        }
        let start = self.position();
        let (head, left) = match self.framing {
            Framing::Lines | Framing::Nul => (0, None),
            Framing::Netstring => {
                let (digits, length) = self.netstring_head()?.unwrap_or_default();
                (digits + 1, Some(length + 1))
            }
            Framing::U32be => (4, self.u32be_head().map(u64::from)),
        };
        self.start += head.min(self.pending());
        self.scanned = 0;
        self.skip = Some(Skip { item: Overlong { start, length: 0, head: Vec::new() }, left });
        Ok(())
    }

    /// Skips what is there of it. Returns it once its end was seen; `is_over`: nothing more will come.
    pub fn skip(&mut self, is_over: bool) -> Result<Option<Overlong>, BadFrame> {
        let Some(mut skip) = self.skip.take() else { return Ok(None) };
        let here = &self.buffer[self.start..self.filled];
        let (bytes, frame, ended) = match (self.framing, skip.left) {
            (Framing::Lines, _) => until(b'\n', here, is_over),
            (Framing::Nul, _) => until(0, here, is_over),
            (Framing::Netstring, Some(left)) => {
                let n = here.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let ended = n as u64 == left;
                if ended && here[n - 1] != b',' {
                    return Err(BadFrame::Malformed(self.framing));
                }
                (n - usize::from(ended), usize::from(ended), ended)
            }
            (Framing::U32be, Some(left)) => {
                let n = here.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                (n, 0, n as u64 == left)
            }
            (Framing::Netstring | Framing::U32be, None) => return Err(BadFrame::Malformed(self.framing)),
        };
        skip.note(&here[..bytes], frame);
        self.start += bytes + frame;
        match ended {
            true => return Ok(Some(skip.item)),
            false if is_over => return Err(BadFrame::Truncated(self.framing)),
            false => self.skip = Some(skip),
        }
        Ok(None)
    }

    /// All that is there, as it is.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Forgets so many bytes.
    pub fn forget(&mut self, bytes: usize) {
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
            self.base += self.start as u64;
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
            *self = Decoder::resume(self.framing, self.most, self.position(), self.skip.take());
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

    /// The same, if it isn't too long.
    fn netstring_length(&self) -> Result<Option<(usize, u64)>, BadFrame> {
        let head = self.netstring_head()?;
        head.map_or(Ok(()), |(_, length)| self.check(length)).map(|()| head)
    }

    /// The digits of the length, and the length, once its colon is there.
    fn netstring_head(&self) -> Result<Option<(usize, u64)>, BadFrame> {
        let malformed = BadFrame::Malformed(Framing::Netstring);
        let bytes = &self.buffer[self.start..self.filled];
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).take(MAX_DIGITS + 1).count();
        let (number, rest) = bytes.split_at(digits);
        let leads_with_zero = digits > 1 && number[0] == b'0';
        match rest.first() {
            _ if digits > MAX_DIGITS || leads_with_zero => Err(malformed),
            Some(b':') if digits > 0 => {
                let length = number.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
                Ok(Some((digits, length)))
            }
            Some(_) => Err(malformed),
            None => Ok(None),
        }
    }

    fn u32be(&mut self) -> Result<Option<Range<usize>>, BadFrame> {
        let Some(length) = self.u32be_head() else { return Ok(None) };
        self.check(u64::from(length))?;
        if self.pending() - 4 < length as usize {
            return Ok(None);
        }
        let first = self.start + 4;
        self.start = first + length as usize;
        Ok(Some(first..self.start))
    }

    fn u32be_head(&self) -> Option<u32> {
        self.buffer[self.start..self.filled].first_chunk::<4>().map(|head| u32::from_be_bytes(*head))
    }

    /// Bytes still to come of an item whose length is known.
    fn expected(&self) -> usize {
        let whole = match self.framing {
            _ if self.skip.is_some() => return 0,
            Framing::Lines | Framing::Nul => return 0,
            Framing::Netstring => match self.netstring_length() {
                Ok(Some((digits, length))) => digits as u64 + 2 + length,
                Ok(None) | Err(_) => return 0,
            },
            Framing::U32be => match self.u32be_head() {
                Some(length) => 4 + u64::from(length),
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

impl Skip {
    /// So many bytes of it were skipped, and so many of its frame.
    fn note(&mut self, bytes: &[u8], frame: usize) {
        let room = MAX_HEAD_BYTES - self.item.head.len().min(MAX_HEAD_BYTES);
        self.item.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.item.length += bytes.len() as u64;
        self.left = self.left.map(|left| left - (bytes.len() + frame) as u64);
    }
}

/// The bytes before the end, those of the end, and whether it is there.
fn until(end: u8, bytes: &[u8], is_over: bool) -> (usize, usize, bool) {
    match memchr::memchr(end, bytes) {
        Some(at) => (at, 1, true),
        None => (bytes.len(), 0, is_over),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Framing; 4] = Framing::ALL;

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

    /// All items, and what was skipped between them, in their order.
    fn skipping(decoder: &mut Decoder, bytes: &[u8], is_over: bool, seen: &mut Vec<String>) {
        decoder.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        decoder.filled(bytes.len());
        loop {
            match decoder.next() {
                Ok(Some(item)) => seen.push(String::from_utf8(item.to_vec()).unwrap()),
                Ok(None) => return,
                Err(BadFrame::TooLong { .. }) => {
                    decoder.begin_skip().unwrap();
                    let Some(long) = decoder.skip(is_over).unwrap() else { return };
                    let head = String::from_utf8(long.head).unwrap();
                    seen.push(format!("{} bytes at {}: {head}", long.length, long.start));
                }
                Err(bad) => panic!("{bad}"),
            }
        }
    }

    #[test]
    fn an_item_that_is_too_long_is_skipped_wherever_its_pieces_end_and_whoever_goes_on() {
        let long = "0123456789abc";
        for framing in ALL {
            let mut bytes = Vec::new();
            for item in ["one", long, "", long, "two"] {
                encode(framing, item.as_bytes(), &mut bytes).unwrap();
            }
            let mut whole = Vec::new();
            skipping(&mut Decoder::new(framing, 10), &bytes, false, &mut whole);
            assert_eq!((&*whole[0], &*whole[2], &*whole[4]), ("one", "", "two"), "{framing:?}");
            let mut start = Vec::new();
            encode(framing, b"one", &mut start).unwrap();
            assert_eq!(whole[1], format!("13 bytes at {}: {long}", start.len()));
            for size in 1..bytes.len() {
                let (mut decoder, mut seen) = (Decoder::new(framing, 10), Vec::new());
                for piece in bytes.chunks(size) {
                    // Another process goes on from the position each time.
                    let rest = decoder.rest().to_vec();
                    let skip = decoder.skipping().cloned();
                    decoder = Decoder::resume(framing, 10, decoder.position(), skip);
                    skipping(&mut decoder, &[&rest, piece].concat(), false, &mut seen);
                }
                assert_eq!(seen, whole, "{framing:?} in pieces of {size}");
                assert_eq!(decoder.position(), bytes.len() as u64);
            }
        }
    }

    #[test]
    fn an_item_of_any_length_is_skipped_in_little_memory() {
        for (framing, head) in [(Framing::Lines, &b""[..]), (Framing::Netstring, b"1000000000:")] {
            let mut decoder = Decoder::new(framing, 1 << 20);
            let mut seen = Vec::new();
            skipping(&mut decoder, head, false, &mut seen);
            for _ in 0..1000 {
                skipping(&mut decoder, &[b'x'; 1_000_000], false, &mut seen);
            }
            skipping(&mut decoder, if framing == Framing::Lines { b"\n" } else { b"," }, false, &mut seen);
            assert_eq!(seen, [format!("1000000000 bytes at 0: {}", "x".repeat(MAX_HEAD_BYTES))]);
            assert!(decoder.buffer.len() < 8 << 20, "{}", decoder.buffer.len());
        }
    }

    #[test]
    fn the_end_ends_a_line_that_is_skipped_but_cuts_a_frame() {
        for (framing, bytes, ok) in [
            (Framing::Lines, &b"0123456789abc"[..], true),
            (Framing::Nul, b"0123456789abc", true),
            (Framing::Netstring, b"13:0123456789abc", false),
            (Framing::U32be, b"\0\0\0\x0d0123456789ab", false),
        ] {
            let (mut decoder, mut seen) = (Decoder::new(framing, 10), Vec::new());
            skipping(&mut decoder, bytes, false, &mut seen);
            assert!(seen.is_empty() && decoder.skipping().is_some());
            match decoder.skip(true) {
                Ok(Some(long)) => assert!(ok && long.length == 13, "{framing:?}"),
                Err(bad) => assert!(!ok && bad == BadFrame::Truncated(framing)),
                Ok(None) => panic!("{framing:?}"),
            }
        }
        let mut decoder = Decoder::new(Framing::Netstring, 10);
        let mut seen = Vec::new();
        skipping(&mut decoder, b"13:0123456789abc", false, &mut seen);
        decoder.room(1)[0] = b'x';
        decoder.filled(1);
        assert_eq!(decoder.skip(false), Err(BadFrame::Malformed(Framing::Netstring)));
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
