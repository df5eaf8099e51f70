//! Room for the supervisor's own descriptors, made sure of before anything is begun: later, what can't be opened would be
//! one failure here and another there.

use crate::config::Pipeline;
use crate::stage::Registry;
use crate::sys::open_files;
use crate::sys::process::FIRST_FREE;

/// Beside those below [`FIRST_FREE`]: the copies that a start of a worker makes, and some connections.
const OWN_DESCRIPTORS: u64 = 36;
/// Of each stage that reads standard input: both ends of its holding pipe.
const HOLDING_PIPE_ENDS: u64 = 2;

/// Raises the limit as far as it goes. Workers are processes and have their own.
pub fn make_room(pipeline: &Pipeline, registry: &Registry) -> Result<(), String> {
    let Ok(most) = open_files::raise() else { return Ok(()) };
    let needed = needed(pipeline, registry);
    if most >= needed {
        return Ok(());
    }
    Err(format!(
        "the limit of open files (`ulimit -n`) is {most}, and this pipeline needs {needed}: `ulimit -n {needed}` raises it where that is \
         allowed, and `LimitNOFILE={needed}` in a unit of systemd"
    ))
}

fn needed(pipeline: &Pipeline, registry: &Registry) -> u64 {
    let readers = pipeline.stages.iter().filter(|stage| stage.work.reads_stdin(registry)).count() as u64;
    u64::from(FIRST_FREE.unsigned_abs()) + OWN_DESCRIPTORS + HOLDING_PIPE_ENDS * readers
}
