//! The supervisor: owns the processes, their deadlines and the queues' descriptors; reads an item only for its dead letter.
//!
//! One thread owns all state. It waits for one channel and the next deadline; whatever happens becomes an
//! [`event`](machine::event), the [`machine`] decides (pure), [`effects`] are performed.
//!
//! From the bottom up, each floor uses only what stands below it:
//!
//! | floor | what it holds |
//! |---|---|
//! | [`machine`] | the pure middle: what is desired, what is, and what follows from an event |
//! | [`recovery`] | what outlives a run or a program: the queues' place, their recovery, the state of an upgrade |
//! | [`runtime`] | processes, threads and descriptors: children, workers' start, the inbox, the log writer |
//! | [`effects`] | what was decided is done |
//! | [`mod@run`] | a run from its start to its end, with the event loop |
#![forbid(unsafe_code)]

pub(crate) mod closing;
mod effects;
mod error;
mod machine;
mod notify;
mod options;
mod recovery;
mod run;
pub(crate) mod runtime;

#[cfg(test)]
mod fixture;

pub(crate) use options::{Retries, RunOptions};
pub(crate) use run::{preflight, run};
