//! Items on their way into a program: framed, one after the other, and which of them are wholly written.

use crate::config::pipeline::Framing;
use crate::framing::{self, NotEncodable, encode};
use crate::worker::program::io::helper_protocol::ProtocolWriter;
use crate::worker::program::io::session::WriteBuffers;
use std::collections::VecDeque;

/// More than this is not kept ready.
const FULL_BYTES: usize = 128 * 1024;
/// Memory that is not given back.
const KEPT_BYTES: usize = 4 * FULL_BYTES;

/// A longer item is written from queue memory, not copied.
const LONG_ITEM_BYTES: usize = 32 * 1024;

/// Framed items, in the order of their leases. The last one may be a long item that is written from where it is.
pub(crate) struct Feed {
    framing: Framing,
    /// All but what is in `long`.
    bytes: Vec<u8>,
    long: Option<Long>,
    /// Of `bytes`, those that are written.
    written: usize,
    /// Where the last wholly written item ends.
    boundary: usize,
    /// Where each item that is not wholly written ends.
    ends: VecDeque<usize>,
    /// For a program that says how each item went.
    writer: ProtocolWriter,
    /// Bytes ever framed for this program, where nothing is long.
    framed: u64,
}

/// An item that is not copied.
struct Long {
    len: usize,
    /// What ends its frame.
    tail: &'static [u8],
}

impl Feed {
    pub(crate) fn new(framing: Framing) -> Feed {
        let (bytes, ends, writer) = (Vec::new(), VecDeque::new(), ProtocolWriter::default());
        Feed { framing, bytes, long: None, written: 0, boundary: 0, ends, writer, framed: 0 }
    }

    /// The next item. After an error nothing of it is there.
    pub(crate) fn push(&mut self, item: &[u8]) -> Result<(), NotEncodable> {
        let before = self.bytes.len();
        encode(self.framing, item, &mut self.bytes)?;
        self.pushed(before);
        Ok(())
    }

    fn pushed(&mut self, before: usize) {
        self.framed += (self.bytes.len() - before) as u64;
        self.ends.push_back(self.bytes.len());
    }

    /// Where the next item begins in the stream of bytes that the program gets; not where [`Feed::push_in_place`] is used.
    pub(crate) fn framed(&self) -> u64 {
        self.framed
    }

    /// The next item, which [`Feed::out`] gets again if it is long. Only while the feed isn't full.
    pub(crate) fn push_in_place(&mut self, item: &[u8]) -> Result<(), NotEncodable> {
        if item.len() < LONG_ITEM_BYTES {
            return self.push(item);
        }
        let tail = framing::begin(self.framing, item, &mut self.bytes)?;
        self.ends.push_back(self.bytes.len() + item.len() + tail.len());
        self.long = Some(Long { len: item.len(), tail });
        Ok(())
    }

    /// The next items, each followed by a line end: as they are, for a program that reads lines. False, and nothing is
    /// pushed, if it reads something else or an item holds a line end.
    pub(crate) fn push_lines(&mut self, lines: &[u8], items: usize) -> bool {
        if self.framing != Framing::Lines {
            return false;
        }
        let (bytes, known) = (self.bytes.len(), self.ends.len());
        self.ends.extend(memchr::memchr_iter(b'\n', lines).map(|at| bytes + at + 1));
        if self.ends.len() - known != items {
            self.ends.truncate(known);
            return false;
        }
        self.bytes.extend_from_slice(lines);
        self.framed += lines.len() as u64;
        true
    }

    /// The next item for a program that says how it went.
    pub(crate) fn push_numbered(&mut self, item: &[u8], attempt: u32) -> Result<(), NotEncodable> {
        let before = self.bytes.len();
        self.writer.encode(item, attempt, &mut self.bytes)?;
        self.pushed(before);
        Ok(())
    }

    /// That program has asked for the items' numbers.
    pub(crate) fn begin_numbers(&mut self) {
        self.writer.begin_numbers();
    }

    /// What is to be written, where nothing is long.
    pub(crate) fn rest(&self) -> &[u8] {
        debug_assert!(self.long.is_none(), "part of it is elsewhere");
        &self.bytes[self.written..]
    }

    /// What is to be written; `last`: the last item, if it [is elsewhere](Feed::needs_last).
    pub(crate) fn out<'a>(&'a self, last: &'a [u8]) -> WriteBuffers<'a> {
        let Some(long) = &self.long else { return WriteBuffers::from(self.rest()) };
        debug_assert_eq!(last.len(), long.len, "another item");
        let mut done = self.written;
        WriteBuffers([&self.bytes[..], last, long.tail].map(|piece| {
            let skip = done.min(piece.len());
            done -= skip;
            &piece[skip..]
        }))
    }

    /// Whether the last item is not in here.
    pub(crate) fn needs_last(&self) -> bool {
        self.long.is_some()
    }

    /// Items that are not wholly written.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether there is enough for now.
    pub(crate) fn is_full(&self) -> bool {
        self.long.is_some() || self.bytes.len() - self.written >= FULL_BYTES
    }

    /// More bytes were written. Returns how many items are wholly written by them.
    pub(crate) fn note_written(&mut self, bytes: usize) -> usize {
        self.written += bytes;
        let whole = self.ends.iter().take_while(|&&end| end <= self.written).count();
        self.boundary = self.ends.drain(..whole).next_back().unwrap_or(self.boundary);
        if self.ends.is_empty() {
            self.forget();
        } else if self.boundary > FULL_BYTES && self.boundary > self.bytes.len() / 2 {
            self.bytes.drain(..self.boundary);
            self.ends.iter_mut().for_each(|end| *end -= self.boundary);
            self.written -= self.boundary;
            self.boundary = 0;
        }
        whole
    }

    /// Takes back the items that are not begun. Returns how many there were: the last ones.
    pub(crate) fn take_back(&mut self) -> usize {
        let begun = usize::from(self.written > self.boundary);
        let taken = self.ends.len().saturating_sub(begun);
        self.ends.truncate(begun);
        if taken > 0 {
            self.long = None;
        }
        self.bytes.truncate(self.ends.back().copied().unwrap_or(self.boundary));
        taken
    }

    /// Forgets everything: the program is gone.
    pub(crate) fn clear(&mut self) {
        self.forget();
        self.shrink();
        (self.writer, self.framed) = (ProtocolWriter::default(), 0);
    }

    fn forget(&mut self) {
        self.bytes.clear();
        self.long = None;
        self.ends.clear();
        (self.written, self.boundary) = (0, 0);
    }

    /// Whether it has much more memory than it needs now: one large item must not cost it for ever.
    pub(crate) fn has_slack(&self) -> bool {
        self.bytes.capacity() > KEPT_BYTES && self.bytes.len() <= KEPT_BYTES
    }

    /// Gives that back.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to(KEPT_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(items: &[&str]) -> Feed {
        let mut feed = Feed::new(Framing::Lines);
        items.iter().for_each(|item| feed.push(item.as_bytes()).unwrap());
        feed
    }

    #[test]
    fn an_item_counts_when_it_is_wholly_written() {
        let mut feed = feed(&["one", "two", "three"]);
        assert_eq!(feed.rest(), b"one\ntwo\nthree\n");
        assert_eq!(feed.note_written(3), 0);
        assert_eq!(feed.note_written(1), 1);
        assert_eq!(feed.note_written(6), 1);
        assert_eq!(feed.rest(), b"ree\n");
        assert_eq!(feed.note_written(4), 1);
        assert!(feed.is_empty() && feed.rest().is_empty());
    }

    #[test]
    fn only_what_is_begun_is_written_to_its_end() {
        let mut begun = feed(&["one", "two", "three"]);
        begun.note_written(5);
        assert_eq!(begun.take_back(), 1);
        assert_eq!(begun.rest(), b"wo\n");
        let mut between = feed(&["one", "two", "three"]);
        between.note_written(4);
        assert_eq!((between.take_back(), between.rest()), (2, &b""[..]));
        assert!(between.is_empty());
    }

    fn text(out: WriteBuffers<'_>) -> Vec<u8> {
        out.0.concat()
    }

    #[test]
    fn a_long_item_is_written_from_where_it_is_whatever_the_pieces() {
        let item = vec![b'x'; LONG_ITEM_BYTES];
        for framing in [Framing::Lines, Framing::Nul, Framing::Netstring, Framing::U32be] {
            let mut whole = Vec::new();
            [&b"short"[..], &item].iter().for_each(|item| encode(framing, item, &mut whole).unwrap());
            for step in [1, 2, 3, 7, LONG_ITEM_BYTES - 1, LONG_ITEM_BYTES + 20] {
                let mut feed = Feed::new(framing);
                feed.push_in_place(b"short").unwrap();
                feed.push_in_place(&item).unwrap();
                assert!(feed.is_full() && feed.needs_last() && feed.bytes.len() < 40);
                let (mut written, mut done) = (Vec::new(), 0);
                while !feed.is_empty() {
                    let rest = text(feed.out(&item));
                    assert_eq!(rest.len(), whole.len() - written.len());
                    let n = step.min(rest.len());
                    written.extend_from_slice(&rest[..n]);
                    done += feed.note_written(n);
                }
                assert!(written == whole && done == 2, "{framing:?} in steps of {step}");
                assert!(!feed.needs_last() && !feed.is_full());
            }
        }
    }

    #[test]
    fn a_long_item_that_is_not_begun_can_be_taken_back() {
        let item = vec![b'x'; LONG_ITEM_BYTES];
        let mut feed = Feed::new(Framing::Netstring);
        feed.push_in_place(b"short").unwrap();
        feed.push_in_place(&item).unwrap();
        feed.note_written(1);
        assert_eq!((feed.take_back(), text(feed.out(b""))), (1, b":short,".to_vec()));
        feed.note_written(7);
        feed.push_in_place(&item).unwrap();
        feed.note_written(1);
        assert_eq!((feed.take_back(), feed.len()), (0, 1));
        assert_eq!(text(feed.out(&item)).len(), "2768:".len() + LONG_ITEM_BYTES + ",".len());
    }

    #[test]
    fn a_long_item_that_cannot_be_handed_over_leaves_no_trace() {
        let mut feed = feed(&["one"]);
        assert!(feed.push_in_place(&[b'\n'; LONG_ITEM_BYTES]).is_err());
        assert_eq!((feed.rest(), feed.len()), (&b"one\n"[..], 1));
    }

    #[test]
    fn an_item_that_cannot_be_handed_over_leaves_no_trace() {
        let mut feed = feed(&["one"]);
        assert!(feed.push(b"a\nb").is_err());
        assert_eq!(feed.rest(), b"one\n");
    }

    #[test]
    fn a_long_way_in_small_steps_keeps_little() {
        let mut feed = Feed::new(Framing::Lines);
        let mut whole = 0;
        for _ in 0..10_000 {
            feed.push(&[b'x'; 99]).unwrap();
            feed.push(&[b'x'; 99]).unwrap();
            whole += feed.note_written(100);
            whole += feed.note_written(50);
        }
        assert_eq!(whole, 15_000);
        assert!(feed.bytes.len() < 20_000 * 100, "{}", feed.bytes.len());
        assert_eq!(feed.rest().len(), 500_000);
    }
}
