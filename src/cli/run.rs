//! `mprun run FILE`.

use std::path::PathBuf;

use crate::config::LoadOptions;
use crate::logs::Logging;
use crate::progress::When;
use crate::stage::Registry;
use crate::supervisor::closing::report::ReportFile;
use crate::supervisor::{self, RunOptions};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun run shop.toml
      until it is done; Ctrl-C lets its items finish
  mprun run shop.toml --set stages.parse.processes=8
      another value, this time
  mprun run shop.toml --stages read,parse   two of its stages only
  mprun run shop.toml --report report.md    write how it went")]
pub(super) struct Args {
    /// The pipeline file
    file: PathBuf,
    /// Replace a value of the file: `stages.parse.processes=8`. Can be given more than once
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
    /// Run only these stages, as if the others were not in the file
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    stages: Option<Vec<String>>,
    /// Do not watch the file for changes (SIGHUP still reloads it)
    #[arg(long)]
    no_watch: bool,
    /// Begin another run of the shared queues, also where the last one has not ended
    #[arg(long)]
    new_run: bool,
    /// Go on with this run of the shared queues, also where another one was begun since
    #[arg(long, value_name = "N", conflicts_with = "new_run")]
    run: Option<u64>,
    /// Show how far the run is: a bar for each stage on a terminal, else a line now and then; `auto`: if it
    /// will end, which is so without this option
    #[arg(long, value_name = "auto|always|never", default_value = "auto", hide_default_value = true)]
    #[arg(num_args = 0..=1, default_missing_value = "always")]
    progress: When,
    /// Write how the run went to this file, when it is over: as JSON (.json) or Markdown (.md)
    #[arg(long, value_name = "FILE")]
    report: Option<ReportFile>,
}

/// Runs a pipeline to its end; the exit code says how that was.
pub(super) fn run(args: Args, verbosity: i8, registry: &Registry) -> u8 {
    let options = options(args, verbosity);
    options.logging.start(None);
    supervisor::run(options, registry)
}

/// Whether this program could resume such a run; see [`supervisor::preflight`].
pub(super) fn preflight(args: Args, verbosity: i8, registry: &Registry) -> u8 {
    supervisor::preflight(&options(args, verbosity), registry)
}

fn options(args: Args, verbosity: i8) -> RunOptions {
    let logging = Logging::from_environment(verbosity);
    let trimmed = |names: Vec<String>| names.iter().map(|name| name.trim().to_owned()).collect();
    let load = LoadOptions { sets: args.sets, stages: args.stages.map(trimmed), works_off: false };
    let (watch, progress) = (!args.no_watch, args.progress);
    RunOptions {
        file: args.file,
        text: None,
        load,
        watch,
        logging,
        progress,
        report: args.report,
        new_run: args.new_run,
        only_run: args.run,
        retries: None,
    }
}
