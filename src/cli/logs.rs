//! `mprun logs [STAGE]`: the last lines of a running pipeline, or of one that was killed.

use super::output::{self, Failure};
use super::target::{self, OneOrAllStages};
use crate::control::client::Client;
use crate::exit;
use crate::logs::{Follower, RecentLogs};
use std::io::{self, ErrorKind};

#[derive(clap::Args)]
#[command(override_usage = "mprun logs [OPTIONS] [NAME] [STAGE]")]
#[command(after_help = "\
Examples:
  mprun logs
  mprun logs shop parse -n 200   the last 200 lines of a stage
  mprun logs -f shop             and those to come")]
pub(super) struct Args {
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
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let Found { recent_logs, mut client, stage } = find(args)?;
    let read = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => {
            Failure::failed("the run keeps no lines for `mprun logs` (its log says why), or it is over")
        }
        _ => Failure::io(&format!("read the lines in {}", recent_logs.folder().display()), &error),
    };
    if !args.follow {
        let lines = match (recent_logs.last(stage.as_deref(), args.lines), &mut client) {
            // A member of the socket's group: the files are their user's alone.
            (Err(error), Some(client)) if error.kind() == ErrorKind::PermissionDenied => {
                client.logs(stage.as_deref(), args.lines)?.lines
            }
            (lines, _) => lines.map_err(read)?,
        };
        show(&lines)?;
        return Ok(exit::DONE);
    }
    let followed = Follower::new(recent_logs.folder(), stage.as_deref(), args.lines);
    let (mut follower, before) = match followed {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let why = "new lines come from files that only the user of the run may read: without `--follow`, the last ones are shown";
            return Err(Failure::failed(why));
        }
        followed => followed.map_err(read)?,
    };
    if !show(&before)? {
        return Ok(exit::DONE);
    }
    while let Some(lines) = follower.next_lines().map_err(read)? {
        if !show(&lines)? {
            break;
        }
    }
    Ok(exit::DONE)
}

/// Whose lines are meant.
struct Found {
    recent_logs: RecentLogs,
    /// None: the run was killed.
    client: Option<Client>,
    stage: Option<String>,
}

fn find(args: &Args) -> Result<Found, Failure> {
    let alive = args.whom.find();
    match (alive, args.whom.words()) {
        (Ok((mut client, stage)), _) => {
            let recent_logs = RecentLogs::beside(&client.socket);
            if let Some(stage) = &stage {
                check(stage, &recent_logs, &mut client)?;
            }
            Ok(Found { recent_logs, client: Some(client), stage })
        }
        // One that was killed can't answer, but its last lines are there.
        (Err(failure), [name, rest @ ..]) => match target::left_behind(name) {
            Some(socket) => {
                let recent_logs = RecentLogs::beside(&socket);
                Ok(Found { recent_logs, client: None, stage: rest.first().cloned() })
            }
            None => Err(failure),
        },
        (Err(failure), []) => Err(failure),
    }
}

/// A stage that a reload has removed may have said something, too.
fn check(stage: &str, recent_logs: &RecentLogs, client: &mut Client) -> Result<(), Failure> {
    if recent_logs.has_stage(stage) {
        return Ok(());
    }
    let snapshot = client.status(false)?;
    let mut names = snapshot.stages.iter().map(|stage| stage.name.as_str());
    match names.clone().any(|name| name == stage) {
        true => Ok(()),
        false => Err(target::no_such_stage(stage, &mut names)),
    }
}

/// False: the reader has closed standard output.
fn show(lines: &[String]) -> Result<bool, Failure> {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    output::print_on(&text)
}
