//! A service: a program with neither input nor output, which the supervisor starts itself. What it starts it with, and
//! what its end means, is here beside the same for programs that have a worker.

use super::advice;
use super::error::exit_text;
use super::identity::Identity;
use super::surroundings::{self, Environment, c_string};
use crate::config::USUAL_PATH;
use crate::config::pipeline::{Command, Invocation};
use crate::exit;
use crate::stage::Failure;
use crate::sys::mark::RunMark;
use crate::sys::memory;
use crate::sys::process::{ProcessSpec, StartFailure};
use crate::sys::wait::{Exit, SignalNumber};
use crate::text::last_words;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::ffi::{CString, OsStr, OsString};
use std::path::{Path, PathBuf};

/// Where a service is started from.
pub(crate) struct Place<'a> {
    /// The pipeline file's folder.
    pub folder: &'a Path,
    /// Which of the stage's processes it is.
    pub index: u32,
    /// The limit of open files that programs get, if this process has another one.
    pub soft_open_files: Option<u64>,
    pub identity: Option<&'a Identity>,
    /// Of its run; `None`: it has that of this process.
    pub mark: Option<RunMark>,
}

/// All that its start needs but its standard streams.
pub(crate) struct ServiceStart {
    pub process: ProcessSpec,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
}

/// `own`: mprun's own environment. Nothing here looks at a file.
pub(crate) fn start(
    command: &Command,
    place: &Place<'_>,
    own: impl Iterator<Item = (OsString, OsString)>,
) -> Result<ServiceStart, Failure> {
    let account = place.identity.and_then(|identity| identity.account.as_ref());
    let environment = surroundings::environment(own, command, account)?;
    let mut files =
        files(command, place, &environment).into_iter().map(|file| c_string(file.into_os_string()));
    let folder = command.cwd.as_ref().map_or_else(|| place.folder.to_owned(), |cwd| place.folder.join(cwd));
    let process = ProcessSpec {
        file: files.next().transpose()?.unwrap_or_default(),
        other_files: files.collect::<Result<_, _>>()?,
        folder: Some(c_string(folder.into_os_string())?),
        user_ids: place.identity.map(Identity::ids),
        umask: command.umask,
        nice: command.nice,
        limits: surroundings::limits(&command.limits),
        soft_open_files: place.soft_open_files.filter(|_| command.limits.open_files.is_none()),
        mark: place.mark,
        oom_score: memory::raised_oom_score().and_then(|score| CString::new(score).ok()),
        ..ProcessSpec::default()
    };
    let arguments = arguments(&command.invocation, place.index).into_iter().map(CString::new);
    Ok(ServiceStart {
        process,
        arguments: arguments.collect::<Result<_, _>>().map_err(Failure::from)?,
        environment: surroundings::entries(environment)?,
    })
}

fn arguments(invocation: &Invocation, index: u32) -> Vec<String> {
    match invocation {
        Invocation::Shell(line) => ["sh", "-c", line].map(str::to_owned).to_vec(),
        Invocation::Direct(words) => words.iter().map(|word| argument(word, index)).collect(),
    }
}

/// `{worker}` is its number, `{{worker}}` stands for `{worker}`, and `{{}}` for `{}`.
fn argument(word: &str, index: u32) -> String {
    crate::text::numbered(word, index).replace("{{}}", "{}")
}

/// The files to try: a name without a slash may be in any folder of the program's own PATH.
fn files(command: &Command, place: &Place<'_>, environment: &Environment) -> Vec<PathBuf> {
    let name = match &command.invocation {
        Invocation::Shell(_) => return vec!["/bin/sh".into()],
        Invocation::Direct(_) => crate::text::numbered(command.invocation.program(), place.index),
    };
    if name.contains('/') {
        return vec![place.folder.join(name)];
    }
    let path = environment.get(OsStr::new("PATH")).map_or(OsStr::new(USUAL_PATH), OsString::as_os_str);
    std::env::split_paths(path).map(|folder| place.folder.join(folder).join(&name)).collect()
}

/// What its end means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceEnd {
    Finished,
    Failed(String),
    /// It never began, and won't at the next try.
    CannotStart(String),
    /// A signal has ended it that may have come from outside.
    Killed(String),
    /// It has said that it can't work now.
    NotNow(String),
}

/// `failure`: what its start has reported; `last`: its last line on standard error.
pub(crate) fn end(
    command: &Command,
    exit: Exit,
    failure: Option<StartFailure>,
    start: impl FnOnce() -> Option<ServiceStart>,
    last: Option<&str>,
) -> ServiceEnd {
    if let Some(failure) = failure {
        let why = not_started(command, failure, start());
        let passes = failure.error.passes();
        return if passes { ServiceEnd::Failed(why) } else { ServiceEnd::CannotStart(why) };
    }
    let last = last.map_or_else(String::new, last_words);
    let why = format!("{}{last}", exit_text(exit));
    match exit {
        Exit::Code(code) => match u8::try_from(code) {
            Ok(code) if command.success_codes.contains(&code) => ServiceEnd::Finished,
            Ok(exit::NOT_NOW) => ServiceEnd::NotNow(why),
            _ => ServiceEnd::Failed(why),
        },
        Exit::Signal(SignalNumber(signal))
            if [Signal::SIGKILL as i32, Signal::SIGTERM as i32].contains(&signal) =>
        {
            ServiceEnd::Killed(why)
        }
        Exit::Signal(_) => ServiceEnd::Failed(why),
    }
}

fn not_started(command: &Command, failure: StartFailure, start: Option<ServiceStart>) -> String {
    let title = command.invocation.title();
    let Some(start) = start else { return format!("can't start `{title}`: {}", failure.error.cause()) };
    let ServiceStart { process, arguments, environment } = &start;
    let is_searched = !process.other_files.is_empty() || !title.contains('/');
    if is_searched
        && matches!(command.invocation, Invocation::Direct(_))
        && matches!(failure.error.errno, Errno::ENOENT | Errno::EACCES | Errno::ENOTDIR)
        && failure.error.step == crate::sys::process::StartStep::Exec
        && !failure.is_there
    {
        let path = environment.iter().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH="));
        let path = path.map_or(USUAL_PATH.into(), String::from_utf8_lossy);
        return format!("there is no program `{title}` in the PATH {path}");
    }
    let file = process.file.to_string_lossy();
    let shown = match arguments.first() {
        Some(first) => first.to_string_lossy(),
        None => title.clone(),
    };
    let start = advice::Start { title: &shown, file: Path::new(&*file), arguments, environment };
    advice::not_started(failure.error, &start, || failure.is_there)
}
