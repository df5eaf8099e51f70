//! The whole run, for the page of this machine: what `mprun status --all` shows.
//!
//! The supervisor waits for no network: it asks for a look by an order, and reads what the last look has found from a file in memory.
//! A look has a connection of its own and a time limit, so it holds up neither items nor leases.
//!
//! | killed … | what is left | why that is fine |
//! |---|---|---|
//! | the link, while it looks or writes | nothing, or a part of what was found | the next link has a file of its own |
//! | the supervisor, after it has asked | a look that nobody reads | the link goes with it |

use super::board::Board;
use super::request::LinkRequest;
use crate::broker::{Fault, Visitor};
use crate::machines::{self, Known};
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// A broker that does not answer is a fault by then.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// The last look holds up the end of the run.
const LAST_LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// Looks at the whole run, one at a time.
#[derive(Clone)]
pub(super) struct Looks {
    request: Rc<LinkRequest>,
    board: Rc<Board>,
    is_looking: Rc<Cell<bool>>,
}

impl Looks {
    pub(super) fn new(request: Rc<LinkRequest>, board: Board) -> Looks {
        Looks { request, board: Rc::new(board), is_looking: Rc::default() }
    }

    /// Has to be called in a `LocalSet`.
    pub(super) fn begin(&self) {
        if self.is_looking.replace(true) {
            return;
        }
        let looks = self.clone();
        tokio::task::spawn_local(async move {
            looks.take(LOOK_TIMEOUT).await;
            looks.is_looking.set(false);
        });
    }

    /// What the machine leaves behind in the broker is known then.
    pub(super) async fn take_last(&self) {
        self.take(LAST_LOOK_TIMEOUT).await;
    }

    async fn take(&self, limit: Duration) {
        let found = timeout(limit, look(&self.request)).await;
        let late = || Err(Fault::Away(format!("no answer within {} s", limit.as_secs())));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = now.as_millis() as u64;
        let seen = match found.unwrap_or_else(|_| late()) {
            Ok(run) => json!({ "at": at, "run": run }),
            Err(fault) => json!({ "at": at, "fault": format!("{}: {fault}", self.request.plan.broker.url) }),
        };
        // Without memory the one before stays, and its age says so.
        let _ = self.board.write_text(seen.to_string().as_bytes());
    }
}

async fn look(request: &LinkRequest) -> Result<Value, Fault> {
    let plan = &request.plan;
    let access = plan.broker.read_files().map_err(|(_, why)| Fault::Away(why))?;
    let Some(visitor) = Visitor::open(&access, &request.layout()).await? else { return Ok(Value::Null) };
    visitor.watch().await?;
    let stages: Vec<String> = plan.lines.iter().map(|line| line.stage.clone()).collect();
    let known =
        Known { name: &plan.pipeline, file: Path::new(""), broker: &plan.broker.url, stages: &stages };
    let whole = machines::whole(&known, visitor.overview().await?, SystemTime::now());
    serde_json::to_value(whole).map_err(|error| Fault::Fatal(error.to_string()))
}
