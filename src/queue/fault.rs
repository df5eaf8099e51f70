//! What can be wrong with an arena as a whole.

use std::{fmt, io};

/// Why queue memory can't be used. Nothing that happens to an item or a worker is a fault.
#[derive(Debug)]
pub enum Fault {
    /// The system refused: what was tried, and its answer.
    System(&'static str, io::Error),
    /// Not an arena, or one of another version.
    Foreign(String),
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
    #[cold]
    pub(super) fn damaged(what: &'static str, at: u64, value: u64) -> Fault {
        Fault::Damaged { what, at, value }
    }

    pub(super) fn system(what: &'static str) -> Fault {
        Fault::System(what, io::Error::last_os_error())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::System(what, error) => write!(f, "{what}: {error}"),
            Fault::Foreign(why) => write!(f, "not queue memory of this version of mprun: {why}"),
            Fault::Damaged { what, at, value } => {
                write!(f, "queue memory is damaged: {what} can't be {value:#x} (at offset {at:#x})")
            }
            Fault::Exhausted(size) => write!(f, "no block of {size} bytes is left in queue memory"),
        }
    }
}

impl std::error::Error for Fault {}
