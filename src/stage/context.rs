//! Where a stage finds itself when a worker opens it.

use crate::append::UndoLog;
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What a stage may know about its worker.
#[derive(Debug, Default)]
pub struct Context {
    /// The pipeline's name.
    pub pipeline: String,
    /// The stage's name in the pipeline file.
    pub stage: String,
    /// Which of the stage's workers this is: 0, 1, …
    pub worker: u32,
    /// The pipeline file's folder.
    pub folder: PathBuf,
    pub(crate) holding_pipe: RefCell<Option<Pipe>>,
    pub(crate) undo_log: Option<UndoLog>,
    /// The limit of open files that mprun was started with, which programs get again.
    pub(crate) soft_open_files: Option<u64>,
}

/// Both ends of a pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub reader: OwnedFd,
    pub writer: OwnedFd,
}

impl Context {
    /// A path as the pipeline file means it: relative ones start at the file's folder.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    /// The run's; outside of a run, one of its own.
    pub(crate) fn undo_log(&self) -> io::Result<UndoLog> {
        self.undo_log.clone().map_or_else(UndoLog::create, Ok)
    }
}
