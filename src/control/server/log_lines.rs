//! The last lines of the log, read on a thread of its own.

use super::state::ServerState;
use crate::config::diagnostic::no_such_stage;
use crate::control::protocol::{LogLines, Logs, Reason, Refused};
use crate::logs::RecentLogs;
use std::io::ErrorKind;
use std::path::Path;

const MOST: u32 = 1000;
const USUAL: u32 = 50;
/// Of all lines of an answer: many clients may wait for one.
const ANSWER_BYTES: usize = 512 * 1024;

/// Those beside the control socket.
pub(super) async fn last(
    state: &ServerState,
    socket: Option<&Path>,
    wanted: Logs,
) -> Result<LogLines, Refused> {
    let failed = |why: &dyn std::fmt::Display| {
        Refused::new(Reason::Failed, format!("the lines of the log can't be read: {why}"))
    };
    let socket = socket.ok_or_else(|| failed(&"this run keeps none"))?;
    let recent_logs = RecentLogs::beside(socket);
    let most = wanted.lines.unwrap_or(USUAL).min(MOST) as usize;
    if let Some(stage) = &wanted.stage {
        check(stage, &recent_logs, state).await?;
    }
    let read = tokio::task::spawn_blocking(move || recent_logs.last(wanted.stage.as_deref(), most));
    match read.await.map_err(|error| failed(&error))? {
        Ok(lines) => Ok(LogLines { lines: newest(lines, ANSWER_BYTES) }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(LogLines { lines: Vec::new() }),
        Err(error) => Err(failed(&error)),
    }
}

/// The last lines of the log, of at most [`ANSWER_BYTES`] together.
fn newest(mut lines: Vec<String>, mut room: usize) -> Vec<String> {
    let fits = |line: &&String| {
        let is_fitting = line.len() <= room;
        room = room.saturating_sub(line.len());
        is_fitting
    };
    let count = lines.iter().rev().take_while(fits).count();
    lines.split_off(lines.len() - count)
}

/// A stage that a reload has removed may have said something, too.
async fn check(stage: &str, recent_logs: &RecentLogs, state: &ServerState) -> Result<(), Refused> {
    if recent_logs.has_stage(stage) {
        return Ok(());
    }
    let Some(snapshot) = state.snapshot().await else {
        return Err(Refused::new(Reason::TooSlow, "the supervisor did not answer in time"));
    };
    let mut names = snapshot.stages.iter().map(|stage| stage.name.as_str());
    match names.clone().any(|name| name == stage) {
        true => Ok(()),
        false => Err(Refused::new(Reason::NoSuchStage, no_such_stage(stage, &mut names))),
    }
}
