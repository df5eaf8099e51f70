//! Standard input itself: its name, its kind, its descriptor.

use crate::stage::Failure;
use nix::sys::stat::{SFlag, fstat};
use std::io::stdin;
use std::os::fd::{AsFd, OwnedFd};

/// What it is called in messages.
pub(super) const NAME: &str = "standard input";

pub(super) fn kind() -> Result<SFlag, Failure> {
    let about =
        fstat(stdin()).map_err(|error| Failure::fatal(format!("there is no standard input: {error}")))?;
    Ok(SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT)
}

pub(super) fn cannot_read(error: impl std::fmt::Display) -> Failure {
    Failure::fatal(format!("can't read standard input: {error}"))
}

/// A descriptor of one's own for it.
pub(super) fn duplicate() -> Result<OwnedFd, Failure> {
    stdin().as_fd().try_clone_to_owned().map_err(cannot_read)
}
