//! `mprun stop`.

use std::path::Path;

use super::output::Failure;
use super::target::{self, Where};
use super::tell;
use crate::control::client::{Client, Patience};
use crate::control::protocol::Stop;

/// What `stop` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The pipeline: its name or its file. Can be left out when only one runs
    name: Option<String>,
    /// Do not work off what is in the queues
    #[arg(long)]
    now: bool,
    /// Wait until the pipeline has ended
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    answer: tell::Form,
    #[command(flatten)]
    place: Where,
}

/// Stops a pipeline, as SIGTERM does.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let mut client = target::find(args.name.as_deref(), &args.place)?;
    and_wait(&client.socket.clone(), args.wait, || {
        tell::tell_to(&mut client, "/v1/stop", &Stop { now: args.now }, Patience::Short, args.answer)
    })
}

/// Tells a pipeline to end, and waits for that, if it is wanted.
pub fn and_wait(
    socket: &Path,
    waits: bool,
    tell: impl FnOnce() -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    if !waits {
        return tell();
    }
    // Connected before: afterwards the pipeline may be gone already, or another one be there in its place.
    let watch = Client::connect(socket).map_err(|error| target::failure(&error))?;
    let code = tell()?;
    watch.until_the_end().map_err(|error| target::failure(&error))?;
    Ok(code)
}
