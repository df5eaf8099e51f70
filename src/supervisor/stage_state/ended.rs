//! What follows when a worker has ended.

use super::{Fate, Stage};
use crate::queue::{Ending, FailureAttribution};
use crate::status::Progress;
use crate::supervisor::action::{Action, Release};
use crate::supervisor::event::Work;
use crate::supervisor::history::Change;
use crate::supervisor::ids::WorkerId;
use crate::supervisor::outbox::Outbox;
use crate::supervisor::reason::{End, StartReason, spoken};
use crate::supervisor::restart::{self, Circumstances, Next, Stopping};
use crate::supervisor::worker_state::{Life, Over, Process, Step};
use crate::sys::wait::Exit;
use log::Level;
use std::time::{Duration, Instant};

/// Where to look for what kills workers.
const KILLERS: &str =
    "SIGKILL comes from the kernel if memory runs out (`dmesg` tells), or from another program";

/// The end of a worker, and what else decides about what follows.
#[derive(Debug)]
pub struct Death {
    /// How it ended.
    pub end: End,
    /// What it did.
    pub work: Work,
    /// How far the stop of the pipeline is.
    pub stop: Stopping,
    /// 0.5 ..= 1, for the back-off.
    pub jitter: f64,
}

/// What an ended worker means for its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All in order.
    Fine,
    /// It never became ready in its new version.
    TrialFailed,
    /// Too many restarts.
    GaveUp,
    /// Its program can't be started, and never was.
    CannotStart,
}

impl Stage {
    /// A worker's process is gone, or never came to be: gives back what it held, and decides what follows.
    pub fn ended(&mut self, i: usize, death: &Death, out: &mut Outbox) -> Verdict {
        self.count_work(&death.work);
        let worker = &self.workers[i];
        let asked = match worker.life {
            Life::Alive(process) => process.asked,
            Life::Forking { asked, .. } => asked,
            Life::Due(_) | Life::Resting { .. } | Life::Over(_) => return Verdict::Fine,
        };
        let from_outside = death.end.is_from_outside(asked);
        if let Life::Alive(process) = worker.life {
            let release = self.release(i, process, death);
            let is_last = is_last(&release, death);
            out.act(if is_last { Action::Bury(release) } else { Action::Release(release) });
        }
        let given = Circumstances {
            asked: asked.reason(),
            leaving: worker.leaving,
            stop: death.stop,
            from_outside,
            restart: self.spec.rules.restart,
            shares_position: self.version.token.is_some(),
        };
        let trial = worker.trial && !death.work.ready && !asked.is_deadly();
        self.count_kills(i, death, from_outside, out);
        let verdict = self.follow(i, death, restart::after(&death.end, &given), from_outside, out);
        self.has_run |= shows_a_start(death);
        let failed = verdict == Verdict::GaveUp || (death.end.is_failure() && !from_outside);
        if trial && failed && verdict != Verdict::CannotStart { Verdict::TrialFailed } else { verdict }
    }

    /// Says it once when it becomes too much; the status shows it as long as it lasts.
    fn count_kills(&mut self, i: usize, death: &Death, from_outside: bool, out: &mut Outbox) {
        let ran =
            self.workers[i].life.process().map(|process| out.now.saturating_duration_since(process.since));
        let lived = ran.is_some_and(|ran| ran >= self.spec.rules.backoff.reset_after);
        if !from_outside || lived || death.work.counts.has_effect() {
            self.killed_in_a_row = 0;
        }
        if from_outside {
            self.killed_in_a_row += 1;
            if self.killed_in_a_row == self.many_kills() {
                let (stage, times) = (&self.spec.name, self.killed_in_a_row);
                out.say(
                    Level::Error,
                    format!(
                        "the stage {stage} was killed from outside {times} times in a row: it goes on trying. {KILLERS}"
                    ),
                );
            }
        }
    }

    /// The program of a stage that has never done anything can't be started. Later it is a restart as any other: then it
    /// is being replaced, perhaps.
    fn cannot_start(&self, i: usize, death: &Death, next: Next) -> bool {
        let tries_again = matches!(next, Next::Restart(_) | Next::Over(Over::Failed));
        let is_first = self.workers[i].is_first && !self.has_run && self.restarts.is_empty();
        let done = death.work.counts.has_effect() || death.work.stage_has_worked;
        matches!(death.end, End::CannotStart(_)) && tries_again && is_first && !done
    }

    /// The worker's end, if its item becomes a dead letter by it.
    pub fn burial(&self, i: usize, death: &Death) -> Option<Release> {
        let Life::Alive(process) = self.workers[i].life else { return None };
        Some(self.release(i, process, death)).filter(|release| is_last(release, death))
    }

    fn count_work(&mut self, work: &Work) {
        self.totals.counts += work.counts;
        self.totals.progress = Progress::further(self.totals.progress, work.progress);
        self.totals.times += work.times;
        self.totals.item_times += work.item_times;
    }

    fn release(&self, i: usize, process: Process, death: &Death) -> Release {
        // Dead by the supervisor's own hand: no item did it. Any other signal came from the item's work.
        let ours = matches!(
            &death.end,
            End::Died(Exit::Signal(signal)) if matches!(signal.0, libc::SIGTERM | libc::SIGKILL)
        );
        let innocent = ours && process.asked.is_deadly() || matches!(death.end, End::CannotStart(_));
        let blame = if innocent { FailureAttribution::Nobody } else { FailureAttribution::Begun };
        Release {
            worker: WorkerId { stage: self.key, index: self.workers[i].index },
            stage: self.spec.name.clone(),
            slot: process.slot,
            blame,
            attempts: self.spec.tuning.attempts,
            end: death.end.clone(),
            words: death.work.words.clone(),
        }
    }

    fn follow(
        &mut self,
        i: usize,
        death: &Death,
        next: Next,
        from_outside: bool,
        out: &mut Outbox,
    ) -> Verdict {
        let (name, end) = (self.name(i), &death.end);
        let since = self.workers[i].life.process().map(|process| process.since);
        let ran = since.map(|since| out.now.saturating_duration_since(since));
        let (life, verdict) = self.next_life(i, next, death, ran, out.now);
        if let (Next::Now(why) | Next::Restart(why) | Next::Uncounted(why), Verdict::Fine) = (next, verdict) {
            self.count_restart(restart_word(why, end));
        }
        self.count_run(i, end, ran, from_outside);
        let lived = ran;
        let ran = ran.map_or(String::new(), |ran| format!(" after {}", spoken(ran)));
        let then = restart_text(next, life, out.now);
        // Of a stage that can't start, the stage's own line tells all that there is.
        let told = verdict == Verdict::CannotStart
            || self.fate == Fate::GaveUp && matches!(end, End::CannotStart(_));
        let level = if told { Level::Debug } else { level(end, next) };
        out.note(level, name.clone(), Change::Ended(end.clone()), format!("{end}{ran}{then}"));
        out.history.explain(&name, lived, &death.work);
        match life {
            Some(life) => self.settle(i, life, out),
            None => drop(self.workers.remove(i)),
        }
        verdict
    }

    fn count_restart(&mut self, word: &'static str) {
        *self.restarts.entry(word.to_owned()).or_default() += 1;
    }

    /// `None`: its place goes too.
    fn next_life(
        &mut self,
        i: usize,
        next: Next,
        death: &Death,
        ran: Option<Duration>,
        now: Instant,
    ) -> (Option<Life>, Verdict) {
        if self.cannot_start(i, death, next) {
            return (Some(Life::Over(Over::GaveUp)), Verdict::CannotStart);
        }
        match next {
            Next::Leave => (None, Verdict::Fine),
            Next::Now(why) => (Some(Life::Due(why)), Verdict::Fine),
            Next::Over(over) => (Some(Life::Over(over)), Verdict::Fine),
            Next::Restart(why) => {
                if self.intensity.exceeded(&self.spec.rules.give_up, now) {
                    return (Some(Life::Over(Over::GaveUp)), Verdict::GaveUp);
                }
                (Some(self.restart_later(i, why, death, ran, now)), Verdict::Fine)
            }
            Next::Uncounted(why) => (Some(self.restart_later(i, why, death, ran, now)), Verdict::Fine),
        }
    }

    fn restart_later(
        &mut self,
        i: usize,
        why: StartReason,
        death: &Death,
        ran: Option<Duration>,
        now: Instant,
    ) -> Life {
        self.totals.restarts += 1;
        rest(self.backoff(i, &death.end, ran, death.jitter), why, now)
    }

    fn settle(&mut self, i: usize, life: Life, out: &mut Outbox) {
        self.apply(i, Step::Ended(life), out);
        if life.is_over() {
            self.workers[i].trial = false;
        }
    }

    /// A fork that fails would fail again at once: it waits even the first time.
    fn backoff(&self, i: usize, end: &End, ran: Option<Duration>, jitter: f64) -> Duration {
        let rules = &self.spec.rules;
        let good = ran.is_some_and(|ran| ran >= rules.backoff.reset_after);
        let before = if good { 0 } else { self.workers[i].bad_runs };
        let before = if matches!(end, End::NotStarted(_)) { before.max(1) } else { before };
        restart::delay(&rules.backoff, before, jitter)
    }

    fn count_run(&mut self, i: usize, end: &End, ran: Option<Duration>, from_outside: bool) {
        let good = ran.is_some_and(|ran| ran >= self.spec.rules.backoff.reset_after);
        let obeyed = matches!(end, End::Said(Ending::Ordered | Ending::Recycled) | End::Terminated);
        let innocent = obeyed && !from_outside;
        let worker = &mut self.workers[i];
        worker.bad_runs = if good || innocent { 0 } else { worker.bad_runs.saturating_add(1) };
    }

    /// Starts all over. One restart, for the intensity.
    pub fn start_over(&mut self, jitter: f64, out: &mut Outbox) -> Verdict {
        if self.intensity.exceeded(&self.spec.rules.give_up, out.now) {
            return Verdict::GaveUp;
        }
        self.totals.restarts += 1;
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

fn is_last(release: &Release, death: &Death) -> bool {
    release.blame == FailureAttribution::Begun && death.work.attempt >= release.attempts.max(1)
}

fn rest(delay: Duration, why: StartReason, now: Instant) -> Life {
    if delay.is_zero() { Life::Due(why) } else { Life::Resting { until: now + delay, why } }
}

fn restart_text(next: Next, life: Option<Life>, now: Instant) -> String {
    match (next, life) {
        (Next::Restart(_) | Next::Uncounted(_), Some(Life::Due(_))) => "; it starts again at once".to_owned(),
        (Next::Restart(_) | Next::Uncounted(_), Some(Life::Resting { until, .. })) => {
            format!("; it starts again in {}", spoken(until - now))
        }
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
        (StartReason::Killed, _) | (_, End::Died(Exit::Signal(_)) | End::ProgramKilled(_)) => "killed",
        (_, End::Died(Exit::Code(_))) => "crashed",
        (_, End::NotStarted(_) | End::CannotStart(_)) => "not-started",
        (_, End::Said(Ending::TimedOut)) => "timed-out",
        (_, End::Said(Ending::Failed(_) | Ending::Lost(_))) => "failed",
        (
            StartReason::New | StartReason::Scaled | StartReason::Failed | StartReason::Always,
            End::Said(_) | End::Terminated,
        ) => "finished",
    }
}

/// Whether a worker of it has had its program, at some time.
fn shows_a_start(death: &Death) -> bool {
    let worked = death.work.stage_has_worked || death.work.counts.has_effect();
    worked
        || match &death.end {
            End::Said(Ending::Ordered) | End::Died(_) | End::NotStarted(_) => false,
            End::CannotStart(_) | End::Terminated => false,
            End::Said(_) | End::ProgramKilled(_) => true,
        }
}

/// What the operator ordered is no news; what went wrong is.
fn level(end: &End, next: Next) -> Level {
    match next {
        Next::Restart(_) | Next::Uncounted(_) | Next::Over(Over::Failed) => Level::Warn,
        Next::Leave | Next::Now(_) | Next::Over(_) if end.is_failure() => Level::Info,
        Next::Leave | Next::Now(_) | Next::Over(_) => Level::Debug,
    }
}
