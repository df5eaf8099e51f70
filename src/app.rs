//! The composition root: which of its lives this process leads.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::process::ExitCode;

use nix::sys::signal::Signal;

use crate::stage::Registry;
use crate::sys::start_signals;
use crate::{cli, supervisor, sys, worker};

/// Workers and helpers are this same program, started by the supervisor; else a person speaks.
pub(crate) fn main(registry: &Registry) -> ExitCode {
    start_signals::hold();
    // A write beyond `ulimit -f` is then an error that can be told, not the end without a word.
    start_signals::ignore(Signal::SIGXFSZ);
    let first = std::env::args_os().nth(1);
    let life = first.as_deref().and_then(OsStr::to_str).unwrap_or_default();
    // These have the mask that their parent has chosen for them.
    if life.starts_with("__") {
        start_signals::release();
    }
    match life {
        "__worker" => worker::run(registry),
        "__guardian" => supervisor::runtime::guardian::run(),
        "__letters" => supervisor::runtime::dead_letter_writer::run(),
        "__log" => supervisor::runtime::log_writer::run(),
        supervisor::runtime::services::identities::VERB => supervisor::runtime::services::identities::run(),
        supervisor::runtime::checker::VERB => supervisor::runtime::checker::run(),
        supervisor::runtime::loader::VERB => supervisor::runtime::loader::run(registry),
        supervisor::runtime::settler::VERB => supervisor::runtime::settler::run(),
        sys::reexec::VERB => sys::reexec::run(),
        "__rehearse" => cli::preflight(registry),
        _ => cli::main(registry),
    }
}
