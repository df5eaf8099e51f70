//! mprun runs programs as one supervised pipeline of processes, from one TOML file.
//!
//! A program with stages of its own hands them to [`main`] in a [`Registry`]. A stage is a [`Stage`], which gets items, or
//! a [`Source`], which makes them.

#![warn(clippy::unwrap_used)]
#![cfg_attr(not(test), warn(unreachable_pub))]

mod app;
mod append;
#[doc(hidden)] // unstable: for the tests of this package
pub mod broker;
mod cli;
mod condition;
#[doc(hidden)] // unstable: for the tests of this package
pub mod config;
mod control;
mod dead_letter;
mod exit;
mod file_watch;
mod framing;
mod hash;
mod item;
mod layout;
mod link;
mod logs;
mod machines;
mod metrics;
mod model;
mod numbers;
mod progress;
#[doc(hidden)] // unstable: for the tests and benches of this package
pub mod queue;
mod secret;
mod service;
mod stage;
mod status;
mod supervisor;
mod sys;
mod terminal;
mod text;
mod worker;

use std::process::ExitCode;

pub use stage::{
    Context, Emitter, Failure, Item, Key, KeyDoc, Kind, Next, Outlet, Persistence, Progress, Registry,
    Setting, Settings, Source, Stage, TooLong, WithFault,
};

/// The whole program with the stages of a registry, for a `main` function.
pub fn main(registry: Registry) -> ExitCode {
    app::main(&registry)
}
