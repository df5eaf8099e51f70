//! Children that have ended or were stopped: what became of them, and of what they had started.

use super::Performer;
use crate::queue::SlotId;
use crate::supervisor::children::{Auxiliary, Child, News, Remains, ended};
use crate::supervisor::event::Event;
use crate::supervisor::ids::Pid;
use crate::supervisor::reason::End;
use crate::supervisor::restart;
use crate::sys::wait::Exit;
use crate::sys::{group, proc_table};
use log::{Level, log};
use nix::sys::signal::Signal;

impl Performer<'_> {
    /// Workers live in groups of their own, so Ctrl-Z reaches only this process: it passes it on, and `fg` too.
    pub(super) fn suspend(&mut self) {
        self.children.signal_all(Signal::SIGSTOP);
        // Returns when this process goes on.
        let stop = || {
            let _ = nix::sys::signal::raise(Signal::SIGSTOP);
        };
        match self.terminal() {
            Some(terminal) => terminal.without_bars(stop),
            None => stop(),
        }
        self.children.signal_all(Signal::SIGCONT);
    }

    pub(super) fn look_at_children(&mut self) {
        loop {
            match self.children.news() {
                Ok(None) => return,
                Ok(Some(News::Ended(pid, child, exit))) => {
                    self.kill_program(child.slot);
                    let report = self.steward.report(child.slot);
                    let report = self.unless_damaged(report);
                    let ending = report.as_ref().and_then(|report| report.ending.clone());
                    let (item, attempt) = self.item_of(child.slot);
                    let (item, end) = (item.map(Box::new), End::new(ending, exit));
                    let words = if end.is_failure() { self.last_words(&child) } else { Vec::new() };
                    let stage_has_worked = matches!(end, End::CannotStart(_)) && self.has_worked(&child);
                    let remains = Remains { attempt, item, words, stage_has_worked };
                    self.events.push_back(ended(pid, child, end, report, remains));
                }
                Ok(Some(News::Stopped(pid, child))) => {
                    // It may keep a wake-up to itself for as long as it is stopped. That it goes on is not told, so
                    // this stays for the run; it only costs wake-ups that were not needed.
                    let told = self.steward.set_stopped(1);
                    self.unless_damaged(told);
                    let owner = self.steward.lock_owner();
                    let holds_lock = owner.is_some_and(|thread| proc_table::is_thread_of(thread, pid));
                    self.events.push_back(Event::Halted { worker: child.worker, pid: Pid(pid), holds_lock });
                }
                Ok(Some(News::Auxiliary(pid, auxiliary, exit))) => self.auxiliary_ended(pid, auxiliary, exit),
                Ok(Some(News::Other)) => self.kill_strays(),
                Err(error) => {
                    return log!(target: "mprun", Level::Error, "failed to wait for children: {error}");
                }
            }
        }
    }

    fn auxiliary_ended(&mut self, pid: u32, auxiliary: Auxiliary, exit: Exit) {
        match auxiliary {
            Auxiliary::Guardian => {
                self.guardian = None;
                self.events.push_back(Event::GuardianEnded);
            }
            Auxiliary::Undertaker(slot) => self.undertaker_ended(slot),
            Auxiliary::LogWriter => {
                self.log_writer.ended();
                self.events.push_back(Event::LogWriterEnded);
            }
            Auxiliary::Errand => self.errand_ended(pid, exit),
        }
    }

    /// Whether a worker that is there has done something, of the same stage as this one.
    fn has_worked(&self, child: &Child) -> bool {
        let reports =
            self.children.slots_of(child.worker.stage).filter_map(|slot| self.steward.report(slot).ok());
        reports.into_iter().any(|report| report.done + report.emitted > 0)
    }

    /// What a dead worker or its program has said at last. If there is nothing to be found, the rest is told without it.
    fn last_words(&self, child: &Child) -> Vec<String> {
        let (Some(tails), Some(stage)) = (&self.launcher.tails, self.stages.get(&child.worker.stage)) else {
            return Vec::new();
        };
        tails.last_words(stage, &restart::name(stage, child.worker), child.since).unwrap_or_default()
    }

    /// A dead worker's program dies with it (`PR_SET_PDEATHSIG`); this takes what that one has started, too.
    fn kill_program(&mut self, slot: SlotId) {
        let program = self.steward.program(slot);
        if let Some(Some(program)) = self.unless_damaged(program) {
            // The worst that can be is that they are gone.
            let _ = group::signal_group(program, Signal::SIGKILL);
            self.kill_strays();
        }
    }

    /// Children that nobody here has started: orphans of a dead worker's program, wherever they have moved.
    fn kill_strays(&self) {
        for pid in self.children.strays() {
            let _ = group::signal_process(pid, Signal::SIGKILL);
        }
    }
}
