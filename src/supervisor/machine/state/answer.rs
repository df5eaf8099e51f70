//! Answers to requests that have waited: for a file to be read, a reload to end, a stage to be as wanted or at rest.

use super::State;
use super::command::{done, refused};
use crate::control::protocol::{Done, Reason, Refused};
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::stage_state::{Fate, StageState};

impl State {
    /// What became of the file that was read: the answer to all reload requests.
    pub(super) fn answer_loads(&mut self, outcome: &Result<Vec<String>, Refused>, out: &mut Effects) {
        for (id, waits) in std::mem::take(&mut self.requests.loads) {
            match outcome {
                Err(refused) => out.push(Effect::Answer(id, Err(refused.clone()))),
                Ok(steps) if steps.is_empty() && self.phase.reload().is_none() => {
                    let nothing = done("the file says what runs already: nothing to do");
                    out.push(Effect::Answer(id, Ok(nothing)));
                }
                Ok(steps) if self.phase.reload().is_none() => {
                    let nothing_else = "the file says what runs already".to_owned();
                    out.push(Effect::Answer(id, Ok(Done { done: nothing_else, steps: steps.clone() })));
                }
                Ok(steps) if waits => self.requests.reloads.push((id, steps.clone())),
                Ok(steps) => {
                    let what = if self.good.is_some() { "reload" } else { "start" };
                    let under_way = Done { done: format!("the {what} is under way"), steps: steps.clone() };
                    out.push(Effect::Answer(id, Ok(under_way)));
                }
            }
        }
    }

    /// A reload has come to its end; why, if that is another one than it should.
    pub(super) fn answer_reloads(&mut self, failure: Option<&str>, out: &mut Effects) {
        for (id, steps) in std::mem::take(&mut self.requests.reloads) {
            let outcome = match failure {
                None => Ok(Done { done: "reloaded".to_owned(), steps }),
                Some(why) => Err(refused(Reason::RolledBack, why)),
            };
            out.push(Effect::Answer(id, outcome));
        }
    }

    /// Answers the requests whose end has come, or can't come any more.
    pub(super) fn answer_waiting(&mut self, out: &mut Effects) {
        if self.requests.count() == 0 {
            return;
        }
        if let Err(refusal) = self.refuse_if_stopping() {
            self.answer_loads(&Err(refusal.clone()), out);
            self.answer_reloads(Some(&refusal.error), out);
            let stages = std::mem::take(&mut self.requests.stages).into_iter().map(|(id, ..)| id);
            let pauses = std::mem::take(&mut self.requests.pauses).into_iter().map(|(id, ..)| id);
            for id in stages.chain(pauses) {
                out.push(Effect::Answer(id, Err(refusal.clone())));
            }
        }
        self.answer_pauses(out);
        let waiting = &mut self.requests.stages;
        for (id, key, done) in std::mem::take(waiting) {
            match self.stages.iter().find(|stage| stage.key == key) {
                Some(stage) if !is_as_wanted(stage) => waiting.push((id, key, done)),
                Some(stage) if stage.fate == Fate::GaveUp => {
                    let why = format!("the stage {} gave up", stage.spec.name);
                    out.push(Effect::Answer(id, Err(refused(Reason::GaveUp, why))));
                }
                Some(_) | None => out.push(Effect::Answer(id, Ok(done))),
            }
        }
    }

    fn answer_pauses(&mut self, out: &mut Effects) {
        for (id, key, done) in std::mem::take(&mut self.requests.pauses) {
            let mut whom = self.stages.iter().filter(|stage| key.is_none_or(|key| stage.key == key));
            let outcome = if whom.clone().any(|stage| !stage.paused) {
                Err(refused(Reason::Resumed, "the pause has ended: workers continue"))
            } else if whom.all(StageState::is_at_rest) {
                Ok(done)
            } else {
                self.requests.pauses.push((id, key, done));
                continue;
            };
            out.push(Effect::Answer(id, outcome));
        }
    }
}

fn is_as_wanted(stage: &StageState) -> bool {
    if stage.is_off() {
        return stage.is_over();
    }
    let all_there = stage.workers.len() == usize::try_from(stage.spec.processes).unwrap_or(usize::MAX);
    stage.fate == Fate::GaveUp || stage.is_over() || all_there && stage.is_settled()
}
