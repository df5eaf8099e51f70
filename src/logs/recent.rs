//! The recent logs of a run: the last lines of every stage, for `mprun logs` and `top`, in small log files in a folder
//! beside the control socket. Reading them takes no running process, and they are there when the run was killed.

use super::file::{LogFile, TIME_BYTES, newest_two};
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Each of a stage's two files is about this long at most.
const FILE_BYTES: u64 = 128 * 1024;
/// The end of a stage's files in which the last lines of a worker are looked for, at most.
const SEARCHED_BYTES: u64 = 32 * 1024;
/// The last lines of a worker, at most.
const WORKER_LINES: usize = 10;
/// The supervisor's own lines: no stage can have this name.
const SUPERVISOR: &str = "@mprun";
const SUFFIX: &str = ".log";

/// The recent logs of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecentLogs(PathBuf);

impl RecentLogs {
    /// In this folder.
    pub(crate) fn new(folder: &Path) -> RecentLogs {
        RecentLogs(folder.to_owned())
    }

    /// Those of a run with this control socket.
    pub(crate) fn beside(socket: &Path) -> RecentLogs {
        RecentLogs(socket.with_extension("logs"))
    }

    /// The folder that holds them.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Makes the folder, without what an earlier run has left in it.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn create(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&self.0)
    }

    /// Removes the folder: the run is over.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.0); // at worst the next run does it
    }

    /// A stage's file.
    pub(crate) fn of_stage(&self, stage: &str) -> LogFile {
        let path = self.0.join(format!("{stage}{SUFFIX}"));
        LogFile { path, max_size: FILE_BYTES, max_age: None, keep: 1 }
    }

    /// Whether a stage of this name has said anything.
    pub(crate) fn has_stage(&self, stage: &str) -> bool {
        // By what is there: a name may come from a client, and lead out of the folder.
        self.files(Some(stage)).is_ok_and(|files| !files.is_empty())
    }

    /// The supervisor's file.
    pub(crate) fn of_supervisor(&self) -> LogFile {
        self.of_stage(SUPERVISOR)
    }

    /// The file of a stage, or of all stages and of the supervisor, as far as they are there.
    pub(super) fn files(&self, stage: Option<&str>) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            if owner.is_some_and(|owner| stage.is_none_or(|stage| owner == stage)) {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// The last lines that a worker (`stage[index]`) has said since then, without what stands before each; oldest first.
    /// Only the newest of the stage's lines are looked at.
    ///
    /// # Errors
    /// When there are no recent logs, or they can't be read.
    pub(crate) fn last_of_worker(
        &self,
        stage: &str,
        worker: &str,
        since: SystemTime,
    ) -> io::Result<Vec<String>> {
        let since = humantime::format_rfc3339_millis(since).to_string();
        let said = |line: &String| {
            // The first line may have lost its beginning: then there is no time in front.
            let (time, rest) = line.split_at_checked(TIME_BYTES)?;
            let (_level, rest) = rest.trim_start().split_once(' ')?;
            let text = rest.trim_start().strip_prefix(worker)?.strip_prefix(' ')?;
            (time >= since.as_str()).then(|| text.to_owned())
        };
        let lines = end_lines(&self.of_stage(stage).path, SEARCHED_BYTES)?;
        Ok(last(lines.iter().filter_map(said).collect(), WORKER_LINES))
    }

    /// The last lines of a stage, or of all and of the supervisor, in the order of their times.
    ///
    /// # Errors
    /// When there are no recent logs, or they can't be read.
    pub(crate) fn last(&self, stage: Option<&str>, most: usize) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for path in self.files(stage)? {
            lines.extend(last(end_lines(&path, u64::MAX)?, most));
        }
        sort_by_time(&mut lines);
        Ok(last(lines, most))
    }
}

/// The last `most` lines, or all if there are fewer.
pub(super) fn last(mut lines: Vec<String>, most: usize) -> Vec<String> {
    lines.split_off(lines.len().saturating_sub(most))
}

pub(super) fn sort_by_time(lines: &mut [String]) {
    lines.sort_by(|a, b| a.get(..TIME_BYTES).cmp(&b.get(..TIME_BYTES)));
}

/// Lines of bytes, without their ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned())
}

/// The lines that end in the last `bytes` of a log file, its newest old generation included; oldest first.
///
/// # Errors
/// When a file is there and can't be read.
pub(super) fn end_lines(path: &Path, bytes: u64) -> io::Result<Vec<String>> {
    let (mut text, mut left) = (Vec::new(), bytes);
    for mut file in newest_two(path)?.into_iter().flatten() {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(left)))?;
        let mut part = Vec::new();
        file.take(left).read_to_end(&mut part)?;
        left -= part.len() as u64;
        part.append(&mut text);
        text = part;
    }
    Ok(lines(&text).collect())
}
