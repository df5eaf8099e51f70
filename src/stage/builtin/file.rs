//! `file`: writes each item as a line to a file.

use crate::stage::{Context, Emitter, Failure, Item, Memory, Settings, Stage};
use std::fs::{File, OpenOptions};
use std::io::Write;
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
    if !append {
        with.remember(Memory::Once);
    }
    move |context| ToFile::open(context.path(path))
}

/// See [`build`].
pub(super) struct ToFile {
    path: PathBuf,
    file: File,
    lines: Vec<u8>,
}

impl ToFile {
    fn open(path: PathBuf) -> Result<ToFile, Failure> {
        // O_APPEND: the kernel keeps the writes of several workers apart.
        match OpenOptions::new().create(true).append(true).open(&path) {
            Ok(file) => Ok(ToFile { path, file, lines: Vec::new() }),
            Err(error) => Err(Failure::fatal(format!("can't open `{}`: {error}", path.display()))),
        }
    }

    fn failure(&self, error: &std::io::Error) -> Failure {
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
        // Whole lines in one write, so that they stay whole whoever else appends to the file.
        let written = self.file.write_all(&self.lines);
        self.lines.clear();
        written.map_err(|error| self.failure(&error))
    }

    fn begin_run(&mut self) -> Result<(), Failure> {
        // A pipe or a device has nothing to empty.
        match self.file.metadata() {
            Ok(about) if about.is_file() => self.file.set_len(0).map_err(|error| self.failure(&error)),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn save(&self, state: &mut Vec<u8>) {
        state.extend_from_slice(self.path.as_os_str().as_bytes());
    }
}
