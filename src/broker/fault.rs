//! Why the broker did not do what it was asked. What a commit met (a lost lease, a full queue) is no fault: see `Judged`.

use super::{Layout, Membership, QueueSettings};
use crate::model::{Outage, WhenFull};
use std::fmt;
use std::time::Duration;

/// A request whose answer may have got lost: longer than a busy server takes.
const SHORTEST_WAIT: Duration = Duration::from_secs(10);
/// A server that is gone is to be noticed, however long leases last.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// So often a request may come to nothing while a lease lasts.
const WAITS_OF_A_LEASE: u32 = 3;

/// How long an answer is waited for, by how long a lease lasts.
pub(super) fn answer_timeout(ack_wait: Duration) -> Duration {
    (ack_wait / WAITS_OF_A_LEASE).clamp(SHORTEST_WAIT, LONGEST_WAIT)
}

/// The text never holds a password, nor the address as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It can't be reached, or is not ready: later. What was asked may have happened.
    Away(String),
    /// Its memory or its store has no room for what was asked: later, once items were taken there.
    Full(String),
    /// It lets this machine in not at all, or not to what was asked: its user, password, credentials or rights. At a start no try
    /// helps; in the middle of a run a secret may be on its way.
    Denied(String),
    /// Another life of this machine has joined, or this one was struck off: it holds nothing any more.
    Superseded,
    /// The server takes no items now, or its settings would lose them. At a start no try helps; in the middle of a run it may become
    /// what it was: another server takes over, a setting is set right.
    Unfit(String),
    /// The queues of another pipeline, a machine that was struck off: no try helps.
    Fatal(String),
}

impl Fault {
    /// The server knows no such user, or the password is another one.
    pub fn wrong_password() -> Fault {
        Fault::Denied("the broker refuses the user or the password".into())
    }

    /// A request that was not answered in time.
    pub fn no_answer() -> Fault {
        Fault::Away(
            "no answer in time: it stands still, or the cable is too slow for 1 MiB or a long item (a third of `ack_wait` is \
             waited for, 10 s to 2 min)"
                .into(),
        )
    }

    /// What may pass by itself, without another secret or other settings.
    pub fn may_pass(&self) -> bool {
        matches!(self, Fault::Away(_) | Fault::Full(_))
    }

    /// What may pass in the middle of a run.
    pub fn outage(&self) -> Option<Outage> {
        match self {
            Fault::Away(_) => Some(Outage::Unreachable),
            Fault::Full(_) => Some(Outage::Full),
            Fault::Denied(_) => Some(Outage::Denied),
            Fault::Unfit(_) => Some(Outage::Unfit),
            Fault::Superseded | Fault::Fatal(_) => None,
        }
    }

    /// What the broker holds under the pipeline's name is no run of this file.
    pub fn foreign(layout: &Layout) -> Fault {
        Fault::Fatal(format!(
            "the broker holds other shared queues of a pipeline named {}: give this one a `prefix`, or begin another run",
            layout.pipeline
        ))
    }

    /// The file would drop items of the queue that the machines of the run keep, or keep what they drop.
    pub fn differs(queue: &QueueSettings) -> Fault {
        let (own, others) = match queue.when_full {
            WhenFull::Block => (WhenFull::Block, WhenFull::DropNew),
            other => (other, WhenFull::Block),
        };
        Fault::Fatal(format!(
            "the machines of this run have `when_full = {others}` for the queue {}, this file says {own}: give all machines the \
             same file, or begin another run (`--new-run`)",
            queue.name,
            own = own.quoted(),
            others = others.quoted(),
        ))
    }

    /// The run that was asked for is not there.
    pub fn no_run(who: &Membership) -> Fault {
        Fault::Fatal(format!(
            "it holds no run {} of this pipeline: `mprun shared list FILE --json` shows those that it holds",
            who.only.unwrap_or_default()
        ))
    }

    /// The machine of this life was struck off.
    pub fn struck() -> Fault {
        Fault::Fatal("this machine was struck off the run (`mprun forget`)".into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Away(why) => write!(f, "the broker can't be reached: {why}"),
            Fault::Full(why) => write!(f, "the broker is full: {why}"),
            Fault::Superseded => f.write_str(
                "this machine is no longer in the run: another process of it has joined, it was struck off (`mprun forget`), or the broker \
                 has lost the run",
            ),
            Fault::Unfit(why) => write!(f, "the broker is unfit: {why}"),
            Fault::Denied(why) | Fault::Fatal(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_waited_for_as_leases_last_within_bounds() {
        let secs = Duration::from_secs;
        let waited = [1, 30, 90, 180, 3600].map(|ack_wait| answer_timeout(secs(ack_wait)));
        assert_eq!(waited, [10, 10, 30, 60, 120].map(secs));
    }
}
