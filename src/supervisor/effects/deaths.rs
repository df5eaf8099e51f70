//! Children that have ended or were stopped: what became of them, and of what they had started.

use super::performer::Performer;
use crate::queue::SlotId;
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::Pid;
use crate::supervisor::machine::reason::End;
use crate::supervisor::machine::restart;
use crate::supervisor::machine::totals::ProcessWork;
use crate::supervisor::runtime::children::{Auxiliary, Child, ChildEvent};
use crate::supervisor::runtime::inbox::Notice;
use crate::sys::wait::Exit;
use crate::sys::{group, proc_table};
use log::{Level, log};
use nix::sys::signal::Signal;
use std::time::{Instant, SystemTime};

/// Children that are looked at in one go, before anything else has its turn: some 20 ms.
const CHILDREN_PER_ROUND: u32 = 4096;

impl Performer<'_> {
    /// Workers live in groups of their own, so Ctrl-Z reaches only this process: it passes it on, and `fg` too.
    pub(super) fn suspend(&mut self) {
        self.children.signal_all(Signal::SIGSTOP);
        self.services.checker.signal(Signal::SIGSTOP);
        // Returns when this process is continued.
        let stop = || {
            let _ = nix::sys::signal::raise(Signal::SIGSTOP);
        };
        match self.terminal() {
            Some(terminal) => terminal.without_bars(stop),
            None => stop(),
        }
        self.children.signal_all(Signal::SIGCONT);
        self.services.checker.signal(Signal::SIGCONT);
    }

    /// One round: all ends and stops, up to a bound. `/proc` is read once in it, for orphans of the dead.
    pub(super) fn look_at_children(&mut self) {
        let mut leave_orphans = false;
        for _ in 0..CHILDREN_PER_ROUND {
            match self.children.news() {
                Ok(Some(news)) => leave_orphans |= self.take_news(news),
                Ok(None) => return self.end_round(leave_orphans),
                Err(error) => {
                    return log!(target: "mprun", Level::Error, "failed to wait for children: {error}");
                }
            }
        }
        self.end_round(leave_orphans);
        // The rest comes after the other notices, and the deadlines that are due.
        self.inbox.put_back(Notice::Child);
    }

    /// Whether it may have left orphans.
    fn take_news(&mut self, news: ChildEvent) -> bool {
        match news {
            ChildEvent::Ended(pid, child, exit, left_behind) if self.services.is(child.slot, pid) => {
                self.service_ended(child.slot, exit, left_behind);
                true
            }
            ChildEvent::Ended(pid, child, exit, _) => {
                let had_program = self.kill_program(child.slot);
                let report = self.admin(|admin| admin.report(child.slot));
                let end = End::new(report.as_ref().and_then(|report| report.ending.clone()), exit);
                let (item, attempt) = self.item_of(child.slot);
                let failing = self.admin(|admin| admin.death(child.slot)).unwrap_or_default();
                let work = ProcessWork {
                    attempt,
                    has_hope: !failing.is_last_attempt,
                    with_another: failing.with_another,
                    item: item.map(Box::new),
                    last_stderr: if end.is_failure() { self.last_stderr(&child) } else { Vec::new() },
                    stage_has_worked: matches!(end, End::CannotStart(_)) && self.has_worked(&child),
                    ..report.map_or_else(ProcessWork::default, ProcessWork::of_ended)
                };
                self.events.push_back(Event::Ended(child.worker, Pid(pid), end, work));
                had_program
            }
            ChildEvent::Stopped(pid, child) if self.services.is(child.slot, pid) => {
                let (worker, pid) = (child.worker, Pid(pid));
                self.events.push_back(Event::Suspended { worker, pid, holds_lock: false });
                false
            }
            ChildEvent::Stopped(pid, child) => {
                let holds_lock = self.note_stopped(pid);
                self.events.push_back(Event::Suspended { worker: child.worker, pid: Pid(pid), holds_lock });
                false
            }
            ChildEvent::LinkStopped(pid) => {
                let holds_lock = self.note_stopped(pid);
                self.events.push_back(Event::LinkSuspended { pid: Pid(pid), holds_lock });
                false
            }
            ChildEvent::Auxiliary(pid, auxiliary, exit) => {
                self.auxiliary_ended(pid, auxiliary, exit);
                // What programs of checks have started.
                auxiliary == Auxiliary::Checker
            }
            ChildEvent::Other => true,
        }
    }

    /// A process at the queues may keep a wake-up to itself for as long as it is stopped. Returns whether it holds their lock.
    fn note_stopped(&mut self, pid: u32) -> bool {
        self.admin(|admin| admin.set_stopped(1));
        let owner = self.store.admin.lock_owner();
        owner.is_some_and(|thread| proc_table::is_thread_of(thread, pid))
    }

    fn end_round(&mut self, leave_orphans: bool) {
        if leave_orphans {
            self.kill_orphans();
        }
        if self.children.all_continued() {
            self.admin(|admin| admin.set_stopped(0));
        }
    }

    fn auxiliary_ended(&mut self, pid: u32, auxiliary: Auxiliary, exit: Exit) {
        match auxiliary {
            Auxiliary::Guardian => {
                self.guardian = None;
                self.events.push_back(Event::GuardianEnded);
            }
            Auxiliary::DeadLetterWriter(slot) => self.dead_letter_writer_ended(slot),
            Auxiliary::LogWriter => {
                self.log_writer.ended();
                self.events.push_back(Event::LogWriterEnded);
            }
            Auxiliary::Errand => self.errand_ended(pid, exit),
            Auxiliary::Checker if self.services.checker.ended(pid) => {
                self.events.push_back(Event::CheckerEnded);
            }
            Auxiliary::Link => {
                self.link.iter().filter(|link| link.pid == pid).for_each(|link| link.ended(exit));
            }
            Auxiliary::Checker => {} // there is another one, or none is needed
        }
    }

    /// Whether a worker that is there has done something, of the same stage as this one.
    fn has_worked(&self, child: &Child) -> bool {
        let reports =
            self.children.slots_of(child.worker.stage).filter_map(|slot| self.store.admin.report(slot).ok());
        reports.into_iter().any(|report| report.counts.has_effect())
    }

    /// The last lines on standard error of a dead worker or its program; none, if they can't be read.
    fn last_stderr(&self, child: &Child) -> Vec<String> {
        let (Some(recent_logs), Some(stage)) =
            (&self.launcher.recent_logs, self.stages.get(&child.worker.stage))
        else {
            return Vec::new();
        };
        let since = child.since.at_least(SystemTime::now(), Instant::now());
        recent_logs.last_of_worker(stage, &restart::name(stage, child.worker), since).unwrap_or_default()
    }

    /// A dead worker's program dies with it (`PR_SET_PDEATHSIG`); this takes what that one has started, too.
    /// Whether there was one.
    fn kill_program(&mut self, slot: SlotId) -> bool {
        let program = self.admin(|admin| admin.program(slot)).flatten();
        if let Some(program) = program {
            // The worst that can be is that they are gone.
            let _ = group::signal_group(program, Signal::SIGKILL);
        }
        program.is_some()
    }

    /// Children that this process has not started: orphans of a dead worker's program, whatever their group.
    fn kill_orphans(&self) {
        for pid in self.children.orphans() {
            if self.services.may_have(pid) {
                continue;
            }
            let _ = group::signal_process(pid, Signal::SIGKILL);
        }
    }
}
