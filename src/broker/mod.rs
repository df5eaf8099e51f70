//! Queues that several machines share, in a broker that exists. mprun keeps the processes of each machine, the broker keeps the
//! items: no network transport, no consensus and no storage of mprun's own.
//!
//! [`Broker`] is what the link process asks, in plain values. `redis/` answers it with one script a request, `jetstream/` with one message of
//! a log a request, so each happens as a whole or not at all; `choice.rs` takes the one that the address names. A [`Commit`] is what one transaction of a stage changes there; the commits of a stage on a machine are a line. `link/` is the link's pure machine: what it asks next, and what an answer means that is late or never came.
//!
//! | what happens | what is left | what follows |
//! |---|---|---|
//! | the link dies with items taken that are not yet in the arena | they are pending for this machine | `held` names them after the next join, and they are given back |
//! | the link dies with a commit sent and no answer | it lies in the arena, and the broker may have done it | it is sent again, and judged as before |
//! | the connection breaks | the same, for all that was under way | one back-off, then join, `held`, and every line from its oldest commit |
//! | the machine dies, and its arena with it | its leases in the broker | they expire, or its next life's `join` gives them back |
//! | the machine is stopped longer than `ack_wait`, then goes on | its items and its stages are another's | its commits are refused, its leases dropped, its stages end |
//! | the machine dies between a claim and the first commit of the stage | a claim | it expires, or is the next life's at once |
//! | … between the last commit of a stage and its mark | the position says that the stage has ended | who claims it next says the mark |
//! | the broker dies within a request | nothing of it: it is one entry of the append-only file, or one message of the stream | the same as a broken connection |
#![forbid(unsafe_code)]

mod access;
mod choice;
mod fault;
#[cfg(feature = "nats")]
pub mod jetstream;
mod kind;
pub mod link;
mod overview;
#[cfg(any(feature = "redis", feature = "nats"))]
mod peer;
#[cfg(feature = "redis")]
pub mod redis;
mod stored;
mod values;

pub use access::Access;
pub use choice::{AnyBroker, Inventory, Visitor};
pub use fault::Fault;
pub use kind::BrokerKind;
pub use overview::{
    Dropped, Forgotten, Heard, HeldPipeline, HeldRun, MachineName, Member, MemberState, Overview, QueueView,
    Retried, RetryRun, RunOrder, SHOWN_FOR, SILENT_AFTER, Writer, WriterState,
};
pub use stored::MARK_LEN;
pub use values::{
    Commit, End, Full, Joined, Judged, Layout, Lease, Ledger, Letter, LetterPlace, Membership, Output,
    Progress, QueueSettings, Registered, Sequence, SharedQueue, SharedStage, Step, Verdict, Woken,
};

pub use crate::model::{Machines, Outage};
use std::time::Duration;

/// What a machine asks of the broker, once it has joined a run. Every request is one step there; one whose answer never came may have
/// happened, and can be asked for again.
#[expect(async_fn_in_trait, reason = "the link runs it on one thread, and names no future")]
pub trait Broker {
    /// The run, and what it holds of this pipeline.
    fn joined(&self) -> &Joined;

    /// Up to `n` items of a queue, leased to this machine for `ack_wait`. `look_for_expired`: also those of machines that are gone.
    /// After fewer than `n`, [`Broker::woken`] tells when there are more.
    async fn take(&self, queue: SharedQueue, n: usize, look_for_expired: bool) -> Result<Vec<Lease>, Fault>;

    /// Leases begin anew. Returns those that are no longer this machine's.
    async fn extend(&self, queue: SharedQueue, leases: &[Sequence]) -> Result<Vec<Sequence>, Fault>;

    /// Commits of one line, that of the stage on this machine, in order, with rising numbers. One request a line may be under way.
    async fn commit(&self, stage: &SharedStage, commits: &[Commit]) -> Result<Judged, Fault>;

    /// Items go back at once, each with the attempts that were begun. Leases that are another's are passed over.
    async fn give_back(&self, queue: SharedQueue, leases: &[(Sequence, u32)]) -> Result<(), Fault>;

    /// All that is leased to this machine.
    async fn held(&self, queue: SharedQueue) -> Result<Vec<Sequence>, Fault>;

    /// The stage will write into the queue, until a commit of it marks its end.
    async fn register(&self, queue: SharedQueue, stage: &SharedStage) -> Result<Registered, Fault>;

    /// How far the queue is; `before` are the queues whose items become items of this one.
    async fn progress(&self, queue: SharedQueue, before: &[SharedQueue]) -> Result<Progress, Fault>;

    /// True: every queue of the run has ended, so the run has.
    async fn finish(&self) -> Result<bool, Fault>;

    /// The position of a stage; nothing: it has yet to begin. One that runs on one machine at a time is this machine's from now on,
    /// for `ack_wait`; `None`: it is another's.
    async fn claim(&self, stage: &SharedStage) -> Result<Option<Vec<u8>>, Fault>;

    /// A stage that runs on one machine at a time may be another's.
    async fn resign(&self, stage: &SharedStage) -> Result<(), Fault>;

    /// Dead letters of a queue, the oldest first, after `after`.
    async fn letters(
        &self,
        queue: SharedQueue,
        after: Option<Sequence>,
        n: usize,
    ) -> Result<Vec<Letter>, Fault>;

    /// The counters of a queue over all machines, at one moment.
    async fn ledger(&self, queue: SharedQueue) -> Result<Ledger, Fault>;

    /// What this machine shows of itself, for `time`.
    async fn show(&self, snapshot: &[u8], time: Duration) -> Result<(), Fault>;

    /// What this machine is to know beside its items.
    async fn hear(&self) -> Result<Heard, Fault>;

    /// This machine's items go back, and it has no life any more.
    async fn leave(&self) -> Result<(), Fault>;

    /// Waits until something that was refused or not there may be.
    async fn woken(&self) -> Woken;
}
