//! Changes of stages.

use super::Change;
use super::command;
use super::keys::{KeyChange, Keys, unset};
use crate::config::elements::{show_duration, show_size};
use crate::config::pipeline::{Backoff, GiveUp, Recycle, Rules, Stage, Task, Tuning, Work};
use crate::logs::LogFile;

/// What is to happen to a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageDiff {
    /// A stage of this name is new.
    Added(String),
    /// The stage of this name is gone.
    Removed(String),
    /// The stage is another.
    Changed(StageChange),
}

/// What is different about a stage: at least one of its fields is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageChange {
    /// The stage.
    pub name: String,
    /// The number of workers.
    pub processes: Option<Change<u32>>,
    /// Keys that running workers and the supervisor take over as they run: rules, tuning, recycling.
    pub live: Vec<KeyChange>,
    /// Keys for which workers have to be replaced.
    pub work: Vec<KeyChange>,
}

pub fn diff(old: &[Stage], new: &[Stage]) -> Vec<StageDiff> {
    let find = |stages: &[Stage], name: &str| stages.iter().position(|stage| stage.name == name);
    let removed = old.iter().filter(|stage| find(new, &stage.name).is_none());
    let removed = removed.map(|stage| StageDiff::Removed(stage.name.clone()));
    let others = new.iter().filter_map(|stage| match find(old, &stage.name) {
        None => Some(StageDiff::Added(stage.name.clone())),
        Some(at) => change(&old[at], stage).map(StageDiff::Changed),
    });
    removed.chain(others).collect()
}

fn change(old: &Stage, new: &Stage) -> Option<StageChange> {
    let Stage { name, work, processes, rules, tuning, recycle, log_file } = old;
    let mut live = Keys::default();
    compare_tuning(&mut live, tuning, &new.tuning);
    compare_rules(&mut live, rules, &new.rules);
    compare_recycle(&mut live, recycle, &new.recycle);
    let mut work = Keys(compare_work(work, &new.work));
    work.compare("log_file", log_file, &new.log_file, shown_log_file);
    let change = StageChange {
        name: name.clone(),
        processes: Change::of(processes, &new.processes),
        live: live.0,
        work: work.0,
    };
    let is_same = change.processes.is_none() && change.live.is_empty() && change.work.is_empty();
    (!is_same).then_some(change)
}

fn compare_work(old: &Work, new: &Work) -> Vec<KeyChange> {
    let Work { task, inputs, outputs } = old;
    let queues = |names: &Vec<String>| if names.is_empty() { unset() } else { names.join(", ") };
    let mut keys = Keys::default();
    match (task, &new.task) {
        (Task::Use { name, with }, Task::Use { name: new_name, with: new_with }) => {
            keys.number("use", name, new_name);
            keys.compare("with", with, new_with, |with| serde_json::to_string(with).unwrap_or_default());
        }
        (Task::Command(old), Task::Command(new)) => command::compare(&mut keys, old, new),
        (Task::Use { .. }, Task::Command(_)) | (Task::Command(_), Task::Use { .. }) => {
            keys.compare("use or command", old, new, |work| work.title().to_owned());
        }
    }
    keys.compare("input", inputs, &new.inputs, queues);
    keys.compare("output", outputs, &new.outputs, queues);
    keys.0
}

fn compare_tuning(keys: &mut Keys, old: &Tuning, new: &Tuning) {
    let Tuning { sleep, sleep_when_full, sleep_when_empty, log_items, attempts, item_timeout } = old;
    keys.duration("sleep", sleep, &new.sleep);
    keys.optional("sleep_when_full", sleep_when_full, &new.sleep_when_full);
    keys.optional("sleep_when_empty", sleep_when_empty, &new.sleep_when_empty);
    keys.number("log_items", log_items, &new.log_items);
    keys.number("attempts", attempts, &new.attempts);
    keys.optional("item_timeout", item_timeout, &new.item_timeout);
}

fn compare_rules(keys: &mut Keys, old: &Rules, new: &Rules) {
    let Rules { restart, backoff, give_up, on_give_up, stop_timeout } = old;
    keys.choice("restart", restart, &new.restart);
    let Backoff { initial, max, reset_after } = backoff;
    keys.duration("backoff.initial", initial, &new.backoff.initial);
    keys.duration("backoff.max", max, &new.backoff.max);
    keys.duration("backoff.reset_after", reset_after, &new.backoff.reset_after);
    let GiveUp { restarts, within } = give_up;
    keys.number("give_up.restarts", restarts, &new.give_up.restarts);
    keys.duration("give_up.within", within, &new.give_up.within);
    keys.choice("on_give_up", on_give_up, &new.on_give_up);
    keys.duration("stop_timeout", stop_timeout, &new.stop_timeout);
}

fn compare_recycle(keys: &mut Keys, old: &Recycle, new: &Recycle) {
    let Recycle { items, memory, age } = old;
    let number = |number: &Option<u64>| number.map_or_else(unset, |number| number.to_string());
    let size = |size: &Option<u64>| size.map_or_else(unset, show_size);
    keys.compare("recycle.items", items, &new.items, number);
    keys.compare("recycle.memory", memory, &new.memory, size);
    keys.optional("recycle.age", age, &new.age);
}

fn shown_log_file(file: &Option<LogFile>) -> String {
    let Some(LogFile { path, max_size, max_age, keep }) = file else { return unset() };
    let age = max_age.map_or(String::new(), |age| format!(", max_age = {}", show_duration(age)));
    format!("{{ path = {}, max_size = {}{age}, keep = {keep} }}", path.display(), show_size(*max_size))
}
