//! Starting a user's program, many times and fast: its three descriptors, a session of its own, privileges, limits.
//!
//! The child is made by `clone(CLONE_VM | CLONE_VFORK)`, as `posix_spawn` does it: no page table is copied, and the
//! parent rests until the exec. Unlike with `posix_spawn` the child can do anything that a plain system call does:
//! drop privileges, set limits, ask to die with its parent. What fails there is left in a word of the parent's memory,
//! which the child shares, so no error pipe is needed.

mod child;
mod orphans;
mod running;
mod stack;

pub use orphans::adopt_orphans;
pub use running::{Running, sweep};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use stack::Stack;
use std::ffi::{CString, c_char};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicU64;

/// What to start, and as whom: the same for every start.
#[derive(Clone, Debug, Default)]
pub struct ProcessSpec {
    /// The file to execute.
    pub file: CString,
    /// Where it runs.
    pub folder: CString,
    /// Whom it runs as; `None`: as this process.
    pub identity: Option<Identity>,
    /// The bits that its new files don't get.
    pub umask: Option<u32>,
    /// How far it steps back for others, -20 to 19.
    pub nice: Option<i32>,
    /// What it may use.
    pub limits: Vec<Limit>,
    /// Its soft limit of descriptors, if that is not this process's.
    pub soft_open_files: Option<u64>,
}

/// A user, as the kernel knows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User number; `None`: stays.
    pub user: Option<u32>,
    /// Group number.
    pub group: u32,
    /// All other groups.
    pub groups: Vec<u32>,
}

/// A bound on a resource, soft and hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which one.
    pub resource: Resource,
    /// How much.
    pub most: u64,
}

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of address space.
    Memory,
    /// Descriptors.
    OpenFiles,
    /// Seconds of computing.
    CpuTime,
}

/// One start: what differs from time to time.
pub struct Start<'a> {
    /// From number 0 on.
    pub arguments: &'a [CString],
    /// `NAME=value` each; nothing is inherited.
    pub environment: &'a [CString],
    /// Standard input, output and error. It gets no other descriptor.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Gets the pid before anything of the program runs: whoever shares this word finds the group to kill, also when
    /// this process dies at any moment.
    pub note: Option<&'a AtomicU64>,
}

/// Why a program could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartError {
    /// What failed.
    pub step: Step,
    /// Why.
    pub errno: Errno,
}

/// What a start is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// The process itself.
    Clone = 1,
    /// A session of its own.
    Session,
    /// Its descriptors.
    Descriptors,
    /// `limits`.
    Limits,
    /// `nice`.
    Nice,
    /// `group`.
    Group,
    /// `user`.
    User,
    /// `cwd`.
    Folder,
    /// Its parent is gone already.
    Orphaned,
    /// The exec.
    Exec,
}

const STEPS: [Step; 10] = [
    Step::Clone,
    Step::Session,
    Step::Descriptors,
    Step::Limits,
    Step::Nice,
    Step::Group,
    Step::User,
    Step::Folder,
    Step::Orphaned,
    Step::Exec,
];

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Clone => "fork",
            Step::Session => "begin a session",
            Step::Descriptors => "pass its standard input and output",
            Step::Limits => "set its limits",
            Step::Nice => "set its nice value",
            Step::Group => "become its group",
            Step::User => "become its user",
            Step::Folder => "go to its folder",
            Step::Orphaned => "start a program for a dead worker",
            Step::Exec => "execute it",
        };
        write!(f, "failed to {step}: {} ({:?})", self.errno.desc(), self.errno)
    }
}

impl std::error::Error for StartError {}

impl StartError {
    /// Whether another try may do better, though nothing is changed: for want of something that others give back.
    pub fn passes(self) -> bool {
        match self.step {
            Step::Orphaned => true,
            Step::Clone | Step::Session | Step::Descriptors => {
                !matches!(self.errno, Errno::ENOSYS | Errno::EPERM | Errno::EACCES)
            }
            Step::Limits | Step::Nice | Step::Group | Step::User | Step::Folder | Step::Exec => matches!(
                self.errno,
                Errno::EAGAIN
                    | Errno::EINTR
                    | Errno::ENOMEM
                    | Errno::EMFILE
                    | Errno::ENFILE
                    | Errno::ETXTBSY
                    | Errno::EIO
                    | Errno::ESTALE
                    | Errno::ETIMEDOUT
            ),
        }
    }
}

/// Bytes of one argument or variable, its end included: the kernel's MAX_ARG_STRLEN of 32 pages.
const LONGEST_STRING: usize = 32 * 4096;

/// The kernel's bound on all of them, whatever the stack may be: three quarters of 8 MiB.
const MOST_STRINGS: usize = 6 << 20;

/// Bytes that all arguments and variables of a program may have together, as far as this process knows.
pub fn most_argument_bytes() -> usize {
    let most = nix::unistd::sysconf(nix::unistd::SysconfVar::ARG_MAX).ok().flatten();
    most.and_then(|most| usize::try_from(most).ok()).unwrap_or(LONGEST_STRING).min(MOST_STRINGS)
}

/// Whether an exec with these would fail for their size, at the least.
pub fn is_too_much(arguments: &[CString], environment: &[CString]) -> bool {
    // Each string costs its end and a pointer; the file's name and the kernel's own entries need some room, too.
    const RESERVE: usize = 8192;
    let size = |string: &CString| string.count_bytes() + 1;
    let all = || arguments.iter().chain(environment);
    let sum: usize = all().map(|string| size(string) + size_of::<*const c_char>()).sum();
    all().any(|string| size(string) > LONGEST_STRING) || sum + RESERVE > most_argument_bytes()
}

/// Starts programs. It belongs to the thread that made it: for the kernel that thread is the parent with which a
/// program dies.
pub struct Starter {
    blueprint: ProcessSpec,
    stack: Stack,
    /// Signals that this process ignores, and a program must not.
    ignored: Vec<i32>,
}

impl Starter {
    /// Prepares what all starts share.
    pub fn new(blueprint: ProcessSpec) -> io::Result<Starter> {
        Ok(Starter { blueprint, stack: Stack::new()?, ignored: ignored_signals() })
    }

    /// Starts the program; returns once it is past its exec.
    pub fn start(&self, start: &Start<'_>) -> Result<Running, StartError> {
        let arguments = table(start.arguments);
        let environment = table(start.environment);
        let stdio = start.stdio.map(|fd| fd.as_raw_fd());
        let failure = child::Failure::default();
        let orders = child::Orders {
            blueprint: &self.blueprint,
            ignored: &self.ignored,
            arguments: &arguments,
            environment: &environment,
            stdio,
            parent: std::process::id().cast_signed(),
            note: start.note,
            failure: &failure,
        };
        let running = self.clone_child(&orders)?;
        match failure.take() {
            None => Ok(running),
            Some(error) => {
                // It is past its `_exit`, so this waits for nothing.
                let _ = running.reap();
                Err(error)
            }
        }
    }

    fn clone_child(&self, orders: &child::Orders<'_>) -> Result<Running, StartError> {
        let failed = |errno| StartError { step: Step::Clone, errno };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        let mut pidfd: RawFd = -1;
        // A handler must not run in the child: it would change this process's memory.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(failed)?;
        // SAFETY: the stack is this starter's own and idle, since CLONE_VFORK holds this thread until the child has left
        // it; the orders outlive the child's use of them for the same reason; `enter` keeps to what such a child may do.
        let pid = unsafe {
            let orders: *const child::Orders<'_> = orders;
            libc::clone(child::enter, self.stack.top(), flags, orders.cast_mut().cast(), &raw mut pidfd)
        };
        let errno = Errno::last();
        if pid > 0 {
            // Before any signal gets through: the program may be dead already, and is nobody's orphan.
            orphans::spare(pid.unsigned_abs());
        }
        before.thread_set_mask().map_err(failed)?;
        if pid < 0 {
            return Err(failed(errno));
        }
        // SAFETY: the kernel has made this descriptor for us, and nothing else knows of it.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Running::new(pid.unsigned_abs(), pidfd))
    }
}

fn table(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|each| each.as_ptr()).chain([ptr::null()]).collect()
}

/// exec resets handlers by itself, but not what is ignored (SIGPIPE by the Rust runtime, SIGHUP by `nohup`).
fn ignored_signals() -> Vec<i32> {
    let is_ignored = |signal: &i32| {
        // SAFETY: all zeroes is a valid sigaction; the call only fills it in.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(*signal, ptr::null(), &raw mut action) == 0
                && action.sa_sigaction == libc::SIG_IGN
        }
    };
    (1..=64).filter(is_ignored).collect()
}

#[cfg(test)]
mod tests;
