//! The last lines of every stage of a run, for `mprun logs` and `top`: small log files in a folder beside the control
//! socket. Nobody needs to be asked for them, and they are there when the run was killed.

use super::tail::end_lines;
use super::{LogFile, last_lines};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Each of a stage's two files is about so long at most, in bytes.
const SIZE: u64 = 128 * 1024;
/// Bytes in which the last words of a worker are looked for, at most.
const LOOKED_AT: u64 = 32 * 1024;
/// So many lines are last words.
const WORDS: usize = 10;
/// The supervisor's own lines: no stage can be called so.
const OWN: &str = "@mprun";
const END: &str = ".log";

/// The tails of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tails(PathBuf);

impl Tails {
    /// In this folder.
    pub fn new(folder: &Path) -> Tails {
        Tails(folder.to_owned())
    }

    /// Where the tails of a run with this control socket are.
    pub fn beside(socket: &Path) -> Tails {
        Tails(socket.with_extension("logs"))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Makes the folder, without what an earlier run has left in it.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn begin(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&self.0)
    }

    /// The run is over, and has told everything.
    pub fn end(&self) {
        let _ = fs::remove_dir_all(&self.0); // at worst the next run does it
    }

    /// A stage's file.
    pub fn of_stage(&self, stage: &str) -> LogFile {
        LogFile { path: self.0.join(format!("{stage}{END}")), max_size: SIZE, max_age: None, keep: 1 }
    }

    /// Whether a stage of this name has said anything.
    pub fn has_stage(&self, stage: &str) -> bool {
        self.of_stage(stage).path.exists()
    }

    /// The supervisor's file.
    pub fn own(&self) -> LogFile {
        self.of_stage(OWN)
    }

    /// Whether a file of this name is the tail of a stage, or of any if none is given.
    pub fn is_tail(name: &str, stage: Option<&str>) -> bool {
        name.strip_suffix(END).is_some_and(|own| stage.is_none_or(|stage| own == stage))
    }

    /// The last lines that a worker (`stage[index]`) has said since then, without what stands before each; oldest first.
    /// Only the newest of the stage's lines are looked at.
    ///
    /// # Errors
    /// When there are no tails, or they can't be read.
    pub fn last_words(&self, stage: &str, worker: &str, since: SystemTime) -> io::Result<Vec<String>> {
        let since = humantime::format_rfc3339_millis(since).to_string();
        let words = |line: &String| {
            let (time, rest) = line.split_at_checked(super::TIME)?;
            let (_level, rest) = rest.trim_start().split_once(' ')?;
            let text = rest.trim_start().strip_prefix(worker)?.strip_prefix(' ')?;
            (time >= since.as_str()).then(|| text.to_owned())
        };
        let lines = end_lines(&self.of_stage(stage).path, LOOKED_AT)?;
        let mut lines: Vec<String> = lines.iter().filter_map(words).collect();
        Ok(lines.split_off(lines.len().saturating_sub(WORDS)))
    }

    /// The last lines of a stage, or of all and of the supervisor, in the order of their times.
    ///
    /// # Errors
    /// When there are no tails, or they can't be read.
    pub fn last(&self, stage: Option<&str>, most: usize) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| Tails::is_tail(name, stage))
            {
                lines.extend(last_lines(&path, most)?);
            }
        }
        lines.sort_by(|a, b| a.get(..super::TIME).cmp(&b.get(..super::TIME)));
        Ok(lines.split_off(lines.len().saturating_sub(most)))
    }
}
