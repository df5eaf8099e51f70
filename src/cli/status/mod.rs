//! `mprun status`: stages, queues, and what is not as it should be.

mod dead;
mod first_look;
mod health;
mod text;

pub(super) use first_look::look;
pub(super) use text::phase;

use super::machines::{self, AllMachines};
use super::output::{self, Failure};
use super::table::terminal_width;
use super::target::OnePipeline;
use crate::stage::Registry;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun status                            of the only pipeline that runs here
  mprun status shop                       of one of several
  mprun status shop --check               what is wrong, and an exit code
  mprun status shop --json | jq .queues   for a script
  mprun status shop.toml --all            over all machines of shared queues")]
pub(super) struct Args {
    #[command(flatten)]
    pipeline: OnePipeline,
    #[command(flatten)]
    machines: AllMachines,
    /// Print the whole snapshot as JSON; with --check: `ok`, `faults`, `dead_letters` and their file
    #[arg(long)]
    json: bool,
    /// Say only what is wrong: exit 1 if anything is, 3 if there are dead letters
    #[arg(long, conflicts_with = "all")]
    check: bool,
}

/// Shows a running pipeline.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    if args.machines.all {
        return machines::status::run(&args.pipeline, args.json, registry);
    }
    let mut client = args.pipeline.find()?;
    if args.check {
        let snapshot = client.status(false)?;
        let health = health::of(&snapshot);
        output::show(args.json, &health.report(&snapshot), || health.text(&snapshot))?;
        return Ok(health.code());
    }
    // Scripts have their own pace, and rates of their own.
    let snapshot = if args.json { client.status(false)? } else { look(&mut client, false)? };
    output::show(args.json, &snapshot, || text::render(&snapshot, terminal_width()))?;
    Ok(crate::exit::DONE)
}
