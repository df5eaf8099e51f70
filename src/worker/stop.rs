//! Why a worker's loop ends.

use crate::queue::{Ending, Fault, PutError};
use crate::stage::{Failure, Reach};

/// The loop is over, in this way.
#[derive(Debug, PartialEq)]
pub(super) struct Stop(pub Ending);

/// Repeats rounds until one says how the loop ends.
pub(super) fn until_stop(mut round: impl FnMut() -> Result<(), Stop>) -> Stop {
    loop {
        if let Err(stop) = round() {
            return stop;
        }
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop(Ending::Failed(fault.to_string()))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop(match failure.reach() {
            Reach::Item | Reach::Later | Reach::Rejected | Reach::NotYet | Reach::Worker | Reach::Never => {
                Ending::Failed(failure.to_string())
            }
            Reach::OutputClosed => Ending::OutputClosed,
            Reach::Ordered => Ending::Ordered,
        })
    }
}

/// An output that was not staged, as the stage sees it.
pub(super) fn failure_of(error: &PutError, queue_name: &str) -> Failure {
    match error {
        PutError::TooLong { len, max, .. } => Failure::new(format!(
            "an output of {len} bytes is longer than `{queue_name}` takes (max_item: {max} bytes)"
        )),
        PutError::Ordered => Failure::with_reach(error.to_string(), Reach::Ordered),
        PutError::NoRoom => Failure::fatal(error.to_string()),
        PutError::Fault(fault) => Failure::fatal(fault.to_string()),
    }
}
