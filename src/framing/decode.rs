//! Bytes to items.

mod skip;

use super::Framing;
use std::fmt;
use std::ops::Range;

/// Digits of a netstring's length: enough for every item that a queue takes.
const MAX_DIGITS: usize = 10;

/// What is wrong with bytes that should be items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadFrame {
    /// An item of at least `least` bytes.
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
                write!(
                    f,
                    "it wrote an item of {least} bytes or more; max_item is {most} bytes: raise it (of a line, in the file that \
                     `mprun do --print` prints), or let it put out the name of a file"
                )
            }
            BadFrame::Malformed(framing) => write!(f, "what it wrote is no {}", framing.noun()),
            BadFrame::Truncated(framing) => {
                write!(f, "its output ended in the middle of a {}", framing.noun())
            }
        }
    }
}

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
    pub(crate) fn new(framing: Framing, most: u64) -> Decoder {
        Decoder::resume(framing, most, 0, None)
    }

    /// Continues at a position of the stream, perhaps in the middle of an item that is being skipped.
    pub(crate) fn resume(framing: Framing, most: u64, position: u64, skip: Option<Skip>) -> Decoder {
        Decoder { framing, most, buffer: Vec::new(), base: position, start: 0, scanned: 0, filled: 0, skip }
    }

    /// Sets the bytes of the longest item from now on.
    pub(crate) fn set_most(&mut self, most: u64) {
        self.most = most;
    }

    /// Bytes of the stream that were handed out, or skipped.
    pub(crate) fn position(&self) -> u64 {
        self.base + self.start as u64
    }

    /// The item that is being skipped.
    pub(crate) fn skipping(&self) -> Option<&Skip> {
        self.skip.as_ref()
    }

    /// The next whole item.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, BadFrame> {
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
    pub(crate) fn last(&mut self) -> Result<Option<&[u8]>, BadFrame> {
        let rest = std::mem::replace(&mut self.start, self.filled)..self.filled;
        self.scanned = 0;
        match self.framing {
            _ if rest.is_empty() => Ok(None),
            Framing::Lines | Framing::Nul => Ok(Some(&self.buffer[rest])),
            Framing::Netstring | Framing::U32be => Err(BadFrame::Truncated(self.framing)),
        }
    }

    /// Whether all that is there is lines, from its start on.
    pub(crate) fn is_between_lines(&self) -> bool {
        self.framing == Framing::Lines && self.skip.is_none() && self.scanned == 0
    }

    /// All that is there, as it is.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Drops the first bytes.
    pub(crate) fn forget(&mut self, bytes: usize) {
        self.start += bytes.min(self.pending());
        self.scanned = 0;
    }

    /// Bytes that are there and belong to no item handed out.
    pub(crate) fn pending(&self) -> usize {
        self.filled - self.start
    }

    /// Room to read into, at least `wanted` bytes; then [`Decoder::filled`] says how many were.
    pub(crate) fn room(&mut self, wanted: usize) -> &mut [u8] {
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
            let len = wanted.max(self.buffer.len() * 2);
            if self.filled == 0 {
                self.buffer = vec![0; len]; // from the system as zeros: what is not read into costs no page
            } else {
                self.buffer.resize(len, 0);
            }
        }
        &mut self.buffer[self.filled..]
    }

    /// Counts bytes of the room that were filled.
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.filled += bytes;
        debug_assert!(self.filled <= self.buffer.len());
    }

    /// Whether it has much more memory than it needs now.
    pub(crate) fn has_slack(&self, keep: usize) -> bool {
        self.buffer.len() > keep && self.pending() <= keep
    }

    /// Gives back the memory that a long item needed.
    pub(crate) fn shrink(&mut self, keep: usize) {
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

#[cfg(test)]
mod tests;
