//! Commands over the control socket: done, under way, or refused with a reason, in every state.

use super::State;
use crate::config::diagnostic::no_such_stage;
use crate::control::protocol::{Command, Done, OneStage, Reason, Refused, Restart, Scale, StageOrAll, Stop};
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::ids::{RequestId, StageKey};
use crate::supervisor::machine::reason::{StopCause, spoken};
use crate::supervisor::machine::reload_plan::{plan, starts_again};
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::{Fate, StageState, Switch, Worker};
use crate::supervisor::machine::wanted::Wanted;
use crate::supervisor::machine::worker_state::Life;
use log::Level;
use std::rc::Rc;

/// A client that asks and goes away must not cost more and more.
const MAX_PENDING_REQUESTS: usize = 256;

type Outcome = Result<Done, Refused>;
/// `None`: it is answered later.
type Reply = Result<Option<Done>, Refused>;

pub(super) fn done(what: impl Into<String>) -> Done {
    Done { done: what.into(), steps: Vec::new() }
}

fn logged(verb: &str, text: String, out: &mut Effects) -> Done {
    out.log(Level::Info, format!("{verb}: {text}"));
    done(text)
}

pub(super) fn refused(reason: Reason, why: impl Into<String>) -> Refused {
    Refused { reason, error: why.into() }
}

fn started_text(stage: &StageState, pipeline: &str) -> String {
    let name = &stage.spec.name;
    match stage.paused {
        true if stage.version.is_service() => {
            format!("{name}: it is paused: it starts at `mprun resume {pipeline} {name}`")
        }
        true => format!("{name}: it is started, but paused: `mprun resume {pipeline} {name}` continues it"),
        false => {
            let at = if stage.spec.rules.schedule.is_some() { " at its times" } else { "" };
            let again = if stage.is_unbegun() { "" } else { " again" };
            format!("{name}: it runs{at}{again}")
        }
    }
}

impl State {
    pub(super) fn handle_request(&mut self, id: RequestId, command: Command, out: &mut Effects) {
        if self.requests.count() >= MAX_PENDING_REQUESTS {
            let refusal = refused(
                Reason::Busy,
                format!("{MAX_PENDING_REQUESTS} requests wait already: ask again once some are answered"),
            );
            return out.push(Effect::Answer(id, Err(refusal)));
        }
        let outcome = match command {
            Command::Scale(scale) => self.scale_requested(id, &scale, out),
            Command::Restart(restart) => self.restart_requested(id, &restart, out),
            Command::Pause(whom) => self.pause_requested(id, &whom, out),
            Command::Resume(whom) => self.resume_requested(&whom, out).map(Some),
            Command::Upgrade => {
                self.upgrade_requested(Some(id), out);
                Ok(None)
            }
            Command::Reload(wait) => self.reload_file_requested(id, wait.wait, out),
            Command::Drain => self.drain_requested(out).map(Some),
            Command::Stop(stop) => self.end_requested(&stop, out).map(Some),
            Command::StopStage(whom) => self.stage_stop_requested(id, &whom, out),
            Command::StartStage(whom) => self.stage_start_requested(id, &whom, out),
        };
        if let Some(outcome) = outcome.transpose() {
            out.push(Effect::Answer(id, outcome));
        }
    }

    pub(super) fn refuse_if_stopping(&self) -> Result<(), Refused> {
        match self.stopping() {
            _ if self.phase.is_over() => {
                Err(refused(Reason::Stopping, "the run is over, and its process ends"))
            }
            Stopping::No => Ok(()),
            Stopping::Draining => {
                Err(refused(Reason::Stopping, "the pipeline is draining: it takes no changes any more"))
            }
            Stopping::Killing => {
                Err(refused(Reason::Stopping, "the pipeline is stopping: it takes no changes any more"))
            }
        }
    }

    /// The stage of this name, if it can still be changed.
    fn stage_to_change(&mut self, name: &str) -> Result<&mut StageState, Refused> {
        self.refuse_if_stopping()?;
        let Some(s) = self.stages.iter().position(|stage| stage.spec.name == name) else {
            let disabled = self.wanted.as_ref().map_or(&[][..], |wanted| &wanted.pipeline.disabled);
            let names = self.stages.iter().map(|stage| stage.spec.name.as_str());
            let why = match disabled.iter().any(|disabled| disabled == name) {
                true => format!(
                    "the stage {name} is off in the pipeline file: it starts once `enabled = false` is no longer there"
                ),
                false => no_such_stage(name, names),
            };
            return Err(refused(Reason::NoSuchStage, why));
        };
        let stage = &mut self.stages[s];
        match stage.fate {
            Fate::Removed { .. } => Err(refused(
                Reason::Removed,
                format!("the stage {name} is not in the file any more: it ends once its input is worked off"),
            )),
            Fate::Wanted
                if stage.is_through() && !stage.workers.is_empty() && !stage.version.is_service() =>
            {
                Err(refused(
                    Reason::Finished,
                    format!("the stage {name} has finished: nothing is left for it to do"),
                ))
            }
            Fate::Wanted | Fate::GaveUp => Ok(stage),
        }
    }

    fn scale_requested(&mut self, id: RequestId, scale: &Scale, out: &mut Effects) -> Reply {
        let Scale { stage: name, processes, by, wait } = scale;
        let pipeline = self.pipeline_name();
        let stage = self.stage_to_change(name)?;
        if stage.fate == Fate::GaveUp {
            let why = format!(
                "the stage {name} gave up: `mprun restart {pipeline} {name}` gives it another chance"
            );
            return Err(refused(Reason::GaveUp, why));
        }
        let before = stage.spec.processes;
        let processes = processes.unwrap_or_else(|| before.saturating_add_signed(by.unwrap_or(0)));
        if processes == 0 {
            let why =
                format!("a stage needs one process at least; `mprun pause {pipeline} {name}` makes it wait");
            return Err(refused(Reason::TooFew, why));
        }
        if processes > 1 && stage.spec.order.order.is_some() && stage.spec.window().is_none() {
            let why =
                format!("{name} has `order` with mode = \"stream\": several processes have no order to keep");
            return Err(refused(Reason::TooMany, why));
        }
        let key = stage.key;
        if let Some(wanted) = &self.wanted {
            let mut new = wanted.as_ref().clone();
            new.scale(name, processes);
            plan(&wanted.pipeline, &new.pipeline, &[])
                .map_err(|refusal| refused(Reason::TooMany, refusal.to_string()))?;
        }
        self.scale_wanted(name, processes);
        self.stages.iter_mut().filter(|stage| stage.key == key).for_each(|stage| {
            stage.spec.processes = processes;
        });
        if let Some(s) = self.stages.iter().position(|stage| stage.key == key) {
            self.begin_order(s, out);
        }
        let text = format!("{name}: processes {before} -> {processes}");
        Ok(self.now_or_settled(id, key, *wait, logged("scale", text, out)))
    }

    /// In what is to run, and in what to go back to; where the two are one, they stay that.
    fn scale_wanted(&mut self, stage: &str, processes: u32) {
        let are_one = match (&self.wanted, &self.good) {
            (Some(wanted), Some(good)) => Rc::ptr_eq(wanted, good),
            _ => false,
        };
        if are_one {
            self.good = None; // its only holder changes it in place
        }
        for wanted in self.wanted.iter_mut().chain(&mut self.good) {
            Rc::make_mut(wanted).scale(stage, processes);
        }
        if are_one {
            self.good.clone_from(&self.wanted);
        }
    }

    fn restart_requested(&mut self, id: RequestId, restart: &Restart, out: &mut Effects) -> Reply {
        let Restart { stage: name, wait } = restart;
        let pipeline = self.pipeline_name();
        let stage = self.stage_to_change(name)?;
        if stage.is_off() {
            let why = match stage.switch {
                Switch::Elsewhere => {
                    format!("the stage {name} does not work on this machine: another has it")
                }
                Switch::On | Switch::Off => {
                    format!("the stage {name} is stopped: `mprun start {pipeline} {name}` starts it")
                }
            };
            return Err(refused(Reason::Finished, why));
        }
        let text = match stage.fate {
            Fate::GaveUp => {
                stage.reset_give_up();
                format!("{name}: it gave up, and gets another chance")
            }
            Fate::Wanted | Fate::Removed { .. } if stage.paused && stage.version.is_service() => {
                format!(
                    "{name}: fresh processes take over, each once `mprun resume {pipeline} {name}` lets it start"
                )
            }
            Fate::Wanted | Fate::Removed { .. } if stage.spec.rules.schedule.is_some() => {
                match stage.workers.iter().any(|worker| worker.life.has_process()) {
                    true => format!("{name}: the run under way is ended, and begins anew"),
                    false => format!("{name}: it runs now, and then at its times"),
                }
            }
            Fate::Wanted | Fate::Removed { .. } => {
                let what = if stage.version.is_service() { "processes" } else { "workers" };
                format!("{name}: fresh {what} take over, one by one")
            }
        };
        if stage.version.is_service() {
            stage.start_again(out);
        }
        stage.restart();
        stage.continue_ending(out);
        let key = stage.key;
        Ok(self.now_or_settled(id, key, *wait, logged("restart", text, out)))
    }

    fn stage_stop_requested(&mut self, id: RequestId, whom: &OneStage, out: &mut Effects) -> Reply {
        let pipeline = self.pipeline_name();
        let stage = self.stage_to_change(&whom.stage)?;
        if stage.fate == Fate::GaveUp {
            return Err(refused(Reason::GaveUp, format!("the stage {} gave up: it is stopped", whom.stage)));
        }
        stage.switch = Switch::Off;
        stage.continue_ending(out);
        let (name, key) = (&whom.stage, stage.key);
        let text = format!("{name}: its processes end, until `mprun start {pipeline} {name}`");
        Ok(self.now_or_settled(id, key, whom.wait, logged("stop", text, out)))
    }

    fn stage_start_requested(&mut self, id: RequestId, whom: &OneStage, out: &mut Effects) -> Reply {
        let pipeline = self.pipeline_name();
        let stage = self.stage_to_change(&whom.stage)?;
        let text = match (stage.is_off(), stage.fate) {
            (_, Fate::GaveUp) => {
                stage.reset_give_up();
                format!("{}: it gave up, and gets another chance", whom.stage)
            }
            (true, _) if stage.switch == Switch::Elsewhere => {
                return Ok(Some(done(format!("{}: it was not stopped, another machine has it", whom.stage))));
            }
            (true, _) => started_text(stage, &pipeline),
            (false, Fate::Wanted) if stage.is_over() => started_text(stage, &pipeline),
            (false, _) => return Ok(Some(done(format!("{}: it was not stopped", whom.stage)))),
        };
        stage.start_again(out);
        let key = stage.key;
        Ok(self.now_or_settled(id, key, whom.wait, logged("start", text, out)))
    }

    fn now_or_settled(&mut self, id: RequestId, key: StageKey, waits: bool, done: Done) -> Option<Done> {
        if !waits {
            return Some(done);
        }
        self.requests.stages.push((id, key, done));
        None
    }

    fn pause_requested(&mut self, id: RequestId, whom: &StageOrAll, out: &mut Effects) -> Reply {
        let (key, text) = self.set_paused(whom, true, out)?;
        out.log(Level::Info, format!("pause: {text}"));
        let (under_way, at_rest) = match self.are_services(whom) {
            _ if !self.has_processes(whom) => {
                let none = match self.are_services(whom) {
                    true => "no process runs, and none is started until `mprun resume`",
                    false => "no process runs; one that is started waits for `mprun resume`",
                };
                (none, none)
            }
            true => {
                ("processes stand still until `mprun resume`", "processes stand still until `mprun resume`")
            }
            false => (
                "workers finish their item, then wait for `mprun resume`",
                "no worker is at an item, all wait for `mprun resume`",
            ),
        };
        if !whom.wait {
            return Ok(Some(done(format!("{text}: {under_way}"))));
        }
        let at_rest = done(format!("{text}: {at_rest}"));
        self.requests.pauses.push((id, key, at_rest));
        Ok(None)
    }

    fn resume_requested(&mut self, whom: &StageOrAll, out: &mut Effects) -> Outcome {
        let (_, text) = self.set_paused(whom, false, out)?;
        out.log(Level::Info, format!("resume: {text}"));
        let what = if self.are_services(whom) { "processes" } else { "workers" };
        Ok(done(format!("{text}: {what} continue")))
    }

    fn are_services(&self, whom: &StageOrAll) -> bool {
        self.meant(whom).all(|stage| stage.version.is_service())
    }

    fn has_processes(&self, whom: &StageOrAll) -> bool {
        let is_coming = |worker: &Worker| match worker.life {
            Life::Due(_) => !worker.version.is_service(), // a pause keeps a service from its start
            life => life.has_process(),
        };
        self.meant(whom).any(|stage| stage.workers.iter().any(is_coming))
    }

    fn meant(&self, whom: &StageOrAll) -> impl Iterator<Item = &StageState> {
        self.stages.iter().filter(|stage| whom.stage.as_ref().is_none_or(|name| *name == stage.spec.name))
    }

    /// Which stage it is, if not all, and how they are called.
    fn set_paused(
        &mut self,
        whom: &StageOrAll,
        on: bool,
        out: &mut Effects,
    ) -> Result<(Option<StageKey>, String), Refused> {
        if let Some(name) = &whom.stage {
            let stage = self.stage_to_change(name)?;
            stage.pause(on, out);
            return Ok((Some(stage.key), name.clone()));
        }
        self.refuse_if_stopping()?;
        self.paused = on;
        self.stages.iter_mut().for_each(|stage| stage.pause(on, out));
        Ok((None, "all stages".to_owned()))
    }

    fn reload_file_requested(&mut self, id: RequestId, waits: bool, out: &mut Effects) -> Reply {
        self.refuse_if_stopping().inspect_err(|_| out.push(Effect::ReadTokens))?;
        self.requests.loads.push((id, waits));
        self.reload_requested(out);
        Ok(None)
    }

    fn drain_requested(&mut self, out: &mut Effects) -> Outcome {
        match self.stopping() {
            _ if self.phase.is_over() => Ok(done("the run is over")),
            Stopping::Killing => {
                Err(refused(Reason::Stopping, "the pipeline is stopping already, without a drain"))
            }
            Stopping::Draining => Ok(done("the pipeline is draining already")),
            Stopping::No => {
                self.begin_stop(StopCause::Requested("drain"), out);
                self.phase.stop_mut().into_iter().for_each(|stop| stop.until = None);
                let what = match self.has_services_only() {
                    true => "the services are stopped, those that come after others first",
                    false => "sources end, all items are worked off",
                };
                out.log(Level::Info, format!("drain: {what}, then it is over"));
                Ok(done(format!("{what}, then the pipeline ends")))
            }
        }
    }

    fn end_requested(&mut self, stop: &Stop, out: &mut Effects) -> Outcome {
        if self.phase.is_over() {
            return Ok(done("the run is over"));
        }
        if self.stopping() == Stopping::No {
            self.begin_stop(StopCause::Requested("stop"), out);
        }
        if stop.now && self.stopping() == Stopping::Draining {
            self.stop_now("stop", out);
        }
        match self.stopping() {
            Stopping::Draining => {
                self.limit_drain(out.now);
                let (what, limit) = (self.first_aim(), spoken(self.drain_timeout()));
                out.log(Level::Info, format!("stop: {what} for at most {limit}"));
                Ok(done(format!("{what} for at most {limit}, then the pipeline ends")))
            }
            Stopping::Killing | Stopping::No => {
                let what = if self.has_services_only() { "services" } else { "workers" };
                Ok(done(format!("all {what} are stopped, then the pipeline ends")))
            }
        }
    }

    /// What a file would change, if it were taken over now.
    pub(crate) fn plan(&self, new: &Wanted, held: &[(String, u64)]) -> Result<Vec<String>, Refused> {
        let Some(old) = &self.wanted else { return Ok(Vec::new()) };
        let mut steps = plan(&old.pipeline, &new.pipeline, held)
            .map_err(|refusal| refused(Reason::FileRefused, refusal.to_string()))?;
        steps.extend(self.given_up(&new.pipeline).map(|(name, is_changed)| match is_changed {
            true => starts_again(name),
            false => format!("{}, by `mprun reload`: a saved file alone leaves it", starts_again(name)),
        }));
        Ok(steps)
    }
}
