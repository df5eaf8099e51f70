//! Exit codes: the only place that names them. `--help` and the README tell users the same.

use std::process::ExitCode;

/// The pipeline is done, or was stopped on request.
pub(crate) const DONE: u8 = 0;
/// A stage gave up, or mprun itself failed.
pub(crate) const FAILED: u8 = 1;
/// Bad usage, or a bad pipeline file.
pub(crate) const USAGE: u8 = 2;
/// Done, but there are dead letters: items that have failed, and were neither put back nor dropped since.
pub(crate) const DEAD_LETTERS: u8 = 3;

/// A program's word to its worker, and a worker's to its supervisor: not now (EX_TEMPFAIL of sysexits.h).
pub(crate) const NOT_NOW: u8 = 75;
/// A worker's word to its supervisor, as a shell has it: its program can't be executed, however often it is tried.
pub(crate) const CANNOT_START: u8 = 126;
/// The same: its program was killed, and not by the worker.
pub(crate) const PROGRAM_KILLED: u8 = 137;
/// The same: it obeyed a SIGTERM.
pub(crate) const TERMINATED: u8 = 143;

/// The code as `main` returns it.
pub(crate) fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}
