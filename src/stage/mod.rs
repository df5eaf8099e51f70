//! What a stage is: the traits for your own, the registry that a pipeline file picks from, and the built-in ones.
//!
//! A stage knows nothing of processes and queues. It gets items, emits items, and says what it wants to be kept; the
//! worker loop does the rest.
#![forbid(unsafe_code)]

/// The examples of docs/stages.md compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/stages.md")]
struct PageOnStages;

mod context;
mod contract;
mod delivery;
mod emitter;
mod failure;
mod registry;
mod settings;

mod lines;
mod path_template;
mod replacement;
mod template;

mod builtin;

pub use context::Context;
pub use contract::{Item, Next, Progress, Source, Stage};
pub use emitter::{Emitter, Outlet, TooLong};
pub use failure::Failure;
pub use registry::{Kind, Registry};
pub use settings::{Key, KeyDoc, Persistence, Setting, Settings, WithFault};

pub(crate) use builtin::without_authorities;
pub(crate) use context::{Orders, Pipe, TokenNotes};
pub(crate) use delivery::{Delivery, Parcel, Undelivered};
pub(crate) use failure::Reach;
pub(crate) use registry::Opened;
pub(crate) use replacement::Replacement;
