//! The last lines of the log, read on a thread of its own.

use crate::control::protocol::{LogLines, Logs, Reason, Refused};
use crate::logs::RecentLogs;
use std::io::ErrorKind;
use std::path::Path;

const MOST: u32 = 1000;
const USUAL: u32 = 50;

/// Those beside the control socket.
pub(super) async fn last(socket: Option<&Path>, wanted: Logs) -> Result<LogLines, Refused> {
    let failed = |why: &dyn std::fmt::Display| {
        Refused::new(Reason::Failed, format!("the lines of the log can't be read: {why}"))
    };
    let socket = socket.ok_or_else(|| failed(&"this run keeps none"))?;
    let recent_logs = RecentLogs::beside(socket);
    let most = wanted.lines.unwrap_or(USUAL).min(MOST) as usize;
    let read = tokio::task::spawn_blocking(move || recent_logs.last(wanted.stage.as_deref(), most));
    match read.await.map_err(|error| failed(&error))? {
        Ok(lines) => Ok(LogLines { lines }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(LogLines { lines: Vec::new() }),
        Err(error) => Err(failed(&error)),
    }
}
