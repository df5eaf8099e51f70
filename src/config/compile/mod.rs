//! What the parts of a file mean to each other: the last step, from keys to a checked pipeline.

mod cautions;
mod command;
mod cycles;
mod draft;
mod limits;
mod mode;
mod queues;
mod rules;
mod wiring;
mod work;

use std::path::{Path, PathBuf};

use super::diagnostic::{Place, Report};
use super::keys::FileKeys;
use super::keys::{ControlKeys, DeadLetterKeys};
use super::machine::Places;
use super::pipeline::{Control, DeadLetters, Pipeline, Stage};
use crate::stage::Registry;
use draft::Draft;

pub use limits::MOST_PROCESSES;
use wiring::Wiring;

/// What comes from outside the file.
pub struct Selection<'a> {
    /// The pipeline's name where the file gives none.
    pub name: String,
    /// The file's folder.
    pub folder: PathBuf,
    /// The file's first character: for faults of the whole.
    pub start: Place,
    /// Only these stages; the others are as if disabled.
    pub stages: Option<&'a [String]>,
}

/// Makes the pipeline. It is good only if the report has no fault; without one there is too much of everything.
pub fn compile(
    keys: FileKeys,
    selection: Selection<'_>,
    registry: &Registry,
    report: &mut Report,
) -> Option<(Pipeline, Places)> {
    let drafts = draft::all(&keys, &selection, report);
    let wiring = Wiring::of(&drafts, keys.stages.value.lost.is_empty());
    let queues = keys.queues.value;
    let numbers = [drafts.len(), wiring.wires.len().max(queues.all.len())];
    if let Some(fault) = limits::too_many(numbers, &selection.start) {
        report.push(fault);
        return None;
    }

    let stages: Vec<Stage> = drafts.iter().map(|draft| stage(draft, registry, report)).collect();
    wiring.check(&queues, report);
    cycles::check(&drafts, &wiring, report);
    let queues = queues::compile(&queues, &wiring, report);
    cautions::programs_before_kept_queues(&drafts, &queues, report);
    limits::check(&drafts, &stages, &queues, registry, &selection.start, report);

    let control = control(&keys.control.value, &selection.folder);
    let on = drafts.iter().map(|draft| draft.off.is_none());
    let places = places(&drafts);
    let pipeline = Pipeline {
        name: keys.name.value.map_or(selection.name, |name| name.0),
        folder: selection.folder,
        stages: stages.into_iter().zip(on).filter(|(_, on)| *on).map(|(stage, _)| stage).collect(),
        queues,
        drain_timeout: keys.drain_timeout.value.0,
        control,
        metrics: keys.metrics.value.listen.value.map(|address| address.0),
        dead_letters: dead_letters(&keys.dead_letters.value),
    };
    Some((pipeline, places))
}

/// Where the file says what it needs of the machine.
fn places(drafts: &[Draft]) -> Places {
    let mut places = Places::default();
    for draft in drafts {
        let keys = &draft.keys;
        let all = [
            ("command", &keys.command.at),
            ("env_file", &keys.env_file.at),
            ("cwd", &keys.cwd.at),
            ("user", &keys.user.at),
            ("group", &keys.group.at),
            ("with", &keys.with.at),
        ];
        for (key, at) in all {
            at.iter().for_each(|at| places.note(&draft.name, key, &at.value));
        }
        if let Some(path) = keys.with.value.0.get("path") {
            places.note(&draft.name, "with", &path.value.place);
        }
    }
    places
}

fn control(keys: &ControlKeys, folder: &Path) -> Control {
    let socket = keys.socket.value.as_ref().map(|path| folder.join(&path.0));
    Control { enabled: keys.enabled.value, socket }
}

fn dead_letters(keys: &DeadLetterKeys) -> DeadLetters {
    DeadLetters { max_size: keys.max_size.value.0, when_full: keys.when_full.value }
}

fn stage(draft: &Draft, registry: &Registry, report: &mut Report) -> Stage {
    let keys = &draft.keys;
    Stage {
        name: draft.name.clone(),
        work: work::compile(draft, registry, report),
        processes: keys.processes.value.number(),
        rules: rules::rules(keys, report),
        tuning: rules::tuning(keys),
        recycle: rules::recycle(keys),
        log_file: rules::log_file(&draft.name, keys, report),
    }
}
