//! Standard streams that a pipeline needs, and that were closed when the program began: told at once, not by stages that
//! fail again and again.

use crate::config::Pipeline;
use crate::stage::Registry;
use crate::sys::start_streams;

/// What is missing. Whether a program will print anything nobody knows: its stage fails once it does.
pub fn missing(pipeline: &Pipeline, registry: &Registry) -> Option<String> {
    let mut built_in = pipeline.stages.iter().filter(|stage| stage.work.uses().is_some());
    built_in.find_map(|stage| {
        let reads = stage.work.reads_stdin(registry) && start_streams::is_input_closed();
        let prints = stage.work.prints(registry) && start_streams::is_output_closed();
        let (which, does) = match (reads, prints) {
            (true, _) => ("input", "reads it"),
            (false, true) => ("output", "prints there"),
            (false, false) => return None,
        };
        Some(format!("standard {which} is closed, and stage {} {does}", stage.name))
    })
}
