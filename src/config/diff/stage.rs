//! Changes of stages.

use super::{KeyChange, ValueChange, command};
use crate::config::elements::{Compared, Part, show_duration, show_size};
use crate::config::keys::{RecycleKeys, StageKeys};
use crate::config::pipeline::{Rules, Stage, Task, Tuning, Work};
use crate::logs::LogFile;

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

pub fn compare(old: &Stage, new: &Stage) -> Option<StageChange> {
    let Stage { name: _, work, processes, rules, tuning, recycle, log_file } = old;
    let (mut live, mut replaced) = (Vec::new(), Vec::new());
    <StageKeys as Part<Tuning>>::compare_part("", tuning, &new.tuning, &mut live);
    <StageKeys as Part<Rules>>::compare_part("", rules, &new.rules, &mut live);
    compare_work(work, &new.work, &mut replaced);
    replaced.extend(KeyChange::between("log_file", log_file, &new.log_file, shown_log_file));
    RecycleKeys::compare("recycle", recycle, &new.recycle, &mut replaced);
    let processes = ValueChange::of(processes, &new.processes);
    let is_same = processes.is_none() && live.is_empty() && replaced.is_empty();
    (!is_same).then_some(StageChange { processes, live, replaced })
}

fn compare_work(old: &Work, new: &Work, keys: &mut Vec<KeyChange>) {
    let Work { task, inputs, outputs } = old;
    match (task, &new.task) {
        (Task::Use { name, with }, Task::Use { name: new_name, with: new_with }) => {
            keys.extend(KeyChange::between("use", name, new_name, String::clone));
            let show = |with: &_| serde_json::to_string(with).unwrap_or_default();
            keys.extend(KeyChange::between("with", with, new_with, show));
        }
        (Task::Command(old), Task::Command(new)) => command::compare(old, new, keys),
        (Task::Use { .. }, Task::Command(_)) | (Task::Command(_), Task::Use { .. }) => {
            keys.extend(KeyChange::between("use or command", old, new, |work| work.title().to_owned()));
        }
    }
    let queues = |names: &Vec<String>| if names.is_empty() { "unset".to_owned() } else { names.join(", ") };
    keys.extend(KeyChange::between("input", inputs, &new.inputs, queues));
    keys.extend(KeyChange::between("output", outputs, &new.outputs, queues));
}

fn shown_log_file(file: &Option<LogFile>) -> String {
    let Some(LogFile { path, max_size, max_age, keep }) = file else { return "unset".to_owned() };
    let age = max_age.map_or(String::new(), |age| format!(", max_age = {}", show_duration(age)));
    format!("{{ path = {}, max_size = {}{age}, keep = {keep} }}", path.display(), show_size(*max_size))
}
