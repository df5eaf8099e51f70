//! `mprun check FILE…`: a line on standard output for each good file, faults on standard error.

use std::path::{Path, PathBuf};

use super::output::{self, Failure};
use crate::config::{self, LoadOptions, Pipeline};
use crate::exit;
use crate::numbers::counted;
use crate::stage::Registry;
use crate::supervisor::runtime::checks;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The pipeline files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Look at the files only, not for the programs, users, folders, files and memory of this machine
    #[arg(long)]
    syntax: bool,
}

/// Checks all files, also after a bad one.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let mut code = exit::DONE;
    for file in &args.files {
        let loaded = config::load(file, &LoadOptions::default(), registry);
        match if args.syntax { loaded } else { loaded.and_then(config::surveyed) } {
            Ok(loaded) => {
                output::say(&loaded.warnings.render(output::is_colourful()));
                if !args.syntax
                    && let Some(warning) = checks::warning_of_memory(&loaded.pipeline)
                {
                    output::say(&format!("warning: {}: {warning}\n", file.display()));
                }
                output::print(&format!("{}: ok: {}\n", file.display(), summary(&loaded.pipeline)))?;
            }
            Err(report) => {
                code = exit::USAGE;
                show_faults(file, &report);
            }
        }
    }
    Ok(code)
}

/// Shows what is wrong with a file.
pub(super) fn show_faults(file: &Path, report: &config::Report) {
    output::say(&report.render(output::is_colourful()));
    output::say(&format!("{}: {}\n", file.display(), counted(report.faults() as u64, "fault")));
}

fn summary(pipeline: &Pipeline) -> String {
    let processes = pipeline.stages.iter().map(|stage| u64::from(stage.processes)).sum();
    if pipeline.stages.iter().all(|stage| stage.work.is_service()) {
        let services = counted(pipeline.stages.len() as u64, "service");
        return format!("{services}, {}", counted(processes, "process"));
    }
    [
        counted(pipeline.stages.len() as u64, "stage"),
        counted(pipeline.queues.len() as u64, "queue"),
        counted(processes, "process"),
    ]
    .join(", ")
}
