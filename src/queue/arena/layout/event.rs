//! Words of an event.

use crate::queue::arena::place::{At, Field};

/// What waiters sleep on: see `transaction/event.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {}
pub(crate) type EventAt = At<Event>;

pub(crate) const SEQUENCE: Field<Event, u32> = Field::new(0);
/// Not 0: there may be a waiter.
pub(crate) const IDLE: Field<Event, u32> = Field::new(4);
