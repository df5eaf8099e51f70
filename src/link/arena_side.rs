//! What a link asks of this machine's arena. Each request that changes it is one transaction.

use crate::broker::link::{Event, LineId, Remains};
use crate::broker::{Commit, Lease, Sequence, SharedQueue, Verdict};
use std::time::Duration;

pub(super) trait ArenaSide {
    type Fault: std::fmt::Display;
    type Waiter: Waiter;

    /// What lies there when a link starts.
    fn remains(&mut self) -> Result<Remains, Self::Fault>;

    /// Items come in, and the machine holds them.
    fn store(&mut self, queue: SharedQueue, leases: &[Lease]) -> Result<(), Self::Fault>;

    /// Items that are another machine's go, where no worker has begun them.
    fn drop_unbegun(&mut self, queue: SharedQueue, sequences: &[Sequence]) -> Result<(), Self::Fault>;

    /// All items that no worker has begun go.
    fn withdraw(&mut self, queue: SharedQueue) -> Result<Vec<(Sequence, u32)>, Self::Fault>;

    /// No item of the queue comes any more.
    fn close(&mut self, queue: SharedQueue) -> Result<(), Self::Fault>;

    /// Commits of a line, from `first` to `last`.
    fn commits(&mut self, line: LineId, first: u64, last: u64) -> Result<Vec<Commit>, Self::Fault>;

    /// The line's oldest commits go, and the machine holds no more what they end.
    fn end(&mut self, line: LineId, first: u64, verdicts: &[Verdict]) -> Result<(), Self::Fault>;

    /// The number of the last commit of a line that gets no further one; `None`: its stage may still commit.
    fn last(&mut self, line: LineId) -> Result<Option<u64>, Self::Fault>;

    /// [`Event::Room`], [`Event::Queued`] and [`Event::Withdrawn`] since it was asked before.
    fn poll(&mut self) -> Result<Vec<Event>, Self::Fault>;

    /// Waits beside it, in a thread of its own.
    fn waiter(&self) -> Self::Waiter;
}

pub(super) trait Waiter: Send + 'static {
    /// Returns once [`ArenaSide::poll`] may have something new, or after that time.
    fn wait(&self, most: Duration);
}
