//! A file of an earlier version becomes one of this version, with the same queues.
//!
//! | killed, or the disk is full … | left behind | what the next start does |
//! |---|---|---|
//! | before the rename | the old file, unchanged, and `queues.new`, of no use | does it again |
//! | after it | the new file, whole, on the disk, not in use | continues with it |
//! | after it, and the machine goes down before the folder is synced | the one or the other | one of the above |

use super::{disk, fresh, image, usage, version6};
use crate::queue::arena::{fault::Fault, identity::Identity};
use std::{fs, os::fd::OwnedFd, path::Path};

/// The version that can be migrated.
pub(super) const OLDER: u64 = version6::VERSION;

/// Puts a file of this version in the place of the locked one.
///
/// # Errors
/// `Fault::Foreign` and `Fault::Torn`: the old one can't be trusted. `Fault::OtherPipeline`. With what the system refuses
/// the old one is still there.
pub(super) fn migrate(fd: &OwnedFd, path: &Path, owner: &Identity) -> Result<(), Fault> {
    let found = version6::owner(fd)?;
    if !found.is(owner) {
        return Err(Fault::OtherPipeline(found.name()));
    }
    let left = version6::read(fd, usage::boot()).map_err(untrusted)?;
    let new = disk::beside(path, fresh::NEW);
    let made = image::read(&left.image)
        .map_err(Fault::Foreign)
        .and_then(|image| fresh::make(&new, &left.owner, &image, Some(left.user)))
        .map_err(untrusted);
    if made.is_err() {
        let _ = fs::remove_file(&new); // on a full disk the half of it would take the room of others
    }
    made?;
    disk::rename(&new, path)
        .map_err(|error| Fault::File("failed to put the new file in the place of", path.to_owned(), error))
}

/// A wrong word in the old file: as a file it is no good.
fn untrusted(fault: Fault) -> Fault {
    match fault {
        Fault::Damaged { .. } => Fault::Foreign(fault.to_string()),
        other => other,
    }
}
