//! Where a stage at shared queues works: `machines`, and whose position the broker keeps.

use super::draft::Draft;
use super::shared::Declared;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::At;
use crate::config::pipeline::{Machines, Stage, Task};
use crate::stage::Registry;

/// Says of each stage whether the broker decides where it works, and reports where that can't be.
pub(super) fn compile(
    drafts: &[Draft],
    stages: &mut [Stage],
    declared: &Declared<'_>,
    registry: &Registry,
    report: &mut Report,
) {
    for (draft, stage) in drafts.iter().zip(stages) {
        let machines = draft.keys.machines.value;
        let is_one = machines == Machines::One;
        let has_position = keeps_position(stage, declared, registry);
        stage.placed = (has_position || is_one).then_some(machines);
        let Some(at) = draft.keys.machines.at.as_ref().filter(|_| is_one && draft.off.is_none()) else {
            continue;
        };
        if let Some(fault) = fault(draft, stage, declared, registry, at) {
            report.push(fault);
        } else if let Some(caution) = caution(stage, registry, at) {
            report.push(caution);
        }
    }
}

/// Whether the broker keeps the stage's position: all that it is the position of lies there as well.
fn keeps_position(stage: &Stage, declared: &Declared<'_>, registry: &Registry) -> bool {
    let work = &stage.work;
    let is_kept = |name: &String| declared.is_shared(name) || declared.is_lossy(name);
    work.keeps_state(registry)
        && !work.reads_stdin(registry)
        && work.inputs.iter().all(|name| declared.is_shared(name))
        && work.outputs.iter().all(is_kept)
        && work.inputs.iter().chain(&work.outputs).any(|name| declared.is_shared(name))
}

fn fault(
    draft: &Draft,
    stage: &Stage,
    declared: &Declared<'_>,
    registry: &Registry,
    at: &At,
) -> Option<Diagnostic> {
    let (name, work) = (&draft.name, &stage.work);
    let queues = || work.inputs.iter().chain(&work.outputs);
    if draft.keys.unread.may_be("input") || draft.keys.unread.may_be("output") {
        return None;
    }
    if !queues().any(|queue| declared.is_shared(queue)) {
        let fault =
            Diagnostic::error(format!("`{name}` neither reads nor writes a shared queue")).at(&at.value);
        return Some(
            fault
                .label("its machine knows of no other")
                .help("write `shared = true` into `[queues.NAME]` of its queues, or leave `machines` out"),
        );
    }
    if let Some(local) = queues().find(|queue| !declared.is_shared(queue) && !declared.is_lossy(queue)) {
        let fault =
            Diagnostic::error(format!("`{name}` moves between machines, and the queue `{local}` does not"));
        let help = format!("write `shared = true` into `[queues.{local}]`");
        return Some(fault.at(&at.value).label("what is in it stays on its machine").help(help));
    }
    let is_source = work.inputs.is_empty();
    match &work.task {
        Task::Command(_) if is_source => {
            let title = format!(
                "`{name}` is a program without input: it has no position at which another machine could continue"
            );
            let fault = Diagnostic::error(title).at(&at.value);
            Some(fault.help("run it on one machine by `--stages`"))
        }
        Task::Use { name: uses, .. } if is_source && !work.keeps_state(registry) => {
            let title = format!("`{uses}` has no position at which another machine could continue");
            Some(Diagnostic::error(title).at(&at.value).help("run it on one machine by `--stages`"))
        }
        Task::Use { name: uses, with } if registry.stays(uses, with) => {
            let title = format!("`{uses}` is about what this machine alone has");
            let fault = Diagnostic::error(title).at(&at.value);
            Some(match registry.reads_stdin(uses) {
                true => fault.help("run it on one machine by `--stages`"),
                false => fault.help(
                    "if its `path` is the same file on every machine, say so by `with = { path_is_shared = true }`; otherwise run \
                     it on the machine that has it, by `--stages`",
                ),
            })
        }
        Task::Use { .. } | Task::Command(_) => None,
    }
}

/// A machine that stood still writes on where it was, until it hears that another has taken over.
fn caution(stage: &Stage, registry: &Registry, at: &At) -> Option<Diagnostic> {
    let Task::Use { name, with } = &stage.work.task else { return None };
    registry.writes_file(name, with).then(|| {
        let title = "a machine that stood still may write into the file after another has taken over";
        let caution = Diagnostic::warning(title).at(&at.value);
        caution.help("no one can be kept from a file on shared storage; a queue or a database is safe")
    })
}
