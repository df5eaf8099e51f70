//! A command stage: its keys, and what they mean to each other.

use super::draft::Draft;
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::elements::{At, ModeWord};
use crate::config::keys::StageKeys;
use crate::config::pipeline::{self, Command, Framing, Mode, ProgramLimits};
use std::path::PathBuf;

/// Queues that one stage with answers can read: one place is its own (see [`pipeline::Work::needs_outbox`]).
const MOST_INPUTS: usize = 15;

/// The checked command of a stage that has one.
pub fn compile(draft: &Draft, report: &mut Report) -> Option<Command> {
    let keys = &draft.keys;
    let invocation = keys.command.value.as_ref()?.0.clone();
    check_mode(draft, report);
    check_arguments(&invocation, keys, report);
    let framing = keys.framing.value.unwrap_or(Framing::Lines);
    let limits = &keys.limits.value;
    Some(Command {
        invocation,
        mode: mode(keys),
        in_framing: keys.in_framing.value.unwrap_or(framing),
        out_framing: keys.out_framing.value.unwrap_or(framing),
        success_codes: keys.success_codes.value.0.clone(),
        env: keys.env.value.0.clone(),
        env_file: keys.env_file.value.as_ref().map(|path| PathBuf::from(&path.0)),
        cwd: keys.cwd.value.as_ref().map(|path| PathBuf::from(&path.0)),
        user: keys.user.value.as_ref().map(|name| name.0.clone()),
        group: keys.group.value.as_ref().map(|name| name.0.clone()),
        umask: keys.umask.value.map(|mask| mask.0),
        nice: keys.nice.value.map(|nice| nice.0),
        limits: ProgramLimits {
            memory: limits.memory.value.map(|size| size.0),
            open_files: limits.open_files.value.map(|count| count.0),
            cpu_time: limits.cpu_time.value.map(|period| period.0),
        },
    })
}

fn mode(keys: &StageKeys) -> Mode {
    match keys.mode.value {
        ModeWord::Stream => Mode::Stream,
        ModeWord::Reply => Mode::Reply(keys.reply.value),
        ModeWord::Each => Mode::Each {
            collect: keys.collect.value,
            // It fits: the element allows no more than a thousand.
            batch: keys.batch.value.and_then(|batch| u32::try_from(batch.0).ok()),
        },
    }
}

/// Keys of a program in a stage that has none.
pub fn check_absent(draft: &Draft, report: &mut Report) {
    for (key, at) in &draft.own_program_keys {
        let fault = Diagnostic::error(format!("`{key}` is for a stage with a `command`")).at(&at.key);
        report.push(fault.help("the built-ins run inside of mprun: what they can be told stands in `with`"));
    }
}

fn check_mode(draft: &Draft, report: &mut Report) {
    let keys = &draft.keys;
    let mode = keys.mode.value;
    belongs(&keys.reply.at, "reply", "reply", mode == ModeWord::Reply, report);
    belongs(&keys.collect.at, "collect", "each", mode == ModeWord::Each, report);
    belongs(&keys.batch.at, "batch", "each", mode == ModeWord::Each, report);
    if mode != ModeWord::Stream
        && let Some(at) = &keys.mode.at
        && keys.input.value.0.is_empty()
        && !keys.strays.may_be("input")
    {
        let fault = Diagnostic::error(format!("the stage `{}` has no `input`", draft.name)).at(&at.value);
        let fault = fault.label("this mode is about items that come in");
        report.push(fault.help("a source is a `command` with mode = \"stream\""));
    }
    if mode != ModeWord::Stream
        && let Some(at) = keys.input.at.as_ref().filter(|_| keys.input.value.0.len() > MOST_INPUTS)
    {
        let fault = Diagnostic::error("too many queues to read").at(&at.value);
        report.push(fault.accepted(format!("up to {MOST_INPUTS} in this mode")));
    }
    if mode == ModeWord::Each && keys.batch.value.is_none() {
        check_whole_input(draft, report);
    }
}

fn check_whole_input(draft: &Draft, report: &mut Report) {
    // Only where the stage itself says so: a default for all stages is meant for those that it fits.
    if let Some((_, at)) = draft.own_program_keys.iter().find(|(key, _)| *key == "in_framing") {
        let fault = Diagnostic::error("`in_framing` has nothing to tell apart here").at(&at.key);
        report.push(fault.help("without `batch` the program's whole standard input is the item, as it is"));
    }
}

fn belongs(at: &Option<At>, key: &str, mode: &str, does: bool, report: &mut Report) {
    if let Some(at) = at.as_ref().filter(|_| !does) {
        report.push(Diagnostic::error(format!("`{key}` goes with mode = \"{mode}\"")).at(&at.key));
    }
}

/// `{}` stands for an item: only where there is one.
fn check_arguments(invocation: &pipeline::Invocation, keys: &StageKeys, report: &mut Report) {
    let (pipeline::Invocation::Direct(words), Some(at)) = (invocation, &keys.command.at) else { return };
    if !words.iter().any(|word| takes_item(word)) {
        return;
    }
    let escaped = "for `{}` as it is, write `{{}}`";
    if keys.mode.value != ModeWord::Each {
        let fault = Diagnostic::error("`{}` goes with mode = \"each\": here no one item is at hand");
        report.push(fault.at(&at.value).help(escaped));
    } else if let Some(batch) = &keys.batch.at {
        let fault = Diagnostic::error("`{}` is one item, but `batch` hands over many at once").at(&at.value);
        report.push(fault.also(&batch.key, "on standard input").help(escaped));
    }
}

/// Whether a word has a place for the item.
fn takes_item(word: &str) -> bool {
    word.replace("{{}}", "").contains("{}")
}
