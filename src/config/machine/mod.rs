//! What a pipeline needs of this machine: its programs, users, folders and files.
//!
//! [`survey()`] looks and checks nothing; [`check::check`] checks and looks at nothing. So the looking, which may wait for
//! a disk or a directory service, can be done by another process, and only its result, a plain value, is handed over.
//!
//! The environment files are read once, in the survey: what they say becomes part of the pipeline ([`settle`]), so an
//! edited one is a change like any other, and all workers of a stage have the same.

mod check;
mod needs;
mod survey;

pub(in crate::config) use needs::MachineNeeds;
pub(crate) use survey::USUAL_PATH;
pub use survey::{Survey, survey};

use super::diagnostic::Report;
use super::load::Loaded;
use super::pipeline::Task;

/// Looks at this machine and holds the file against what is there: the one step from a file that is right in itself to
/// one that can run here. It waits for disks.
pub fn surveyed(loaded: Loaded) -> Result<Loaded, Report> {
    let survey = survey(&loaded);
    settle(loaded, &survey)
}

/// The same with what was found before, maybe by another process. Pure.
pub fn settle(mut loaded: Loaded, survey: &Survey) -> Result<Loaded, Report> {
    let mut report = check::check(&loaded.pipeline, &loaded.needs, survey);
    report.sort_by_span();
    if report.faults() > 0 {
        return Err(report);
    }
    for stage in &mut loaded.pipeline.stages {
        let variables = survey.variables(&stage.name);
        if let (Task::Command(command), Some(variables)) = (&mut stage.work.task, variables) {
            command.file_variables = Some(variables);
        }
    }
    loaded.warnings.append(report);
    Ok(loaded)
}

#[cfg(test)]
mod tests;
