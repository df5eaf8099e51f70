//! What happened to the workers, for whoever asks why.

use super::State;
use crate::status::{self, Snapshot};
use crate::supervisor::machine::history::{Transition, TransitionKind};
use crate::supervisor::machine::observe::Moment;
use crate::supervisor::machine::reason::End;
use crate::sys::wait::Exit;

impl State {
    /// Fills in what happened to each worker of a snapshot.
    pub fn fill_history(&self, snapshot: &mut Snapshot, moment: Moment) {
        for stage in &mut snapshot.stages {
            for worker in &mut stage.workers {
                let name = format!("{}[{}]", stage.name, worker.index);
                worker.transitions = self.history.of(&name).map(|past| shown(past, moment)).collect();
            }
        }
    }
}

fn shown(past: &Transition, moment: Moment) -> status::Transition {
    let (change, reason) = match &past.change {
        TransitionKind::Started(why) => (status::WorkerChange::Started, why.to_string()),
        TransitionKind::Asked(why) => (status::WorkerChange::Asked, why.to_string()),
        TransitionKind::Terminated(why) => (status::WorkerChange::Terminated, why.to_string()),
        TransitionKind::Killed(why) => (status::WorkerChange::Killed, why.to_string()),
        TransitionKind::Ended(end) if end.is_failure() => (status::WorkerChange::Failed, end.to_string()),
        TransitionKind::Ended(end) => (status::WorkerChange::Ended, end.to_string()),
    };
    let (exit_code, signal) = match &past.change {
        TransitionKind::Ended(End::Died(Exit::Code(code))) => (Some(*code), None),
        TransitionKind::Ended(End::Died(Exit::Signal(signal))) => (None, Some(signal.to_string())),
        TransitionKind::Ended(_)
        | TransitionKind::Started(_)
        | TransitionKind::Asked(_)
        | TransitionKind::Terminated(_)
        | TransitionKind::Killed(_) => (None, None),
    };
    status::Transition {
        time: moment.at(past.at),
        ago: moment.now.saturating_duration_since(past.at).as_secs_f64(),
        change,
        reason,
        exit_code,
        signal,
        lived: past.lived.map(|lived| lived.as_secs_f64()),
        item: past.item.as_deref().cloned(),
        stderr: past.last_stderr.clone(),
    }
}
