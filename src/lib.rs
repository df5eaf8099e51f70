//! mprun runs programs as one supervised pipeline of processes, from one TOML file.

mod app;
mod cli;
pub mod config;
mod exit;
mod logging;
pub mod queue;
pub mod stage;
mod supervisor;
mod worker;

use std::process::ExitCode;

pub use stage::Registry;

/// The whole program, with the stages of a registry: what a `main` returns.
pub fn main(registry: Registry) -> ExitCode {
    app::main(&registry)
}
