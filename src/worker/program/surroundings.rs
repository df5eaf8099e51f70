//! What a program finds around it: its environment and its limits.

use super::identity::Account;
use crate::config::pipeline::{Command, Mode, ProgramLimits, Reply};
use crate::stage::Failure;
use crate::sys::process::Limit;
use nix::sys::resource::Resource;
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The newest version of framing "mprun" that this mprun speaks.
const HELPER_PROTOCOL_VERSION: &str = "3";

pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// Mprun's own environment, then that of another user, then the file's, then the stage's: the later hold.
pub(crate) fn environment(
    own: impl Iterator<Item = (OsString, OsString)>,
    command: &Command,
    account: Option<&Account>,
) -> Result<Environment, Failure> {
    let mut all: Environment = own.collect();
    if let Some(account) = account {
        all.insert("HOME".into(), account.home.clone().into());
        all.extend(["USER", "LOGNAME"].map(|name| (name.into(), (&account.name).into())));
    }
    match (command.env_file.first(), &command.file_variables) {
        (Some(path), None) => {
            return Err(Failure::fatal(format!("env_file {} was not read", path.display())));
        }
        (_, variables) => all.extend(variables.iter().flatten().cloned()),
    }
    all.extend(protocol_variables(command).into_iter().map(|(name, value)| (name.into(), value.into())));
    all.extend(command.env.iter().map(|(name, value)| (name.into(), value.into())));
    Ok(all)
}

/// `NAME=value` of each.
pub(crate) fn entries(environment: Environment) -> Result<Vec<CString>, Failure> {
    let entries = environment.into_iter().map(|(name, value)| {
        let entry = [name.as_bytes(), value.as_bytes()].join(&b'=');
        CString::new(entry).map_err(Failure::from)
    });
    entries.collect()
}

/// How items meet the program: a library in it can then do as the pipeline file says.
fn protocol_variables(command: &Command) -> Vec<(&'static str, &'static str)> {
    let framings = vec![
        ("MPRUN_IN_FRAMING", command.in_framing.word()),
        ("MPRUN_OUT_FRAMING", command.out_framing.word()),
    ];
    let answers = |argument| {
        // Python buffers the lines that it writes to a pipe: then its first answer would never come.
        [framings.clone(), vec![("MPRUN_REPLY", argument), ("PYTHONUNBUFFERED", "1")]].concat()
    };
    match command.mode {
        Mode::Reply(Reply::One) => answers("one"),
        Mode::Reply(Reply::UntilEmpty) => answers("until-empty"),
        Mode::Reply(Reply::Protocol) => {
            vec![("MPRUN_FRAMING", "mprun"), ("MPRUN_PROTOCOL", HELPER_PROTOCOL_VERSION)]
        }
        Mode::Stream | Mode::Each { .. } => framings,
    }
}

pub(crate) fn limits(limits: &ProgramLimits) -> Vec<Limit> {
    // Processes are counted by who has started it.
    let ProgramLimits { memory, processes: _, open_files, cpu_time } = limits;
    // Whole seconds: a limit of 1.5 s must not become one of 1 s.
    let seconds = cpu_time.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let all = [
        (Resource::RLIMIT_AS, *memory),
        (Resource::RLIMIT_NOFILE, *open_files),
        (Resource::RLIMIT_CPU, seconds),
    ];
    all.into_iter().filter_map(|(resource, most)| Some(Limit { resource, most: most? })).collect()
}

pub(crate) fn c_string(text: OsString) -> Result<CString, Failure> {
    CString::new(text.into_vec()).map_err(|_| Failure::fatal("a zero byte in a path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_rounded_up_to_whole_seconds() {
        let given = ProgramLimits {
            cpu_time: Some(std::time::Duration::from_millis(1500)),
            ..ProgramLimits::default()
        };
        assert_eq!(limits(&given), [Limit { resource: Resource::RLIMIT_CPU, most: 2 }]);
    }
}
