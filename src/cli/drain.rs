//! `mprun drain`.

use super::output::Failure;
use super::target::OnePipeline;
use super::tell::{self, Form};

/// What `drain` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pipeline: OnePipeline,
    #[command(flatten)]
    form: Form,
}

/// Sources end, all items are worked off, however long that takes, and the pipeline ends.
pub fn run(args: &Args) -> Result<u8, Failure> {
    tell::tell_to_end(&mut args.pipeline.find()?, "/v1/drain", &(), args.form)
}
