//! The handshake with the thread that saves the queues: see `transaction/checkpoint.rs`. One line, which changes with
//! every transaction, but only where they are saved.

use crate::queue::arena::place::{At, WordAt};

/// Changes so far.
pub(crate) const CHANGES: WordAt = At::new(2688);
/// The last of them that is on the disk.
pub(crate) const SAVED: WordAt = At::new(2696);
/// Futex: the saving thread sleeps until something changes.
pub(crate) const IDLE: At<u32> = At::new(2704);
/// Futex: a worker waits for its change to be saved.
pub(crate) const URGENT: At<u32> = At::new(2708);
/// Futex: counts changes of `SAVED`.
pub(crate) const SAVED_SEQUENCE: At<u32> = At::new(2712);
