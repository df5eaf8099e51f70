//! Totals: what one pipeline may ask of a machine.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Report, Span};
use crate::config::elements::{MAX_PROCESSES, show_size};
use crate::config::keys::MAX_QUEUE_BYTES;
use crate::config::pipeline::{Queue, Stage};
use crate::stage::Registry;

const MAX_QUEUES: usize = 200;
/// Named queues and the hidden ones in which stages keep their position, out of the 256 that there are: the rest
/// is room for a reload.
const MAX_QUEUES_WITH_HIDDEN: usize = 240;

/// The fault of a file with too many stages or queues to check them one by one.
pub(super) fn too_many([stages, queues]: [usize; 2], start: &Span) -> Option<Diagnostic> {
    let fault = |number: usize, what: &str, most: &dyn std::fmt::Display| {
        let fault = Diagnostic::error(format!("{number} {what} are too many")).at(start);
        Some(fault.accepted(format!("up to {most} in one pipeline")))
    };
    if stages as u64 > MAX_PROCESSES {
        return fault(stages, "stages", &MAX_PROCESSES);
    }
    if queues > MAX_QUEUES { fault(queues, "queues", &MAX_QUEUES) } else { None }
}

/// Checks the sums.
pub(super) fn check(
    drafts: &[Draft],
    stages: &[Stage],
    queues: &[Queue],
    registry: &Registry,
    start: &Span,
    report: &mut Report,
) {
    let on: Vec<_> = drafts.iter().zip(stages).filter(|(draft, _)| draft.off.is_none()).collect();
    let hides = |stage: &Stage| stage.work.keeps_state(registry) || stage.work.needs_spill_queue();
    let positions = on.iter().filter(|(_, stage)| hides(stage));
    let faults =
        [processes(&on), hidden_queues(queues.len(), positions.count(), start), bytes(queues, start)];
    faults.into_iter().flatten().for_each(|fault| report.push(fault));
}

fn processes(on: &[(&Draft, &Stage)]) -> Option<Diagnostic> {
    let sum: u64 = on.iter().map(|(_, stage)| u64::from(stage.processes)).sum();
    let (draft, _) = on.iter().max_by_key(|(_, stage)| stage.processes).filter(|_| sum > MAX_PROCESSES)?;
    let span = draft.keys.processes.at.as_ref().map_or(&draft.span, |at| &at.value);
    let fault = Diagnostic::error(format!("{sum} processes over all stages are too many")).at(span);
    Some(fault.label("the stage with the most").accepted(format!("up to {MAX_PROCESSES} in one pipeline")))
}

fn hidden_queues(queues: usize, positions: usize, start: &Span) -> Option<Diagnostic> {
    let title =
        format!("{queues} queues and {positions} stages that keep a position or answers are too many");
    let accepted = format!("up to {MAX_QUEUES_WITH_HIDDEN} of both together");
    let fault = Diagnostic::error(title).at(start).accepted(accepted);
    (queues + positions > MAX_QUEUES_WITH_HIDDEN).then_some(fault)
}

fn bytes(queues: &[Queue], start: &Span) -> Option<Diagnostic> {
    let sum: u128 = queues.iter().map(|queue| u128::from(queue.limits.max_bytes)).sum();
    let title = format!("the queues' `max_bytes` add up to more than {}", show_size(MAX_QUEUE_BYTES));
    let fault = Diagnostic::error(title).at(start).help("give some of them a smaller `max_bytes`");
    (sum > u128::from(MAX_QUEUE_BYTES)).then_some(fault)
}
