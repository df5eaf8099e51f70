//! Words of an entry.

use super::descriptor::{Descriptor, DescriptorAt};
use crate::queue::arena::place::{At, Field};

/// An item outside of its ring, in a worker's table or on a returned stack: its descriptor, and what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {}
pub(crate) type EntryAt = At<Entry>;

pub(crate) const DESCRIPTOR: Field<Entry, Descriptor> = Field::new(0);
/// The item's number in its queue.
pub(crate) const SEQUENCE: Field<Entry> = Field::new(16);
/// Outputs that are published already.
pub(crate) const MARK: Field<Entry> = Field::new(24);
/// How often it was put off, without a failure.
pub(crate) const PUT_OFF: Field<Entry> = Field::new(32);
/// Of a place of a window: items that it is the place of; descriptors of their outputs, and in the lowest bit whether they
/// are in a list.
pub(crate) const COVERED: Field<Entry> = Field::new(24);
pub(crate) const LISTED: Field<Entry> = Field::new(32);
/// What is known of its failures, see `transaction/failing.rs`.
pub(crate) const FAILURES: Field<Entry> = Field::new(40);
/// Of an item that was a dead letter: what named it first, see `arena/birth.rs`. The first word 0: this is its first number.
pub(crate) const FIRST_BIRTH: Field<Entry> = Field::new(48);
pub(crate) const FIRST_NUMBER: Field<Entry> = Field::new(56);
/// A cache line: what is not listed here is room for more.
pub(crate) const WORDS: usize = 8;

impl From<EntryAt> for DescriptorAt {
    #[inline]
    fn from(at: EntryAt) -> DescriptorAt {
        at + DESCRIPTOR
    }
}
