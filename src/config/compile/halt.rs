//! `halt`: it counts the items of one run on one machine.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::pipeline::{Mode, Queue, Stage};

/// A queue whose counts are older than the run, or those of all machines, can't say when to halt.
pub(super) fn check(drafts: &[Draft], stages: &[Stage], queues: &[Queue], report: &mut Report) {
    for (draft, stage) in drafts.iter().zip(stages).filter(|(draft, _)| draft.off.is_none()) {
        let is_each = stage.work.command().is_some_and(|command| matches!(command.mode, Mode::Each { .. }));
        let Some(at) = draft.keys.halt.at.as_ref().filter(|_| is_each) else { continue };
        let inputs = queues.iter().filter(|queue| stage.work.inputs.contains(&queue.name));
        for queue in inputs.filter(|queue| queue.durable || queue.shared) {
            let (name, key) = (&queue.name, if queue.durable { "durable" } else { "shared" });
            let fault = Diagnostic::error("`halt` counts the items of one run on one machine").at(&at.key);
            let fault = fault.label(format!("`{name}` is `{key}`: it counts those of others, too"));
            report.push(fault.help(
                "`when_failing = \"stop\"` ends the run when different items fail one after the other",
            ));
        }
    }
}
