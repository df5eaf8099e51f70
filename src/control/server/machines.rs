//! The run of the shared queues over all its machines. The link looks at the broker when it is asked to, and shows what it has found.

use super::reply::{self, Response};
use super::state::ServerState;
use crate::control::protocol::{Answer, Reason, Refused, Request};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep};

/// Longer than a look at a broker that does not answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(6);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Who asks once a second gets what the question before has made the link look at.
const FRESH_WITHIN: f64 = 2.5;

/// What the link shows: `run` or `fault`.
#[derive(Deserialize, Serialize)]
struct Machines {
    /// When it was seen, in milliseconds since 1970.
    #[serde(skip_serializing)]
    at: u64,
    /// How many seconds ago.
    #[serde(default)]
    age: f64,
    /// As `mprun status --all --json` prints it; null: no machine has begun one.
    #[serde(default)]
    run: Option<Value>,
    /// Why the broker can't be asked.
    #[serde(default)]
    fault: Option<String>,
}

/// What was seen lately; after some seconds, what was seen at all.
pub(super) async fn answer(state: &ServerState) -> Result<Response, Refused> {
    let begun = Instant::now();
    loop {
        let seen = ask(state).await?;
        let is_late = begun.elapsed() > LOOK_TIMEOUT;
        match seen {
            Some(seen) if is_late || seen.age < FRESH_WITHIN => return Ok(reply::value(&seen)),
            None if is_late => {
                let error = "no process has looked at the broker in time";
                return Err(Refused::new(Reason::TooSlow, error));
            }
            _ => sleep(LOOK_AGAIN).await,
        }
    }
}

async fn ask(state: &ServerState) -> Result<Option<Machines>, Refused> {
    let Answer::Machines(Some(text)) = state.ask(Request::Machines).await? else { return Ok(None) };
    let seen = serde_json::from_slice::<Machines>(&text);
    let seen = seen.map_err(|error| Refused::new(Reason::Failed, error.to_string()))?;
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(seen.at);
    let age = SystemTime::now().duration_since(at).unwrap_or_default().as_secs_f64();
    Ok(Some(Machines { age, ..seen }))
}
