//! The item that was shown: see `transaction/tap.rs`.

use crate::queue::arena::place::{At, WordAt, Words};

const START: usize = 3136;
/// The place of its queue; 0: there is none.
pub(crate) const QUEUE: WordAt = At::new(START);
pub(crate) const ID: WordAt = At::new(START + 8);
pub(crate) const LEN: WordAt = At::new(START + 16);
pub(crate) const TEXT: At<Words> = At::new(START + 24);
pub(crate) const TEXT_MAX: usize = 160;
#[cfg(test)]
pub(super) const END: usize = START + 24 + TEXT_MAX;
