//! `--report FILE`: the closing summary for programs (JSON) and for people (Markdown), with the ledger.

mod markdown;

use super::action::{Outcome, StageTotals};
use super::summary::Closing;
use crate::queue::QueueCounts;
use crate::status::{Histogram, Times};
use crate::sys::readiness;
use nix::poll::{PollFd, PollFlags};
use nix::unistd::{AccessFlags, access};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

/// How long a reader of the report may take to make room.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a report goes; the file's ending says how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
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
        match trouble(&path) {
            None => Ok(ReportFile { path, format }),
            Some(what) => Err(what.to_owned()),
        }
    }
}

/// When a run was, and what it was of.
pub struct Frame<'a> {
    pub pipeline: &'a str,
    pub file: &'a Path,
    pub started: SystemTime,
    pub took: Duration,
}

/// The whole run.
#[derive(Debug, Serialize)]
struct Report {
    pipeline: String,
    file: String,
    version: &'static str,
    /// `done`, `stopped` or `failed`.
    outcome: &'static str,
    /// Why it was stopped.
    cause: Option<String>,
    exit_code: u8,
    started: String,
    ended: String,
    seconds: f64,
    stages: Vec<Stage>,
    queues: Vec<Queue>,
    /// Whether every item of every queue is accounted for.
    adds_up: bool,
    dead_letters: u64,
    /// What was too long to become an item: letters that no queue's ledger knows.
    too_long: u64,
    dead_letter_file: String,
}

#[derive(Debug, Serialize)]
struct Stage {
    name: String,
    /// Items leased; one that went back and was leased again counts twice. Null for a source, which takes none.
    taken: Option<u64>,
    /// Leases that ended well: over all readers of a queue as many as the queue's ledger says. Null for a source.
    done: Option<u64>,
    /// Items that became dead letters.
    dead: u64,
    /// What was too long to become an item.
    too_long: u64,
    emitted: u64,
    restarts: u64,
    /// How its workers spent their time, in seconds.
    seconds: Times,
    item_seconds: Histogram,
    mean_item_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Queue {
    name: String,
    put: u64,
    done: u64,
    waiting: u64,
    leased: u64,
    dropped: u64,
    dead: u64,
    adds_up: bool,
}

impl Report {
    fn new(frame: &Frame<'_>, outcome: &Outcome, closing: &Closing) -> Report {
        let time = |time| humantime::format_rfc3339_millis(time).to_string();
        let queues: Vec<Queue> = closing.queues.iter().map(|(name, counts)| queue(name, counts)).collect();
        Report {
            pipeline: frame.pipeline.to_owned(),
            file: frame.file.display().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            outcome: match (outcome.failed, &outcome.stopped) {
                (true, _) => "failed",
                (false, Some(_)) => "stopped",
                (false, None) => "done",
            },
            cause: outcome.stopped.as_ref().map(ToString::to_string),
            exit_code: closing.exit_code(outcome),
            started: time(frame.started),
            ended: time(frame.started + frame.took),
            seconds: frame.took.as_secs_f64(),
            stages: outcome.stages.iter().map(stage).collect(),
            adds_up: queues.iter().all(|queue| queue.adds_up),
            queues,
            dead_letters: closing.dead(),
            too_long: closing.too_long,
            dead_letter_file: closing.dead_letters.display().to_string(),
        }
    }
}

fn stage(totals: &StageTotals) -> Stage {
    Stage {
        name: totals.name.clone(),
        taken: (!totals.is_source).then_some(totals.counts.taken),
        done: (!totals.is_source).then_some(totals.counts.done),
        dead: totals.counts.dead,
        too_long: totals.counts.too_long,
        emitted: totals.counts.emitted,
        restarts: totals.restarts,
        seconds: totals.times.into(),
        item_seconds: totals.item_times.into(),
        mean_item_seconds: totals.item_times.mean().map(|mean| mean.as_secs_f64()),
    }
}

fn queue(name: &str, counts: &QueueCounts) -> Queue {
    let QueueCounts { put, waiting, leased, done, dropped, dead, .. } = *counts;
    let adds_up = [done, waiting, leased, dropped, dead].iter().map(|&n| u128::from(n)).sum::<u128>();
    Queue { name: name.to_owned(), put, done, waiting, leased, dropped, dead, adds_up: adds_up == put.into() }
}

/// Writes the report: whole, or not at all.
///
/// # Errors
/// When the file can't be written; what was there before is still there then.
pub fn write(to: &ReportFile, frame: &Frame<'_>, outcome: &Outcome, closing: &Closing) -> io::Result<()> {
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

/// Into a pipe or a device, without waiting for somebody to open it; for a reader that is slow it waits a while.
fn write_into(path: &Path, text: &[u8]) -> io::Result<()> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
            return Err(io::Error::other("nobody reads it"));
        }
        opened => opened?,
    };
    let until = Instant::now() + PATIENCE;
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
fn trouble(path: &Path) -> Option<&'static str> {
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
