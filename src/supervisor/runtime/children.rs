//! The supervisor's child processes: which is which worker, what became of them, and the end of all that are left.

use super::inbox::Inbox;
use crate::queue::SlotId;
use crate::supervisor::machine::ids::{Pid, StageKey, WorkerId};
use crate::sys::wait::{ChildChange, ChildPoll, Exit, SignalNumber, poll_children, reap};
use crate::sys::{group, mark, proc_table};
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant, SystemTime};

/// How long the last sweep lasts against processes that don't die.
const SWEEP_LIMIT: Duration = Duration::from_secs(5);
/// How often it looks for new ones, if no death is noticed.
const SWEEP_INTERVAL: Duration = Duration::from_millis(50);

/// All worker processes, by pid.
pub(crate) struct Children {
    workers: BTreeMap<u32, Child>,
    /// Children that this process had before it was the supervisor (a shell may `exec` us): none of our business.
    preexisting: BTreeSet<u32>,
    /// This program's own helper processes, by pid.
    auxiliaries: BTreeMap<u32, Auxiliary>,
    /// Workers that a signal has stopped.
    stopped: BTreeSet<u32>,
    /// The queues may know that some are stopped.
    stop_reported: bool,
}

/// A helper process: the same program under a hidden verb, which is neither a worker nor an orphan of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auxiliary {
    /// Cleans up after a supervisor that was killed.
    Guardian,
    /// Writes the dead letter of the item that is left in this slot.
    DeadLetterWriter(SlotId),
    /// Writes the log.
    LogWriter,
    /// Looks at something outside.
    Errand,
    /// Makes checks of services.
    Checker,
    /// Speaks with the broker.
    Link,
}

impl Auxiliary {
    /// It has work to do until the last worker is gone: the last sweep leaves it alone.
    fn outlives_workers(self) -> bool {
        match self {
            Auxiliary::Guardian | Auxiliary::LogWriter => true,
            Auxiliary::DeadLetterWriter(_) | Auxiliary::Errand | Auxiliary::Checker | Auxiliary::Link => {
                false
            }
        }
    }
}

/// One worker's process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Child {
    pub worker: WorkerId,
    pub slot: SlotId,
    /// It leads a group of its own.
    pub leads: bool,
    /// When it was started.
    pub since: Since,
}

/// When something began, on both clocks: that on the wall may be set meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    wall: SystemTime,
    steady: Instant,
}

impl Since {
    pub(crate) fn now() -> Since {
        Since { wall: SystemTime::now(), steady: Instant::now() }
    }

    /// Before this program began to look.
    pub(crate) fn before() -> Since {
        Since { wall: SystemTime::UNIX_EPOCH, steady: Instant::now() }
    }

    /// A time on the wall that nothing which came later has below it, as the two clocks stand now.
    pub(crate) fn at_least(&self, wall: SystemTime, steady: Instant) -> SystemTime {
        let ago = steady.saturating_duration_since(self.steady);
        self.wall.min(wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH))
    }
}

/// What happened to a child that the supervisor started.
pub(crate) enum ChildEvent {
    /// A worker's process ended; it is reaped, and its group is killed. With the names of the processes that it has left
    /// behind, if it has ended as one that has done all that it had to.
    Ended(u32, Child, Exit, Vec<String>),
    /// A worker's process was stopped.
    Stopped(u32, Child),
    /// The link's process was stopped.
    LinkStopped(u32),
    /// A helper process ended.
    Auxiliary(u32, Auxiliary, Exit),
    /// Some other child ended.
    Other,
}

impl Children {
    /// Orphans of workers become children of this process from here on, so that none can get away.
    pub(crate) fn adopt() -> io::Result<Children> {
        nix::sys::prctl::set_child_subreaper(true)?;
        let preexisting = proc_table::children_of(std::process::id()).into_iter().collect();
        let (workers, auxiliaries) = (BTreeMap::new(), BTreeMap::new());
        Ok(Children { workers, preexisting, auxiliaries, stopped: BTreeSet::new(), stop_reported: false })
    }

    /// The same, with what a program before this one knew of this process's children.
    pub(crate) fn resume(preexisting: &[u32]) -> io::Result<Children> {
        let preexisting = preexisting.iter().copied().collect();
        Ok(Children { preexisting, stop_reported: true, ..Children::adopt()? })
    }

    /// Children that are none of ours.
    pub(crate) fn preexisting(&self) -> Vec<u32> {
        self.preexisting.iter().copied().collect()
    }

    /// Workers that do not lead a group of their own.
    pub(crate) fn non_leaders(&self) -> Vec<u32> {
        self.workers.iter().filter(|(_, child)| !child.leads).map(|(pid, _)| *pid).collect()
    }

    /// A worker was started.
    pub(crate) fn add(&mut self, pid: u32, child: Child) {
        self.workers.insert(pid, child);
    }

    /// A worker was started by the previous program, and may be stopped.
    pub(crate) fn add_resumed(&mut self, pid: u32, child: Child) {
        self.stopped.extend(proc_table::is_stopped(pid).then_some(pid));
        self.add(pid, child);
    }

    /// No worker is stopped any more, and the queues do not know it yet. True once each time.
    pub(crate) fn all_continued(&mut self) -> bool {
        self.stopped.is_empty() && std::mem::take(&mut self.stop_reported)
    }

    /// A helper process was started, or taken over from the program before this one.
    pub(crate) fn add_auxiliary(&mut self, pid: u32, auxiliary: Auxiliary) {
        self.preexisting.remove(&pid); // it may have been started before this table
        self.auxiliaries.insert(pid, auxiliary);
    }

    /// The next piece of news, without waiting.
    pub(crate) fn news(&mut self) -> io::Result<Option<ChildEvent>> {
        loop {
            match poll_children()? {
                ChildPoll::Quiet | ChildPoll::Childless => return Ok(None),
                ChildPoll::Changed(ChildChange::Ended(pid, exit)) => {
                    return self.take_ended(pid, exit).map(Some);
                }
                ChildPoll::Changed(ChildChange::Stopped(pid)) => {
                    let news = match (self.workers.get(&pid), self.auxiliaries.get(&pid)) {
                        (Some(child), _) => ChildEvent::Stopped(pid, *child),
                        (None, Some(Auxiliary::Link)) => ChildEvent::LinkStopped(pid),
                        (None, _) => continue,
                    };
                    self.stopped.insert(pid);
                    self.stop_reported = true;
                    return Ok(Some(news));
                }
                ChildPoll::Changed(ChildChange::Continued(pid)) => drop(self.stopped.remove(&pid)),
            }
        }
    }

    /// The group goes before its leader is reaped: until then its number can't belong to anybody else.
    fn take_ended(&mut self, pid: u32, exit: Exit) -> io::Result<ChildEvent> {
        self.stopped.remove(&pid);
        let Some(child) = self.workers.remove(&pid) else {
            reap(pid)?;
            return Ok(match self.auxiliaries.remove(&pid) {
                Some(auxiliary) => ChildEvent::Auxiliary(pid, auxiliary, exit),
                None => ChildEvent::Other,
            });
        };
        // A daemon may not have left the group yet: only before the kill can it be seen.
        let left_behind = if exit == Exit::Code(0) { self.left_behind_by(pid) } else { Vec::new() };
        if child.leads {
            group::signal_group(pid, Signal::SIGKILL)?;
        }
        reap(pid)?;
        Ok(ChildEvent::Ended(pid, child, exit, left_behind))
    }

    fn left_behind_by(&self, dead: u32) -> Vec<String> {
        let lives = |pid: u32| proc_table::started(pid).is_some();
        let mut orphans = self.orphans();
        orphans.retain(|&orphan| orphan != dead && mark::owner(orphan) == Some(dead) && lives(orphan));
        orphans.into_iter().filter_map(proc_table::name).collect()
    }

    /// To a worker, and to its own children if it leads a group.
    pub(crate) fn signal(&self, pid: Pid, signal: impl Into<SignalNumber>) -> io::Result<()> {
        match self.workers.get(&pid.0) {
            Some(Child { leads: true, .. }) => group::signal_group(pid.0, signal),
            Some(Child { leads: false, .. }) => group::signal_process(pid.0, signal),
            None => Ok(()), // reaped already: the pid may be anybody's
        }
    }

    /// The slot of a worker's process.
    pub(crate) fn slot(&self, pid: Pid) -> Option<SlotId> {
        self.workers.get(&pid.0).map(|child| child.slot)
    }

    /// The slots of a stage's workers.
    pub(crate) fn slots_of(&self, stage: StageKey) -> impl Iterator<Item = SlotId> {
        let of_stage = self.workers.values().filter(move |child| child.worker.stage == stage);
        of_stage.map(|child| child.slot)
    }

    /// Children that are neither workers, nor helpers, nor were here before.
    pub(crate) fn orphans(&self) -> Vec<u32> {
        let mut children = proc_table::children_of(std::process::id());
        children.retain(|pid| {
            !self.preexisting.contains(pid)
                && !self.workers.contains_key(pid)
                && !self.auxiliaries.contains_key(pid)
        });
        children
    }

    /// To all workers. One that can't be signalled has ended.
    pub(crate) fn signal_all(&self, signal: Signal) {
        for pid in self.workers.keys() {
            let _ = self.signal(Pid(*pid), signal);
        }
    }

    /// To one worker's process only.
    pub(crate) fn wake_worker(&self, pid: Pid) -> io::Result<()> {
        if self.workers.contains_key(&pid.0) {
            return group::signal_process(pid.0, Signal::SIGUSR1);
        }
        Ok(())
    }

    /// Kills and reaps every child but helpers that still have work: what workers started and left behind.
    /// Returns those that would not die.
    pub(crate) fn sweep(&mut self, inbox: &Inbox) -> io::Result<Vec<u32>> {
        let limit = Instant::now() + SWEEP_LIMIT;
        loop {
            // Its time may be over before a program that forks without end lets it see the last of them.
            while Instant::now() < limit && self.news()?.is_some() {}
            let remaining: Vec<u32> = proc_table::children_of(std::process::id())
                .into_iter()
                .filter(|pid| !self.preexisting.contains(pid) && !self.is_spared(*pid))
                .collect();
            if remaining.is_empty() || Instant::now() >= limit {
                return Ok(remaining);
            }
            for &pid in &remaining {
                group::signal_process(pid, Signal::SIGKILL)?;
            }
            inbox.wait(Some(Instant::now() + SWEEP_INTERVAL));
        }
    }

    fn is_spared(&self, pid: u32) -> bool {
        self.auxiliaries.get(&pid).is_some_and(|auxiliary| auxiliary.outlives_workers())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_hides_nothing_that_came_later() {
        let since = Since::now();
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        let later = since.steady + minute;
        assert_eq!(since.at_least(since.wall + minute, later), since.wall);
        assert_eq!(since.at_least(since.wall - hour, later), since.wall - hour - minute);
        assert_eq!(since.at_least(since.wall + hour, later), since.wall);
        assert_eq!(Since::before().at_least(since.wall, later), SystemTime::UNIX_EPOCH);
    }
}
