//! mprun runs programs as one supervised pipeline of processes, from one TOML file.

mod app;
mod append;
mod cli;
pub mod config;
mod control;
mod dead_letter;
mod exit;
mod file_watch;
mod framing;
mod hash;
pub mod item;
mod logs;
pub mod metrics;
mod numbers;
mod progress;
pub mod queue;
mod service;
pub mod stage;
pub mod status;
mod supervisor;
mod sys;
mod terminal;
pub mod text;
mod worker;

use std::process::ExitCode;

pub use stage::{
    Context, Emitter, Failure, Item, Key, Kind, Next, Outlet, Persistence, Progress, Registry, Setting,
    Settings, Source, Stage,
};

/// The whole program, with the stages of a registry: what a `main` returns.
pub fn main(registry: Registry) -> ExitCode {
    app::main(&registry)
}
