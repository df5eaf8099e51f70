//! What to say of a program that could not be started, and what to do about it.

use crate::sys::needs::DENIED;
use crate::sys::process::{self, SpawnError, StartStep};
use nix::errno::Errno;
use std::ffi::CString;
use std::path::Path;

/// A start that failed.
pub(crate) struct Start<'a> {
    /// What the program is called in its command.
    pub title: &'a str,
    pub file: &'a Path,
    pub arguments: &'a [CString],
    pub environment: &'a [CString],
}

/// What is said of it. `is_there`: whether its file is.
pub(crate) fn not_started(error: SpawnError, start: &Start<'_>, is_there: impl FnOnce() -> bool) -> String {
    let advice = advice(error, start, is_there);
    format!("can't start `{}`: {}{advice}", start.title, error.cause())
}

/// What to do about it, where that is known.
fn advice(error: SpawnError, start: &Start<'_>, is_there: impl FnOnce() -> bool) -> String {
    if error.step != StartStep::Exec {
        return advice_on(error).map_or_else(String::new, |why| format!(": {why}"));
    }
    let file = start.file.display();
    match error.errno {
        Errno::ENOEXEC => ": has it a `#!` line?".to_owned(),
        Errno::ENOENT if is_there() => {
            ": it is there, so what its `#!` line names must be missing".to_owned()
        }
        Errno::ENOENT => format!(": there is no file {file}"),
        Errno::EACCES => {
            format!(": `chmod +x {file}` makes a program of it, if its folders may be entered")
        }
        Errno::E2BIG => {
            let bytes =
                |strings: &[CString]| strings.iter().map(|each| each.count_bytes() + 1).sum::<usize>();
            let (environment, arguments) = (bytes(start.environment), bytes(start.arguments));
            let most = process::most_argument_bytes();
            format!(
                ": {environment} bytes of environment and {arguments} of arguments, of {most} that both may have: \
                 make `env_file`, `env` or mprun's own environment smaller"
            )
        }
        _ => String::new(),
    }
}

/// What only root may do, or what a sandbox denies, if that is what failed.
fn advice_on(error: SpawnError) -> Option<&'static str> {
    match error.step {
        StartStep::Folder | StartStep::Orphaned | StartStep::Exec => None,
        StartStep::Prepare
        | StartStep::QueueMemory
        | StartStep::Fork
        | StartStep::SetUp
        | StartStep::Session
        | StartStep::Descriptors => (!error.passes()).then_some(DENIED),
        _ if !matches!(error.errno, Errno::EPERM | Errno::EACCES) => None,
        StartStep::Nice => Some("only root may put a program before others"),
        StartStep::Limits => Some("only root may allow more than mprun itself has"),
        StartStep::Group | StartStep::User => Some("only root may start programs as somebody else"),
    }
}
