//! `--report FILE`: the closing summary for programs (JSON) and for people (Markdown), with the ledger.

use super::contents::{Frame, Report};
use super::markdown;
use super::summary::Closing;
use crate::supervisor::machine::effect::Outcome;
use crate::sys::readiness;
use nix::poll::{PollFd, PollFlags};
use nix::unistd::{AccessFlags, access};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long a reader of the report may take to make room.
const READER_LIMIT: Duration = Duration::from_secs(5);

/// Where a report goes; the file's ending says how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportFile {
    path: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Markdown,
}

impl std::fmt::Display for ReportFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.display().fmt(f)
    }
}

impl FromStr for ReportFile {
    type Err = String;

    fn from_str(text: &str) -> Result<ReportFile, String> {
        let path = PathBuf::from(text);
        let format = match path.extension().and_then(|end| end.to_str()) {
            Some("json") => Format::Json,
            Some("md") => Format::Markdown,
            _ => return Err("a report is JSON or Markdown: its name ends in .json or .md".to_owned()),
        };
        // Better now than after a long run.
        match obstacle(&path) {
            None => Ok(ReportFile { path, format }),
            Some(what) => Err(what.to_owned()),
        }
    }
}

/// Writes the report: whole, or not at all.
///
/// # Errors
/// When the file can't be written; what was there before is still there then.
pub(crate) fn write(
    to: &ReportFile,
    frame: &Frame<'_>,
    outcome: &Outcome,
    closing: &Closing,
) -> io::Result<()> {
    let report = Report::new(frame, outcome, closing);
    let text = match to.format {
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        Format::Markdown => markdown::render(&report),
    };
    match fs::metadata(&to.path) {
        // `/dev/stderr`, a named pipe.
        Ok(about) if !about.is_file() => write_into(&to.path, text.as_bytes()),
        // Where a link leads: it stays one.
        Ok(_) => replace(&fs::canonicalize(&to.path)?, text.as_bytes()),
        Err(_) => replace(&to.path, text.as_bytes()),
    }
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = PathBuf::from(name);
    let written = File::create(&fresh).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()
    });
    let written = written.and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh); // the first error says more
    }
    written
}

/// Into a pipe or a device, without waiting for a reader to open it; for a slow reader it waits a while.
fn write_into(path: &Path, text: &[u8]) -> io::Result<()> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            return Err(io::Error::other("it has no reader"));
        }
        opened => opened?,
    };
    let until = Instant::now() + READER_LIMIT;
    let mut rest = text;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if Instant::now() >= until {
                    return Err(io::Error::other("its reader takes no more"));
                }
                readiness::wait_any(&mut [PollFd::new(file.as_fd(), PollFlags::POLLOUT)], Some(until))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Why a report can't be written there.
fn obstacle(path: &Path) -> Option<&'static str> {
    if path.is_dir() {
        return Some("it is a directory");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Some("its folder is not there");
    }
    // Beside a pipe or a device nothing is made.
    let replaces = fs::metadata(path).map_or(true, |about| about.is_file());
    match access(folder, AccessFlags::W_OK) {
        Err(_) if replaces => Some("its folder can't be written"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
