//! Why the broker did not do what it was asked. What a commit met (a lost lease, a full queue) is no fault: see `Judged`.

use super::Layout;
use std::fmt;

/// The text never holds a password, nor the address as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It can't be reached, or is not ready: later. What was asked may have happened.
    Away(String),
    /// Another life of this machine has joined, or this one was struck off: it holds nothing any more.
    Superseded,
    /// A wrong password, settings under which items get lost, the queues of another pipeline: no try helps.
    Fatal(String),
}

impl Fault {
    /// What the broker holds under the pipeline's name is no run of this file.
    pub fn foreign(layout: &Layout) -> Fault {
        Fault::Fatal(format!(
            "the broker holds other shared queues of a pipeline named {}: give this one a `prefix`, or begin another run",
            layout.pipeline
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
            Fault::Superseded => f.write_str(
                "this machine's life in the run is over: another one of it has joined, it was struck off (`mprun forget`), or the broker \
                 has lost the run",
            ),
            Fault::Fatal(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}
