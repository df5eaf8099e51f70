//! `file`: writes each item as a line to a file.

use crate::append::{Appender, Beginning};
use crate::stage::{Context, Emitter, Failure, Item, Memory, Settings, Stage};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Lines are collected up to this size before they are written.
const BUFFER: usize = 64 * 1024;

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<ToFile, Failure> + use<> {
    with.about("Writes each item as a line to a file.");
    let path: String = with.key("path", "The file; it is created if it isn't there.").required();
    let doc = "Adds to what is in the file; otherwise it is emptied when the pipeline starts, once.";
    let append = with.key("append", doc).or(false);
    if with.is_good() && path.is_empty() {
        with.fault("path", "`path` can't be empty", None);
    }
    // Also if it isn't emptied: what was there before this run is told apart from it, once.
    with.remember(Memory::Once);
    let beginning = if append { Beginning::NewLine } else { Beginning::Empty };
    move |context| ToFile::open(context, path, beginning)
}

/// See [`build`].
pub(super) struct ToFile {
    path: PathBuf,
    file: Appender<File>,
    beginning: Beginning,
    lines: Vec<u8>,
}

impl ToFile {
    fn open(context: &Context, path: String, beginning: Beginning) -> Result<ToFile, Failure> {
        let path = context.path(path);
        // O_APPEND: also another program that appends to the file keeps what it writes.
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        match opened.and_then(|file| Appender::new(file, context.undo_log()?)) {
            Ok(file) => Ok(ToFile { path, file, beginning, lines: Vec::new() }),
            Err(error) => Err(Failure::fatal(format!("can't open `{}`: {error}", path.display()))),
        }
    }

    fn failure(&self, error: &io::Error) -> Failure {
        Failure::fatal(format!("can't write `{}`: {error}", self.path.display()))
    }
}

impl Stage for ToFile {
    fn process(&mut self, item: &Item<'_>, _out: &mut Emitter<'_>) -> Result<(), Failure> {
        self.lines.extend_from_slice(item.bytes());
        self.lines.push(b'\n');
        if self.lines.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let written = self.file.append(&self.lines);
        self.lines.clear();
        written.map_err(|error| self.failure(&error))
    }

    fn begin_run(&mut self) -> Result<(), Failure> {
        self.file.begin_run(self.beginning).map_err(|error| self.failure(&error))
    }

    fn save(&self, state: &mut Vec<u8>) {
        state.extend_from_slice(self.path.as_os_str().as_bytes());
    }
}
