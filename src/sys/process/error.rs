//! Why a process could not be started.

use crate::sys::needs::DENIED;
use nix::errno::Errno;
use std::fmt;

/// Which step failed, and why. Shown with a hint that holds for this program's own processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SpawnError {
    /// What failed.
    pub step: StartStep,
    /// Why.
    #[serde(with = "by_number")]
    pub errno: Errno,
}

/// What a start is made of. An earlier mprun that takes over knows five of them: to it the others are `SetUp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum StartStep {
    /// What has to be there before the fork.
    Prepare,
    /// Its place in queue memory.
    #[serde(rename(serialize = "Prepare"))]
    QueueMemory,
    /// The process itself.
    Fork,
    /// Its group, the signals that it blocks, its death with its parent.
    SetUp,
    /// A session of its own.
    #[serde(rename(serialize = "SetUp"))]
    Session,
    /// Its descriptors.
    #[serde(rename(serialize = "SetUp"))]
    Descriptors,
    /// `limits`.
    #[serde(rename(serialize = "SetUp"))]
    Limits,
    /// `nice`.
    #[serde(rename(serialize = "SetUp"))]
    Nice,
    /// `group`.
    #[serde(rename(serialize = "SetUp"))]
    Group,
    /// `user`.
    #[serde(rename(serialize = "SetUp"))]
    User,
    /// `cwd`.
    #[serde(rename(serialize = "SetUp"))]
    Folder,
    /// Its parent is gone already.
    Orphaned,
    /// The exec.
    Exec,
}

/// What a child that shares no memory with its parent says of a start that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StartFailure {
    /// What failed.
    pub error: SpawnError,
    /// The file to execute is there.
    pub is_there: bool,
}

impl StartFailure {
    /// Its bytes in a pipe.
    pub(crate) const BYTES: usize = 6;

    /// By the child: without an allocation.
    pub(super) fn encode(step: StartStep, errno: i32, is_there: bool) -> [u8; StartFailure::BYTES] {
        let [a, b, c, d] = errno.to_le_bytes();
        [step as u8, u8::from(is_there), a, b, c, d]
    }

    /// `None`: no child has said this.
    pub(crate) fn decode(bytes: &[u8]) -> Option<StartFailure> {
        let &[step, is_there, a, b, c, d] = bytes else { return None };
        let step = StartStep::ALL.into_iter().find(|known| *known as u8 == step)?;
        let errno = Errno::from_raw(i32::from_le_bytes([a, b, c, d]));
        Some(StartFailure { error: SpawnError { step, errno }, is_there: is_there != 0 })
    }
}

impl StartStep {
    const ALL: [StartStep; 13] = [
        StartStep::Prepare,
        StartStep::QueueMemory,
        StartStep::Fork,
        StartStep::SetUp,
        StartStep::Session,
        StartStep::Descriptors,
        StartStep::Limits,
        StartStep::Nice,
        StartStep::Group,
        StartStep::User,
        StartStep::Folder,
        StartStep::Orphaned,
        StartStep::Exec,
    ];
}

/// An error's number is all that there is to it.
mod by_number {
    use nix::errno::Errno;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(errno: &Errno, serializer: S) -> Result<S::Ok, S::Error> {
        (*errno as i32).serialize(serializer)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Errno, D::Error> {
        i32::deserialize(deserializer).map(Errno::from_raw)
    }
}

impl SpawnError {
    /// Something that has to be there before the fork could not be made.
    pub(crate) fn preparing(error: &std::io::Error) -> SpawnError {
        // An error that didn't come from a system call has no number: EIO says "something went wrong" too.
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        SpawnError { step: StartStep::Prepare, errno }
    }

    /// The disk has no room for its place in queue memory.
    pub(crate) fn no_room(error: &std::io::Error) -> SpawnError {
        SpawnError { step: StartStep::QueueMemory, ..SpawnError::preparing(error) }
    }

    /// What failed and why, without a hint.
    pub(crate) fn cause(self) -> String {
        let step = match self.step {
            StartStep::Prepare => "prepare a new process",
            StartStep::QueueMemory => "find room on the disk for a new process in the file of the queues",
            StartStep::Fork => "fork",
            StartStep::SetUp => "set up a new process",
            StartStep::Session => "begin a session",
            StartStep::Descriptors => "pass its standard input and output",
            StartStep::Limits => "set its limits",
            StartStep::Nice => "set its nice value",
            StartStep::Group => "become its group",
            StartStep::User => "become its user",
            StartStep::Folder => "go to its folder",
            StartStep::Orphaned => "start a process for a dead parent",
            StartStep::Exec => "execute the program",
        };
        format!("failed to {step}: {} ({:?})", self.errno.desc(), self.errno)
    }

    /// Whether another try may do better, though nothing is changed: for want of something that others give back.
    pub(crate) fn passes(self) -> bool {
        match self.step {
            StartStep::Orphaned | StartStep::QueueMemory => true,
            StartStep::Prepare
            | StartStep::Fork
            | StartStep::SetUp
            | StartStep::Session
            | StartStep::Descriptors => !matches!(self.errno, Errno::ENOSYS | Errno::EPERM | Errno::EACCES),
            StartStep::Limits
            | StartStep::Nice
            | StartStep::Group
            | StartStep::User
            | StartStep::Folder
            | StartStep::Exec => matches!(
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

    fn hint(self) -> &'static str {
        match (self.step, self.errno) {
            (_, Errno::EMFILE) => "; is `ulimit -n` less than 100?",
            (StartStep::Fork, Errno::EAGAIN) => {
                "; does `ulimit -u` or the cgroup's pids.max allow no more processes?"
            }
            (StartStep::Exec, Errno::ENOENT | Errno::ENOTDIR) => "; is /proc mounted?",
            (StartStep::Exec, Errno::EACCES | Errno::EPERM) => {
                "; does a sandbox or a `noexec` mount keep it from being executed?"
            }
            _ => "",
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = self.hint();
        write!(f, "{}{hint}", self.cause())?;
        let denied = hint.is_empty() && matches!(self.errno, Errno::ENOSYS | Errno::EPERM);
        if denied { write!(f, "; {DENIED}") } else { Ok(()) }
    }
}

impl std::error::Error for SpawnError {}
