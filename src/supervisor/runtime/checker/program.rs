//! A check by a program: it runs as the service does, in a session of its own, and is killed with all that it has started
//! when it ends or takes too long.

use super::course::Outcome;
use super::message::Task;
use super::tries::Tries;
use crate::config::pipeline::{Command, Invocation};
use crate::stage::Failure;
use crate::sys::process::{ProcessArgs, StartFailure, fork_program};
use crate::sys::wait::{self, Exit};
use crate::sys::{async_fd, fd};
use crate::text;
use crate::worker::Identity;
use crate::worker::service::{self, Place, ServiceEnd, ServiceStart};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe2, read};
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::task::{spawn_blocking, spawn_local, yield_now};

/// The end of what it says is kept.
const TAIL_BYTES: usize = 1024;
/// Bytes of a pipe that are read at once.
const READ_BYTES: usize = 4096;
/// Reads of a dead program's pipe: it holds no more, and what it has left behind may write for ever.
const LAST_READS: usize = 16;
/// Where the kernel does not tell of its end.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The end of what a check's program has said.
pub(super) type Tail = Rc<RefCell<Vec<u8>>>;

/// Its last line.
pub(super) fn last_line(tail: &Tail) -> Option<String> {
    let tail = tail.borrow();
    let lines = tail.split(|byte| *byte == b'\n' || *byte == b'\r');
    let line = lines.rev().find(|line| !line.trim_ascii().is_empty())?;
    Some(text::of_bytes(line.trim_ascii()))
}

/// Runs it to its end.
pub(super) async fn run(task: &Task, invocation: &Invocation, tail: &Tail, tries: &Tries) -> Outcome {
    let command = Command { invocation: invocation.clone(), success_codes: vec![0], ..task.service.clone() };
    let identity = match identity(&command).await {
        Ok(identity) => identity,
        Err(why) => return Outcome::NotMade(why),
    };
    let number = tries.next();
    let start = || start(&command, task, number, identity.as_ref());
    let program = match start()
        .map_err(|failure| failure.to_string())
        .and_then(|start| Program::start(start, number, tries).map_err(|error| error.to_string()))
    {
        Ok(program) => program,
        Err(why) => return Outcome::NotMade(why),
    };
    let exit = match program.end(tail).await {
        Ok(exit) => exit,
        Err(error) => return Outcome::NotMade(error.to_string()),
    };
    let last = last_line(tail);
    match service::end(&command, exit, program.failure(), || start().ok(), last.as_deref()) {
        ServiceEnd::Finished => Outcome::Well,
        ServiceEnd::Failed(why)
        | ServiceEnd::CannotStart(why)
        | ServiceEnd::Killed(why)
        | ServiceEnd::NotNow(why) => Outcome::Failed(of_check(why)),
    }
}

/// It is not the service that has ended.
fn of_check(why: String) -> String {
    match why.strip_prefix("it ") {
        Some(how) => format!("its command {how}"),
        None => why,
    }
}

/// A directory server may take its time, or never answer.
async fn identity(command: &Command) -> Result<Option<Identity>, String> {
    if command.user.is_none() && command.group.is_none() {
        return Ok(None);
    }
    let command = Command { user: command.user.clone(), group: command.group.clone(), ..Command::default() };
    let found = spawn_blocking(move || Identity::of(&command).map_err(|failure| failure.to_string())).await;
    found.map_err(|error| error.to_string())?
}

fn start(
    command: &Command,
    task: &Task,
    number: u64,
    identity: Option<&Identity>,
) -> Result<ServiceStart, Failure> {
    let Task { folder, worker, soft_open_files, .. } = task;
    let place = Place { folder, index: *worker, soft_open_files: *soft_open_files, identity, mark: None };
    let own = [
        ("MPRUN_STAGE", OsString::from(&task.stage)),
        ("MPRUN_WORKER", OsString::from(worker.to_string())),
        (super::VARIABLE, OsString::from(number.to_string())),
    ];
    let own = own.map(|(name, value)| (OsStr::new(name).to_owned(), value));
    service::start(command, &place, std::env::vars_os().chain(own))
}

/// A check's program. Dropped, it is killed.
struct Program<'a> {
    pid: u32,
    /// Readable once it has ended; `None`: the kernel, or a sandbox, denies that.
    watch: Option<AsyncFd<OwnedFd>>,
    output: Rc<AsyncFd<OwnedFd>>,
    /// What is left of its start.
    failure: OwnedFd,
    number: u64,
    tries: &'a Tries,
}

impl<'a> Program<'a> {
    fn start(start: ServiceStart, number: u64, tries: &'a Tries) -> io::Result<Program<'a>> {
        let ([output, theirs], [failure, failed], null) = (pipe()?, pipe()?, fd::null()?);
        let output = Rc::new(async_fd::readable(output)?);
        let args = ProcessArgs {
            arguments: &start.arguments,
            environment: &start.environment,
            descriptors: &[(null.as_fd(), 0), (theirs.as_fd(), 1), (theirs.as_fd(), 2)],
            pid_word: None,
        };
        let pid = fork_program(&start.process, &args, failed.as_fd()).map_err(io::Error::other)?;
        tries.begin(number, pid);
        let watch = wait::watch(pid).and_then(async_fd::readable).ok();
        Ok(Program { pid, watch, output, failure, number, tries })
    }

    /// Waits for its end.
    async fn end(&self, tail: &Tail) -> io::Result<Exit> {
        let (output, its_tail) = (Rc::clone(&self.output), Rc::clone(tail));
        let reader = spawn_local(async move { drop(listen(&output, &its_tail).await) });
        let exit = self.exit().await;
        reader.abort();
        let _ = (0..LAST_READS).find(|_| !take(self.output.get_ref(), tail).is_ok_and(|bytes| bytes > 0));
        exit
    }

    async fn exit(&self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = wait::child_ended(self.pid)? {
                return Ok(exit);
            }
            match &self.watch {
                Some(watch) => watch.readable().await?.clear_ready(),
                None => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    }

    fn failure(&self) -> Option<StartFailure> {
        let mut bytes = [0; StartFailure::BYTES];
        let length = read(&self.failure, &mut bytes).ok()?;
        StartFailure::decode(&bytes[..length])
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        self.tries.end(self.number);
    }
}

async fn listen(output: &AsyncFd<OwnedFd>, tail: &Tail) -> io::Result<()> {
    loop {
        let mut ready = output.readable().await?;
        match take(output.get_ref(), tail) {
            Ok(0) => return Ok(()),
            // A pipe that is never empty must not keep the other checks from their turn.
            Ok(_) => yield_now().await,
            Err(Errno::EAGAIN | Errno::EINTR) => ready.clear_ready(),
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn take(output: &OwnedFd, tail: &Tail) -> nix::Result<usize> {
    let mut bytes = [0; READ_BYTES];
    let length = read(output, &mut bytes)?;
    let mut tail = tail.borrow_mut();
    tail.extend_from_slice(&bytes[..length]);
    let before = tail.len().saturating_sub(TAIL_BYTES);
    tail.drain(..before);
    Ok(length)
}

/// Its reading end never makes us wait.
fn pipe() -> io::Result<[OwnedFd; 2]> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok([reader, writer])
}
