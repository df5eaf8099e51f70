//! Items on their way into a program: framed, one after the other, and which of them are wholly written.

use super::framing::{NotEncodable, encode};
use super::told;
use crate::config::pipeline::Framing;
use std::collections::VecDeque;

/// More than this is not kept ready.
const ENOUGH: usize = 128 * 1024;
/// Memory that is not given back.
const KEPT: usize = 4 * ENOUGH;

/// Framed items, in the order of their leases.
pub(super) struct Feed {
    framing: Framing,
    bytes: Vec<u8>,
    /// So many of them are written.
    written: usize,
    /// Where the last wholly written item ends.
    boundary: usize,
    /// Where each item that is not wholly written ends.
    ends: VecDeque<usize>,
}

impl Feed {
    pub fn new(framing: Framing) -> Feed {
        Feed { framing, bytes: Vec::new(), written: 0, boundary: 0, ends: VecDeque::new() }
    }

    /// The next item. After an error nothing of it is there.
    pub fn push(&mut self, item: &[u8]) -> Result<(), NotEncodable> {
        encode(self.framing, item, &mut self.bytes)?;
        self.ends.push_back(self.bytes.len());
        Ok(())
    }

    /// The next item for a program that says how it went.
    pub fn push_told(&mut self, item: &[u8], attempt: u32) -> Result<(), NotEncodable> {
        told::encode(item, attempt, &mut self.bytes)?;
        self.ends.push_back(self.bytes.len());
        Ok(())
    }

    /// What is to be written.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether there is enough for now.
    pub fn is_full(&self) -> bool {
        self.rest().len() >= ENOUGH
    }

    /// So many bytes more were written. Returns how many items are wholly written now that weren't before.
    pub fn note_written(&mut self, bytes: usize) -> usize {
        self.written += bytes;
        let whole = self.ends.iter().take_while(|&&end| end <= self.written).count();
        self.boundary = self.ends.drain(..whole).next_back().unwrap_or(self.boundary);
        if self.ends.is_empty() {
            self.forget();
        } else if self.boundary > ENOUGH && self.boundary > self.bytes.len() / 2 {
            self.bytes.drain(..self.boundary);
            self.ends.iter_mut().for_each(|end| *end -= self.boundary);
            self.written -= self.boundary;
            self.boundary = 0;
        }
        whole
    }

    /// Takes back the items that are not begun. Returns how many there are: the last ones.
    pub fn take_back(&mut self) -> usize {
        let begun = usize::from(self.written > self.boundary);
        let taken = self.ends.len().saturating_sub(begun);
        self.ends.truncate(begun);
        self.bytes.truncate(self.ends.back().copied().unwrap_or(self.boundary));
        taken
    }

    /// Forgets everything: the program is gone.
    pub fn clear(&mut self) {
        self.forget();
        self.shrink();
    }

    fn forget(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        (self.written, self.boundary) = (0, 0);
    }

    /// Whether it has much more memory than it needs now: one large item must not cost it for ever.
    pub fn has_slack(&self) -> bool {
        self.bytes.capacity() > KEPT && self.bytes.len() <= KEPT
    }

    /// Gives that back.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to(KEPT);
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
