//! A file that is open already where it is to be settled: it may have a position that others share, and no name any more.

use super::appender::Appender;
use super::entry::FileId;
use std::fs::Metadata;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

#[derive(Clone, Copy)]
pub(crate) struct OwnFile<'a> {
    pub file: BorrowedFd<'a>,
    pub id: FileId,
    pub path: &'a Path,
}

impl<F: AsFd> Appender<F> {
    /// As who settles wants it.
    pub(crate) fn as_own<'a>(&'a self, path: &'a Path) -> OwnFile<'a> {
        OwnFile { file: self.target().as_fd(), id: self.id(), path }
    }
}

pub(super) fn id(about: &Metadata) -> FileId {
    FileId { device: about.dev(), inode: about.ino() }
}
