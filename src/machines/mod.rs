//! A run of shared queues over all its machines, made of what the broker holds of it. Pure; `mprun status --all`, the link and the page
//! show it.
#![forbid(unsafe_code)]

mod letters;
mod merge;
pub(crate) mod snapshot;
mod whole;

pub(crate) use letters::LettersSeen;
pub(crate) use merge::{Known, NOWHERE, whole};
pub(crate) use whole::{MachineView, OpenWriter, QueueSum, StageSum, Whole};
