//! What is, brought nearer to what is wanted: every step of every stage and queue that is due.

use super::{Retrying, State};
use crate::numbers::counted as count;
use crate::queue::{SlotId, StageId};
use crate::supervisor::machine::effect::{Effect, Effects, Outcome};
use crate::supervisor::machine::phase::Phase;
use crate::supervisor::machine::queue_state::Reopened;
use crate::supervisor::machine::reason::{StartReason, StopReason};
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::ended::Verdict;
use crate::supervisor::machine::stage_state::{Fate, StageState};
use crate::supervisor::machine::worker_state::{Life, Over};
use log::Level;
use std::time::Duration;

/// Starts that are done before the next event is looked at: a thousand forks must not make a Ctrl-C wait.
const STARTS_AT_ONCE: usize = 32;
/// How long the supervisor leaves alone what does not settle.
const UNSETTLED_DELAY: Duration = Duration::from_secs(1);

impl State {
    /// Brings what is nearer to what is wanted.
    pub(super) fn converge(&mut self, may_start: bool, out: &mut Effects) {
        if self.phase.is_over() {
            return;
        }
        self.pass_time(out);
        self.stages.iter_mut().for_each(|stage| stage.release_from_ready(out));
        // One step may be what another one waits for, which stands before it: a stage that is revived gives its readers
        // work, one that gives up stops the others. So until a round has nothing to do.
        self.again = None;
        let most = self.most_rounds();
        if !settles_within(most, out, |out| self.converge_once(out)) {
            debug_assert!(false, "{most} rounds, and still something to do: {:?}", out.list);
            // A fault of this program; but a supervisor must not loop for ever.
            let text = format!(
                "the decisions of the supervisor do not settle; it continues in {UNSETTLED_DELAY:?} (a bug in mprun: please report it with this log)"
            );
            out.log(Level::Error, text);
            self.again = Some(out.now + UNSETTLED_DELAY);
        }
        self.tend_checks(out);
        self.answer_waiting(out);
        self.tend_link(out);
        self.note_end(out.now);
        self.start_due(if may_start { STARTS_AT_ONCE } else { 0 }, out);
        self.announce(out);
        self.end_if_over(out);
    }

    /// A step of one stage or queue lets at most its neighbours take theirs, so it is as many rounds as there are links
    /// in the longest way through the pipeline, there and back; and some for what a reload ends and begins.
    fn most_rounds(&self) -> usize {
        16 + 4 * (self.stages.len() + self.queues.len())
    }

    fn converge_once(&mut self, out: &mut Effects) {
        match self.stopping() {
            Stopping::No => self.converge_stages(out),
            Stopping::Draining => self.drain(out),
            Stopping::Killing => self.clear(out),
        }
        // A queue that the next run recovers has not ended because this one stops.
        if !self.leaves_items() {
            self.settle_queues(out);
        }
        self.end_lines(out);
        self.finish_reload(out);
    }

    fn pass_time(&mut self, out: &mut Effects) {
        self.stages.iter_mut().for_each(|stage| stage.tick(out));
        if self.guardian.is_due(out.now) {
            self.start_guardian(out);
        }
        if self.log_writer.is_due(out.now) {
            self.log_writer.start(out.now);
            out.push(Effect::StartLogWriter);
        }
        if self.file.deadline().is_some_and(|due| due <= out.now) {
            self.file.forget_changes();
            if self.phase.stop().is_none() {
                self.read_file(out);
            }
        }
        self.pass_reload_time(out);
        self.pass_stop_time(out);
        self.pass_failing_time(out);
        self.pass_notifier_time(out);
        self.dead_letters.pass_time(out);
    }

    fn converge_stages(&mut self, out: &mut Effects) {
        self.remove_in_order(out);
        for i in 0..self.stages.len() {
            self.start_over_if_through(i, out);
            let stage = &mut self.stages[i];
            match stage.fate {
                Fate::Wanted if stage.is_off() => stage.finish_stopped(out),
                Fate::Wanted => {
                    stage.advance(out);
                    stage.skip_pauses(false, out);
                    stage.scale(out);
                    stage.roll(out);
                    stage.end_if_output_closed(out);
                }
                Fate::Removed { drains: true } => {
                    stage.advance(out);
                    stage.skip_pauses(true, out);
                }
                Fate::Removed { drains: false } => {}
                Fate::GaveUp => stage.finish_given_up(out),
            }
        }
        self.give_up_what_failed(out);
    }

    fn start_over_if_through(&mut self, i: usize, out: &mut Effects) {
        if !self.stages[i].starts_over() {
            return;
        }
        let jitter = self.jitter();
        let stage = &mut self.stages[i];
        match stage.start_over(jitter, out) {
            Verdict::GaveUp => self.give_up(i, out),
            Verdict::Fine | Verdict::TrialFailed | Verdict::CannotStart => {
                out.list.extend(stage.version.token.map(Effect::ResetToken));
            }
        }
    }

    fn settle_queues(&mut self, out: &mut Effects) {
        let is_retrying = self.retrying == Retrying::UnderWay;
        let stopping = self.stopping() != Stopping::No;
        let reopened = self.queues.settle(&self.stages, (is_retrying, stopping), out);
        // What was reopened just now gets its readers or writers back first.
        if reopened.is_empty() {
            self.end_stages_without_readers(out);
        }
        for reopened in reopened {
            for stage in self.stages.iter_mut().filter(|stage| stage.fate == Fate::Wanted) {
                match reopened {
                    Reopened::ForReaders(queue) if stage.version.inputs.contains(&queue) => {
                        stage.revive(Over::InputEnded, StartReason::WorkAgain);
                    }
                    Reopened::ForWriters(queue) if stage.version.outputs.contains(&queue) => {
                        stage.output_reopened(out);
                    }
                    Reopened::ForReaders(_) | Reopened::ForWriters(_) => {}
                }
            }
        }
    }

    /// A writer learns from the queue that it has no reader, but only when it puts again: one that waits for input
    /// might never.
    fn end_stages_without_readers(&mut self, out: &mut Effects) {
        for stage in self.stages.iter_mut().filter(|stage| stage.fate == Fate::Wanted) {
            let outputs = &stage.version.outputs;
            if !outputs.is_empty() && outputs.iter().all(|&queue| self.queues.is_closed(queue)) {
                stage.finish_all(StopReason::OutputClosed, Over::OutputClosed, None, out);
            }
        }
    }

    fn start_due(&mut self, mut budget: usize, out: &mut Effects) {
        if self.awaits_link() {
            return;
        }
        let held = self.held_back();
        for (s, stage) in self.stages.iter_mut().enumerate() {
            if held.contains(&s) {
                continue;
            }
            for i in 0..stage.workers.len() {
                let worker = &stage.workers[i];
                if !matches!(worker.life, Life::Due(_)) || stage.waits_for_resume(worker) {
                    continue;
                }
                let is_service = stage.workers[i].version.is_service();
                let has_place = is_service || stage.id.is_some() || self.stage_ids.available() > 0;
                if self.slots.available() == 0 || !has_place {
                    return; // this is looked at again when a worker ends
                }
                if budget == 0 {
                    self.again = Some(out.now);
                    return;
                }
                let Some(slot) = self.slots.take() else { return };
                budget -= 1;
                if !is_service {
                    stage.id = stage.id.or_else(|| self.stage_ids.take().map(StageId));
                }
                stage.start(i, SlotId(slot), out);
            }
        }
    }

    /// A run that ends regardless logs what it leaves.
    fn report_unwritten(&mut self, out: &mut Effects) {
        if self.dead_letters.is_empty() {
            return;
        }
        self.failed = true;
        let letters = count(self.dead_letters.count(), "dead letter");
        let then = match (self.keeps, self.dead_letters.count()) {
            (true, 1) => "its item stays in the queues",
            (true, _) => "their items stay in the queues",
            (false, 1) => "its item is lost with the queues",
            (false, _) => "their items are lost with the queues",
        };
        out.log(Level::Error, format!("{letters} could not be written: {then}"));
    }

    /// A run that ends by itself says which of its queues no stage has read to the end.
    fn report_unread(&mut self, out: &mut Effects) {
        if self.phase.stop().is_some() {
            return;
        }
        for name in self.queues.retained() {
            let what = format!("the queue {name} holds items, and no stage of the file reads it");
            match self.keeps {
                true => {
                    out.log(Level::Warn, format!("{what}: they stay there for a file that names it again"))
                }
                false => out.log(Level::Error, format!("{what}: they are lost with the run")),
            }
            self.failed |= !self.keeps;
        }
    }

    fn end_if_over(&mut self, out: &mut Effects) {
        let through = self.stages.iter().all(StageState::is_through);
        let begun = self.wanted.is_some() || self.phase.stop().is_some();
        if !(through && begun && self.phase.reload().is_none() && self.is_link_over()) {
            return;
        }
        // Their items are in no queue's count of what is done; only an immediate stop leaves them.
        if !self.dead_letters.is_empty() && self.stopping() != Stopping::Killing {
            return;
        }
        self.report_unwritten(out);
        self.report_unread(out);
        self.announce_stop(out);
        let stop = std::mem::replace(&mut self.phase, Phase::Over);
        self.answer_waiting(out);
        let mut stages = std::mem::take(&mut self.removed_totals);
        stages.extend(self.stages.iter().map(|stage| stage.totals.clone()));
        let stopped = if let Phase::Stopping(stop) = stop { Some(stop.cause) } else { None };
        // Where sources were off, the next run starts from their positions.
        let keeps_positions = self.retrying != Retrying::No && self.queues.hold_positions();
        let retains_items = self.queues.hold_items() || keeps_positions;
        out.push(Effect::End(Outcome { stopped, failed: self.failed, retains_items, stages }));
    }
}

/// Takes rounds until one has nothing to do; false: that many were not enough.
pub(super) fn settles_within(most: usize, out: &mut Effects, mut round: impl FnMut(&mut Effects)) -> bool {
    (0..most).any(|_| {
        let before = out.list.len();
        round(out);
        out.list.len() == before
    })
}
