//! `mprun restart STAGE`.

use super::output::Failure;
use super::target::{self, Where};
use super::tell;
use crate::control::client::Patience;
use crate::control::protocol::Restart;

/// What `restart` takes.
#[derive(clap::Args)]
#[command(override_usage = "mprun restart [OPTIONS] [NAME] STAGE")]
pub struct Args {
    /// The pipeline (can be left out when only one runs), and the stage
    #[arg(required = true, num_args = 1..=2, value_names = ["NAME", "STAGE"])]
    words: Vec<String>,
    /// Wait until all of its workers are fresh ones
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    answer: tell::Form,
    #[command(flatten)]
    place: Where,
}

/// Replaces the workers of a stage one by one, each after its item.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let (mut client, stage) = target::find_with_stage(&args.words, &args.place)?;
    let Some(stage) = stage else { return Err(Failure::usage("say which stage to restart")) };
    let patience = if args.wait { Patience::Endless } else { Patience::Short };
    let restart = Restart { stage, wait: args.wait };
    tell::tell_to(&mut client, "/v1/restart", &restart, patience, args.answer)
}
