//! What can be wrong with an arena as a whole.

use std::{fmt, io, path::PathBuf};

/// Why queue memory can't be used. Nothing that happens to an item or a worker is a fault.
#[derive(Debug)]
pub enum Fault {
    /// The system refused: what was tried, and its answer.
    System(&'static str, io::Error),
    /// Not an arena.
    Foreign(String),
    /// An arena of another version of the format.
    Version {
        /// Its own.
        have: u64,
        /// This program's.
        want: u64,
    },
    /// An arena of another pipeline, which has this name or is in this file.
    OtherPipeline(String),
    /// It was in use when the machine went down.
    Torn,
    /// A file that can't be used, and what was saved of it can't take its place: why.
    Unusable(String),
    /// It is in use by others, who have it open.
    InUse,
    /// The system refused something about a file: what was tried, which, and its answer.
    File(&'static str, PathBuf, io::Error),
    /// The disk that holds it has no room for this number of bytes more.
    DiskFull(usize, io::Error),
    /// A word in the memory makes no sense: a worker wrote where it must not.
    Damaged {
        /// What the word should have been.
        what: &'static str,
        /// Its offset in the arena (0: not stored there).
        at: u64,
        /// What was found.
        value: u64,
    },
    /// All blocks of a size are taken.
    Exhausted(u64),
}

impl Fault {
    #[inline]
    pub(crate) fn damaged(what: &'static str, at: impl Into<u64>, value: u64) -> Fault {
        Fault::damaged_word(what, at.into(), value)
    }

    #[cold]
    #[inline(never)]
    fn damaged_word(what: &'static str, at: u64, value: u64) -> Fault {
        Fault::Damaged { what, at, value }
    }

    /// Whether it is for want of room on a disk: it may go well once there is some.
    pub fn is_no_room(&self) -> bool {
        matches!(self, Fault::DiskFull(..)) || matches!(self.errno(), Some(libc::ENOSPC | libc::EDQUOT))
    }

    /// The system's number for it, where it comes from there.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Fault::System(_, error) | Fault::File(_, _, error) | Fault::DiskFull(_, error) => {
                error.raw_os_error()
            }
            _ => None,
        }
    }

    pub(crate) fn system(what: &'static str) -> Fault {
        Fault::System(what, io::Error::last_os_error())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::System(what, error) => write!(f, "{what}: {error}"),
            Fault::Foreign(why) => write!(f, "not queue memory of this version of mprun: {why}"),
            Fault::Version { have, want } => {
                write!(f, "queue memory of another version of mprun: its layout is {have}, not {want}")
            }
            Fault::OtherPipeline(name) => write!(f, "queue memory of another pipeline: {name}"),
            Fault::Torn => f.write_str(
                "the machine went down while it was in use, so it is not known what of it reached the disk",
            ),
            Fault::Unusable(why) => f.write_str(why),
            Fault::File(what, path, error) => write!(f, "{what} {}: {error}", path.display()),
            Fault::InUse => f.write_str("queue memory is in use by another process"),
            Fault::DiskFull(bytes, error) => {
                write!(f, "no room on the disk for {bytes} bytes more of queue memory: {error}")
            }
            Fault::Damaged { what, at, value } => {
                write!(f, "queue memory is damaged: {what} can't be {value:#x} (at offset {at:#x})")
            }
            Fault::Exhausted(size) => write!(f, "no block of {size} bytes is left in queue memory"),
        }
    }
}

impl std::error::Error for Fault {}
