//! Totals: what one pipeline may ask of a machine.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Place, Report};
use crate::config::elements::show_size;
use crate::config::keys::MOST_BYTES;
use crate::config::pipeline::{Queue, Stage};
use crate::stage::Registry;

const MOST_PROCESSES: u64 = 4000;
const MOST_QUEUES: usize = 200;
/// Named queues and the hidden ones in which stages keep their position, out of the 256 that there are: the rest
/// is room for a reload.
const MOST_QUEUES_IN_ALL: usize = 240;

pub fn check(drafts: &[Draft], stages: &[Stage], queues: &[Queue], registry: &Registry, report: &mut Report) {
    let on = || drafts.iter().zip(stages).filter(|(draft, _)| draft.off.is_none());
    let processes: u64 = on().map(|(_, stage)| u64::from(stage.processes)).sum();
    if processes > MOST_PROCESSES {
        let greatest = on().max_by_key(|(_, stage)| stage.processes);
        let fault = Diagnostic::error(format!("{processes} processes over all stages are too many"));
        let fault = fault.accepted(format!("up to {MOST_PROCESSES} in one pipeline"));
        report.push(match greatest {
            Some((draft, _)) => fault.at(processes_of(draft)).label("the stage with the most"),
            None => fault,
        });
    }
    if queues.len() > MOST_QUEUES {
        let fault = Diagnostic::error(format!("{} queues are too many", queues.len()));
        report.push(fault.accepted(format!("up to {MOST_QUEUES} in one pipeline")));
    }
    let positions =
        on().filter(|(_, stage)| registry.keeps_state(&stage.work.uses, &stage.work.with)).count();
    if queues.len() <= MOST_QUEUES && queues.len() + positions > MOST_QUEUES_IN_ALL {
        let title =
            format!("{} queues and {positions} stages that keep a position are too many", queues.len());
        report
            .push(Diagnostic::error(title).accepted(format!("up to {MOST_QUEUES_IN_ALL} of both together")));
    }
    let bytes: u128 = queues.iter().map(|queue| u128::from(queue.max_bytes)).sum();
    if bytes > u128::from(MOST_BYTES) {
        let most = show_size(MOST_BYTES);
        let fault = Diagnostic::error(format!("the queues' `max_bytes` add up to more than {most}"));
        report.push(fault.help("give some of them a smaller `max_bytes`"));
    }
}

fn processes_of(draft: &Draft) -> &Place {
    draft.keys.processes.at.as_ref().map_or(&draft.place, |at| &at.value)
}
