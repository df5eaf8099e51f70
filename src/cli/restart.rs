//! `mprun restart STAGE`.

use super::output::Failure;
use super::target::OneOrAllStages;
use super::tell::{self, Form};
use crate::control::protocol::Restart;

/// What `restart` takes.
#[derive(clap::Args)]
#[command(override_usage = "mprun restart [OPTIONS] [NAME] STAGE", mut_arg("words", |words| words
    .num_args(1..=2)
    .help("The pipeline (can be left out when only one runs), and the stage")))]
pub struct Args {
    #[command(flatten)]
    whom: OneOrAllStages,
    #[command(flatten)]
    form: Form,
}

/// Replaces the workers of a stage one by one, each after its item.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let (mut client, stage) = args.whom.find()?;
    let Some(stage) = stage else {
        return Err(Failure::usage("say which stage to restart: `mprun status` lists them"));
    };
    tell::tell(&mut client, "/v1/restart", &Restart { stage, wait: args.form.wait }, args.form)
}
