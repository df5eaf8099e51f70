//! What a program with `mode = "each"` would be started with, item by item, without starting it.

use super::arguments::{Arguments, ProgramItem};
use super::job_log;
use crate::config::pipeline::{Command, JobLog};
use std::io;
use std::path::Path;

/// The command of a stage.
pub(crate) struct DryRun {
    arguments: Arguments,
    is_done: Box<dyn Fn(u64) -> bool>,
}

impl DryRun {
    /// `folder`: where relative paths start.
    ///
    /// # Errors
    /// When the job log can't be read.
    pub(crate) fn of(command: &Command, folder: &Path) -> io::Result<DryRun> {
        let none = JobLog { path: folder.to_owned(), resume: None };
        let is_done = job_log::named_as_done(command.joblog.as_ref().unwrap_or(&none), folder)?;
        Ok(DryRun { arguments: Arguments::new(command, 0), is_done: Box::new(is_done) })
    }

    /// The command for the item of this number, from 0, as a line that a shell would read; `None`: its job log has it.
    ///
    /// # Errors
    /// Why the item can't be arguments.
    pub(crate) fn line(&self, bytes: &[u8], number: u64) -> Result<Option<Vec<u8>>, &'static str> {
        if (self.is_done)(number + 1) {
            return Ok(None);
        }
        let line = self.arguments.line(ProgramItem { bytes, attempt: 1, id: number });
        line.map(Some).map_err(|why| why.why())
    }
}
