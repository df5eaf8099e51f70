//! What limits a pipeline now: where it was not looked at lately, the answer is about the whole run since its start, its slow
//! first moments included. A second look after a moment is about that moment.

use std::thread;
use std::time::Duration;

use crate::control::client::{Client, ClientError};
use crate::status::{Bottleneck, Limit, Phase, Snapshot};

/// Long enough for an answer that differs from the one before.
const MOMENT: Duration = Duration::from_millis(600);

/// A snapshot whose bottleneck is that of lately.
pub(in crate::cli) fn look(client: &mut Client, history: bool) -> Result<Snapshot, ClientError> {
    let mut snapshot = client.status(history)?;
    if is_since_the_start(&snapshot) {
        thread::sleep(MOMENT);
        // A run that has just ended was as it was.
        let later = client.status(false).ok().and_then(|later| later.bottleneck);
        let is_known = |found: &Bottleneck| found.limit != Limit::Unknown;
        snapshot.bottleneck = later.filter(is_known).or(snapshot.bottleneck);
    }
    Ok(snapshot)
}

fn is_since_the_start(snapshot: &Snapshot) -> bool {
    let over = snapshot.stages.iter().map(|stage| stage.rate.over).fold(0.0, f64::max);
    snapshot.bottleneck.is_some()
        && !snapshot.paused
        && snapshot.phase == Phase::Running
        && over >= snapshot.uptime
}
