//! `mprun pause [STAGE]`.

use super::output::Failure;
use super::target::{self, Where};
use super::tell;
use crate::control::client::Patience;
use crate::control::protocol::Whom;

/// What `pause` takes.
#[derive(clap::Args)]
#[command(override_usage = "mprun pause [OPTIONS] [NAME] [STAGE]")]
pub struct Args {
    /// The pipeline (can be left out when only one runs), and a stage, if not all are meant
    #[arg(num_args = 0..=2, value_names = ["NAME", "STAGE"])]
    words: Vec<String>,
    #[command(flatten)]
    answer: tell::Form,
    #[command(flatten)]
    place: Where,
}

/// Workers finish their item, then wait for `resume`.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let (mut client, stage) = target::find_with_stage(&args.words, &args.place)?;
    tell::tell_to(&mut client, "/v1/pause", &Whom { stage }, Patience::Short, args.answer)
}
