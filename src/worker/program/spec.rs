//! How the stage's program is started: everything that can be found out before there is an item.

use crate::config::USUAL_PATH;
use crate::config::pipeline::{Command, Invocation, Mode, ProgramLimits, Reply, Stdout, shell_line};
use crate::exit;
use crate::queue::Ending;
use crate::stage::{Context, Failure};
use crate::sys::needs::DENIED;
use crate::sys::process::{self, Limit, ProcessArgs, ProcessSpec, SpawnError, StartStep, Starter, UserIds};
use crate::sys::wait::Exit;
use crate::worker::context::WorkerContext;
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::io::session::{Session, StartFailure};
use crate::worker::stop::Stop;
use nix::errno::Errno;
use nix::sys::resource::Resource;
use nix::unistd::{AccessFlags, Gid, Group, Uid, User, access, getgrouplist};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

/// The newest version of framing "mprun" that this mprun speaks.
const HELPER_PROTOCOL_VERSION: &str = "3";

/// All that a start needs but the item.
pub(crate) struct CommandSpec {
    starter: Starter,
    arguments: Vec<Argument>,
    environment: Vec<CString>,
    null: OwnedFd,
    file: PathBuf,
    success: Vec<u8>,
    dead: Vec<u8>,
    most_processes: Option<u64>,
    stdout: Stdout,
    /// Items come on standard input.
    pub reads: bool,
}

/// An argument.
#[derive(Clone)]
enum Argument {
    /// As it is.
    Fixed(CString),
    /// Pieces between which the item stands.
    Template(Vec<Vec<u8>>),
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
        let substitutes = matches!(command.mode, Mode::Each { batch: None, .. });
        let arguments = arguments(&command.invocation, context.worker, substitutes);
        let folder = command.cwd.as_ref().map_or_else(|| context.folder.clone(), |cwd| context.path(cwd));
        let credentials = Credentials::of(command)?;
        let mut environment = environment(command, credentials.as_ref())?;
        if let Some(module) = module {
            add_path(&mut environment, "PYTHONPATH", module);
        }
        let file = match &command.invocation {
            Invocation::Shell(_) => PathBuf::from("/bin/sh"),
            Invocation::Direct(_) => find(command.invocation.title(), &environment, context)?,
        };
        let process = ProcessSpec {
            file: c_string(file.clone().into_os_string())?,
            folder: Some(c_string(folder.into_os_string())?),
            user_ids: credentials.map(|credentials| credentials.ids),
            umask: command.umask,
            nice: command.nice,
            limits: limits(&command.limits),
            soft_open_files: context.soft_open_files.filter(|_| command.limits.open_files.is_none()),
            ..ProcessSpec::default()
        };
        let takes_item = arguments.iter().any(|argument| matches!(argument, Argument::Template(_)));
        let entries = environment.into_iter().map(|(name, value)| {
            let entry = [name.as_bytes(), value.as_bytes()].join(&b'=');
            CString::new(entry).map_err(Failure::from)
        });
        Ok(CommandSpec {
            starter: Starter::new(process)?,
            arguments,
            environment: entries.collect::<Result<_, _>>()?,
            null: crate::sys::fd::null()?,
            file,
            success: command.success_codes.clone(),
            dead: command.dead_codes.clone(),
            most_processes: command.limits.processes,
            stdout: command.stdout,
            reads: has_input && !takes_item,
        })
    }

    /// Whether a program with this exit ended well.
    pub(super) fn is_success(&self, exit: Exit) -> bool {
        matches!(exit, Exit::Code(code) if u8::try_from(code).is_ok_and(|code| self.success.contains(&code)))
    }

    /// What has failed, and what that means for the item.
    pub(super) fn failed(&self, error: ProgramError, stderr: Vec<String>) -> FailedAttempt {
        FailedAttempt { failure: error.item_failure(&self.success, &self.dead), error, stderr }
    }

    /// Starts the program, for an item or for all of them.
    pub(super) fn start(
        &self,
        item: Option<(&[u8], u32)>,
        program_slot: &AtomicU64,
    ) -> Result<Session, NotStarted> {
        let bytes = item.map_or(&b""[..], |(bytes, _)| bytes);
        let arguments = self.arguments.iter().map(|argument| argument.with(bytes));
        let arguments: Vec<CString> = arguments.collect::<Option<_>>().ok_or(NotStarted::Item(
            ProgramError::NotAnArgument("the item holds a zero byte, which no argument can"),
        ))?;
        let mut environment = self.environment.clone();
        if let Some((_, attempt)) = item {
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
        let title = self.arguments.first().map_or_else(String::new, |argument| match argument {
            Argument::Fixed(argument) => argument.to_string_lossy().into_owned(),
            Argument::Template(_) => String::new(),
        });
        let error = match error {
            StartFailure::Start(error) => error,
            StartFailure::Pipe(errno) => {
                let why = format!("can't make a pipe for `{title}`: {}", errno.desc());
                return NotStarted::Failed(Failure::fatal(why));
            }
        };
        let has_item = self.arguments.iter().any(|argument| matches!(argument, Argument::Template(_)));
        if error.errno == Errno::E2BIG
            && has_item
            && !process::is_too_large(&self.fixed_arguments(), environment)
        {
            return NotStarted::Item(ProgramError::NotAnArgument("the item is too long for an argument"));
        }
        let advice = self.advice(error, arguments, environment);
        let failure = Failure::fatal(format!("can't start `{title}`: {}{advice}", error.cause()));
        if error.passes() { NotStarted::Failed(failure) } else { NotStarted::Never(failure) }
    }

    /// The arguments with nothing in the place of the item.
    fn fixed_arguments(&self) -> Vec<CString> {
        self.arguments.iter().filter_map(|argument| argument.with(b"")).collect()
    }

    /// What to do about it, where that is known.
    fn advice(&self, error: SpawnError, arguments: &[CString], environment: &[CString]) -> String {
        if error.step != StartStep::Exec {
            return advice_on(error).map_or_else(String::new, |why| format!(": {why}"));
        }
        let file = self.file.display();
        match error.errno {
            Errno::ENOEXEC => ": has it a `#!` line?".to_owned(),
            Errno::ENOENT if self.file.exists() => {
                ": it is there, so what its `#!` line names must be missing".to_owned()
            }
            Errno::ENOENT => format!(": there is no file {file}"),
            Errno::EACCES => {
                format!(": `chmod +x {file}` makes a program of it, if its folders may be entered")
            }
            Errno::E2BIG => {
                let bytes =
                    |strings: &[CString]| strings.iter().map(|each| each.count_bytes() + 1).sum::<usize>();
                let (environment, arguments) = (bytes(environment), bytes(arguments));
                let most = process::most_argument_bytes();
                format!(
                    ": {environment} bytes of environment and {arguments} of arguments, of {most} that both may have: \
                     make `env_file`, `env` or mprun's own environment smaller"
                )
            }
            _ => String::new(),
        }
    }
}

/// What only root may do, or what a sandbox denies, if that is what failed.
fn advice_on(error: SpawnError) -> Option<&'static str> {
    match error.step {
        StartStep::Folder | StartStep::Orphaned | StartStep::Exec => None,
        StartStep::Prepare
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

impl Argument {
    fn with(&self, item: &[u8]) -> Option<CString> {
        match self {
            Argument::Fixed(argument) => Some(argument.clone()),
            Argument::Template(pieces) => CString::new(pieces.join(item)).ok(),
        }
    }
}

fn arguments(invocation: &Invocation, worker: u32, substitutes: bool) -> Vec<Argument> {
    match invocation {
        Invocation::Shell(line) => {
            let mut arguments =
                ["sh", "-c", line].map(|argument| plain(argument.as_bytes().to_vec())).to_vec();
            if substitutes && shell_line::names_item(line) {
                arguments.extend([plain(b"sh".to_vec()), Argument::Template(vec![Vec::new(); 2])]);
            }
            arguments
        }
        Invocation::Direct(arguments) => {
            arguments.iter().map(|text| argument(text, worker, substitutes)).collect()
        }
    }
}

/// `{worker}` is this worker's number, `{}` the item, `{{}}` stands for `{}`.
fn argument(text: &str, worker: u32, substitutes: bool) -> Argument {
    let text = text.replace("{worker}", &worker.to_string());
    let mut pieces = vec![Vec::new()];
    let mut rest = text.as_str();
    while let Some(at) = rest.find("{}") {
        let escaped = rest[..at].ends_with('{') && rest[at + 2..].starts_with('}');
        let last = pieces.len() - 1;
        if escaped {
            pieces[last].extend_from_slice(&rest.as_bytes()[..at - 1]);
            pieces[last].extend_from_slice(b"{}");
            rest = &rest[at + 3..];
        } else {
            pieces[last].extend_from_slice(&rest.as_bytes()[..at]);
            if substitutes {
                pieces.push(Vec::new());
            } else {
                pieces[last].extend_from_slice(b"{}");
            }
            rest = &rest[at + 2..];
        }
    }
    let last = pieces.len() - 1;
    pieces[last].extend_from_slice(rest.as_bytes());
    match <[Vec<u8>; 1]>::try_from(pieces) {
        Ok([only]) => plain(only),
        Err(pieces) => Argument::Template(pieces),
    }
}

fn plain(bytes: Vec<u8>) -> Argument {
    // The pipeline file was checked for zero bytes; a cut argument would run something else.
    CString::new(bytes).map_or_else(|_| Argument::Template(vec![b"\0".to_vec()]), Argument::Fixed)
}

fn limits(limits: &ProgramLimits) -> Vec<Limit> {
    // Processes are counted by the session.
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

/// Whom a program runs as.
struct Credentials {
    ids: UserIds,
    user: Option<User>,
}

impl Credentials {
    fn of(command: &Command) -> Result<Option<Credentials>, Failure> {
        if command.user.is_none() && command.group.is_none() {
            return Ok(None);
        }
        let user = command.user.as_deref().map(find_user).transpose()?;
        let group = command.group.as_deref().map(find_group).transpose()?;
        let number = user.as_ref().map(|(uid, _)| uid.as_raw());
        let known = user.and_then(|(_, user)| user);
        let own_group = known.as_ref().map(|user| user.gid);
        let Some(group) = group.or(own_group) else {
            return Err(Failure::fatal("a user by number that has no name needs a `group` too"));
        };
        let groups = match &known {
            Some(user) => getgrouplist(&c_string(OsString::from(&user.name))?, group)?,
            None => vec![group],
        };
        let groups = groups.into_iter().map(Gid::as_raw).collect();
        Ok(Some(Credentials { ids: UserIds { user: number, group: group.as_raw(), groups }, user: known }))
    }
}

fn find_user(name: &str) -> Result<(Uid, Option<User>), Failure> {
    if let Some(user) = User::from_name(name)? {
        return Ok((user.uid, Some(user)));
    }
    let number = name.parse().map_err(|_| Failure::fatal(format!("there is no user `{name}`")))?;
    let uid = Uid::from_raw(number);
    Ok((uid, User::from_uid(uid)?))
}

fn find_group(name: &str) -> Result<Gid, Failure> {
    if let Some(group) = Group::from_name(name)? {
        return Ok(group.gid);
    }
    name.parse().map(Gid::from_raw).map_err(|_| Failure::fatal(format!("there is no group `{name}`")))
}

type Environment = BTreeMap<OsString, OsString>;

/// Mprun's own environment, then that of another user, then the file's, then the stage's: the later hold.
fn environment(command: &Command, credentials: Option<&Credentials>) -> Result<Environment, Failure> {
    let mut all: Environment = std::env::vars_os().collect();
    if let Some(user) = credentials.and_then(|credentials| credentials.user.as_ref()) {
        all.insert("HOME".into(), user.dir.clone().into());
        all.extend(["USER", "LOGNAME"].map(|name| (name.into(), (&user.name).into())));
    }
    match (&command.env_file, &command.file_variables) {
        (Some(path), None) => {
            return Err(Failure::fatal(format!("env_file {} was not read", path.display())));
        }
        (_, variables) => all.extend(variables.iter().flatten().cloned()),
    }
    all.extend(protocol_variables(command).into_iter().map(|(name, value)| (name.into(), value.into())));
    all.extend(command.env.iter().map(|(name, value)| (name.into(), value.into())));
    Ok(all)
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

fn c_string(text: OsString) -> Result<CString, Failure> {
    CString::new(text.into_vec()).map_err(|_| Failure::fatal("a zero byte in a path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_item(text: &str, item: &[u8]) -> Option<String> {
        argument(text, 3, true).with(item).map(|argument| argument.into_string().unwrap())
    }

    #[test]
    fn the_item_and_the_workers_number_stand_where_they_are_asked_for() {
        assert_eq!(with_item("{}", b"a b").unwrap(), "a b");
        assert_eq!(with_item("x{}y{}-{worker}", b"1").unwrap(), "x1y1-3");
        assert_eq!(with_item("{{}} {}", b"i").unwrap(), "{} i");
        assert_eq!(with_item("plain", b"i").unwrap(), "plain");
        assert_eq!(with_item("é{}ü{{}}{}", b"i").unwrap(), "éiü{}i");
        assert_eq!(with_item("{}", b"a\0b"), None);
        assert_eq!(argument("{} {worker}", 0, false).with(b"i").unwrap(), CString::from(c"{} 0"));
    }

    #[test]
    fn cpu_time_is_rounded_up_to_whole_seconds() {
        let given = ProgramLimits {
            cpu_time: Some(std::time::Duration::from_millis(1500)),
            ..ProgramLimits::default()
        };
        assert_eq!(limits(&given), [Limit { resource: Resource::RLIMIT_CPU, most: 2 }]);
    }
}
