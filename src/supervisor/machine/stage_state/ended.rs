//! What follows when a worker has ended.

use super::{Fate, StageState, Worker};
use crate::item;
use crate::queue::{Ending, FailureAttribution};
use crate::supervisor::machine::condition::Condition;
use crate::supervisor::machine::daemon::left_behind_text;
use crate::supervisor::machine::effect::{Effect, Effects, Release};
use crate::supervisor::machine::history::TransitionKind;
use crate::supervisor::machine::ids::WorkerId;
use crate::supervisor::machine::reason::{End, StartReason, StopReason, spoken};
use crate::supervisor::machine::restart::{self, Circumstances, CountedFor, Next, Stopping};
use crate::supervisor::machine::totals::ProcessWork;
use crate::supervisor::machine::worker_state::{Life, Over, WorkerEvent};
use crate::sys::process::StartStep;
use crate::sys::wait::Exit;
use crate::text::with_time;
use log::Level;
use std::time::{Duration, Instant};

/// Where to look for what kills workers.
const KILL_HINT: &str =
    "SIGKILL comes from the kernel if memory runs out (`dmesg` tells), or from another program";

/// The end of a worker, and what else decides about what follows.
#[derive(Debug)]
pub(crate) struct WorkerExit {
    pub end: End,
    pub work: ProcessWork,
    /// How far the stop of the pipeline is.
    pub stop: Stopping,
    /// Different items of its stage fail one after the other.
    pub is_failing: bool,
    /// 0.5 ..= 1, for the back-off.
    pub jitter: f64,
}

/// What an ended worker means for its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// It never became ready in its new version.
    TrialFailed,
    /// Too many restarts.
    GaveUp,
    /// Its program can't be started, and never was.
    CannotStart,
}

/// What is known of a process that has ended, beside its end.
#[derive(Clone, Copy, Debug)]
struct Lived {
    /// `None`: there was no process.
    time: Option<Duration>,
    /// Long enough to count as a good run (`reset_after`).
    long: bool,
    killed_externally: bool,
}

impl StageState {
    /// A worker's process is gone, or never came to be: gives back what it held, and decides what follows. With the
    /// release of the item whose dead letter is to be written.
    pub(crate) fn ended(
        &mut self,
        i: usize,
        exit: &WorkerExit,
        out: &mut Effects,
    ) -> (Verdict, Option<Release>) {
        self.totals.add(&exit.work);
        let worker = &self.workers[i];
        let requested = match worker.life {
            Life::Alive(process) => process.requested,
            Life::Forking { requested, .. } => requested,
            Life::Due(_) | Life::BackOff { .. } | Life::Over(_) => return (Verdict::Fine, None),
        };
        let time = worker.life.process().map(|process| out.now.saturating_duration_since(process.since));
        let long = time.is_some_and(|time| time >= self.spec.rules.backoff.reset_after);
        let lived = Lived { time, long, killed_externally: requested.killed_externally(&exit.end) };
        let dead_letter = self.release(i, exit, out);
        let given = Circumstances {
            requested: requested.reason().map(|why| self.still_meant(worker, why)),
            leaving: worker.leaving,
            stop: exit.stop,
            killed_externally: lived.killed_externally,
            restart: self.spec.rules.restart,
            is_scheduled: self.spec.rules.schedule.is_some(),
            shares_position: self.version.token.is_some(),
        };
        let is_ready = exit.work.ready && (self.spec.ready.is_none() || is_ready(worker));
        let is_ours = requested.is_deadly() && requested.reason() != Some(StopReason::NotReady);
        let trial = worker.trial && !is_ready && !is_ours;
        self.count_kills(exit, lived, out);
        let next = match restart::after(&exit.end, &given) {
            Next::Restart(why) if Self::fails_for_items(exit) || self.is_one_too_many(exit) => {
                Next::Uncounted(why)
            }
            next => next,
        };
        if next == Next::Wait {
            self.note_run(i, &exit.end, exit.end.is_failure() || lived.killed_externally, out.now);
        }
        let verdict = self.follow(i, exit, lived, next, out);
        self.has_run |= shows_a_start(exit);
        let failed = verdict == Verdict::GaveUp || (exit.end.is_failure() && !lived.killed_externally);
        let is_trial = trial && failed && verdict != Verdict::CannotStart;
        (if is_trial { Verdict::TrialFailed } else { verdict }, dead_letter)
    }

    /// Whether it is another item each time that a worker dies of: that counts for the stage's being failing, before it
    /// counts for `give_up`.
    fn fails_for_items(exit: &WorkerExit) -> bool {
        exit.is_failing || exit.work.with_another
    }

    /// Another process can't be had now (a limit of the system), and others of the stage are at work: it is tried again and again, and
    /// they go on. A full disk is waited for in any case, as it is by those that are at work.
    fn is_one_too_many(&self, exit: &WorkerExit) -> bool {
        let End::NotStarted(error) = exit.end else { return false };
        error.step == StartStep::QueueMemory || error.passes() && self.workers.iter().any(is_ready)
    }

    /// Logged once when it becomes too much; the status shows it as long as it lasts.
    fn count_kills(&mut self, exit: &WorkerExit, lived: Lived, out: &mut Effects) {
        if !lived.killed_externally || lived.long || exit.work.has_worked() {
            self.killed_in_a_row = 0;
        }
        self.killed_in_a_row += u32::from(lived.killed_externally);
        if lived.killed_externally && self.killed_in_a_row == self.many_kills() {
            let (stage, times) = (&self.spec.name, self.killed_in_a_row);
            out.log(
                Level::Error,
                format!(
                    "the stage {stage} was killed from outside {times} times in a row, and is restarted each time. {KILL_HINT}"
                ),
            );
        }
    }

    /// The program of a stage that has never done anything can't be started. Later it is a restart as any other: then it
    /// is being replaced, perhaps.
    fn cannot_start(&self, i: usize, exit: &WorkerExit, next: Next) -> bool {
        let tries_again = matches!(next, Next::Restart(_) | Next::Over(Over::Failed));
        let is_first = self.workers[i].is_first && !self.has_run && self.restarts.is_empty();
        let worked = exit.work.has_worked() || exit.work.stage_has_worked;
        matches!(exit.end, End::CannotStart(_)) && tries_again && is_first && !worked
    }

    /// What a dead process held goes back; but not an item at its last attempt: its dead letter is written first.
    fn release(&self, i: usize, exit: &WorkerExit, out: &mut Effects) -> Option<Release> {
        let Life::Alive(process) = self.workers[i].life else { return None };
        if self.workers[i].is_service {
            return None; // it held nothing
        }
        // Dead by the supervisor's own hand: no item did it. Any other signal came from the item's work.
        let ours = matches!(
            &exit.end,
            End::Died(Exit::Signal(signal)) if matches!(signal.0, libc::SIGTERM | libc::SIGKILL)
        );
        let innocent =
            ours && process.requested.is_deadly() || matches!(exit.end, End::CannotStart(_) | End::NotNow(_));
        let attempts = self.spec.tuning.attempts;
        let release = Release {
            worker: WorkerId { stage: self.key, index: self.workers[i].index },
            stage: self.spec.name.clone(),
            slot: process.slot,
            attribution: if innocent { FailureAttribution::Nobody } else { FailureAttribution::Begun },
            attempts,
            end: exit.end.clone(),
            last_stderr: exit.work.last_stderr.clone(),
            shared: self.workers[i].version.shared.clone(),
        };
        let is_last = !innocent && exit.work.attempt >= attempts.max(1) && !exit.work.has_hope;
        out.push(match is_last {
            true => Effect::WriteDeadLetter(release.clone()),
            false => Effect::Release(release.clone()),
        });
        is_last.then_some(release)
    }

    fn follow(
        &mut self,
        i: usize,
        exit: &WorkerExit,
        lived: Lived,
        next: Next,
        out: &mut Effects,
    ) -> Verdict {
        let (name, end) = (self.name(i), &exit.end);
        let requested = self.workers[i].life.requested();
        let (life, verdict) = self.next_life(i, next, exit, lived, out);
        if let (Next::Now(why) | Next::Restart(why) | Next::Uncounted(why), Verdict::Fine) = (next, verdict) {
            self.count_restart(restart_word(why, end));
        }
        self.count_run(i, end, lived);
        let ran = lived.time.map_or(String::new(), |time| format!(" after {}", spoken(time)));
        let then = match next {
            Next::Over(over) if self.should_run(i, over) => match end {
                End::Said(Ending::OutputClosed) => "; it is not started again".to_owned(),
                _ => format!("; it is not started again: {over}"),
            },
            _ => restart_text(next, life, out.now),
        };
        // Of a stage that can't start, the stage's own line tells all that there is.
        let is_said_elsewhere = verdict == Verdict::CannotStart
            || self.fate == Fate::GaveUp && matches!(end, End::CannotStart(_));
        let level = match next {
            _ if is_said_elsewhere => Level::Debug,
            Next::Over(over) if self.should_run(i, over) => Level::Warn,
            _ => level(end, next),
        };
        let kind = TransitionKind::Ended(end.clone());
        out.transition_as(level, name.clone(), with_time(&end.to_string(), &ran, &then), kind);
        if exit.work.counts.perhaps_lost > 0 {
            out.log(Level::Warn, format!("{name}: {}", item::may_be_lost(exit.work.counts.perhaps_lost)));
        }
        out.history.explain(&name, lived.time, &exit.work);
        if let (None, Some(text)) = (requested, left_behind_text(&name, &exit.work.left_behind)) {
            out.log(Level::Warn, text);
        }
        let Some(life) = life else {
            self.workers.remove(i);
            return verdict;
        };
        self.workers[i].condition = Condition::Unbegun;
        self.apply(i, WorkerEvent::Ended(life), out);
        let worker = &mut self.workers[i];
        worker.trial &= !(life.is_over() || next == Next::Wait);
        worker.trial |= next == Next::Now(StartReason::Requested); // who asked waits for the fresh one
        verdict
    }

    fn count_restart(&mut self, word: &'static str) {
        *self.restarts.entry(word.to_owned()).or_default() += 1;
        self.totals.restarts += 1;
    }

    /// `None`: its place goes too.
    fn next_life(
        &mut self,
        i: usize,
        next: Next,
        exit: &WorkerExit,
        lived: Lived,
        out: &mut Effects,
    ) -> (Option<Life>, Verdict) {
        let now = out.now;
        if self.cannot_start(i, exit, next) {
            return (Some(Life::Over(Over::GaveUp)), Verdict::CannotStart);
        }
        let life = match next {
            Next::Leave => return (None, Verdict::Fine),
            Next::Now(why) => Life::Due(why),
            Next::Over(over) => Life::Over(over),
            Next::Wait => self.wait_for_time(out).unwrap_or(Life::Due(StartReason::Changed)),
            Next::Restart(_) if self.is_restarted_too_often(i, lived, now) => {
                return (Some(Life::Over(Over::GaveUp)), Verdict::GaveUp);
            }
            Next::Restart(why) | Next::Uncounted(why) => rest(self.backoff(i, exit, lived), why, now),
        };
        (Some(life), Verdict::Fine)
    }

    /// Counts one more restart, but not that of a service's process after a good run: with it the count of that process begins anew.
    fn is_restarted_too_often(&mut self, i: usize, lived: Lived, now: Instant) -> bool {
        let counted_for = self.workers[i].counted_for();
        if lived.long && counted_for != CountedFor::Stage {
            self.intensity.forget(counted_for);
            return false;
        }
        self.intensity.exceeded(&self.spec.rules.give_up, counted_for, now)
    }

    /// A fork that fails would fail again at once: it waits even the first time.
    fn backoff(&self, i: usize, exit: &WorkerExit, lived: Lived) -> Duration {
        let before = if lived.long { 0 } else { self.workers[i].bad_runs };
        let before = if matches!(exit.end, End::NotStarted(_)) { before.max(1) } else { before };
        restart::delay(&self.spec.rules.backoff, before, exit.jitter)
    }

    fn count_run(&mut self, i: usize, end: &End, lived: Lived) {
        let obeyed =
            matches!(end, End::Said(Ending::Ordered | Ending::Recycled | Ending::Halted) | End::Terminated);
        let innocent = obeyed && !lived.killed_externally;
        let bad_runs = &mut self.workers[i].bad_runs;
        *bad_runs = if lived.long || innocent { 0 } else { bad_runs.saturating_add(1) };
    }

    /// Starts all over. One restart, for the intensity.
    pub(crate) fn start_over(&mut self, jitter: f64, out: &mut Effects) -> Verdict {
        if self.intensity.exceeded(&self.spec.rules.give_up, CountedFor::Stage, out.now) {
            return Verdict::GaveUp;
        }
        self.totals.progress = None;
        self.count_restart(restart_word(StartReason::Always, &End::Said(Ending::Finished)));
        let bad_runs = self.workers.iter().map(|worker| worker.bad_runs).max().unwrap_or(0);
        let delay = restart::delay(&self.spec.rules.backoff, bad_runs.saturating_sub(1), jitter);
        for worker in &mut self.workers {
            worker.life = rest(delay, StartReason::Always, out.now);
        }
        Verdict::Fine
    }
}

/// Whether it had come as far as a process of its stage has to.
fn is_ready(worker: &Worker) -> bool {
    worker.life.process().is_some_and(|process| process.ready)
}

fn rest(delay: Duration, why: StartReason, now: Instant) -> Life {
    if delay.is_zero() { Life::Due(why) } else { Life::BackOff { until: now + delay, why } }
}

fn restart_text(next: Next, life: Option<Life>, now: Instant) -> String {
    match (next, life) {
        (Next::Restart(_) | Next::Uncounted(_), Some(Life::Due(_))) => "; it starts again at once".to_owned(),
        (Next::Restart(_) | Next::Uncounted(_), Some(Life::BackOff { until, .. })) => {
            format!("; it starts again in {}", spoken(until - now))
        }
        (Next::Wait, _) => "; the next run comes at its time".to_owned(),
        (Next::Restart(_) | Next::Uncounted(_) | Next::Leave | Next::Now(_) | Next::Over(_), _) => {
            String::new()
        }
    }
}

/// What a new process in place of an old one is counted as.
fn restart_word(why: StartReason, end: &End) -> &'static str {
    match (why, end) {
        (StartReason::Recycled, _) => "recycled",
        (StartReason::Changed, _) => "changed",
        (StartReason::Requested, _) => "requested",
        (StartReason::WantedAgain | StartReason::WorkAgain, _) => "wanted-again",
        (StartReason::NotReady, _) => "not-ready",
        (StartReason::Unhealthy, _) => "unhealthy",
        (StartReason::Killed, _) | (_, End::Died(Exit::Signal(_)) | End::ProgramKilled(_)) => "killed",
        (_, End::Died(Exit::Code(_))) => "crashed",
        (_, End::NotStarted(_) | End::CannotStart(_)) => "not-started",
        (_, End::Said(Ending::TimedOut)) => "timed-out",
        (_, End::Said(Ending::Failed(_) | Ending::Lost(_)) | End::NotNow(_)) => "failed",
        (
            StartReason::New
            | StartReason::ItsTurn
            | StartReason::Scaled
            | StartReason::Failed
            | StartReason::Always
            | StartReason::Scheduled
            | StartReason::Here,
            End::Said(_) | End::Terminated,
        ) => "finished",
    }
}

/// Whether a worker of it has had its program, at some time.
fn shows_a_start(exit: &WorkerExit) -> bool {
    exit.work.stage_has_worked
        || exit.work.has_worked()
        || match &exit.end {
            End::Said(Ending::Ordered) | End::Died(_) | End::NotStarted(_) => false,
            End::CannotStart(_) | End::Terminated => false,
            End::Said(_) | End::ProgramKilled(_) | End::NotNow(_) => true,
        }
}

/// What the operator ordered is no news; what went wrong is.
fn level(end: &End, next: Next) -> Level {
    match next {
        Next::Restart(_) | Next::Uncounted(_) | Next::Over(Over::Failed) => Level::Warn,
        Next::Wait if end.is_failure() => Level::Warn,
        Next::Wait => Level::Debug,
        Next::Leave | Next::Now(_) | Next::Over(_) if end.is_failure() => Level::Info,
        Next::Leave | Next::Now(_) | Next::Over(_) => Level::Debug,
    }
}
