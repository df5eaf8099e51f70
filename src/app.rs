//! The composition root: which of its lives this process leads.
#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::process::ExitCode;

use crate::stage::Registry;
use crate::{cli, supervisor, worker};

/// A worker and the guardian are this same program, started by the supervisor; else a person speaks.
pub fn main(registry: &Registry) -> ExitCode {
    match std::env::args_os().nth(1).as_deref().and_then(OsStr::to_str) {
        Some("__worker") => worker::run(registry),
        Some("__guardian") => supervisor::guardian::run(),
        _ => cli::main(registry),
    }
}
