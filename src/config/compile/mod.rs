//! What the parts of a file mean to each other: the last step, from keys to a checked pipeline.

mod after;
mod cautions;
mod checks;
mod command;
mod control;
mod cycles;
mod draft;
mod halt;
mod limits;
mod machines;
mod mode;
mod order;
mod queues;
mod routes;
mod rules;
mod service;
mod shared;
mod wiring;
mod work;

use super::diagnostic::Report;
use super::elements::{Fields, Part};
use super::keys::{BackoffKeys, FileKeys, RetryKeys};
use super::machine::MachineNeeds;
use super::pipeline::{Pipeline, Stage, Task};
use crate::stage::Registry;
pub(super) use draft::Selection;

use draft::{Draft, Off};
use shared::Declared;
use wiring::Wiring;

/// Makes the pipeline. It is good only if the report has no fault; without one there is too much of everything.
pub(super) fn compile(
    keys: FileKeys,
    selection: Selection<'_>,
    registry: &Registry,
    report: &mut Report,
) -> Option<(Pipeline, MachineNeeds)> {
    let mut drafts = draft::all(&keys, &selection, report);
    routes::settle(&mut drafts, registry, report);
    limits::check_fans(&drafts, report);
    let wiring = Wiring::of(&drafts, keys.stages.value.lost.is_empty());
    let mut declared = keys.queues.value;
    let numbers = [drafts.len(), wiring.wires.len().max(declared.all.len())];
    if let Some(fault) = limits::too_many(numbers, &selection.start) {
        report.push(fault);
        return None;
    }

    let mut stages: Vec<Stage> = drafts.iter_mut().map(|draft| stage(draft, registry, report)).collect();
    wiring.check(&declared, report);
    cycles::check(&drafts, &wiring, report);
    after::check(&drafts, keys.stages.value.lost.is_empty(), report);
    let queues = queues::compile(&mut declared, &wiring, report);
    order::check(&drafts, &stages, (&wiring, &queues), registry, report);
    halt::check(&drafts, &stages, &queues, report);
    let declared = Declared {
        broker: &keys.broker,
        is_lost: keys.unread.may_be("broker"),
        queues: &declared,
        folder: &selection.folder,
    };
    let broker = shared::compile(&declared, &wiring, report);
    machines::compile(&drafts, &mut stages, &declared, registry, report);
    cautions::programs_before_kept_queues(&drafts, &queues, report);
    limits::check(&drafts, &stages, &queues, registry, &selection.start, report);

    let control = control::compile(&keys.control.value, &keys.metrics.value, &selection.folder, report);
    let on = drafts.iter().map(|draft| draft.off.is_none());
    let disabled = drafts.iter().filter(|draft| draft.off == Some(Off::Disabled));
    let pipeline = Pipeline {
        name: keys.name.value.unwrap_or(selection.name),
        folder: selection.folder,
        stages: stages.into_iter().zip(on).filter(|(_, on)| *on).map(|(stage, _)| stage).collect(),
        disabled: disabled.map(|draft| draft.name.clone()).collect(),
        queues,
        drain_timeout: keys.drain_timeout.value,
        control,
        metrics: keys.metrics.value.listen.value,
        dead_letters: keys.dead_letters.value.part(),
        broker,
    };
    let mut needs = needs(&drafts, &pipeline, registry);
    if let Some(broker) = &keys.broker.value {
        let files = [("credentials_file", &broker.credentials_file.at), ("tls_ca", &broker.tls_ca.at)];
        for (key, at) in files {
            at.iter().for_each(|at| needs.note_file(key, &at.value));
        }
    }
    let control = &keys.control.value;
    for (key, at) in
        [("token_file", &control.token_file.at), ("read_token_file", &control.read_token_file.at)]
    {
        at.iter().for_each(|at| needs.note_file(key, &at.value));
    }
    Some((pipeline, needs))
}

/// What the file needs of the machine, and where it says so.
fn needs(drafts: &[Draft], pipeline: &Pipeline, registry: &Registry) -> MachineNeeds {
    let mut needs = MachineNeeds::default();
    for draft in drafts {
        for (key, at) in draft.keys.set_keys() {
            // Of a command it is the program, its first word.
            let place = if key == "command" { at.element(0) } else { &at.value };
            needs.note(&draft.name, key, place);
        }
        let with = &draft.keys.with.value;
        if let Some(path) = with.get("path").or_else(|| with.get("url")) {
            needs.note(&draft.name, "with", &path.value.span);
        }
    }
    for stage in &pipeline.stages {
        let Task::Use { name, with } = &stage.work.task else { continue };
        let folder = pipeline.folder_of(stage);
        if let Some(files) = registry.input_files(name, with) {
            needs.note_files(&stage.name, folder.join(files));
        }
        if let Some(file) = registry.written_file(&stage.name, name, with) {
            needs.note_written_file(&stage.name, folder.join(file));
        }
        if registry.needs_authorities(name, with) {
            needs.note_authorities(&stage.name);
        }
    }
    needs
}

fn stage(draft: &mut Draft, registry: &Registry, report: &mut Report) -> Stage {
    let BackoffKeys { initial, max, .. } = &mut draft.keys.backoff.value;
    rules::settle_delays(initial, max, report);
    let RetryKeys { delay, max, .. } = &mut draft.keys.retry.value;
    rules::settle_delays(delay, max, report);
    service::check(draft, report);
    cautions::time_that_never_runs(draft, report);
    let keys = &draft.keys;
    Stage {
        name: draft.name.clone(),
        folder: draft.folder.clone(),
        work: work::compile(draft, registry, report),
        processes: keys.processes.value,
        after: keys.after.value.iter().map(|stage| stage.name.clone()).collect(),
        ready: checks::ready(draft, report),
        health: checks::health(draft, report),
        rules: keys.part(),
        tuning: keys.part(),
        order: keys.part(),
        placed: None,
        recycle: keys.recycle.checked(),
        log_file: rules::log_file(&draft.name, keys, report),
    }
}
