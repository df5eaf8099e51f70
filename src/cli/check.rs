//! `mprun check FILE…`: a line on standard output for each good file, faults on standard error.

use std::path::{Path, PathBuf};

use super::online::{self, Answer};
use super::output::{self, Failure};
use crate::config::{self, LoadOptions, Pipeline};
use crate::exit;
use crate::numbers::counted;
use crate::stage::Registry;
use crate::supervisor::runtime::checks::QueueMemory;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun check shop.toml
  mprun check pipelines/*.toml     all of them
  mprun check --syntax shop.toml   where its programs are not installed
  mprun check --online shop.toml   ask the broker of shared queues, too")]
pub(super) struct Args {
    /// The pipeline files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Look at the files only, not for the programs, users, folders, files and memory of this machine
    #[arg(long)]
    syntax: bool,
    /// Ask the broker of the file as well: whether it lets this machine in, keeps what it is given, and holds no other
    /// pipeline of the name
    #[arg(long, conflicts_with = "syntax")]
    online: bool,
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
                    && let Some(warning) =
                        QueueMemory::of(&loaded.pipeline).and_then(|memory| memory.warning())
                {
                    output::say(&format!("warning: {}: {warning}\n", file.display()));
                }
                if args.online
                    && let Some(bad) = ask_broker(file, &loaded.pipeline)
                {
                    code = code.max(bad);
                    continue;
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

/// Says what is wrong with the broker, or what may be lost there. The exit code, if it does not take the pipeline.
fn ask_broker(file: &Path, pipeline: &Pipeline) -> Option<u8> {
    let file = file.display();
    let warn = |what: &str| output::say(&format!("warning: {file}: {what}\n"));
    match online::ask(pipeline) {
        Answer::NoBroker => warn("it names no `broker`, so there is none to ask"),
        Answer::Good(warnings) => warnings.iter().for_each(|warning| warn(&format!("the broker: {warning}"))),
        Answer::Bad(fault) => {
            output::say(&format!("error: {file}: {fault}\n"));
            return Some(if fault.may_pass() { exit::FAILED } else { exit::USAGE });
        }
    }
    None
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
    let services = pipeline.stages.iter().filter(|stage| stage.work.is_service()).count();
    let stages = pipeline.stages.len() - services;
    let services = (services > 0).then(|| counted(services as u64, "service"));
    let all = [
        Some(counted(stages as u64, "stage")),
        services,
        Some(counted(pipeline.queues.len() as u64, "queue")),
        Some(counted(processes, "process")),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
