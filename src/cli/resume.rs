//! `mprun resume [STAGE]`.

use super::output::Failure;
use super::target::OneOrAllStages;
use super::tell::{self, Form};
use crate::control::protocol::Whom;

/// What `resume` takes.
#[derive(clap::Args)]
#[command(override_usage = "mprun resume [OPTIONS] [NAME] [STAGE]")]
pub struct Args {
    #[command(flatten)]
    whom: OneOrAllStages,
    #[command(flatten)]
    form: Form,
}

/// Workers go on.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let (mut client, stage) = args.whom.find()?;
    tell::tell(&mut client, "/v1/resume", &Whom { stage, wait: args.form.wait }, args.form)
}
