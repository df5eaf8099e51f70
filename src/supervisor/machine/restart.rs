//! Whether and when an ended worker is started again: pure, all of it.

use super::ids::WorkerId;
use super::reason::{End, StartReason, StopReason};
use super::worker_state::Over;
use crate::config::{Backoff, GiveUp, Restart};
use crate::queue::Ending;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is known when a worker has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// What it was requested to do, if anything.
    pub requested: Option<StopReason>,
    /// Its place is to go when its process does.
    pub leaving: bool,
    /// How far the stop of the pipeline is.
    pub stop: Stopping,
    /// A signal from outside ended it.
    pub killed_externally: bool,
    /// The stage's `restart`.
    pub restart: Restart,
    /// It is started by its schedule only.
    pub is_scheduled: bool,
    /// All workers of the stage share one position, which has to start over with all of them.
    pub shares_position: bool,
}

/// How far the stop of the pipeline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    /// It isn't stopping.
    No,
    /// Sources end, the others go on until their inputs end.
    Draining,
    /// All are to go.
    Killing,
}

/// What follows for an ended worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its place goes too.
    Leave,
    /// A new one at once; no failure.
    Now(StartReason),
    /// A new one as back-off and intensity allow.
    Restart(StartReason),
    /// A new one as back-off allows: what others do to it counts for no intensity, nor what it can't do just now.
    Uncounted(StartReason),
    /// It waits for its time.
    Wait,
    Over(Over),
}

/// What follows after `end`.
pub(crate) fn after(end: &End, given: &Circumstances) -> Next {
    match follows(end, given) {
        // By the clock alone, however the run has ended; but an operator's wish counts at once.
        Next::Restart(_)
        | Next::Uncounted(_)
        | Next::Over(Over::Finished | Over::InputEnded | Over::Failed)
        | Next::Now(StartReason::Recycled | StartReason::WantedAgain | StartReason::Changed)
            if given.is_scheduled && given.stop == Stopping::No =>
        {
            Next::Wait
        }
        next => next,
    }
}

fn follows(end: &End, given: &Circumstances) -> Next {
    match end {
        End::Said(Ending::InputEnded) if !given.leaving => Next::Over(Over::InputEnded),
        End::Said(Ending::OutputClosed) if !given.leaving => Next::Over(Over::OutputClosed),
        _ if given.stop == Stopping::Killing => Next::Over(Over::Stopped),
        _ if given.leaving => Next::Leave,
        End::Said(Ending::Finished) => finished(given),
        End::Said(Ending::Ordered) => given.requested.map_or(Next::Now(StartReason::WantedAgain), obeyed),
        End::Said(Ending::Recycled) => given.requested.map_or(Next::Now(StartReason::Recycled), obeyed),
        End::Said(Ending::Halted) => Next::Over(Over::Stopped),
        End::Terminated => match given.requested {
            Some(why) => obeyed(why),
            None if given.killed_externally => failed(given),
            None => Next::Now(StartReason::WantedAgain),
        },
        // Only reached when it is leaving, which an arm above answers.
        End::Said(Ending::InputEnded | Ending::OutputClosed) => Next::Leave,
        End::NotNow(_) if given.requested.is_none() => match failed(given) {
            Next::Restart(why) => Next::Uncounted(why),
            other => other,
        },
        End::Said(Ending::Failed(_) | Ending::Lost(_) | Ending::TimedOut)
        | End::Died(_)
        | End::NotStarted(_)
        | End::CannotStart(_)
        | End::ProgramKilled(_)
        | End::NotNow(_) => match given.requested {
            // It was killed for the others' sake: the stage still wants it.
            None | Some(StopReason::HoldsLock) => failed(given),
            Some(StopReason::NotReady) => because(failed(given), StartReason::NotReady),
            Some(StopReason::Unhealthy) => because(failed(given), StartReason::Unhealthy),
            Some(why) => obeyed(why),
        },
    }
}

fn finished(given: &Circumstances) -> Next {
    let again = given.restart == Restart::Always && given.requested.is_none() && given.stop == Stopping::No;
    if again && !given.shares_position {
        Next::Restart(StartReason::Always)
    } else {
        Next::Over(Over::Finished)
    }
}

fn failed(given: &Circumstances) -> Next {
    match given.restart {
        Restart::Never => Next::Over(Over::Failed),
        Restart::Always | Restart::OnFailure if given.killed_externally => {
            Next::Uncounted(StartReason::Killed)
        }
        Restart::Always | Restart::OnFailure => Next::Restart(StartReason::Failed),
    }
}

/// The same, for a reason of its own.
fn because(next: Next, why: StartReason) -> Next {
    if let Next::Restart(_) = next { Next::Restart(why) } else { next }
}

/// What follows for a worker that ended as requested.
fn obeyed(why: StopReason) -> Next {
    match why {
        StopReason::Scaled | StopReason::Removed => Next::Leave,
        StopReason::Changed => Next::Now(StartReason::Changed),
        StopReason::Requested => Next::Now(StartReason::Requested),
        StopReason::OutputClosed => Next::Over(Over::OutputClosed),
        StopReason::GaveUp => Next::Over(Over::GaveUp),
        StopReason::Stopping => Next::Over(Over::Stopped),
        StopReason::HoldsLock | StopReason::NotReady | StopReason::Unhealthy => {
            Next::Now(StartReason::WantedAgain)
        }
        StopReason::ByHand | StopReason::Elsewhere => Next::Over(Over::ByHand),
        StopReason::Recycled => Next::Now(StartReason::Recycled),
    }
}

/// How long to wait before the restart that follows `bad_runs` bad runs in a row: nothing, then `initial`, doubling up
/// to `max`. `jitter` (0.5 ..= 1) shortens it, so that workers which died together don't come back together.
pub(crate) fn delay(backoff: &Backoff, bad_runs: u32, jitter: f64) -> Duration {
    let Some(doublings) = bad_runs.checked_sub(1) else { return Duration::ZERO };
    let factor = 2_u32.saturating_pow(doublings);
    backoff.initial.saturating_mul(factor).min(backoff.max).mul_f64(jitter)
}

/// The restarts of a stage in the last while: Erlang's restart intensity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intensity(VecDeque<(Instant, CountedFor)>);

/// Beside which other restarts one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountedFor {
    /// Those of all workers: they do the same work, and fail of it.
    Stage,
    /// Those of this process, by its index: the processes of a service work each by itself.
    Process(u32),
}

impl Intensity {
    /// Counts one more restart. True: too many within the window, the stage gives up.
    pub(crate) fn exceeded(&mut self, limit: &GiveUp, counted_for: CountedFor, now: Instant) -> bool {
        self.0.push_back((now, counted_for));
        self.0.retain(|&(at, _)| now.saturating_duration_since(at) <= limit.within);
        self.of(counted_for).count() > usize::try_from(limit.restarts).unwrap_or(usize::MAX)
    }

    fn of(&self, counted_for: CountedFor) -> impl Iterator<Item = Instant> {
        self.0.iter().filter(move |(_, other)| *other == counted_for).map(|&(at, _)| at)
    }

    /// How long ago each of them was.
    pub(crate) fn ages(&self, counted_for: CountedFor, now: Instant) -> Vec<Duration> {
        self.of(counted_for).map(|at| now.saturating_duration_since(at)).collect()
    }

    /// Takes over restarts that another program has counted.
    pub(crate) fn add_ages(&mut self, ages: &[Duration], counted_for: CountedFor, now: Instant) {
        self.0.extend(ages.iter().filter_map(|&age| Some((now.checked_sub(age)?, counted_for))));
    }

    pub(crate) fn forget(&mut self, counted_for: CountedFor) {
        self.0.retain(|(_, other)| *other != counted_for);
    }

    pub(crate) fn forget_all(&mut self) {
        self.0.clear();
    }
}

/// A worker by name, for lines that people read: `parse[2]`.
pub(crate) fn name(stage: &str, worker: WorkerId) -> String {
    format!("{stage}[{}]", worker.index)
}

#[cfg(test)]
mod tests;
