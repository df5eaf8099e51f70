//! Text to checked [`Pipeline`]: every fault of a file at once, each with its place and what to write instead.
//!
//! `source` reads bytes, `document` makes a tree of values with their spans, `keys` (made of `elements`) reads
//! the tree, `compile` checks what the parts mean to each other. The JSON schema comes from `keys` too.
#![forbid(unsafe_code)]

mod compile;
pub(crate) mod diagnostic;
mod diff;
mod document;
pub(crate) mod elements;
pub(crate) mod env_file;
mod include;
mod keys;
mod load;
mod machine;
pub(crate) mod pipeline;
mod schema;
mod source;

pub use diagnostic::Report;
pub use diff::{Diff, KeyChange, Named, StageChange, ValueChange, diff};
pub(crate) use elements::MAX_PROCESSES;
pub use include::{IncludedText, Texts, Watched};
pub(crate) use load::load_line;
pub use load::{
    LoadOptions, Loaded, file_without_name, included_by, load, load_for, load_texts, name_in_file,
    name_of_file, stages_in_file,
};
pub(crate) use machine::USUAL_PATH;
pub use machine::{Survey, settle, survey, surveyed};
pub(crate) use pipeline::token_file;
pub use pipeline::{
    Backoff, Broker, BrokerAccess, BrokerUrl, Control, DeadLetters, FileVariables, GiveUp, Halt, HaltAt,
    HaltOf, HaltWhen, Limits, OnGiveUp, OrderOf, OutputOrder, Pipeline, Queue, Rate, RateUnit, Recycle,
    Restart, Retry, Rules, Schedule, Stage, Sync, Task, Tuning, WhenFailing, WhenFull, Work,
};
pub use schema::schema;
