//! `mprun status --all`.

use super::SharedPipeline;
use super::table;
use crate::cli::output::{self, Failure};
use crate::cli::table::terminal_width;
use crate::cli::target::OnePipeline;
use crate::exit;
use crate::stage::Registry;

/// Shows a run over all its machines.
pub(in crate::cli) fn run(pipeline: &OnePipeline, json: bool, registry: &Registry) -> Result<u8, Failure> {
    let whole = SharedPipeline::find(pipeline, registry)?.look_afresh()?;
    output::show(json, &whole, || table::render(&whole, terminal_width()))?;
    Ok(exit::DONE)
}
