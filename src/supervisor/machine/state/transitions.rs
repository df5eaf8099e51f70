//! The workers' history, as the status shows it.

use super::State;
use crate::status::{self, Snapshot};
use crate::supervisor::machine::history::{Transition, TransitionKind};
use crate::supervisor::machine::observe::Moment;
use crate::supervisor::machine::reason::End;
use crate::sys::wait::Exit;
use std::fmt::Display;

impl State {
    /// Fills in what happened to each worker of a snapshot.
    pub(crate) fn fill_history(&self, snapshot: &mut Snapshot, moment: Moment) {
        for stage in &mut snapshot.stages {
            for worker in &mut stage.workers {
                let name = format!("{}[{}]", stage.name, worker.index);
                worker.transitions = self.history.of(&name).map(|past| shown(past, moment)).collect();
            }
        }
    }
}

fn shown(past: &Transition, moment: Moment) -> status::Transition {
    let (change, reason): (_, &dyn Display) = match &past.change {
        TransitionKind::Started(why) => (status::WorkerChange::Started, why),
        TransitionKind::Asked(why) => (status::WorkerChange::Asked, why),
        TransitionKind::Terminated(why) => (status::WorkerChange::Terminated, why),
        TransitionKind::Killed(why) => (status::WorkerChange::Killed, why),
        TransitionKind::Ended(end) if end.is_failure() => (status::WorkerChange::Failed, end),
        TransitionKind::Ended(end) => (status::WorkerChange::Ended, end),
    };
    let died = if let TransitionKind::Ended(End::Died(exit)) = &past.change { Some(exit) } else { None };
    let (exit_code, signal) = match died {
        Some(Exit::Code(code)) => (Some(*code), None),
        Some(Exit::Signal(signal)) => (None, Some(signal.to_string())),
        None => (None, None),
    };
    status::Transition {
        time: moment.at(past.at),
        ago: moment.now.saturating_duration_since(past.at).as_secs_f64(),
        change,
        reason: reason.to_string(),
        exit_code,
        signal,
        lived: past.lived.map(|lived| lived.as_secs_f64()),
        item: past.item.as_deref().cloned(),
        stderr: past.last_stderr.clone(),
    }
}
