//! STUB for the stage branch only.
pub mod config;
pub mod dead_letter;
pub mod exit;
pub mod item;
pub mod logging;
pub mod queue;
pub mod stage;
pub mod sys;
pub mod worker;

pub use stage::{
    Context, Emitter, Failure, Item, Key, Kind, Memory, Next, Outlet, Registry, Setting, Settings, Source, Stage,
};

/// STUB.
pub fn main(registry: Registry) -> std::process::ExitCode {
    worker::run(&registry)
}
