//! `mprun stop`.

use super::output::Failure;
use super::target::OnePipeline;
use super::tell::{self, Form};
use crate::control::protocol::Stop;

/// What `stop` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pipeline: OnePipeline,
    /// Do not work off what is in the queues
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    form: Form,
}

/// Stops a pipeline, as SIGTERM does.
pub fn run(args: &Args) -> Result<u8, Failure> {
    tell::tell_to_end(&mut args.pipeline.find()?, "/v1/stop", &Stop { now: args.now }, args.form)
}
