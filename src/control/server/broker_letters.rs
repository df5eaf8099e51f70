//! The number of dead letters that lie in the broker: the link looks there when it is asked to, for a status request of a machine
//! that has written some. A broker that is slow does not delay other clients.

use super::ask::{Ask, ask};
use crate::control::protocol::{Answer, Request};
use crate::machines::LettersSeen;
use crate::status::Snapshot;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, sleep};

/// If a look takes longer, the answer holds what the last one has found.
const LOOK_TIMEOUT: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Clients that ask once a second get what the question before has made the link look at.
const FRESH_WITHIN: Duration = Duration::from_millis(1200);

pub(super) async fn fill_in(supervisor: &Ask, snapshot: &mut Snapshot) {
    if snapshot.letters_written_to_broker() > 0 {
        snapshot.letters.in_broker = look(supervisor).await;
    }
}

async fn look(supervisor: &Ask) -> Option<u64> {
    let begun = Instant::now();
    loop {
        let Ok(Answer::Machines(text)) = ask(supervisor, Request::Machines).await else { return None };
        let seen = text.and_then(|text| LettersSeen::read(&text, SystemTime::now()));
        let is_fresh = seen.as_ref().is_some_and(|seen| seen.age < FRESH_WITHIN);
        if is_fresh || begun.elapsed() > LOOK_TIMEOUT {
            return seen.and_then(|seen| seen.letters);
        }
        sleep(LOOK_AGAIN).await;
    }
}
