//! The composition root: which of its lives this process leads.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::process::ExitCode;

use nix::sys::signal::Signal;

use crate::stage::Registry;
use crate::sys::start_signals;
use crate::{cli, logging, supervisor, sys, worker};

/// Workers and helpers are this same program, started by the supervisor; else a person speaks.
pub fn main(registry: &Registry) -> ExitCode {
    // A write beyond `ulimit -f` is then an error that can be told, not the end without a word.
    start_signals::ignore(Signal::SIGXFSZ);
    match std::env::args_os().nth(1).as_deref().and_then(OsStr::to_str) {
        Some("__worker") => worker::run(registry),
        Some("__guardian") => supervisor::guardian::run(),
        Some("__letters") => supervisor::burial::run(),
        Some("__log") => logging::writer::run(),
        Some(supervisor::loader::VERB) => supervisor::loader::run(registry),
        Some(sys::reexec::VERB) => sys::reexec::run(),
        Some("__rehearse") => cli::rehearse(registry),
        _ => cli::main(registry),
    }
}
