//! The process that brings this machine's commits to the broker, as long as the file has shared queues.
//!
//! It is there before the first worker and goes after the last one: what they have committed has to be in the broker before the
//! run ends. On a stop it is told at once, so that other machines get what no worker here has begun.

use super::State;
use crate::broker::link::Room;
use crate::broker::{Outage, RunOrder};
use crate::config::Broker;
use crate::link::{self, LinkNews, LinkPlan};
use crate::model::Machines;
use crate::numbers::counted;
use crate::queue::SlotId;
use crate::supervisor::machine::effect::{Effect, Effects, StartLink};
use crate::supervisor::machine::ids::Pid;
use crate::supervisor::machine::link_state::{BrokerSight, LinkOrder, LinkProcess, RoomNews, StageSight};
use crate::supervisor::machine::phase::UpgradePhase;
use crate::supervisor::machine::reason::{StartReason, StopCause};
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::{StageState, Switch};
use crate::supervisor::machine::worker_state::Over;
use crate::sys::wait::Exit;
use log::Level;
use std::time::{Duration, SystemTime};

impl State {
    /// Whether queues of the pipeline lie in a broker.
    pub(super) fn has_broker(&self) -> bool {
        self.broker().is_some_and(|broker| !broker.queues.is_empty())
    }

    /// Whether workers have to wait for its first word: the run may have ended.
    pub(super) fn awaits_link(&self) -> bool {
        !self.is_link_over() && matches!(self.link.broker, BrokerSight::Unknown)
    }

    /// Whether the stage has not begun, as the broker has not been reached yet.
    pub(super) fn waits_for_broker(&self, stage: &StageState) -> bool {
        stage.switch == Switch::Elsewhere && !self.is_link_over() && !self.link.was_up()
    }

    /// Whether nothing is left to be brought to the broker.
    pub(super) fn is_link_over(&self) -> bool {
        self.link.is_over() || !self.has_broker()
    }

    /// Whether it is there, or something of it.
    pub(super) fn has_link(&self) -> bool {
        matches!(self.link.process, LinkProcess::Started { .. })
    }

    pub(super) fn tend_link(&mut self, out: &mut Effects) {
        if self.is_link_over() {
            return;
        }
        if self.stopping() == Stopping::Killing {
            // What it holds there is another machine's when its time is up.
            self.link.process = LinkProcess::Over;
            return out.push(Effect::KillLink);
        }
        if self.rests() {
            if let Some(order) = self.link.order().filter(|order| **order != LinkOrder::Kill) {
                *order = LinkOrder::Kill;
                out.push(Effect::KillLink);
            }
            return;
        }
        if self.link.is_startable(out.now) {
            self.start_link(out);
        }
        self.replace_link(out);
        self.tell_link_of_stages(out);
        let is_through = self.stages.iter().all(StageState::is_through);
        let leaves = self.stopping() == Stopping::Draining;
        // A drain works off what sources have emitted.
        let stops = leaves && !self.drains_for_any_time() && self.link.order.is_none();
        let ends = leaves || is_through && !self.stages.is_empty();
        match self.link.order() {
            Some(order @ (LinkOrder::Run | LinkOrder::Finish)) if stops => {
                *order = LinkOrder::Stop;
                out.push(Effect::OrderLink(link::LinkOrder::Stop));
            }
            Some(order @ LinkOrder::Run) if ends => {
                *order = LinkOrder::Finish;
                out.push(Effect::OrderLink(link::LinkOrder::Finish));
            }
            _ => {}
        }
    }

    /// Another password, or another capacity of a queue, has come with a changed file: the next process has it.
    fn replace_link(&mut self, out: &mut Effects) {
        let (Some(broker), Some(way)) = (self.broker(), &self.link.way) else { return };
        let what = match (broker.has_same_way(way), broker.queues == way.queues) {
            (false, _) => "another way to it",
            (true, false) => "other settings of shared queues",
            (true, true) => return,
        };
        if let Some(order) = self.link.order().filter(|order| **order != LinkOrder::Kill) {
            *order = LinkOrder::Kill;
            let text = format!("the process that speaks with the broker is replaced: the file has {what}");
            out.log(Level::Info, text);
            out.push(Effect::KillLink);
        }
    }

    /// Which of them are not wanted here, and which have come to a standstill.
    fn tell_link_of_stages(&mut self, out: &mut Effects) {
        if self.link.order().is_none_or(|order| *order == LinkOrder::Kill) {
            return;
        }
        for stage in self.stages.iter().filter(|stage| stage.version.shared.is_some()) {
            let name = || stage.spec.name.clone();
            let now = StageSight { is_off: stage.is_unwanted_here(), is_stopped: stage.stands_still() };
            let known = self.link.stages.entry(name()).or_default();
            if known.is_off != now.is_off {
                out.push(Effect::OrderLink(link::LinkOrder::Switch { stage: name(), is_off: now.is_off }));
            }
            if now.is_stopped && !known.is_stopped {
                out.push(Effect::OrderLink(link::LinkOrder::Stopped { stage: name() }));
            }
            *known = now;
        }
    }

    /// The link works on, whatever it was ordered: what was taken for the end of a stage may be none.
    fn work_on(&mut self) {
        if let Some(order) = self.link.order().filter(|order| order.leaves()) {
            *order = LinkOrder::Run;
        }
    }

    fn stage_named(&mut self, name: &str) -> Option<&mut StageState> {
        self.stages.iter_mut().find(|stage| stage.spec.name == name)
    }

    /// One program's link is gone before the next program starts its own: both would be in one place of the arena.
    fn rests(&self) -> bool {
        let phase = self.upgrade.as_ref().map(|upgrade| upgrade.phase);
        matches!(phase, Some(UpgradePhase::Ready | UpgradePhase::Interrupted { .. }))
    }

    fn start_link(&mut self, out: &mut Effects) {
        let plan = self.wanted.as_ref().and_then(|wanted| LinkPlan::of(&wanted.pipeline));
        let (Some(mut plan), Some(spec)) = (plan, self.link_spec()) else { return };
        // In the order of the lines of the arena.
        let place = |stage: &str| spec.lines.iter().position(|line| line.name == stage);
        plan.lines.sort_by_key(|line| place(&line.stage));
        for line in &mut plan.lines {
            line.is_here = self.stage_named(&line.stage).is_some_and(|stage| stage.switch == Switch::On);
        }
        let Some(slot) = self.slots.take().map(SlotId) else { return };
        let joined_before = self.link.was_up();
        self.link.start(slot);
        self.link.way = Some(plan.broker.clone());
        out.push(Effect::StartLink(Box::new(StartLink { plan, spec, slot, joined_before })));
    }

    pub(super) fn link_suspended(&mut self, pid: Pid, holds_lock: bool, out: &mut Effects) {
        const WHAT: &str = "the process that speaks with the broker was stopped by a signal";
        if holds_lock {
            out.log(
                Level::Warn,
                format!("{WHAT} in the middle of a change to the queues: it is killed, for all would wait"),
            );
            return out.push(Effect::KillLink);
        }
        out.log(
            Level::Warn,
            format!("{WHAT}: nothing comes from there or goes there before `kill -CONT {pid}`"),
        );
    }

    /// `exit`: `None`: there was no process to be had.
    pub(super) fn link_ended(&mut self, exit: Option<Exit>, out: &mut Effects) {
        let LinkProcess::Started { slot, order, .. } = self.link.process else { return };
        self.slots.give(slot.0);
        if exit == Some(Exit::Code(0)) {
            self.link.process = LinkProcess::Over;
            return;
        }
        if order == LinkOrder::Kill {
            self.link.process = LinkProcess::NotStarted;
            return;
        }
        self.link.ended(out.now);
        let how = exit.map_or_else(|| "can't be started".to_owned(), |exit| format!("is gone: {exit}"));
        out.log(Level::Warn, format!("the process that speaks with the broker {how}: starting another one"));
    }

    pub(super) fn link_news(&mut self, news: LinkNews, out: &mut Effects) {
        match news {
            LinkNews::Up { run, works_off, warnings, .. } => {
                self.joined(run, &warnings, out);
                if works_off {
                    self.work_off(run, out);
                }
            }
            LinkNews::Away { outage, why } => self.broker_is_away(outage, why, out),
            LinkNews::Room { stage, room } => self.broker_room(&stage, room, out),
            LinkNews::Ended { at } => self.run_has_ended(at, out),
            LinkNews::Here { stage } => {
                self.stage_named(&stage).into_iter().for_each(|stage| stage.arrive(out))
            }
            LinkNews::Elsewhere { stage } => {
                let moves = self.stage_named(&stage).map(|stage| {
                    stage.depart();
                    stage.spec.placed == Some(Machines::One)
                });
                out.push(Effect::OrderLink(link::LinkOrder::WorkOn));
                self.work_on();
                let why = match moves {
                    Some(true) => "the broker gives it to another machine",
                    Some(false) | None => "the broker has another position of it",
                };
                out.log(Level::Info, format!("{stage}: its workers end, as {why}"));
            }
            LinkNews::WorkAgain { stage } => {
                if self.stopping() == Stopping::No {
                    let stages = self.stage_named(&stage).into_iter();
                    stages.for_each(|stage| stage.revive(Over::InputEnded, StartReason::WorkAgain));
                    self.work_on();
                }
            }
            LinkNews::Over { stage } => {
                self.stage_named(&stage).into_iter().for_each(|stage| stage.was_done_before(out));
                out.log(Level::Info, format!("{stage}: it has ended in this run before, or its queues have"));
            }
            LinkNews::Lost { queue, items } => {
                let text = format!(
                    "{} of {queue} became another machine's: this one was out of touch with the broker for too long, or \
                     somebody has deleted its leases there",
                    counted(items as u64, "item")
                );
                out.log(Level::Warn, text);
            }
            LinkNews::Refused { stage } => self.commits_refused(&stage, out),
            LinkNews::Forgotten { stage, commits } => {
                let commits = counted(commits, "commit");
                let text =
                    format!("the broker has lost {commits} of the stage {stage} that it had acknowledged");
                self.failed = true;
                out.log(Level::Error, text);
            }
            LinkNews::Hopeless { why } => self.no_broker(why, out),
            LinkNews::Ordered { order } => self.run_ordered(order, out),
            // It is answered where the counters are.
            LinkNews::Look => {}
        }
    }

    fn commits_refused(&mut self, stage: &str, out: &mut Effects) {
        if !self.link.note_refused(stage, out.now) {
            return;
        }
        let source = self.stage_named(stage).filter(|stage| stage.version.is_source());
        let why = match source.map(|stage| stage.spec.placed) {
            None => "another machine was faster with the items",
            Some(Some(Machines::One)) => {
                "the broker gave it to another machine, which continues from its last position there"
            }
            Some(Some(Machines::All) | None) => "the broker has another position of it",
        };
        out.log(
            Level::Warn,
            format!("the broker refuses commits of the stage {stage}: {why}, or the queue has ended"),
        );
    }

    /// A secret that was never the right one, or a server that never was, is a fault of the start.
    fn broker_is_away(&mut self, outage: Outage, why: String, out: &mut Effects) {
        if outage.is_final_at_a_start() && !self.link.was_up() && self.counters.upgrades == 0 {
            out.push(Effect::KillLink);
            return self.no_broker(why, out);
        }
        if self.link.is_away(outage, out.now) {
            let advice = self.broker().filter(|_| outage == Outage::Full).map(more_room);
            let advice = advice.map_or(String::new(), |advice| format!("; {advice}"));
            let then = "items wait in this machine's memory, and it is tried again";
            out.log(Level::Warn, format!("{why}; {then}{advice}"));
        }
    }

    pub(super) fn broker(&self) -> Option<&Broker> {
        self.wanted.as_ref()?.pipeline.broker.as_ref()
    }

    fn broker_room(&mut self, stage: &str, room: Room, out: &mut Effects) {
        let news = self.link.note_room(stage, room, out.now);
        let (Some(news), Some(broker)) = (news, self.broker()) else { return };
        let url = &broker.url;
        let (level, text) = match news {
            RoomNews::Short => {
                let queues = match &self.shared_outputs(stage, broker)[..] {
                    [] => "it".to_owned(),
                    queues => queues.join(", "),
                };
                let what = format!("what the stage {stage} has for {queues} waits");
                (Level::Warn, format!("the broker {url} is full: {what}; {}", more_room(broker)))
            }
            RoomNews::Gone => {
                let text = format!(
                    "the broker {url} is full, and has taken nothing of the stage {stage} for a minute"
                );
                (Level::Warn, text)
            }
            RoomNews::There { since } => {
                let full = out.now.saturating_duration_since(since).as_secs_f64();
                (Level::Info, format!("the broker {url} has room again, after {full:.1}s"))
            }
        };
        out.log(level, text);
    }

    fn shared_outputs(&self, stage: &str, broker: &Broker) -> Vec<&str> {
        let is_shared = |name: &&str| broker.queues.iter().any(|queue| queue.name == *name);
        let stage = self.stages.iter().find(|known| known.spec.name == stage);
        let outputs = stage.into_iter().flat_map(|stage| &stage.spec.work.outputs);
        outputs.map(String::as_str).filter(is_shared).collect()
    }

    /// The same for all machines of the run: `mprun drain --all` and `mprun stop --all`. Told twice, it means nothing more.
    fn run_ordered(&mut self, order: RunOrder, out: &mut Effects) {
        if self.stopping() != Stopping::No {
            return;
        }
        match order {
            RunOrder::Drain => {
                self.link.order = Some(RunOrder::Drain);
                let is_source = |stage: &&mut StageState| {
                    stage.version.is_source() && !stage.version.is_service() && !stage.is_over()
                };
                let sources =
                    self.stages.iter_mut().filter(is_source).map(|stage| stage.switch = Switch::Off);
                if sources.count() > 0 {
                    out.log(Level::Info, "mprun drain --all: the sources end".to_owned());
                }
            }
            RunOrder::Stop => {
                let (verb, why) = match self.link.order {
                    Some(_) => ("drain --all", "the queues are empty, so this machine stops"),
                    None => ("stop --all", "this machine stops"),
                };
                out.log(Level::Info, format!("mprun {verb}: {why}"));
                self.begin_stop(StopCause::Requested(verb), out);
            }
        }
    }

    fn joined(&mut self, run: u64, warnings: &[String], out: &mut Effects) {
        let (since, first) = self.link.joined(run);
        if let Some(since) = since {
            let away = out.now.saturating_duration_since(since);
            out.log(Level::Info, format!("the broker is there again, after {:.1}s", away.as_secs_f64()));
        }
        if first {
            out.log(Level::Debug, format!("run {run} of the shared queues is joined"));
        }
        let before = std::mem::replace(&mut self.link.warnings, warnings.to_vec());
        for warning in warnings.iter().filter(|warning| !before.contains(warning)) {
            out.log(Level::Warn, format!("the broker: {warning}"));
        }
    }

    /// The run is for dead letters of earlier ones: its sources are those runs'.
    fn work_off(&mut self, run: u64, out: &mut Effects) {
        let is_source = |stage: &&mut StageState| stage.version.is_source() && !stage.version.is_service();
        let mut are_new = false;
        for stage in self.stages.iter_mut().filter(is_source) {
            are_new |= !stage.is_over() || stage.workers.is_empty();
            // One that had begun while the broker was away ends by itself: what it emits is refused.
            stage.was_done_before(out);
        }
        if are_new {
            out.log(
                Level::Info,
                format!("run {run} of the shared queues only works off dead letters; its sources are off"),
            );
        }
    }

    /// Nothing is left to do on any machine.
    fn run_has_ended(&mut self, at: u64, out: &mut Effects) {
        let when = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        self.link.process = LinkProcess::Over;
        if self.phase.stop().is_none() {
            out.log(
                Level::Info,
                format!("the run of the shared queues has ended, at {when}; `--new-run` begins another"),
            );
            self.stop_without_broker(StopCause::RunEnded, out);
        }
    }

    fn no_broker(&mut self, why: String, out: &mut Effects) {
        self.link.process = LinkProcess::Over;
        self.failed = true;
        let whose = if why.starts_with("the broker") { "" } else { "the broker: " };
        out.log(Level::Error, format!("{whose}{why}"));
        if self.phase.stop().is_none() {
            let is_usage = !self.link.was_up();
            self.stop_without_broker(StopCause::NoBroker { why, is_usage }, out);
        }
    }

    /// Nothing of what workers do now would come to the broker.
    fn stop_without_broker(&mut self, cause: StopCause, out: &mut Effects) {
        self.begin_stop(cause, out);
        if let Some(stop) = self.phase.stop_mut() {
            stop.phase = Stopping::Killing;
        }
    }
}

/// What to do about a broker that is full.
fn more_room(broker: &Broker) -> String {
    format!("let machines take items out of its queues, or raise `{}`", broker.url.kind().limit())
}
