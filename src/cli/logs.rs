//! `mprun logs [STAGE]`: the last lines of a running pipeline, or of one that was killed.

use super::output::{self, Failure};
use super::target::{self, OneOrAllStages};
use crate::exit;
use crate::log_file::{Follower, Tails};
use std::io::{self, ErrorKind};

/// What `logs` takes.
#[derive(clap::Args)]
#[command(override_usage = "mprun logs [OPTIONS] [NAME] [STAGE]")]
pub struct Args {
    #[command(flatten)]
    whom: OneOrAllStages,
    /// Show new lines as they come, until the run is over
    #[arg(short, long)]
    follow: bool,
    /// How many lines, at most
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 50)]
    lines: usize,
}

/// Shows what workers, their programs and the supervisor have said.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let (tails, stage) = tails(args)?;
    let read = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => Failure::running("the run keeps no lines, or it is over"),
        _ => Failure::io(&format!("read the lines in {}", tails.folder().display()), &error),
    };
    // Before the look at what is there: no line may fall between the two.
    let follower = match args.follow {
        true => Some(Follower::new(tails.folder(), stage.as_deref()).map_err(read)?),
        false => None,
    };
    show(&tails.last(stage.as_deref(), args.lines).map_err(read)?)?;
    let Some(mut follower) = follower else { return Ok(exit::DONE) };
    while let Some(lines) = follower.next_lines().map_err(read)? {
        if !show(&lines)? {
            break;
        }
    }
    Ok(exit::DONE)
}

fn tails(args: &Args) -> Result<(Tails, Option<String>), Failure> {
    let alive = args.whom.find();
    match (alive, args.whom.words()) {
        (Ok((client, stage)), _) => Ok((Tails::beside(&client.socket), stage)),
        // One that was killed can't answer, but its last lines are there.
        (Err(nobody), [name, rest @ ..]) => match target::left_behind(name) {
            Some(socket) => Ok((Tails::beside(&socket), rest.first().cloned())),
            None => Err(nobody),
        },
        (Err(nobody), []) => Err(nobody),
    }
}

/// False: whoever read has had enough.
fn show(lines: &[String]) -> Result<bool, Failure> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    output::print_on(&text)
}
