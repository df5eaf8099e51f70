//! From one pipeline file to the next, and back if that doesn't work.

use super::State;
use crate::config::Pipeline;
use crate::control::protocol::{Reason, Refused};
use crate::numbers::counted as count;
use crate::queue::QueueId;
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::event::Loading;
use crate::supervisor::machine::phase::Phase;
use crate::supervisor::machine::reason::StartReason;
use crate::supervisor::machine::reason::spoken;
use crate::supervisor::machine::recovered::Label;
use crate::supervisor::machine::reload_plan::{Refusal, plan, starts_again};
use crate::supervisor::machine::stage_state::{Fate, StageState};
use crate::supervisor::machine::wanted::Wanted;
use crate::supervisor::machine::worker_state::Over;
use log::Level;
use std::rc::Rc;
use std::time::Instant;

impl State {
    pub(super) fn begin(&mut self, wanted: Wanted, out: &mut Effects) {
        self.start_guardian(out);
        self.want(Rc::new(wanted), false, out);
    }

    pub(super) fn reload_requested(&mut self, out: &mut Effects) {
        // Whatever the file says, and also while the pipeline stops: a token is taken back that way.
        out.push(Effect::ReadTokens);
        if self.phase.stop().is_some() {
            return out.log(Level::Info, "SIGHUP: no reload while the pipeline stops");
        }
        self.file.forget_changes();
        self.file.forced = true;
        self.notifier.begin_reload(out);
        self.read_file(out);
    }

    pub(super) fn read_file(&mut self, out: &mut Effects) {
        self.file.loading = true;
        out.push(Effect::Load);
    }

    pub(super) fn loaded(&mut self, loading: Loading, out: &mut Effects) {
        self.file.loading = false;
        if self.phase.stop().is_some() || self.phase.is_over() {
            return;
        }
        let outcome = match loading {
            Loading::Good(wanted, held) => self.loaded_good(*wanted, &held, out),
            Loading::Bad(report) => {
                let first = report.lines().next().unwrap_or_default();
                self.note_reload_failure(Some(format!("reload refused, the file is bad: {first}")), out);
                if self.file.says(&report) {
                    out.log(Level::Error, "the changed file is not used, the pipeline runs on as it was:");
                    out.push(Effect::Show(report.clone()));
                }
                Err(self.not_taken_over(Reason::BadFile, report, out))
            }
            Loading::Gone(what) => {
                self.note_reload_failure(Some(format!("reload refused, no file: {what}")), out);
                if self.file.says(&what) {
                    out.log(Level::Warn, format!("{what}; the pipeline runs on as it was"));
                }
                Err(self.not_taken_over(Reason::BadFile, what, out))
            }
        };
        self.answer_loads(&outcome, out);
    }

    fn not_taken_over(&mut self, reason: Reason, why: String, out: &Effects) -> Refused {
        self.file.refusal = Some((out.now, why.clone()));
        Refused { reason, error: why }
    }

    /// The steps that are taken.
    fn loaded_good(
        &mut self,
        new: Wanted,
        held: &[(String, u64)],
        out: &mut Effects,
    ) -> Result<Vec<String>, Refused> {
        let Some(old) = &self.wanted else { return Ok(Vec::new()) };
        let forced = std::mem::take(&mut self.file.forced);
        let given_up = self.given_up(&new.pipeline).filter(|(_, is_changed)| forced || *is_changed);
        let again: Vec<String> = given_up.map(|(name, _)| starts_again(name)).collect();
        if forced {
            self.file.said = None;
            let gave_up = self.stages.iter_mut().filter(|stage| stage.fate == Fate::GaveUp);
            gave_up.for_each(StageState::reset_give_up);
        }
        // What was changed by hand stays until the file is another one, or is asked for.
        let is_same = match forced {
            true => new.pipeline == old.pipeline,
            false => new.pipeline == old.as_filed(),
        };
        if new.texts == old.texts && is_same {
            self.nothing_to_do(forced && again.is_empty(), out);
            again.iter().for_each(|step| out.log(Level::Info, format!("reload: {step}")));
            return Ok(again);
        }
        if self.file.said.as_deref() == Some(new.source().as_str()) {
            return Ok(Vec::new()); // It was refused or rolled back, and that was said.
        }
        let steps = plan(&old.pipeline, &new.pipeline, held).and_then(|steps| {
            let (new, room) = (self.queues_to_make(&new), self.queues.available());
            if new > room { Err(Refusal::TooManyQueues { new, room }) } else { Ok([steps, again].concat()) }
        });
        let steps = steps.map_err(|refusal| self.refuse(&new, &refusal, out))?;
        self.file.said = None;
        steps.iter().for_each(|step| out.log(Level::Info, format!("reload: {step}")));
        self.note_reload_failure(None, out);
        self.notifier.begin_reload(out);
        self.file.refusal = None;
        self.want(Rc::new(new), false, out);
        Ok(steps)
    }

    /// The stages of a file that gave up, each with whether the file changes it: then it is started again by a saved file, too.
    pub(super) fn given_up<'a>(&'a self, new: &'a Pipeline) -> impl Iterator<Item = (&'a str, bool)> {
        let gave_up = self.stages.iter().filter(|stage| stage.fate == Fate::GaveUp);
        gave_up.filter_map(|stage| {
            let name = stage.spec.name.as_str();
            let spec = new.stages.iter().find(|spec| spec.name == name)?;
            Some((name, stage.spec != *spec))
        })
    }

    fn nothing_to_do(&mut self, forced: bool, out: &mut Effects) {
        self.file.refusal = None;
        let is_news = self.file.said.take().is_some() || forced;
        self.note_reload_failure(None, out);
        if is_news {
            out.log(Level::Info, "the file says what runs already: nothing to do");
        }
    }

    fn refuse(&mut self, new: &Wanted, refusal: &Refusal, out: &mut Effects) -> Refused {
        self.file.said = Some(new.source());
        self.note_reload_failure(Some(format!("reload refused: {refusal}")), out);
        out.log(Level::Error, format!("reload refused: {refusal}; the pipeline runs on as it was"));
        self.not_taken_over(Reason::FileRefused, refusal.to_string(), out)
    }

    pub(super) fn can_go_back(&self) -> bool {
        self.good.is_some() && self.phase.reload().is_some_and(|reload| !reload.back)
    }

    /// The new pipeline doesn't work: back to the one before, by the same way.
    pub(super) fn roll_back(&mut self, s: usize, why: &str, out: &mut Effects) {
        let stage = &self.stages[s];
        let what = if stage.version.is_service() { "process" } else { "worker" };
        let why = format!("a {what} of {} {why}", stage.spec.name);
        self.go_back(&why, out);
    }

    fn go_back(&mut self, why: &str, out: &mut Effects) {
        let (Some(good), Some(bad)) = (self.good.clone(), &self.wanted) else { return };
        self.file.said = Some(bad.source());
        self.file.refusal = Some((out.now, why.to_owned()));
        self.note_reload_failure(Some(format!("reload failed: {why}")), out);
        out.log(Level::Error, format!("reload failed: {why}; going back to the pipeline as it was"));
        self.answer_reloads(Some(why), out);
        self.want(good, true, out);
        for stage in &mut self.stages {
            stage.revive(Over::GaveUp, StartReason::WantedAgain);
            stage.workers.iter_mut().for_each(|worker| worker.trial = false);
        }
    }

    pub(super) fn queue_holds(&mut self, queue: QueueId, items: u64, out: &mut Effects) {
        let Some(reload) = self.phase.reload_mut() else { return };
        reload.removing = false;
        if let Some(s) = self.stages.iter().position(|stage| stage.spill == Some(queue)) {
            return self.spill_holds(s, items, out);
        }
        if self.window_holds(queue, items, out) {
            return;
        }
        let name = self.queues.unwanted().find(|unwanted| unwanted.id == queue);
        let name = name.map_or(String::new(), |queue| queue.spec.name.clone());
        if self.can_go_back() {
            return self.go_back(&format!("the queue {name} still holds {}", count(items, "item")), out);
        }
        let text =
            format!("the queue {name} holds {}: kept until the file names it again", count(items, "item"));
        out.log(Level::Warn, text);
        self.queues.retain(queue);
    }

    /// Outputs that can't be made again wait for room, and no worker is left to publish them.
    fn spill_holds(&mut self, s: usize, items: u64, out: &mut Effects) {
        let text = format!(
            "the outputs of {} of the stage {} have no room yet",
            count(items, "item"),
            self.stages[s].spec.name
        );
        if self.can_go_back() {
            return self.go_back(&text, out);
        }
        out.log(Level::Warn, format!("{text}: kept until the file names it again"));
        self.stages[s].spill_retained = true;
    }

    /// What is in a window that keeps no order any more comes out by itself, as soon as there is room for it.
    fn window_holds(&mut self, queue: QueueId, items: u64, out: &mut Effects) -> bool {
        for stage in &mut self.stages {
            if let Some(at) = stage.windows.iter().position(|(_, window)| *window == queue) {
                let (input, _) = stage.windows.swap_remove(at);
                let label = Label::Window { stage: stage.spec.name.clone(), input };
                self.queues.set_aside(queue, label, items);
                out.push(Effect::EndOrder(queue));
                return true;
            }
        }
        false
    }

    /// A queue that had to go is gone.
    pub(super) fn queue_removed(&mut self, queue: QueueId) {
        let spilling = self.stages.iter_mut().filter(|stage| stage.spill == Some(queue));
        spilling.for_each(|stage| stage.spill = None);
        self.stages.iter_mut().for_each(|stage| stage.windows.retain(|(_, window)| *window != queue));
        self.queues.removed(queue);
    }

    pub(super) fn reload_deadline(&self) -> Option<Instant> {
        self.phase.reload().filter(|_| self.can_go_back())?.until
    }

    pub(super) fn pass_reload_time(&mut self, out: &mut Effects) {
        if self.reload_deadline().is_some_and(|until| until <= out.now) {
            let limit = spoken(self.drain_timeout());
            self.go_back(&format!("a removed stage did not work off its input within {limit}"), out);
        }
    }

    /// Ends the reload once everything is as wanted. Only then is anything thrown away that going back would need.
    pub(super) fn finish_reload(&mut self, out: &mut Effects) {
        // Before the first word of the broker a stage that it places is neither here nor elsewhere.
        if self.awaits_link() || !self.stages.iter().all(StageState::is_settled) {
            return;
        }
        let Some(reload) = self.phase.reload_mut() else { return };
        let spills = self.stages.iter().filter_map(StageState::unwanted_spill);
        let windows = self.stages.iter().flat_map(StageState::unwanted_windows);
        // Windows first: they may hold what is for a queue that goes too.
        let unwanted: Vec<QueueId> =
            windows.chain(self.queues.unwanted().map(|queue| queue.id)).chain(spills).collect();
        if unwanted.iter().any(|&queue| self.stages.iter().any(|stage| stage.holds_open(queue))) {
            return;
        }
        if !unwanted.is_empty() {
            if !reload.removing {
                reload.removing = true;
                out.push(Effect::RemoveQueues(unwanted));
            }
            return;
        }
        let took = spoken(out.now.saturating_duration_since(reload.since));
        let (first, back) = (self.good.is_none(), reload.back);
        self.phase = Phase::Steady;
        self.good = self.wanted.clone();
        self.counters.generation += u64::from(!back);
        self.answer_reloads(None, out);
        self.forget_the_old(out);
        out.log(Level::Info, self.summary(first, back, &took));
        out.push(Effect::ReleaseMemory);
    }

    fn forget_the_old(&mut self, out: &mut Effects) {
        for stage in &mut self.stages {
            let removed = matches!(stage.fate, Fate::Removed { .. });
            let (kept, gone): (Vec<_>, Vec<_>) =
                std::mem::take(&mut stage.tokens).into_iter().partition(|(_, token)| {
                    !removed && stage.version.token == Some(*token) || stage.holds_open(*token)
                });
            stage.tokens = kept;
            gone.into_iter().for_each(|(_, token)| self.queues.drop_token(token, out));
        }
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.stages)
            .into_iter()
            .partition(|stage| matches!(stage.fate, Fate::Removed { .. }) && stage.spill.is_none());
        gone.iter().filter_map(|stage| stage.id).for_each(|id| self.stage_ids.give(id.0));
        self.removed_totals.extend(gone.into_iter().map(|stage| stage.totals));
        self.stages = kept;
    }

    fn summary(&self, first: bool, back: bool, took: &str) -> String {
        let what = match (first, back) {
            (true, _) => "up",
            (false, false) => "reloaded",
            (false, true) => "back as it was",
        };
        format!("{what} after {took}: {}", self.size())
    }
}
