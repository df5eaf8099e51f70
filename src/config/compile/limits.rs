//! Totals: what one pipeline may ask of a machine.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Place, Report};
use crate::config::elements::show_size;
use crate::config::keys::MAX_QUEUE_BYTES;
use crate::config::pipeline::{Queue, Stage};
use crate::stage::Registry;

/// Worker processes over all stages of a pipeline.
pub const MOST_PROCESSES: u64 = 4000;
const MOST_QUEUES: usize = 200;
/// Named queues and the hidden ones in which stages keep their position, out of the 256 that there are: the rest
/// is room for a reload.
const MOST_QUEUES_IN_ALL: usize = 240;

/// The fault of a file with so many stages or queues that checking them one by one makes no sense.
pub fn too_many([stages, queues]: [usize; 2], start: &Place) -> Option<Diagnostic> {
    let fault = |number: usize, what: &str, most: &dyn std::fmt::Display| {
        let fault = Diagnostic::error(format!("{number} {what} are too many")).at(start);
        Some(fault.accepted(format!("up to {most} in one pipeline")))
    };
    if stages as u64 > MOST_PROCESSES {
        return fault(stages, "stages", &MOST_PROCESSES);
    }
    if queues > MOST_QUEUES { fault(queues, "queues", &MOST_QUEUES) } else { None }
}

/// Checks the sums.
pub fn check(
    drafts: &[Draft],
    stages: &[Stage],
    queues: &[Queue],
    registry: &Registry,
    start: &Place,
    report: &mut Report,
) {
    let on: Vec<_> = drafts.iter().zip(stages).filter(|(draft, _)| draft.off.is_none()).collect();
    let hides = |stage: &Stage| stage.work.keeps_state(registry) || stage.work.needs_outbox();
    let positions = on.iter().filter(|(_, stage)| hides(stage));
    let faults =
        [processes(&on), hidden_queues(queues.len(), positions.count(), start), bytes(queues, start)];
    faults.into_iter().flatten().for_each(|fault| report.push(fault));
}

fn processes(on: &[(&Draft, &Stage)]) -> Option<Diagnostic> {
    let sum: u64 = on.iter().map(|(_, stage)| u64::from(stage.processes)).sum();
    let (draft, _) = on.iter().max_by_key(|(_, stage)| stage.processes).filter(|_| sum > MOST_PROCESSES)?;
    let place = draft.keys.processes.at.as_ref().map_or(&draft.place, |at| &at.value);
    let fault = Diagnostic::error(format!("{sum} processes over all stages are too many")).at(place);
    Some(fault.label("the stage with the most").accepted(format!("up to {MOST_PROCESSES} in one pipeline")))
}

fn hidden_queues(queues: usize, positions: usize, start: &Place) -> Option<Diagnostic> {
    let title =
        format!("{queues} queues and {positions} stages that keep a position or answers are too many");
    let accepted = format!("up to {MOST_QUEUES_IN_ALL} of both together");
    let fault = Diagnostic::error(title).at(start).accepted(accepted);
    (queues + positions > MOST_QUEUES_IN_ALL).then_some(fault)
}

fn bytes(queues: &[Queue], start: &Place) -> Option<Diagnostic> {
    let sum: u128 = queues.iter().map(|queue| u128::from(queue.limits.max_bytes)).sum();
    let title = format!("the queues' `max_bytes` add up to more than {}", show_size(MAX_QUEUE_BYTES));
    let fault = Diagnostic::error(title).at(start).help("give some of them a smaller `max_bytes`");
    (sum > u128::from(MAX_QUEUE_BYTES)).then_some(fault)
}
