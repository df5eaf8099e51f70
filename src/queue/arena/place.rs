//! Places in the arena as types: an offset that says what lies there.
//!
//! Only `layout` makes places. A field of one thing can't be added to another, so a worker's word is never read from a
//! queue. A place is only an offset: whether memory may be touched there is checked where it is touched.

use std::{marker::PhantomData, ops::Add};

/// The place of a `T`: its offset in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At<T>(usize, PhantomData<T>);

/// Where an `F` lies inside of a `T`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<T, F = u64>(usize, PhantomData<(T, F)>);

/// The place of a control word.
pub(crate) type WordAt = At<u64>;

/// Control words that follow each other: a bitmap, counters, a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {}

/// Bytes of the arena, from an offset on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(super) start: usize,
    pub(super) bytes: usize,
}

impl<T> At<T> {
    #[inline(always)]
    pub(super) const fn new(offset: usize) -> At<T> {
        At(offset, PhantomData)
    }

    #[inline(always)]
    pub(crate) const fn offset(self) -> usize {
        self.0
    }
}

impl<T, F> Field<T, F> {
    pub(super) const fn new(offset: usize) -> Field<T, F> {
        Field(offset, PhantomData)
    }
}

impl<T, F> Add<Field<T, F>> for At<T> {
    type Output = At<F>;

    #[inline(always)]
    fn add(self, field: Field<T, F>) -> At<F> {
        At::new(self.0 + field.0)
    }
}

impl At<Words> {
    /// Word `i` of them.
    #[inline(always)]
    pub(crate) const fn word(self, i: usize) -> WordAt {
        At::new(self.0 + i * 8)
    }
}

impl<T> From<At<T>> for u64 {
    fn from(at: At<T>) -> u64 {
        at.0 as u64
    }
}

impl Area {
    /// All but the last `bytes` of it are left out.
    pub(crate) fn last(self, bytes: u64) -> Area {
        let bytes = self.bytes.min(bytes as usize);
        Area { start: self.start + self.bytes - bytes, bytes }
    }

    /// The part of it that begins at byte `from`.
    pub(crate) fn part(self, from: u64, bytes: u64) -> Area {
        Area { start: self.start + from as usize, bytes: bytes as usize }
    }
}
