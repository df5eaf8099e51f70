//! Changes of a command.

use super::Change;
use super::keys::{KeyChange, Keys, unset};
use crate::config::elements::{show_duration, show_size};
use crate::config::env_file::Variables;
use crate::config::pipeline::{Command, Invocation, ProgramLimits};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

/// Notes every key of a command whose value changed.
pub fn compare(keys: &mut Keys, old: &Command, new: &Command) {
    let Command {
        invocation,
        mode,
        in_framing,
        out_framing,
        success_codes,
        env,
        env_file,
        file_variables,
        cwd,
        user,
        group,
        umask,
        nice,
        limits,
    } = old;
    keys.compare("command", invocation, &new.invocation, shown);
    keys.compare("mode", mode, &new.mode, |mode| format!("{mode:?}").to_lowercase());
    keys.choice("in_framing", in_framing, &new.in_framing);
    keys.choice("out_framing", out_framing, &new.out_framing);
    keys.compare("success_codes", success_codes, &new.success_codes, |codes| format!("{codes:?}"));
    // Not the values: they may be secrets.
    keys.compare("env", env, &new.env, |env| format!("{} variables", env.len()));
    compare_env_file(keys, (env_file, file_variables), (&new.env_file, &new.file_variables));
    keys.compare("cwd", cwd, &new.cwd, optional(|path: &PathBuf| path.display().to_string()));
    keys.compare("user", user, &new.user, optional(String::clone));
    keys.compare("group", group, &new.group, optional(String::clone));
    keys.compare("umask", umask, &new.umask, optional(|mask: &u32| format!("{mask:03o}")));
    keys.compare("nice", nice, &new.nice, optional(i32::to_string));
    let ProgramLimits { memory, processes, open_files, cpu_time } = limits;
    keys.compare("limits.memory", memory, &new.limits.memory, optional(|bytes: &u64| show_size(*bytes)));
    keys.compare("limits.processes", processes, &new.limits.processes, optional(u64::to_string));
    keys.compare("limits.open_files", open_files, &new.limits.open_files, optional(u64::to_string));
    keys.compare(
        "limits.cpu_time",
        cpu_time,
        &new.limits.cpu_time,
        optional(|time: &std::time::Duration| show_duration(*time)),
    );
}

/// The file's name and what it says are one thing to the user. Of variables only the names are told: they may be secrets.
fn compare_env_file(
    keys: &mut Keys,
    old: (&Option<PathBuf>, &Option<Variables>),
    new: (&Option<PathBuf>, &Option<Variables>),
) {
    const TOLD: usize = 5;
    let name = |path: &Option<PathBuf>| path.as_ref().map_or_else(unset, |path| path.display().to_string());
    let map = |variables: &Option<Variables>| -> BTreeMap<OsString, OsString> {
        variables.iter().flatten().cloned().collect()
    };
    let (before, after) = (map(old.1), map(new.1));
    let all: BTreeSet<&OsString> = before.keys().chain(after.keys()).collect();
    let mut changed = all.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let mut names: Vec<String> =
        changed.by_ref().take(TOLD).map(|name| name.to_string_lossy().into_owned()).collect();
    names.extend(changed.next().map(|_| "…".to_owned()));
    if names.is_empty() {
        names.push("the order of its variables".to_owned());
    }
    if old != new {
        let change = Change { old: name(old.0), new: name(new.0) };
        let within = (old.0 == new.0).then(|| names.join(", "));
        keys.0.push(KeyChange { key: "env_file", change, within });
    }
}

fn shown(invocation: &Invocation) -> String {
    match invocation {
        Invocation::Direct(words) => words.join(" "),
        Invocation::Shell(line) => line.clone(),
    }
}

fn optional<T>(show: impl Fn(&T) -> String) -> impl Fn(&Option<T>) -> String {
    move |value| value.as_ref().map_or_else(unset, &show)
}
