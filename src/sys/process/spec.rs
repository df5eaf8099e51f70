//! What to start, and how.

use crate::sys::mark::RunMark;
use nix::sys::resource::Resource;
use nix::sys::signal::Signal;
use std::ffi::CString;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::AtomicU64;

/// What to start, and how: the same for every start.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProcessSpec {
    /// The file to execute.
    pub file: CString,
    /// Files to try in its place, in this order, where it is no program: the other folders of a search path.
    pub other_files: Vec<CString>,
    /// The processes that signals reach together with it.
    pub group: ProcessGroupMode,
    /// It outlives the thread that starts it; otherwise it is killed when that thread dies.
    pub outlives_parent: bool,
    /// Signals that it starts with blocked. No other signal is.
    pub blocked: Vec<Signal>,
    /// Its working directory; `None`: this process's.
    pub folder: Option<CString>,
    /// The user that it runs as; `None`: this process's.
    pub user_ids: Option<UserIds>,
    /// The bits that its new files don't get.
    pub umask: Option<u32>,
    /// Its nice value, -20 to 19.
    pub nice: Option<i32>,
    /// What it may use.
    pub limits: Vec<Limit>,
    /// Its soft limit of descriptors, if that is not this process's.
    pub soft_open_files: Option<u64>,
    /// The run that it and its descendants are marked as parts of.
    pub mark: Option<RunMark>,
    /// The score by which the kernel chooses whom to kill where memory runs out, if that is not this process's.
    pub oom_score: Option<CString>,
}

impl ProcessSpec {
    /// This very program once more.
    pub(crate) fn this_program(group: ProcessGroupMode) -> ProcessSpec {
        ProcessSpec { file: c"/proc/self/exe".into(), group, ..ProcessSpec::default() }
    }
}

/// Which processes a child shares its signals with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ProcessGroupMode {
    /// A process group of its own: a signal to it reaches its children too, and a Ctrl-C doesn't reach it.
    OwnGroup,
    /// The parent's group, so that it may read the terminal; the signals of the keyboard are ignored.
    ParentsGroup,
    /// A session of its own: it can't stop on the parent's terminal, and no signal to the parent's group reaches it.
    #[default]
    OwnSession,
}

/// A user, as the kernel knows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserIds {
    /// User number; `None`: stays.
    pub user: Option<u32>,
    /// Group number.
    pub group: u32,
    /// All other groups.
    pub groups: Vec<u32>,
}

/// A bound on a resource, soft and hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Which one.
    pub resource: Resource,
    /// How much, in the kernel's unit: bytes, descriptors, seconds.
    pub most: u64,
}

/// What differs from one start to the next.
pub(crate) struct ProcessArgs<'a> {
    /// From number 0 on.
    pub arguments: &'a [CString],
    /// `NAME=value` each; nothing is inherited.
    pub environment: &'a [CString],
    /// What the child gets, and under which number (below [`FIRST_FREE`]). It keeps standard input, output and error
    /// unless they are named here, and no other descriptor.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Gets the pid before anything of the program runs: a process that shares this word finds the group to kill, also
    /// when this process dies at any moment.
    pub pid_word: Option<&'a AtomicU64>,
}

/// Copies of descriptors are put at or above this number, so that no fixed number of [`ProcessArgs`] hits them.
pub(crate) const FIRST_FREE: RawFd = 64;
