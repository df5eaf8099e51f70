//! News of workers: they live, work, stop, end.

use super::State;
use crate::config::OnGiveUp;
use crate::numbers::counted as count;
use crate::queue::{Ending, SlotId};
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::history::Transition;
use crate::supervisor::machine::ids::{Pid, WorkerId};
use crate::supervisor::machine::reason::{End, StopCause, spoken};
use crate::supervisor::machine::restart::{Stopping, name};
use crate::supervisor::machine::stage_state::Fate;
use crate::supervisor::machine::stage_state::ended::{Verdict, WorkerExit};
use crate::supervisor::machine::totals::ProcessWork;
use crate::supervisor::machine::worker_state::Life;
use crate::sys::process::SpawnError;
use log::Level;

/// Ends listed of a stage that gives up: enough to see whether they have one cause.
const ENDS_SHOWN: usize = 5;

impl State {
    pub(super) fn spawned(&mut self, worker: WorkerId, pid: Pid, out: &mut Effects) {
        if let Some((s, i)) = self.stage_at(worker) {
            self.stages[s].spawned(i, pid, out);
        }
    }

    pub(super) fn spawn_failed(&mut self, worker: WorkerId, error: SpawnError, out: &mut Effects) {
        let Some((s, i)) = self.stage_at(worker) else { return };
        let Life::Forking { slot, .. } = self.stages[s].workers[i].life else { return };
        self.after(s, i, slot, End::NotStarted(error), ProcessWork::default(), out);
    }

    pub(super) fn not_started(&mut self, worker: WorkerId, end: End, out: &mut Effects) {
        let Some((s, i)) = self.stage_at(worker) else { return };
        let Life::Forking { slot, .. } = self.stages[s].workers[i].life else { return };
        self.after(s, i, slot, end, ProcessWork::default(), out);
    }

    pub(super) fn outgrown(&mut self, worker: WorkerId, pid: Pid, out: &mut Effects) {
        if let Some((s, i)) = self.alive(worker, pid) {
            self.stages[s].recycle(i, out);
        }
    }

    pub(super) fn output_closed(&mut self, worker: WorkerId, pid: Pid, out: &mut Effects) {
        if let Some((s, _)) = self.alive(worker, pid) {
            self.stages[s].output_closed(out);
        }
    }

    pub(super) fn ready(&mut self, worker: WorkerId, pid: Pid, out: &mut Effects) {
        if let Some((s, i)) = self.alive(worker, pid) {
            let stage = &mut self.stages[s];
            match stage.workers[i].is_service {
                true => stage.begun(i, out),
                false => stage.ready(i, out),
            }
        }
    }

    pub(super) fn at_rest(&mut self, worker: WorkerId, pid: Pid) {
        if let Some((s, i)) = self.alive(worker, pid) {
            let stage = &mut self.stages[s];
            stage.workers[i].at_rest = stage.paused;
        }
    }

    pub(super) fn worker_ended(
        &mut self,
        worker: WorkerId,
        pid: Pid,
        end: End,
        work: ProcessWork,
        out: &mut Effects,
    ) {
        let Some((s, i)) = self.alive(worker, pid) else { return };
        let Some(process) = self.stages[s].workers[i].life.process() else { return };
        self.after(s, i, process.slot, end, work, out);
    }

    fn after(&mut self, s: usize, i: usize, slot: SlotId, end: End, work: ProcessWork, out: &mut Effects) {
        let (stop, jitter) = (self.stopping(), self.jitter());
        let end = self.stages[s].end_as_requested(i, end);
        let why = end.to_string();
        // A run that has lost something is no success, whatever comes after.
        self.failed |= matches!(end, End::Said(Ending::Lost(_)));
        let is_failing = self.failing.contains_key(&self.stages[s].key);
        let exit = WorkerExit { end, work, stop, is_failing, jitter };
        let (verdict, dead_letter) = self.stages[s].ended(i, &exit, out);
        if matches!(exit.end, End::Said(Ending::Halted)) {
            self.halt(s, out);
        }
        self.revive_if_heard(s, out);
        // Only now: a new worker gets the slot after the release of the old one, which is among the actions.
        match dead_letter {
            Some(release) => self.dead_letters.begin(release, out.now),
            None => self.slots.give(slot.0),
        }
        match verdict {
            Verdict::Fine => {}
            Verdict::TrialFailed if self.can_go_back() => self.roll_back(s, &why, out),
            Verdict::TrialFailed if self.stages[s].has_given_up_worker() => self.give_up(s, out),
            Verdict::TrialFailed => {}
            // Removed, but it can't work off its input: going back is all that loses nothing.
            Verdict::GaveUp if self.is_removed(s) && self.can_go_back() => self.roll_back(s, &why, out),
            Verdict::GaveUp => self.give_up(s, out),
            Verdict::CannotStart if self.can_go_back() => self.roll_back(s, &why, out),
            Verdict::CannotStart => self.cannot_start(s, &why, out),
        }
    }

    /// No restart would change it, and no item has to do with it: one line says it all.
    fn cannot_start(&mut self, s: usize, why: &str, out: &mut Effects) {
        let stage = &mut self.stages[s];
        if stage.fate != Fate::Wanted {
            return;
        }
        stage.fate = Fate::GaveUp;
        self.failed = true;
        out.log(Level::Error, format!("the stage {} {why}", stage.spec.name));
        self.stop_if_asked(s, out);
    }

    /// What it reported was true then: meanwhile its output may have a reader again.
    fn revive_if_heard(&mut self, s: usize, out: &mut Effects) {
        let outputs = &self.stages[s].version.outputs;
        let heard = outputs.iter().any(|&queue| self.queues.is_open(queue));
        if heard && self.stages[s].fate == Fate::Wanted && self.stopping() == Stopping::No {
            self.stages[s].output_reopened(out);
        }
    }

    fn is_removed(&self, s: usize) -> bool {
        matches!(self.stages[s].fate, Fate::Removed { .. })
    }

    pub(super) fn suspended(&mut self, worker: WorkerId, pid: Pid, holds_lock: bool, out: &mut Effects) {
        let Some((s, i)) = self.alive(worker, pid) else { return };
        let stage = &mut self.stages[s];
        if holds_lock {
            return stage.kill_holder(i, out);
        }
        if stage.paused && stage.workers[i].is_service {
            return; // by us
        }
        let name = name(&stage.spec.name, worker);
        out.log(Level::Info, format!("{name} was stopped by a signal; `kill -CONT {pid}` continues it"));
    }

    pub(super) fn give_up(&mut self, s: usize, out: &mut Effects) {
        let stage = &mut self.stages[s];
        stage.fate = match stage.fate {
            Fate::GaveUp | Fate::Removed { drains: false } => return,
            // The file doesn't name it any more, and its queues may go: for no other chance than the file's.
            Fate::Removed { drains: true } => Fate::Removed { drains: false },
            Fate::Wanted => Fate::GaveUp,
        };
        self.failed = true;
        let (name, limit) = (stage.spec.name.clone(), stage.spec.rules.give_up);
        let window = spoken(limit.within);
        let one = if stage.version.is_service() && stage.workers.len() > 1 { " of one process" } else { "" };
        let restarts = format!("{}{one}", count(limit.restarts.into(), "restart"));
        out.log(Level::Error, format!("the stage {name} gives up: more than {restarts} within {window}"));
        self.follow_give_up(s, out);
    }

    /// Stages with `restart = "never"` whose workers all came to nothing.
    pub(super) fn give_up_what_failed(&mut self, out: &mut Effects) {
        for s in 0..self.stages.len() {
            let stage = &mut self.stages[s];
            if stage.fate == Fate::Wanted && stage.has_failed() {
                stage.fate = Fate::GaveUp;
                self.failed = true;
                let name = &stage.spec.name;
                out.log(
                    Level::Error,
                    format!("the stage {name} gives up: it failed, and restart is \"never\""),
                );
                self.follow_give_up(s, out);
            }
        }
    }

    fn follow_give_up(&mut self, s: usize, out: &mut Effects) {
        let stage = &self.stages[s];
        let ends = out.history.last_ends(&stage.spec.name, ENDS_SHOWN);
        let tell = |(transition, end): &(&Transition, &End)| {
            let ago = spoken(out.now.saturating_duration_since(transition.at));
            format!("  {ago} ago: {} {end}", transition.worker)
        };
        for line in ends.iter().map(tell).collect::<Vec<_>>() {
            out.log(Level::Error, line);
        }
        self.stop_if_asked(s, out);
    }

    fn stop_if_asked(&mut self, s: usize, out: &mut Effects) {
        let spec = &self.stages[s].spec;
        if spec.rules.on_give_up == OnGiveUp::Stop && self.stopping() == Stopping::No {
            self.begin_stop(StopCause::GaveUp(spec.name.clone()), out);
        }
    }

    pub(super) fn alive(&self, worker: WorkerId, pid: Pid) -> Option<(usize, usize)> {
        let (s, i) = self.stage_at(worker)?;
        let process = self.stages[s].workers[i].life.process()?;
        (process.pid == pid).then_some((s, i))
    }
}
