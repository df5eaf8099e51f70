//! `ready` and `health`: what checks of a service tell, and what follows.
//!
//! A start counts once the process is ready. One that is not in its time has failed to start; one that is unhealthy has
//! failed: both are ended, and started again as `restart`, `backoff` and `give_up` say.

use super::{StageState, Worker};
use crate::config::pipeline::Probe;
use crate::numbers::counted;
use crate::supervisor::machine::condition::{Condition, Finding, Goal, Health, Purpose};
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::reason::{StopReason, spoken};
use crate::supervisor::machine::worker_state::{Process, StopRequest, WorkerEvent};
use log::Level;
use std::time::Instant;

impl StageState {
    /// The program of a service runs.
    pub(crate) fn begun(&mut self, i: usize, out: &mut Effects) {
        if self.workers[i].condition.has_begun() {
            return;
        }
        if self.spec.ready.is_none() {
            return self.ready(i, out);
        }
        self.workers[i].condition = Condition::Starting { since: out.now, last: None };
        if self.paused {
            self.suspend(i, true, out);
        }
    }

    /// A check has told something. What is of a check that is not wanted any more changes nothing.
    pub(crate) fn found(&mut self, i: usize, finding: Finding, out: &mut Effects) {
        let worker = &mut self.workers[i];
        if undisturbed(worker).is_none() {
            return;
        }
        match (finding, &mut worker.condition) {
            (Finding::Ready, Condition::Unbegun | Condition::Starting { .. }) => self.became_ready(i, out),
            (Finding::NotReady(why), Condition::Starting { last, .. }) => *last = Some(why),
            (Finding::TimedOut(why), Condition::Starting { last, .. }) if !self.paused => {
                *last = Some(why);
                self.apply(i, fail(StopReason::NotReady), out);
            }
            (Finding::Healthy, Condition::Ready(health)) if !self.paused => {
                let before = std::mem::replace(health, Health::Healthy);
                if matches!(before, Health::Failing { .. }) {
                    self.say_of(i, Level::Info, "is healthy again".to_owned(), out);
                }
            }
            (Finding::Failing { failures, why }, Condition::Ready(health)) if !self.paused => {
                *health = Health::Failing { failures, why };
                self.note_failed_check(i, out);
            }
            (Finding::NotMade(why), condition) => {
                let text = format!("can't be checked: {why}");
                if let Condition::Starting { last, .. } = condition {
                    *last = Some(text.clone());
                }
                self.say_of(i, Level::Warn, text, out);
            }
            _ => {}
        }
    }

    fn became_ready(&mut self, i: usize, out: &mut Effects) {
        if let Some(process) = self.workers[i].life.process() {
            let took = spoken(out.now.saturating_duration_since(process.since));
            self.say_of(i, Level::Debug, format!("is ready after {took}"), out);
        }
        self.ready(i, out);
    }

    fn note_failed_check(&mut self, i: usize, out: &mut Effects) {
        let condition = &self.workers[i].condition;
        let (failures, why) = (condition.failures(), condition.last_words().unwrap_or_default().to_owned());
        let Some(most) = self.spec.health.as_ref().map(|health| health.failures) else { return };
        self.totals.failed_checks += 1;
        self.say_of(i, Level::Warn, format!("failed a health check ({failures} of {most}): {why}"), out);
        if failures >= most {
            self.apply(i, fail(StopReason::Unhealthy), out);
        }
    }

    fn say_of(&self, i: usize, level: Level, text: String, out: &mut Effects) {
        out.push(Effect::LogAbout(level, self.name(i), text));
    }

    /// What was wrong with one that is ended for what checks have told.
    pub(super) fn complaint(&self, i: usize, why: StopReason) -> Option<String> {
        let condition = &self.workers[i].condition;
        let unsaid = self.spec.ready.as_ref().and_then(|ready| unsaid(&ready.probe));
        let last =
            condition.last_words().map(str::to_owned).or(unsaid.filter(|_| why == StopReason::NotReady));
        let last = last.map_or(String::new(), |last| format!(": {last}"));
        match why {
            StopReason::NotReady => {
                let timeout = self.spec.ready.as_ref().map(|ready| spoken(ready.timeout));
                Some(format!("it was not ready within {}{last}", timeout.unwrap_or_default()))
            }
            StopReason::Unhealthy => {
                let failures = condition.failures();
                Some(format!("it was unhealthy, {} in a row failed{last}", counted(failures.into(), "check")))
            }
            _ => None,
        }
    }

    /// When one that says by itself that it is ready must have done so.
    pub(super) fn ready_by(&self, worker: &Worker) -> Option<Instant> {
        let ready = self.spec.ready.as_ref().filter(|ready| !ready.probe.is_tried() && !self.paused)?;
        match worker.condition {
            Condition::Starting { since, .. } if undisturbed(worker).is_some() => Some(since + ready.timeout),
            _ => None,
        }
    }

    pub(super) fn not_ready_in_time(&mut self, i: usize, out: &mut Effects) {
        self.apply(i, fail(StopReason::NotReady), out);
    }

    /// Whether a helper is needed that makes tries.
    pub(crate) fn needs_checker(&self) -> bool {
        self.spec.health.is_some() || self.spec.ready.as_ref().is_some_and(|ready| ready.probe.is_tried())
    }

    /// What the file does not ask for any more is not waited for.
    pub(crate) fn release_from_ready(&mut self, out: &mut Effects) {
        if self.spec.ready.is_some() {
            return;
        }
        for i in 0..self.workers.len() {
            if matches!(self.workers[i].condition, Condition::Starting { .. }) {
                self.ready(i, out);
            }
        }
    }

    /// Brings what is to be found out about each process in line with how that is, and with what the file says now.
    pub(crate) fn tend_checks(&mut self, stops: bool, out: &mut Effects) {
        for i in 0..self.workers.len() {
            let worker = &self.workers[i];
            let wanted = if stops { None } else { self.wanted_check(worker) };
            let is_same = match (&worker.goal, wanted) {
                (Some(goal), Some((process, purpose, check))) => {
                    (goal.pid, goal.purpose, &goal.check) == (process.pid, purpose, check)
                }
                (goal, wanted) => goal.is_none() && wanted.is_none(),
            };
            if !is_same {
                let goal = wanted.map(|(process, purpose, check)| {
                    let Process { pid, slot, .. } = process;
                    Box::new(Goal { pid, slot, purpose, check: check.clone() })
                });
                let before = std::mem::replace(&mut self.workers[i].goal, goal.clone());
                out.list.extend(
                    before.filter(|_| goal.is_none()).map(|before| Effect::Uncheck(before.slot, before.pid)),
                );
                out.list.extend(goal.map(|goal| Effect::Check(*goal)));
            }
        }
    }

    fn wanted_check(&self, worker: &Worker) -> Option<(Process, Purpose, &crate::config::pipeline::Check)> {
        let process = undisturbed(worker).filter(|_| !self.paused)?;
        match worker.condition {
            Condition::Unbegun => None,
            Condition::Starting { .. } => Some((process, Purpose::Ready, self.spec.ready.as_ref()?)),
            Condition::Ready(_) => Some((process, Purpose::Health, &self.spec.health.as_ref()?.check)),
        }
    }
}

/// What one that says by itself that it is ready has not said.
fn unsaid(probe: &Probe) -> Option<String> {
    match probe {
        Probe::Line(pattern) => Some(format!("it has written no line that has {pattern:?} in it")),
        Probe::Notify => Some("it has not sent READY=1".to_owned()),
        Probe::Command(_) | Probe::Tcp(_) | Probe::Http(_) => None,
    }
}

/// To a service this is a signal.
fn fail(why: StopReason) -> WorkerEvent {
    WorkerEvent::Ask(StopRequest::Finish(why, None))
}

/// The process of a service that was not asked to end.
fn undisturbed(worker: &Worker) -> Option<Process> {
    worker.life.process().filter(|process| worker.is_service && process.requested == StopRequest::Nothing)
}
