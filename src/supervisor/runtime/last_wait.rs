//! The one wait after the end of all workers: for room on the disk, for what the queues hold.

use super::inbox::{Inbox, Notice};
use crate::control::protocol::{Answer, Command, Done, Reason, Refused, Request, Stop};
use log::{Level, log};
use std::time::{Duration, Instant};

/// Room on the disk makes no event: this is tried at this interval.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Waits a while; whether to try again: until a request ends the wait.
pub(crate) fn for_room(inbox: &Inbox) -> impl FnMut(&str) -> bool {
    let mut said = String::new();
    move |why| {
        if said != why {
            // What came before this is said is not about it.
            if said.is_empty() {
                while let Some(notice) = inbox.wait(Some(Instant::now())) {
                    is_enough(notice);
                }
            }
            log!(
                target: "mprun",
                Level::Error,
                "what the queues hold can't be written: {why}; waits for room (Ctrl-C or `mprun stop --now` gives up)"
            );
            why.clone_into(&mut said);
        }
        let until = Instant::now() + RETRY_INTERVAL;
        while let Some(notice) = inbox.wait(Some(until)) {
            if is_enough(notice) {
                return false;
            }
        }
        true
    }
}

/// Whether the wait is to end. Any other request is refused.
fn is_enough(notice: Notice) -> bool {
    match notice {
        Notice::Interrupt | Notice::Quit => true,
        Notice::Asked(request, sender) => {
            let ends = matches!(*request, Request::Command(Command::Stop(Stop { now: true, .. })));
            let reply = match ends {
                true => {
                    Ok(Answer::Done(Done { done: "gives up waiting for room".into(), steps: Vec::new() }))
                }
                false => Err(Refused {
                    reason: Reason::Stopping,
                    error: "the run is over and waits for room on the disk, to keep what its queues hold; \
                            `mprun stop --now` gives up"
                        .to_owned(),
                }),
            };
            let _ = sender.send(reply); // a client that is gone meanwhile needs no answer
            ends
        }
        Notice::RetriesDone(_)
        | Notice::ServiceBegun(_)
        | Notice::SaysReady(..)
        | Notice::Checked(_)
        | Notice::Linked(_)
        | Notice::LinkEnded(_)
        | Notice::Printed(_)
        | Notice::NotPrinted(..)
        | Notice::Child
        | Notice::WorkerSignal
        | Notice::Terminate
        | Notice::Upgrade
        | Notice::Hangup
        | Notice::Suspend
        | Notice::FileTouched
        | Notice::ClockSet => false,
    }
}
