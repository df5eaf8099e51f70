//! Starting a process: fork, set-up, exec, and an error pipe that says what failed.
//!
//! The caller has threads, so between fork and exec the child may only make plain system calls (async-signal-safe
//! ones): another thread may have held the allocator's lock, or any lock, at the moment of the fork. All that needs
//! memory is therefore made before the fork, and the child walks prepared tables.

use super::needs::DENIED;
use super::{close_on_exec, fd};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{ForkResult, fork, pipe2};
use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

/// What to start, and how.
pub struct Launch<'a> {
    /// The file to execute, and its arguments from number 0 on.
    pub program: &'a CStr,
    /// Argument 0 is the name by which it is called.
    pub arguments: &'a [CString],
    /// `NAME=value` each; nothing else is inherited.
    pub environment: &'a [CString],
    /// What the child gets, and under which number (below [`FIRST_FREE`]). It keeps standard input, output and error
    /// unless they are named here, and no other descriptor.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Whom it lives with.
    pub company: ProcessGroupMode,
    /// Killed when the thread that starts it dies.
    pub dies_with_parent: bool,
    /// Signals that it starts with blocked; no other one is.
    pub blocked: &'a [Signal],
}

/// Which processes a child shares its fate with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessGroupMode {
    /// A process group of its own: a signal to it reaches its children too, and a Ctrl-C doesn't reach it.
    OwnGroup,
    /// The parent's group, so that it may read the terminal; the signals of the keyboard are ignored.
    ParentsGroup,
    /// A session of its own: nothing that happens to the parent's group or terminal reaches it.
    OwnSession,
}

/// Copies of descriptors are put at or above this number, so that no fixed number of a [`Launch`] hits them.
pub const FIRST_FREE: RawFd = 64;

/// Why a process could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SpawnError {
    /// What failed.
    pub step: Step,
    /// Why.
    #[serde(with = "by_number")]
    pub errno: Errno,
}

/// An error's number is all that there is to it.
mod by_number {
    use nix::errno::Errno;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(errno: &Errno, serializer: S) -> Result<S::Ok, S::Error> {
        (*errno as i32).serialize(serializer)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Errno, D::Error> {
        i32::deserialize(deserializer).map(Errno::from_raw)
    }
}

/// What a start is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Step {
    /// Before the fork: descriptors.
    Prepare,
    /// The fork itself.
    Fork,
    /// In the child: group or session, descriptors, signals.
    SetUp,
    /// In the child: its parent is gone already.
    Orphaned,
    /// In the child: the exec.
    Exec,
}

impl SpawnError {
    /// Something that has to be there before the fork could not be made.
    pub fn preparing(error: &std::io::Error) -> SpawnError {
        // An error that didn't come from a system call has no number: EIO says "something went wrong" too.
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        SpawnError { step: Step::Prepare, errno }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Prepare => "prepare a new process",
            Step::Fork => "fork",
            Step::SetUp => "set up a new process",
            Step::Orphaned => "start a process for a dead parent",
            Step::Exec => "execute the program",
        };
        let hint = match (self.step, self.errno) {
            (_, Errno::EMFILE) => "; is `ulimit -n` less than 100?",
            (Step::Fork, Errno::EAGAIN) => {
                "; does `ulimit -u` or the cgroup's pids.max allow no more processes?"
            }
            (Step::Exec, Errno::ENOENT | Errno::ENOTDIR) => "; is /proc mounted?",
            (Step::Exec, Errno::EACCES | Errno::EPERM) => {
                "; does a sandbox or a `noexec` mount keep it from being executed?"
            }
            _ => "",
        };
        write!(f, "failed to {step}: {} ({:?}){hint}", self.errno.desc(), self.errno)?;
        let denied = hint.is_empty() && matches!(self.errno, Errno::ENOSYS | Errno::EPERM);
        if denied { write!(f, "; {DENIED}") } else { Ok(()) }
    }
}

impl std::error::Error for SpawnError {}

/// Starts a process and returns its pid once it is past its exec.
///
/// Call it from a thread that lives as long as the process: for the kernel that thread is the parent whose death
/// [`Launch::dies_with_parent`] means.
pub fn spawn(launch: &Launch<'_>) -> Result<u32, SpawnError> {
    let prepared = Prepared::new(launch).map_err(|error| SpawnError::preparing(&error))?;
    let (reader, writer) = error_pipe().map_err(|error| SpawnError::preparing(&error))?;
    let pid =
        fork_with(&prepared, writer.as_raw_fd()).map_err(|errno| SpawnError { step: Step::Fork, errno })?;
    drop(writer);
    match read_failure(reader) {
        None => Ok(pid),
        Some(error) => {
            // It reported, so it is about to `_exit`: this doesn't wait for anything else.
            let _ = super::wait::reap(pid);
            Err(error)
        }
    }
}

/// Signals are blocked around the fork: a handler that ran in the child would write into the parent's own pipes.
fn fork_with(prepared: &Prepared, failures: RawFd) -> Result<u32, Errno> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: the child calls `enter` only, which keeps to async-signal-safe calls and never returns.
    let forked = match unsafe { fork() } {
        Ok(ForkResult::Child) => unsafe { prepared.enter(failures) },
        Ok(ForkResult::Parent { child }) => Ok(child.as_raw().unsigned_abs()),
        Err(errno) => Err(errno),
    };
    before.thread_set_mask()?;
    forked
}

fn error_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    Ok((reader, fd::copy_above(&writer, FIRST_FREE)?))
}

/// The end of the pipe without a word is the success: exec closed it.
fn read_failure(reader: OwnedFd) -> Option<SpawnError> {
    let mut word = [0; FAILURE];
    File::from(reader).read_exact(&mut word).ok()?;
    let [step, errno @ ..] = word;
    let step = [Step::SetUp, Step::Orphaned, Step::Exec].into_iter().find(|known| *known as u8 == step)?;
    Some(SpawnError { step, errno: Errno::from_raw(i32::from_ne_bytes(errno)) })
}

/// Bytes of a failure on the pipe: the step, then errno.
const FAILURE: usize = 5;

/// All that the child needs, made before the fork.
struct Prepared<'a> {
    program: &'a CStr,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    descriptors: Vec<(OwnedFd, RawFd)>,
    company: ProcessGroupMode,
    dies_with_parent: bool,
    parent: i32,
    blocked: SigSet,
}

impl<'a> Prepared<'a> {
    fn new(launch: &Launch<'a>) -> io::Result<Prepared<'a>> {
        let mut descriptors = Vec::with_capacity(launch.descriptors.len());
        for (fd, number) in launch.descriptors {
            descriptors.push((fd::copy_above(fd, FIRST_FREE)?, *number));
        }
        Ok(Prepared {
            program: launch.program,
            arguments: table(launch.arguments),
            environment: table(launch.environment),
            descriptors,
            company: launch.company,
            dies_with_parent: launch.dies_with_parent,
            parent: std::process::id().cast_signed(),
            blocked: launch.blocked.iter().copied().collect(),
        })
    }

    /// The child's whole life before its exec.
    ///
    /// # Safety
    /// Only in a freshly forked child with all signals blocked. It makes no call that is not async-signal-safe, and
    /// ends in `_exit`, not `exit`: the buffers and exit handlers in this copy of the memory belong to the parent.
    unsafe fn enter(&self, failures: RawFd) -> ! {
        // SAFETY: the contract of this function; the tables were made before the fork and outlive the child.
        unsafe {
            let step = match self.set_up() {
                Err(step) => step,
                Ok(()) => {
                    libc::execve(self.program.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr());
                    Step::Exec
                }
            };
            let errno = Errno::last_raw().to_ne_bytes();
            let word: [u8; FAILURE] = [step as u8, errno[0], errno[1], errno[2], errno[3]];
            libc::write(failures, word.as_ptr().cast(), FAILURE);
            libc::_exit(127)
        }
    }

    /// # Safety
    /// As for [`Prepared::enter`].
    unsafe fn set_up(&self) -> Result<(), Step> {
        // SAFETY: the contract of this function; every pointer is to a value on this stack.
        unsafe {
            self.choose_company()?;
            if self.dies_with_parent {
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                // The parent may have died before that call: then nobody would ever kill this child.
                if libc::getppid() != self.parent {
                    return Err(Step::Orphaned);
                }
            }
            self.default_signals();
            // What the child is to get is put in place after this.
            close_on_exec::mark_from(3);
            for (copy, number) in &self.descriptors {
                check(libc::dup2(fd::number(copy), *number))?;
            }
            let blocked: *const libc::sigset_t = self.blocked.as_ref();
            check(libc::sigprocmask(libc::SIG_SETMASK, blocked, ptr::null_mut()))
        }
    }

    /// # Safety
    /// As for [`Prepared::enter`].
    unsafe fn choose_company(&self) -> Result<(), Step> {
        // SAFETY: plain system calls.
        unsafe {
            match self.company {
                ProcessGroupMode::OwnGroup => check(libc::setpgid(0, 0)),
                ProcessGroupMode::ParentsGroup => Ok(()),
                ProcessGroupMode::OwnSession => check(libc::setsid()),
            }
        }
    }

    /// exec resets handlers by itself, but not what is ignored (SIGPIPE by the Rust runtime, SIGHUP by `nohup`).
    ///
    /// # Safety
    /// As for [`Prepared::enter`].
    unsafe fn default_signals(&self) {
        for signal in 1..=64 {
            let keyboard = matches!(signal, libc::SIGINT | libc::SIGQUIT);
            let ignored = keyboard && self.company == ProcessGroupMode::ParentsGroup;
            // SAFETY: a plain system call; for KILL, STOP and the numbers that libc keeps for itself it only fails.
            unsafe { libc::signal(signal, if ignored { libc::SIG_IGN } else { libc::SIG_DFL }) };
        }
    }
}

fn check(result: i32) -> Result<(), Step> {
    if result < 0 { Err(Step::SetUp) } else { Ok(()) }
}

fn table(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|each| each.as_ptr()).chain([ptr::null()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::wait::reap;
    use std::os::fd::AsFd;

    fn launch<'a>(program: &'a CStr, arguments: &'a [CString]) -> Launch<'a> {
        Launch {
            program,
            arguments,
            environment: &[],
            descriptors: &[],
            company: ProcessGroupMode::OwnGroup,
            dies_with_parent: true,
            blocked: &[],
        }
    }

    fn words(words: &[&str]) -> Vec<CString> {
        words.iter().map(|word| CString::new(*word).unwrap()).collect()
    }

    #[test]
    fn a_failed_exec_is_told_with_its_errno_and_leaves_no_child() {
        let error = spawn(&launch(c"/no/such/program", &words(&["x"]))).unwrap_err();
        assert_eq!(error, SpawnError { step: Step::Exec, errno: Errno::ENOENT });
        let said = "failed to execute the program: No such file or directory (ENOENT); is /proc mounted?";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn a_child_has_its_own_group_the_named_descriptors_and_no_other() {
        let (reader, writer) = pipe2(nix::fcntl::OFlag::empty()).unwrap();
        let script = "echo $(ps -o pgid= -p $$) $$ >&5; for fd in /proc/self/fd/*; do printf '%s ' ${fd##*/}; done >&5";
        let arguments = words(&["sh", "-c", script]);
        let environment = words(&["PATH=/usr/bin:/bin"]);
        let descriptors = [(writer.as_fd(), 5)];
        let mut launch = launch(c"/bin/sh", &arguments);
        launch.descriptors = &descriptors;
        launch.environment = &environment;
        let pid = spawn(&launch).unwrap();
        drop(writer);
        let mut said = String::new();
        File::from(reader).read_to_string(&mut said).unwrap();
        reap(pid).unwrap();
        let (groups, open) = said.split_once('\n').unwrap();
        assert_eq!(groups, format!("{pid} {pid}"));
        let open: Vec<i32> = open.split_whitespace().map(|fd| fd.parse().unwrap()).collect();
        // The shell itself opens the folder that it lists, and keeps its own things at 10 and above.
        let folder = 3;
        assert!(open.iter().all(|fd| [0, 1, 2, folder, 5].contains(fd) || (10..20).contains(fd)), "{open:?}");
    }

    #[test]
    fn only_the_wanted_signals_are_blocked_or_ignored() {
        let (reader, writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
        let arguments = words(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
        let descriptors = [(writer.as_fd(), 1)];
        let mut launch = launch(c"/bin/grep", &arguments);
        launch.descriptors = &descriptors;
        launch.blocked = &[Signal::SIGUSR1];
        let pid = spawn(&launch).unwrap();
        drop(writer);
        let mut said = String::new();
        File::from(reader).read_to_string(&mut said).unwrap();
        reap(pid).unwrap();
        let masks = said.lines().filter_map(|line| u64::from_str_radix(line.split_once('\t')?.1, 16).ok());
        // 32 and 33 are the C library's own: it keeps them out of everybody's reach.
        let masks: Vec<u64> = masks.map(|mask| mask & !(0b11 << 31)).collect();
        assert_eq!(masks, [1 << (libc::SIGUSR1 - 1), 0], "{said}");
    }
}
