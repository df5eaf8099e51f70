//! `mprun reload`.

use super::output::Failure;
use super::target::Where;
use super::tell;
use crate::control::client::Patience;
use crate::control::protocol::Wait;

/// What `reload` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The pipeline: its name or its file. Can be left out when only one runs
    name: Option<String>,
    /// Wait until all is as the file says; exit 1 if the pipeline had to go back
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    answer: tell::Form,
    #[command(flatten)]
    place: Where,
}

/// Takes the file over, as it is now.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let body = Wait { wait: args.wait };
    tell::tell(args.name.as_deref(), &args.place, "/v1/reload", &body, Patience::Endless, args.answer)
}
