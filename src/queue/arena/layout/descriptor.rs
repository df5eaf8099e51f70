//! Words of a descriptor.

use crate::queue::arena::place::{At, Field};

/// The two words that stand for an item or a block: see `descriptor.rs`. A ring's slot is nothing but that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor {}
pub(crate) type DescriptorAt = At<Descriptor>;

pub(crate) const DATA: Field<Descriptor> = Field::new(0);
pub(crate) const META: Field<Descriptor> = Field::new(8);
pub(crate) const WORDS: usize = 2;
