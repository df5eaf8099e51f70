//! Changes of stages.

use super::change::{KeyChange, ValueChange};
use super::with;
use crate::config::elements::{Compared, Element, EnvFiles, Invocation, Part, show_duration, show_size};
use crate::config::env_file::Variables;
use crate::config::keys::{RecycleKeys, StageKeys};
use crate::config::pipeline::{
    Check, Collect, Command, Framing, Health, JobLog, Machines, Mode, OutputOrder, Reply, Resume, Route,
    Rules, Stage, Stdout, Task, Tuning, Work,
};
use crate::logs::LogFile;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

/// Names of changed variables that a plan shows.
const SHOWN_VARIABLES: usize = 5;

/// What is different about a stage: at least one of its fields is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageChange {
    /// The number of workers.
    pub processes: Option<ValueChange<u32>>,
    /// Keys that running workers and the supervisor take over as they run: rules and tuning.
    pub live: Vec<KeyChange>,
    /// Keys for which workers have to be replaced: they read these once, at their start.
    pub replaced: Vec<KeyChange>,
}

pub(super) fn compare(old: &Stage, new: &Stage) -> Option<StageChange> {
    let Stage {
        name: _,
        folder,
        work,
        processes,
        after,
        ready,
        health,
        rules,
        tuning,
        order,
        placed,
        recycle,
        log_file,
    } = old;
    let (mut live, mut replaced) = (Vec::new(), Vec::new());
    live.extend(KeyChange::between("after", after, &new.after, |names| shown_names(names)));
    live.extend(KeyChange::between("ready", ready, &new.ready, shown_ready));
    live.extend(KeyChange::between("health", health, &new.health, shown_health));
    <StageKeys as Part<Tuning>>::compare_part("", tuning, &new.tuning, &mut live);
    <StageKeys as Part<OutputOrder>>::compare_part("", order, &new.order, &mut live);
    <StageKeys as Part<Rules>>::compare_part("", rules, &new.rules, &mut live);
    replaced.extend(KeyChange::between("folder", folder, &new.folder, shown_folder));
    compare_work(work, &new.work, &mut replaced);
    replaced.extend(KeyChange::between("log_file", log_file, &new.log_file, shown_log_file));
    replaced.extend(KeyChange::between("machines", placed, &new.placed, shown_machines));
    RecycleKeys::compare("recycle", recycle, &new.recycle, &mut replaced);
    let processes = ValueChange::of(processes, &new.processes);
    let is_same = processes.is_none() && live.is_empty() && replaced.is_empty();
    (!is_same).then_some(StageChange { processes, live, replaced })
}

/// Without the key, where it says nothing else than its default.
fn shown_machines(placed: &Option<Machines>) -> String {
    Machines::shown(&placed.unwrap_or_default())
}

fn compare_work(old: &Work, new: &Work, keys: &mut Vec<KeyChange>) {
    let Work { task, inputs, outputs: _, apart: _, routes } = old;
    match (task, &new.task) {
        (Task::Use { name, with }, Task::Use { name: new_name, with: new_with }) => {
            keys.extend(KeyChange::between("use", name, new_name, String::clone));
            keys.extend(with::compare(with, new_with));
        }
        (Task::Command(old), Task::Command(new)) => compare_command(old, new, keys),
        (Task::Use { .. }, Task::Command(_)) | (Task::Command(_), Task::Use { .. }) => {
            keys.extend(KeyChange::between("use or command", old, new, |work| work.title().into_owned()));
        }
    }
    keys.extend(KeyChange::between("input", inputs, &new.inputs, |names| shown_names(names)));
    let shown = |names: &&[String]| shown_names(names);
    keys.extend(KeyChange::between("output", &old.main_outputs(), &new.main_outputs(), shown));
    keys.extend(KeyChange::between("routes", routes, &new.routes, |rules| shown_routes(rules)));
}

/// Notes every key of a command whose value changed.
fn compare_command(old: &Command, new: &Command, keys: &mut Vec<KeyChange>) {
    Invocation::compare("command", &old.invocation, &new.invocation, keys);
    keys.extend(KeyChange::between("mode", &old.mode, &new.mode, shown_mode));
    Framing::compare("in_framing", &old.in_framing, &new.in_framing, keys);
    Framing::compare("out_framing", &old.out_framing, &new.out_framing, keys);
    keys.extend(KeyChange::between("joblog", &old.joblog, &new.joblog, shown_job_log));
    Stdout::compare("stdout", &old.stdout, &new.stdout, keys);
    keys.extend(env_file((&old.env_file, &old.file_variables), (&new.env_file, &new.file_variables)));
    <StageKeys as Part<Command>>::compare_part("", old, new, keys);
}

type EnvFile<'a> = (&'a Vec<PathBuf>, &'a Option<Variables>);

/// The files' names and what they say are one thing to the user. Values of variables are not shown: they may be secrets.
fn env_file(old: EnvFile<'_>, new: EnvFile<'_>) -> Option<KeyChange> {
    let variables =
        |file: EnvFile<'_>| -> BTreeMap<OsString, OsString> { file.1.iter().flatten().cloned().collect() };
    let (before, after) = (variables(old), variables(new));
    let all: BTreeSet<&OsString> = before.keys().chain(after.keys()).collect();
    let mut changed = all.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let mut names: Vec<String> =
        changed.by_ref().take(SHOWN_VARIABLES).map(|name| name.to_string_lossy().into_owned()).collect();
    names.extend(changed.next().map(|_| "…".to_owned()));
    if names.is_empty() {
        names.push("the order of its variables".to_owned());
    }
    let shown = |file: EnvFile<'_>| EnvFiles::shown(file.0);
    (old != new).then(|| KeyChange {
        key: "env_file".to_owned(),
        change: ValueChange { old: shown(old), new: shown(new) },
        within: (old.0 == new.0).then(|| names.join(", ")),
    })
}

fn shown_mode(mode: &Mode) -> String {
    match mode {
        Mode::Stream => "stream".to_owned(),
        Mode::Reply(Reply::One) => "reply".to_owned(),
        Mode::Reply(Reply::UntilEmpty) => "reply (until-empty)".to_owned(),
        Mode::Reply(Reply::Protocol) => "reply (mprun)".to_owned(),
        Mode::Each { collect, batch } => {
            let batch = batch.map_or(String::new(), |batch| format!(", batch = {batch}"));
            format!("each ({}{batch})", Collect::shown(collect))
        }
    }
}

fn shown_job_log(log: &Option<JobLog>) -> String {
    let Some(JobLog { path, resume }) = log else { return "unset".to_owned() };
    let resume = resume.map_or_else(String::new, |resume| format!(", resume = {}", Resume::shown(&resume)));
    format!("{{ path = {}{resume} }}", path.display())
}

fn shown_routes(rules: &[Route]) -> String {
    let rule = |Route { when, to }: &Route| {
        let when = when
            .as_ref()
            .map_or_else(String::new, |when| format!("when = '{}', ", crate::text::one_line(when)));
        format!("{{ {when}to = \"{}\" }}", to.as_deref().unwrap_or("drop"))
    };
    match rules {
        [] => "unset".to_owned(),
        rules => rules.iter().map(rule).collect::<Vec<_>>().join(", "),
    }
}

fn shown_names(names: &[String]) -> String {
    if names.is_empty() { "unset".to_owned() } else { names.join(", ") }
}

fn shown_ready(ready: &Option<Check>) -> String {
    ready.as_ref().map_or_else(|| "unset".to_owned(), shown_check)
}

fn shown_health(health: &Option<Health>) -> String {
    let shown = |health: &Health| format!("{}, {} failures", shown_check(&health.check), health.failures);
    health.as_ref().map_or_else(|| "unset".to_owned(), shown)
}

fn shown_check(check: &Check) -> String {
    let Check { probe, every, timeout } = check;
    format!("{probe}, every {}, timeout {}", show_duration(*every), show_duration(*timeout))
}

fn shown_folder(folder: &Option<PathBuf>) -> String {
    folder.as_ref().map_or_else(|| "the pipeline's".to_owned(), |folder| folder.display().to_string())
}

fn shown_log_file(file: &Option<LogFile>) -> String {
    let Some(LogFile { path, max_size, max_age, keep }) = file else { return "unset".to_owned() };
    let age = max_age.map_or(String::new(), |age| format!(", max_age = {}", show_duration(age)));
    format!("{{ path = {}, max_size = {}{age}, keep = {keep} }}", path.display(), show_size(*max_size))
}
