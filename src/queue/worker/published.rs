//! What came of one transaction that was to publish.

use crate::queue::QueueId;
use crate::queue::arena::layout::{Class, EventAt, QueueAt};

/// What one transaction has published.
pub(super) enum Published {
    All {
        before: u64,
        after: u64,
    },
    Part,
    Full {
        queue: QueueId,
        size: u64,
        event: EventAt,
        sequence: u32,
        /// It is not their turn, and what comes before them no other worker has: it may be this one that is waited for.
        for_none: bool,
    },
    Closed,
    /// Nothing: what has to wait for its turn needs a block of this class first, for its list.
    NeedsList(QueueAt, Class),
}
