//! `mprun ps`: the pipelines that run.

use serde::Serialize;
use std::path::Path;

use super::output::{self, Failure};
use super::table::{Table, terminal_width};
use super::target;
use crate::control::client;
use crate::exit;
use crate::numbers::time;
use crate::status::{Phase, Snapshot};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun ps
  mprun ps --json | jq -r '.[].name'   their names, for a script")]
pub(super) struct Args {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// One running pipeline.
#[derive(Serialize)]
struct Running {
    name: String,
    pid: u32,
    /// `None`: it does not answer.
    phase: Option<Phase>,
    uptime: Option<f64>,
    workers: Option<u32>,
    /// The address of its page.
    page: Option<String>,
    /// `None`: a line of `mprun do`.
    file: Option<String>,
    socket: String,
}

/// Lists all that run for this user, as far as the runtime folder knows.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let found = target::running_anywhere().into_iter().filter_map(|(holder, mut client)| {
        let (snapshot, phase) = client::seen(client.status(false))?;
        let workers = |snapshot: &Snapshot| snapshot.stages.iter().map(|stage| stage.running).sum();
        Some(Running {
            name: holder.label(),
            pid: holder.pid,
            phase,
            uptime: snapshot.as_ref().map(|snapshot| snapshot.uptime),
            workers: snapshot.as_ref().map(workers),
            page: snapshot.as_ref().and_then(|snapshot| snapshot.page.clone()),
            file: file_of(&holder.file, snapshot.as_ref()),
            socket: holder.socket.display().to_string(),
        })
    });
    let found: Vec<Running> = found.collect();
    output::show(args.json, &found, || text(&found))?;
    Ok(exit::DONE)
}

/// As the run says; as it claimed it at its start, if it does not answer.
fn file_of(claimed: &Path, snapshot: Option<&Snapshot>) -> Option<String> {
    match snapshot {
        Some(snapshot) => Some(snapshot.file.clone()).filter(|file| !file.is_empty()),
        None => claimed.is_file().then(|| claimed.display().to_string()),
    }
}

fn text(found: &[Running]) -> String {
    if found.is_empty() {
        return "no pipeline runs here\n".to_owned();
    }
    let mut table = Table::new(&["<PIPELINE", "PID", "<STATE", "UP", "PROCESSES", "<FILE"]);
    for running in found {
        let phase = running.phase.map_or("no answer".to_owned(), |phase| format!("{phase:?}").to_lowercase());
        table.push([
            running.name.clone(),
            running.pid.to_string(),
            phase,
            running.uptime.map_or("-".to_owned(), time),
            running.workers.map_or("-".to_owned(), |workers| workers.to_string()),
            running.file.clone().unwrap_or_else(|| "(a command line)".to_owned()),
        ]);
    }
    table.render(terminal_width())
}
