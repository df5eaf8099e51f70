//! `mprun pause [STAGE]`.

use super::output::Failure;
use super::target::OneOrAllStages;
use super::tell::{self, Form};
use crate::control::protocol::Whom;

/// What `pause` takes.
#[derive(clap::Args)]
#[command(override_usage = "mprun pause [OPTIONS] [NAME] [STAGE]")]
pub struct Args {
    #[command(flatten)]
    whom: OneOrAllStages,
    #[command(flatten)]
    form: Form,
}

/// Workers finish their item, then wait for `resume`.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let (mut client, stage) = args.whom.find()?;
    tell::tell(&mut client, "/v1/pause", &Whom { stage, wait: args.form.wait }, args.form)
}
