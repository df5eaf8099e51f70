//! `mprun reload`.

use super::output::Failure;
use super::target::OnePipeline;
use super::tell::{self, Form};
use crate::control::protocol::Wait;

/// What `reload` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pipeline: OnePipeline,
    #[command(flatten)]
    form: Form,
}

/// Takes the file over, as it is now; after a wait, exit 1 if the pipeline had to go back.
pub fn run(args: &Args) -> Result<u8, Failure> {
    tell::tell(&mut args.pipeline.find()?, "/v1/reload", &Wait { wait: args.form.wait }, args.form)
}
