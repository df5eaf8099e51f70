//! A line of xargs or GNU parallel: its options become those of `mprun do`, whose file is printed. What stands before it in a shell
//! pipe becomes the source.

mod carried;
mod combine;
mod of_script;
mod options;
mod parallel;
mod place;
mod xargs;

use crate::cli::output::Failure;
use carried::Carried;
use place::Placed;

/// The pipeline file of a line of xargs.
pub(super) fn xargs(line: &str) -> Result<String, Failure> {
    file(line, "xargs", xargs::carried)
}

/// The pipeline file of a line of GNU parallel.
pub(super) fn parallel(line: &str) -> Result<String, Failure> {
    file(line, "parallel", parallel::carried)
}

fn file(line: &str, tool: &str, carried: fn(Placed) -> Result<Carried, String>) -> Result<String, Failure> {
    place::place(line, tool).and_then(carried).map_err(Failure::usage)?.file()
}

#[cfg(test)]
mod tests;
