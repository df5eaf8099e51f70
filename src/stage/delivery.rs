//! A sink that hands items over to something outside, which says what became of them.

use super::Failure;
use std::time::{Duration, Instant};

/// Items that go together, and what names them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parcel<'a> {
    /// The oldest first; never empty.
    pub items: &'a [&'a [u8]],
    /// The same whenever the same items go together, in any run and after any kill.
    pub key: &'a str,
    /// When the attempt has taken too long.
    pub until: Instant,
}

/// Why nothing of a parcel counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Undelivered {
    /// Its reach says whether the items are at fault.
    pub failure: Failure,
    /// The other side wants to be left alone for this long.
    pub pause: Option<Duration>,
}

impl From<Failure> for Undelivered {
    fn from(failure: Failure) -> Undelivered {
        Undelivered { failure, pause: None }
    }
}

/// A sink that takes several items at once. Nothing that it keeps in memory may count: whoever is killed, the same items come
/// again.
pub(crate) trait Delivery {
    /// Items that go together, at most.
    fn most(&self) -> usize;

    /// One attempt. An order to finish ends it early.
    fn deliver(&mut self, parcel: Parcel<'_>) -> Result<(), Undelivered>;
}
