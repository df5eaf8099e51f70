//! What stands for items gives up its part of their memory.
//!
//! One item's block is free with it. An extent is free when the last of its items has ended: they are counted in its head.
//! Where the spans of an extent lie, and how often it was cut, does not change the count, so cutting a span writes no extent.

use super::tx::Tx;
use crate::queue::arena::descriptor::{MAX_EXTENT_ITEMS, Meta};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{BlockAt, block};

impl Tx<'_> {
    /// `n` of the items that a descriptor stands for end. Returns the bytes that became free.
    #[inline]
    pub(crate) fn end_items(&mut self, data: u64, meta: Meta, n: usize) -> Result<u64, Fault> {
        let at = BlockAt::named_by(data);
        match meta.as_span() {
            Some(_) => self.end_outstanding(at, n as u64),
            None if meta.has_block() => self.free(at),
            None => Ok(0),
        }
    }

    /// A reserved block is given up, with what was staged in it. Returns the bytes that became free.
    pub(crate) fn end_reserved(&mut self, data: u64, meta: Meta) -> Result<u64, Fault> {
        let at = BlockAt::named_by(data);
        match meta.unpublished() {
            0 => self.free(at),
            unpublished => self.end_outstanding(at, unpublished),
        }
    }

    /// `n` items of an extent that count as outstanding are no more.
    pub(crate) fn end_outstanding(&mut self, at: BlockAt, n: u64) -> Result<u64, Fault> {
        at.class()?;
        let word = at + block::OUTSTANDING;
        let outstanding = self.get(word);
        if outstanding < n || outstanding > MAX_EXTENT_ITEMS as u64 {
            return Err(Fault::damaged("the items of an extent", at, outstanding));
        }
        if outstanding == n {
            return self.free(at);
        }
        self.set(word, outstanding - n);
        Ok(0)
    }
}
