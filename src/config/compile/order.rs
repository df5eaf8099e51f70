//! `order = "input"`: which stages can keep the order of their input.

use super::draft::Draft;
use super::wiring::Wiring;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::At;
use crate::config::pipeline::{Mode, Queue, Stage, WhenFull};
use crate::stage::Registry;

pub(super) fn check(
    drafts: &[Draft],
    stages: &[Stage],
    (wiring, queues): (&Wiring, &[Queue]),
    registry: &Registry,
    report: &mut Report,
) {
    for (draft, stage) in drafts.iter().zip(stages).filter(|(draft, _)| draft.off.is_none()) {
        match (&draft.keys.order.at, stage.order.order) {
            (Some(at), Some(_)) => {
                let fault = fault(draft, stage, registry, at)
                    .or_else(|| fault_of_input(draft, stage, (wiring, queues), at))
                    .or_else(|| fault_of_outputs(stage, queues, at));
                fault.into_iter().for_each(|fault| report.push(fault));
            }
            _ => without_order(draft, report),
        }
    }
}

fn without_order(draft: &Draft, report: &mut Report) {
    if let Some(at) = &draft.keys.order_window.at
        && !draft.keys.unread.may_be("order")
    {
        let fault = Diagnostic::error("`order_window` goes with `order`").at(&at.key);
        report.push(fault.help("without `order = \"input\"` no finished item waits for another"));
    }
}

/// What the stage is.
fn fault(draft: &Draft, stage: &Stage, registry: &Registry, at: &At) -> Option<Diagnostic> {
    let name = &draft.name;
    let keys = &draft.keys;
    if stage.work.inputs.is_empty() && !keys.unread.may_be("input") {
        let fault = Diagnostic::error(format!("the stage `{name}` has no `input`")).at(&at.value);
        return Some(fault.label("there is no order to keep"));
    }
    if stage.work.outputs.is_empty() && !keys.unread.may_be("output") {
        let fault = Diagnostic::error(format!("the stage `{name}` has no `output`")).at(&at.value);
        let fault = fault.label("the order is that in a queue");
        let help = format!(
            "write `output = \"{name}-done\"`; a stage with one process that reads it, such as `command = \"cat\"`, prints in \
             order"
        );
        return Some(fault.help(help));
    }
    if stage.work.keeps_state(registry) {
        let title = format!("`{}` keeps a state", stage.work.title());
        let fault = Diagnostic::error(title).at(&at.value);
        return Some(fault.help("its processes take turns: leave `order` out"));
    }
    let is_stream = stage.work.command().is_some_and(|command| command.mode == Mode::Stream);
    if is_stream && stage.processes > 1 {
        let title = "several processes with mode = \"stream\" have no order to keep";
        let fault = Diagnostic::error(title).at(&at.value);
        let fault = match &keys.processes.at {
            Some(processes) => fault.also(&processes.value, "the processes"),
            None => fault,
        };
        let help = "what such a program writes belongs to no one item: use mode = \"reply\" or \"each\", or one process";
        return Some(fault.help(help));
    }
    None
}

/// What the queue is that it reads.
fn fault_of_input(
    draft: &Draft,
    stage: &Stage,
    (wiring, queues): (&Wiring, &[Queue]),
    at: &At,
) -> Option<Diagnostic> {
    let name = &draft.name;
    let [input] = &stage.work.inputs[..] else {
        let title = format!("the stage `{name}` has {} inputs", stage.work.inputs.len());
        let fault =
            Diagnostic::error(title).at(&at.value).label("there is an order in each, but none of all");
        return Some(fault.help("let the stages before it write one queue"));
    };
    let readers = wiring.get(input).map_or(&[][..], |wire| &wire.readers);
    if let Some(other) = readers.iter().find(|end| end.off.is_none() && end.stage_name != *name) {
        let title = format!("the stage `{}` reads `{input}` as well", other.stage_name);
        let fault = Diagnostic::error(title).at(&at.value).also(&other.span, "here");
        return Some(fault.help("each of the two takes some of the items: one alone can't keep their order"));
    }
    let shared = queues.iter().find(|queue| queue.name == *input && queue.shared);
    if shared.is_some() {
        let title = format!("`{input}` is shared");
        let fault = Diagnostic::error(title).at(&at.value).label("other machines take some of its items");
        return Some(fault.help("keep the order behind a queue of one machine"));
    }
    let drops = |queue: &&Queue| queue.name == *input && queue.limits.when_full == WhenFull::DropOld;
    queues.iter().find(drops).map(|_| {
        let title = format!("`{input}` drops items that wait (when_full = \"drop-old\")");
        let fault = Diagnostic::error(title).at(&at.value).label("an item that never comes has no place");
        fault.help("use when_full = \"block\" or \"drop-new\"")
    })
}

/// What the queues are that it writes.
fn fault_of_outputs(stage: &Stage, queues: &[Queue], at: &At) -> Option<Diagnostic> {
    let is_shared = |name: &&String| queues.iter().any(|queue| queue.name == **name && queue.shared);
    stage.work.outputs.iter().find(is_shared).map(|name| {
        let title = format!("`{name}` is shared");
        let fault = Diagnostic::error(title)
            .at(&at.value)
            .label("no output waits for another on the way to a broker");
        fault.help("keep the order in a queue of this machine, which a stage with one process passes on")
    })
}
