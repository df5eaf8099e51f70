//! `mprun top --all`: the whole run, live, as `top` shows one machine.

use super::SharedPipeline;
use super::table;
use crate::cli::output::Failure;
use crate::machines::snapshot;
use crate::status::Snapshot;

/// A run that is looked at once a second.
pub(in crate::cli) struct LiveRun(SharedPipeline);

impl LiveRun {
    pub(in crate::cli) fn new(pipeline: SharedPipeline) -> LiveRun {
        LiveRun(pipeline)
    }

    /// The run as one snapshot, and a line for each machine.
    pub(in crate::cli) fn look(&self) -> Result<(Snapshot, Vec<String>), Failure> {
        let whole = self.0.watch()?;
        let (table, notes) = table::machines_and_notes(&whole);
        let lines = table.lines().map(str::to_owned).chain(notes).collect();
        Ok((snapshot::of(&whole), lines))
    }
}
