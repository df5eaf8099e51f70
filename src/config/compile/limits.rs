//! Totals: what one pipeline may ask of a machine.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Report, Span};
use crate::config::elements::MAX_PROCESSES;
use crate::config::pipeline::{Queue, Stage};
use crate::queue::MAX_FAN;
use crate::stage::Registry;

/// Named queues and the hidden ones in which stages keep their position, out of the 4,096 of an arena: the rest is room
/// for a reload that replaces some while the old ones are still worked off.
const MAX_QUEUES: usize = 4000;

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

/// Reports stages with more queues than one transaction can change.
pub(super) fn check_fans(drafts: &[Draft], report: &mut Report) {
    for draft in drafts {
        for (queues, what) in [(&draft.keys.input.value, "inputs"), (&draft.keys.output.value, "outputs")] {
            if let Some(queue) = queues.get(MAX_FAN) {
                let title = format!("the stage `{}` has {} {what}", draft.name, queues.len());
                let fault = Diagnostic::error(title).at(&queue.span).label("one too many");
                report.push(fault.accepted(format!("up to {MAX_FAN}")));
            }
        }
    }
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
    let hides = |stage: &Stage| {
        let keeps = stage.work.keeps_state(registry) || stage.work.needs_spill_queue();
        usize::from(keeps) + usize::from(stage.window().is_some())
    };
    let hidden = on.iter().map(|(_, stage)| hides(stage)).sum();
    let faults = [processes(&on), hidden_queues(queues.len(), hidden, start)];
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
    let accepted = format!("up to {MAX_QUEUES} of both together in one pipeline");
    let help = "such a stage has a hidden queue of its own; split the file into several pipelines";
    let fault = Diagnostic::error(title).at(start).accepted(accepted).help(help);
    (queues + positions > MAX_QUEUES).then_some(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::Source;
    use std::sync::Arc;

    // The arena of Miri's runs is a small one.
    #[cfg(not(miri))]
    #[test]
    fn an_arena_has_room_for_the_queues_of_a_file_and_for_a_reload() {
        const { assert!(MAX_QUEUES + 64 <= crate::queue::MAX_QUEUES) };
        const { assert!(MAX_PROCESSES as usize + 64 <= crate::queue::MAX_SLOTS) };
    }

    #[test]
    fn named_and_hidden_queues_share_one_bound() {
        let source = Arc::new(Source { name: "p.toml".into(), text: String::new() });
        let start = Span::new(&source, 0..0);
        for (queues, positions) in [(4000, 0), (2000, 2000), (1, 3999)] {
            assert!(hidden_queues(queues, positions, &start).is_none());
        }
        for (queues, positions) in [(4001, 0), (2000, 2001), (4000, 1)] {
            let fault = hidden_queues(queues, positions, &start).unwrap();
            assert!(format!("{fault:?}").contains("up to 4000 of both together"), "{fault:?}");
        }
    }
}
