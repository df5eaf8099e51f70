//! `mprun drain`.

use super::output::Failure;
use super::target::{self, Where};
use super::{stop, tell};
use crate::control::client::Patience;

/// What `drain` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The pipeline: its name or its file. Can be left out when only one runs
    name: Option<String>,
    /// Wait until the pipeline has ended
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    answer: tell::Form,
    #[command(flatten)]
    place: Where,
}

/// Sources end, all items are worked off, however long that takes, and the pipeline ends.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let mut client = target::find(args.name.as_deref(), &args.place)?;
    stop::and_wait(&client.socket.clone(), args.wait, || {
        tell::tell_to(&mut client, "/v1/drain", &(), Patience::Short, args.answer)
    })
}
