//! Changes of a command.

use super::keys::{Keys, unset};
use crate::config::elements::{show_duration, show_size};
use crate::config::pipeline::{Command, Invocation, ProgramLimits};
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
    keys.compare("env_file", env_file, &new.env_file, optional(|path: &PathBuf| path.display().to_string()));
    keys.compare("cwd", cwd, &new.cwd, optional(|path: &PathBuf| path.display().to_string()));
    keys.compare("user", user, &new.user, optional(String::clone));
    keys.compare("group", group, &new.group, optional(String::clone));
    keys.compare("umask", umask, &new.umask, optional(|mask: &u32| format!("{mask:03o}")));
    keys.compare("nice", nice, &new.nice, optional(i32::to_string));
    let ProgramLimits { memory, open_files, cpu_time } = limits;
    keys.compare("limits.memory", memory, &new.limits.memory, optional(|bytes: &u64| show_size(*bytes)));
    keys.compare("limits.open_files", open_files, &new.limits.open_files, optional(u64::to_string));
    keys.compare(
        "limits.cpu_time",
        cpu_time,
        &new.limits.cpu_time,
        optional(|time: &std::time::Duration| show_duration(*time)),
    );
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
