//! Whether a folder is this user's alone to write: another user who may write there could put a socket or queues of their
//! own in the place of ours.

use nix::unistd::Uid;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

const STICKY: u32 = 0o1000;
const WRITERS: u32 = 0o022;

/// Why a folder must not be used; `None`: it may.
pub(crate) fn refusal(found: &Metadata) -> Option<String> {
    let (mode, owner) = (found.mode(), found.uid());
    if !found.is_dir() {
        return Some("it is not a folder".to_owned());
    }
    if owner != Uid::effective().as_raw() {
        return Some(format!("it belongs to another user (uid {owner})"));
    }
    // A sticky bit keeps others from removing what is there, not from being first.
    (mode & WRITERS != 0).then(|| format!("others may write there (mode {:04o})", mode & 0o7777))
}

/// The same of the folder above such a one: there others must not be able to replace it.
pub(crate) fn refusal_above(found: &Metadata) -> Option<String> {
    let (mode, owner) = (found.mode(), found.uid());
    if owner != Uid::effective().as_raw() && owner != 0 {
        return Some(format!("it belongs to another user (uid {owner})"));
    }
    let replaceable = mode & WRITERS != 0 && mode & STICKY == 0;
    replaceable.then(|| format!("others may replace what is in it (mode {:04o})", mode & 0o7777))
}
