//! Exit codes: the only place that names them. `--help` and the README tell users the same.

use std::process::ExitCode;

/// The pipeline is done, or was stopped on request.
pub const DONE: u8 = 0;
/// A stage gave up, or mprun itself failed.
pub const FAILED: u8 = 1;
/// Bad usage, or a bad pipeline file.
pub const USAGE: u8 = 2;
/// Done, but some items became dead letters.
pub const DEAD_LETTERS: u8 = 3;

/// The code as `main` returns it.
pub fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}
