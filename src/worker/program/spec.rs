//! How the stage's program is started: everything that can be found out before there is an item.

use super::advice;
use super::arguments::{Arguments, ProgramItem};
use super::identity::Identity;
use super::surroundings::{self, Environment};
use crate::config::USUAL_PATH;
use crate::config::pipeline::{Command, Invocation, Stdout};
use crate::exit;
use crate::queue::Ending;
use crate::stage::{Context, Failure};
use crate::sys::process::{self, ProcessArgs, ProcessSpec, Starter};
use crate::sys::wait::Exit;
use crate::worker::context::WorkerContext;
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::io::session::{Session, StartFailure};
use crate::worker::stop::Stop;
use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

/// All that a start needs but the item.
pub(crate) struct CommandSpec {
    starter: Starter,
    arguments: Arguments,
    environment: Vec<CString>,
    null: OwnedFd,
    file: PathBuf,
    success: Vec<u8>,
    dead: Vec<u8>,
    later: Vec<u8>,
    most_processes: Option<u64>,
    stdout: Stdout,
    /// Items come on standard input.
    pub reads: bool,
}

/// Why a program was not started.
pub(crate) enum NotStarted {
    /// This item can't be handed over; others may.
    Item(ProgramError),
    /// Not now, for a reason that may pass.
    Failed(Failure),
    /// However often it is tried: what must change is outside.
    Never(Failure),
}

impl NotStarted {
    /// What follows for the worker, where no item is at hand.
    pub(super) fn stop(self, worker: &mut WorkerContext) -> Stop {
        match self {
            NotStarted::Item(error) => Stop(Ending::Failed(error.to_string())),
            NotStarted::Failed(failure) => failure.into(),
            NotStarted::Never(failure) => {
                worker.exit_code = Some(exit::CANNOT_START);
                failure.into()
            }
        }
    }
}

impl CommandSpec {
    /// Looks everything up that the command names. An error is fatal.
    /// `module`: where a program in Python finds mprun's module, behind the folders of its own environment.
    pub(super) fn new(
        command: &Command,
        context: &Context,
        has_input: bool,
        module: Option<&Path>,
    ) -> Result<CommandSpec, Failure> {
        let arguments = Arguments::new(command, context.worker);
        let folder = command.cwd.as_ref().map_or_else(|| context.folder.clone(), |cwd| context.path(cwd));
        let identity = Identity::of(command)?;
        let account = identity.as_ref().and_then(|identity| identity.account.as_ref());
        let mut environment = surroundings::environment(std::env::vars_os(), command, account)?;
        if let Some(module) = module {
            add_path(&mut environment, "PYTHONPATH", module);
        }
        let file = match &command.invocation {
            Invocation::Shell(_) => PathBuf::from("/bin/sh"),
            Invocation::Direct(_) => find(command.invocation.program(), &environment, context)?,
        };
        let process = ProcessSpec {
            file: surroundings::c_string(file.clone().into_os_string())?,
            folder: Some(surroundings::c_string(folder.into_os_string())?),
            user_ids: identity.map(|identity| identity.ids()),
            umask: command.umask,
            nice: command.nice,
            limits: surroundings::limits(&command.limits),
            soft_open_files: context.soft_open_files.filter(|_| command.limits.open_files.is_none()),
            ..ProcessSpec::default()
        };
        Ok(CommandSpec {
            starter: Starter::new(process)?,
            reads: has_input && !arguments.take_item(),
            arguments,
            environment: surroundings::entries(environment)?,
            null: crate::sys::fd::null()?,
            file,
            success: command.success_codes.clone(),
            dead: command.dead_codes.clone(),
            later: command.later_codes.0.clone(),
            most_processes: command.limits.processes,
            stdout: command.stdout,
        })
    }

    /// Whether a program with this exit ended well.
    pub(super) fn is_success(&self, exit: Exit) -> bool {
        matches!(exit, Exit::Code(code) if u8::try_from(code).is_ok_and(|code| self.success.contains(&code)))
    }

    /// What has failed, and what that means for the item.
    pub(super) fn failed(&self, error: ProgramError, stderr: Vec<String>) -> FailedAttempt {
        FailedAttempt { failure: error.item_failure(&self.success, &self.dead, &self.later), error, stderr }
    }

    /// The command as a line, with an item in it.
    pub(super) fn line(&self, item: ProgramItem<'_>) -> String {
        String::from_utf8_lossy(&self.arguments.line(item).unwrap_or_default()).into_owned()
    }

    /// Starts the program, for an item or for all of them.
    pub(super) fn start(
        &self,
        item: Option<ProgramItem<'_>>,
        program_slot: &AtomicU64,
    ) -> Result<Session, NotStarted> {
        let arguments = self
            .arguments
            .with(item.unwrap_or(ProgramItem { bytes: b"", attempt: 1, id: 0 }))
            .map_err(|why| NotStarted::Item(ProgramError::NotAnArgument(why.why())))?;
        let mut environment = self.environment.clone();
        if let Some(ProgramItem { attempt, .. }) = item {
            let entry = CString::new(format!("MPRUN_ATTEMPT={attempt}"));
            environment.push(entry.map_err(|error| NotStarted::Failed(error.into()))?);
        }
        let mut session = Session::start(self.reads, self.stdout, &self.null, |stdio| {
            self.starter.start_program(&ProcessArgs {
                arguments: &arguments,
                environment: &environment,
                descriptors: &[(stdio[0], 0), (stdio[1], 1), (stdio[2], 2)],
                pid_word: Some(program_slot),
            })
        })
        .map_err(|error| self.not_started(error, &arguments, &environment))?;
        if let Some(most) = self.most_processes {
            session.limit_processes(most);
        }
        Ok(session)
    }

    fn not_started(&self, error: StartFailure, arguments: &[CString], environment: &[CString]) -> NotStarted {
        let title = self.arguments.title();
        let error = match error {
            StartFailure::Start(error) => error,
            StartFailure::Pipe(errno) => {
                let why = format!("can't make a pipe for `{title}`: {}", errno.desc());
                return NotStarted::Failed(Failure::fatal(why));
            }
        };
        if error.errno == Errno::E2BIG
            && self.arguments.take_item()
            && !process::is_too_large(&self.arguments.fixed(), environment)
        {
            return NotStarted::Item(ProgramError::NotAnArgument("the item is too long for an argument"));
        }
        let start = advice::Start { title: &title, file: &self.file, arguments, environment };
        let failure = Failure::fatal(advice::not_started(error, &start, || self.file.exists()));
        if error.passes() { NotStarted::Failed(failure) } else { NotStarted::Never(failure) }
    }
}

/// Behind the folders that such a variable names already. An empty entry would be the current folder.
fn add_path(all: &mut Environment, name: &str, folder: &Path) {
    let value = all.entry(name.into()).or_default();
    if !value.is_empty() {
        value.push(":");
    }
    value.push(folder);
}

/// A name without a slash is looked for in the program's own PATH; others start at the pipeline file's folder.
fn find(name: &str, environment: &Environment, context: &Context) -> Result<PathBuf, Failure> {
    let name = name.replace("{worker}", &context.worker.to_string());
    if name.contains('/') {
        return Ok(context.path(name));
    }
    let path = environment.get(OsStr::new("PATH")).map_or(OsStr::new(USUAL_PATH), |path| path.as_os_str());
    let mut found = std::env::split_paths(path).map(|folder| context.path(folder).join(&name));
    found
        .find(|file| is_executable(file))
        .ok_or_else(|| Failure::fatal(format!("there is no program `{name}` in the PATH {}", path.display())))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, AccessFlags::X_OK).is_ok()
}
