//! Does what was decided. Every effect of the supervisor is here or in what this calls.
//!
//! # Crash table
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | the supervisor, anywhere | workers, their children, the guardian | workers die with it (`PR_SET_PDEATHSIG`); the guardian sees the end of its pipe and kills the rest. Kept queues ([`estate`](super::estate)) go on at the next start, which waits until the last of them is gone |
//! | the guardian | nothing | SIGCHLD: another one is started |
//! | both at once | grandchildren that left their group | workers are gone by PDEATHSIG; the rest is ended by the next start, by the run's id, if the queues are kept |
//! | between `open_slot` and the fork | a slot with settings | the next worker that gets it overwrites them |
//! | the child, between fork and exec | nothing: it holds no lease | the error pipe ends without a word, and its death is seen as any worker's |
//! | the supervisor, there | a child whose parent is gone | PDEATHSIG, or the check of `getppid` after it |
//! | between exec and `set_pid` | a worker whose group the arena doesn't name | PDEATHSIG; its children carry the run's id in their environment |
//! | the worker, before it is ready | nothing | a failed start: back-off, or the reload goes back |
//! | the worker, anywhere later | leases, staged outputs | the release gives them back (crash table of the queue) |
//! | between reap and release | leases of a dead worker | only the supervisor's own death does that: the run is over, or whoever inherits its queues releases every slot |
//! | in a release | some holdings given back | each in one transaction; see the queue |
//! | while a dead letter is written for a dead worker | see [`burial`](super::burial) | |
//! | in a reload | some workers of the new version | nothing of it is kept anywhere but in memory; kept queues of either version are found by their labels, and those that the file does not name are kept while they hold items |
//! | between the last release and the summary | kept queues in which all is through | the work is done, only the exit code is not told: the next start sees at once that it is through, and ends |
//! | starting: before the arena is stored or has its magic | nothing that holds an item | made anew |
//! | in taking over | some slots released, some tokens reopened | the next start does the rest: each step is the same the second time |
//! | after the release of the last slot, before the new run is noted | the old run's id in the arena | nobody of either run lives |

mod answers;
mod ask;
mod burials;
mod deaths;
mod file;
mod queues;
mod service;
mod upgrade;
mod workers;

use super::action::{Action, Outcome};
use super::burial::Burial;
use super::children::{Auxiliary, Children};
use super::errand::{Ended, Errand};
use super::estate::{Deed, Estate};
use super::event::Event;
use super::guardian::Guardian;
use super::handover::{self, Handover};
use super::ids::{AskId, StageKey};
use super::inbox::{Inbox, Notice};
use super::inheritance::Label;
use super::launch::Launcher;
use super::log_writer::LogWriter;
use super::replacing::Replacing;
use super::state::State;
use super::state::view::Identity;
use super::summary::Closing;
use super::watch::Watch;
use super::{RunOptions, SetUpError};
use crate::control::protocol::Reply;
use crate::control::server::Listeners;
use crate::logging;
use crate::progress::{Show, TerminalThread};
use crate::queue::{Fault, Phase, QueueAdmin, QueueId, SlotId};
use crate::service::Manager;
use crate::stage::Registry;
use crate::sys::fd;
use log::{Level, log};
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CString;
use std::time::Instant;
use tokio::sync::oneshot;

/// What an errand is for.
#[derive(Debug)]
enum Purpose {
    /// To take the file over.
    Load,
    /// To tell a client what that would change.
    Plan(oneshot::Sender<Reply>),
    /// To find out whether this program could go on from here.
    Rehearse(CString),
}

/// The hands of the supervisor.
pub struct Performer<'a> {
    options: &'a RunOptions,
    registry: &'a Registry,
    inbox: Inbox,
    steward: QueueAdmin,
    arena: crate::queue::Arena,
    launcher: Launcher,
    log_writer: &'a mut LogWriter,
    show: Option<&'a Show>,
    children: Children,
    watch: Option<Watch>,
    manager: &'a Manager,
    told: service::Told,
    guardian: Option<Guardian>,
    /// The queues in use, and how they are called.
    names: BTreeMap<QueueId, String>,
    /// Queues that there is no room for.
    unmade: BTreeSet<QueueId>,
    /// Hidden queues, and what they are for.
    tokens: BTreeMap<QueueId, Label>,
    /// What is to become of the queues at the end.
    deed: Deed,
    /// How the stages are called that have had a worker.
    stages: BTreeMap<StageKey, String>,
    /// Workers of a program before this one that do not lead a group.
    followers: Vec<u32>,
    /// Dead letters of queues that are gone.
    dead_before: u64,
    /// Those that were counted before this run began to work off what is left.
    dead_at_start: u64,
    /// Items that were given up on behalf of dead workers, by stage.
    buried: BTreeMap<String, u64>,
    /// Letters of dead workers that are being written, by the slot that holds the item.
    burials: BTreeMap<SlotId, Burial>,
    ends_with_terminal: bool,
    /// The files to replace at the end of a run that went well.
    pub(super) replacing: Replacing,
    identity: Identity,
    /// Kept for the program after this one.
    listeners: Listeners,
    /// Processes that look at something outside.
    errands: Vec<Errand<Purpose>>,
    /// Those that are through, and not reported yet.
    ended_errands: Vec<(Errand<Purpose>, Ended)>,
    /// Requests that wait for their answers.
    asks: BTreeMap<AskId, oneshot::Sender<Reply>>,
    next_ask: u64,
    /// The program that is to take over, once it has been tried.
    next_program: Option<CString>,
    /// What happened while acting, in its order.
    events: VecDeque<Event>,
    /// A notice was taken in since something was due.
    was_notice: bool,
}

/// What a performer is made of.
pub struct Tools<'a> {
    /// Where notices come in.
    pub inbox: Inbox,
    /// The queues.
    pub estate: Estate,
    /// Starts workers.
    pub launcher: Launcher,
    /// Writes what they and this process log.
    pub log_writer: &'a mut LogWriter,
    /// Shows how far the run is, if that is wanted.
    pub show: Option<&'a Show>,
    /// Keeps track of them.
    pub children: Children,
    /// Watches the file, if that is wanted and possible.
    pub watch: Option<Watch>,
    /// Told how it goes.
    pub manager: &'a Manager,
    /// It has a terminal, and is to stop when that is gone.
    pub ends_with_terminal: bool,
    /// What is the same for the whole run.
    pub identity: Identity,
}

impl<'a> Performer<'a> {
    /// With nothing done yet.
    pub fn new(options: &'a RunOptions, registry: &'a Registry, tools: Tools<'a>) -> Performer<'a> {
        let Tools {
            inbox,
            estate,
            launcher,
            log_writer,
            show,
            children,
            watch,
            manager,
            ends_with_terminal,
            identity,
        } = tools;
        let mut children = children;
        if let Some(pid) = log_writer.process() {
            children.add_auxiliary(pid, Auxiliary::LogWriter);
        }
        let mut estate = estate;
        let deed = estate.deed();
        let (names, tokens) = estate.names();
        let Estate { arena, mut steward, .. } = estate;
        let mut dead = |queue| steward.counts(queue).map_or(0, |counts| counts.dead);
        let dead_at_start = match options.retries {
            Some(_) => names.keys().map(|queue| dead(*queue)).sum(),
            None => 0,
        };
        Performer {
            options,
            registry,
            inbox,
            steward,
            arena,
            launcher,
            log_writer,
            show,
            children,
            watch,
            manager,
            told: service::Told::default(),
            guardian: None,
            names,
            unmade: BTreeSet::new(),
            tokens,
            deed,
            stages: BTreeMap::new(),
            followers: Vec::new(),
            dead_before: 0,
            dead_at_start,
            buried: BTreeMap::new(),
            burials: BTreeMap::new(),
            ends_with_terminal,
            replacing: Replacing::default(),
            identity,
            listeners: Listeners::default(),
            errands: Vec::new(),
            ended_errands: Vec::new(),
            asks: BTreeMap::new(),
            next_ask: 0,
            next_program: None,
            events: VecDeque::new(),
            was_notice: false,
        }
    }

    /// The sockets on which clients are served: the program after this one gets them, too.
    pub fn keep(&mut self, listeners: Listeners) {
        self.listeners = listeners;
    }

    /// Goes on from what a program before this one has left. What it may not have seen any more is looked at.
    pub fn resume(&mut self, handover: &Handover) -> Result<(), SetUpError> {
        handover.outfit(&mut self.launcher)?;
        self.identity.run.clone_from(&handover.run);
        self.followers.clone_from(&handover.followers);
        self.replacing = Replacing::of(&handover.replacing);
        self.dead_before = handover.dead_before;
        self.buried.clone_from(&handover.buried);
        self.ends_with_terminal = handover.ends_with_terminal;
        if let Some((pid, alive)) = handover.guardian {
            self.children.add_auxiliary(pid, Auxiliary::Guardian);
            self.guardian = Some(Guardian { pid, alive: handover::taken(alive)? });
        }
        let watched = self.watch.is_some().then_some(Notice::FileTouched);
        [Notice::Child, Notice::Doorbell]
            .into_iter()
            .chain(watched)
            .for_each(|notice| self.inbox.put_back(notice));
        Ok(())
    }

    /// The next event; waits for it until the state's deadline.
    pub fn next(&mut self, state: &State) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let errands = self.errands.iter().map(Errand::until).min();
            let until = state.deadline(Instant::now()).into_iter().chain(errands).min();
            // By turns: notices that come without end must not hold up what is due, nor the other way round.
            let is_due = until.is_some_and(|until| until <= Instant::now());
            let notice = if is_due && self.was_notice { None } else { self.inbox.wait(until) };
            self.was_notice = notice.is_some();
            let Some(notice) = notice else {
                self.expire_errands();
                self.report_errands(state);
                return Event::Deadline;
            };
            self.take_in(notice, state);
            self.report_errands(state);
        }
    }

    /// The thread that has the terminal, where there are progress bars.
    fn terminal(&self) -> Option<&TerminalThread> {
        self.show?.terminal()
    }

    fn take_in(&mut self, notice: Notice, state: &State) {
        let event = match notice {
            Notice::Suspend => return self.suspend(),
            Notice::Child => return self.look_at_children(),
            Notice::Doorbell => return self.answer_the_door(state),
            Notice::Upgrade => Event::Upgrade,
            Notice::Terminate => Event::Terminate,
            Notice::Interrupt => Event::Interrupt,
            Notice::Quit => Event::Quit,
            Notice::Hangup if self.ends_with_terminal && !fd::has_terminal() => Event::TerminalGone,
            Notice::Hangup => Event::Hangup,
            Notice::FileTouched => Event::FileTouched,
            Notice::Fed(all) => Event::Fed(all),
            Notice::Asked(request, sender) => return self.asked(*request, sender, state),
        };
        self.events.push_back(event);
    }

    /// A worker has something to say: all who may have are looked at.
    fn answer_the_door(&mut self, state: &State) {
        for (worker, pid, slot) in state.awaited() {
            let report = self.steward.report(slot);
            match self.unless_damaged(report).map(|report| report.phase) {
                Some(Phase::Ready) => self.events.push_back(Event::Ready(worker, pid)),
                Some(Phase::AtRest) => {
                    self.events.push_back(Event::Ready(worker, pid));
                    self.events.push_back(Event::AtRest(worker, pid));
                }
                Some(Phase::Starting) | None => {}
            }
        }
    }

    /// Does all of it. Some: that was the end of the run.
    pub fn perform(&mut self, actions: Vec<Action>) -> Option<Outcome> {
        let mut actions = actions.into_iter().peekable();
        while let Some(action) = actions.next() {
            match action {
                Action::Order(slot, pid, order) => {
                    // One look-up for all who get the same order, not one each: every order wakes every sleeper.
                    let mut same = vec![(slot, pid)];
                    while let Some(Action::Order(slot, pid, next)) =
                        actions.next_if(|next| matches!(next, Action::Order(_, _, next) if *next == order))
                    {
                        debug_assert_eq!(next, order);
                        same.push((slot, pid));
                    }
                    self.order(&same, order);
                }
                Action::End(outcome) => return Some(self.with_buried(outcome)),
                other => self.act(other),
            }
        }
        None
    }

    /// The letters that were written for dead workers are their stages', too.
    fn with_buried(&self, mut outcome: Outcome) -> Outcome {
        for stage in &mut outcome.stages {
            stage.counts.dead += self.buried.get(&stage.name).copied().unwrap_or(0);
            stage.counts.too_long = self.launcher.undo_log.counted(&stage.name).unwrap_or(0);
        }
        outcome
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Spawn(spawn) => self.spawn(&spawn),
            Action::Adopt { worker, stage, slot, pid } => self.adopt(worker, stage, slot, pid),
            Action::Rehearse(left) => self.rehearse(*left),
            Action::HandOver(left) => self.hand_over(*left),
            Action::Term(pid) => self.terminate(pid),
            Action::Kill(pid) => self.signal(pid, Signal::SIGKILL),
            Action::Tune(slot, pid, tuning) => {
                let tuned = self.steward.tune(slot, &tuning);
                self.unless_damaged(tuned);
                self.nudge(pid);
            }
            Action::Release(release) => self.release(&release),
            Action::Bury(release) => self.bury(&release),
            Action::EndBurial(slot) => self.end_burial(slot),
            Action::SetQueue(queue, spec) => self.set_queue(queue, &spec),
            Action::AddToken(queue, label) => self.add_token(queue, label),
            Action::ResetToken(queue) => {
                if let Some(label) = self.drop_token(queue) {
                    self.add_token(queue, label);
                }
            }
            Action::AddOutbox(queue, stage) => self.add_outbox(queue, stage),
            Action::DropToken(queue) => drop(self.drop_token(queue)),
            Action::SetEnded(queue, ended) => {
                let set = self.steward.set_ended(queue, ended);
                self.unless_damaged(set);
            }
            Action::SetClosed(queue, closed) => {
                let set = self.steward.set_closed(queue, closed);
                self.unless_damaged(set);
            }
            Action::RemoveQueues(queues) => self.remove_queues(queues),
            Action::BoundLetters(bounds) => {
                self.launcher.dead_letters.max_size = bounds.max_size;
                self.launcher.dead_letters.when_full = bounds.when_full;
            }
            Action::Load => self.load(),
            Action::StartGuardian => self.start_guardian(),
            Action::StartLogWriter => self.start_log_writer(),
            Action::Notify(messages) => self.notify(&messages),
            Action::Status(head) => self.status(&head),
            Action::Answer(id, outcome) => self.answer(id, outcome),
            Action::Log(level, text) => log!(target: "mprun", level, "{text}"),
            Action::LogAbout(level, worker, text) => logging::say_about(level, &worker, &text),
            Action::Show(text) if log::log_enabled!(target: "mprun", Level::Error) => {
                logging::show(Level::Error, &text);
            }
            Action::Show(_) => {}
            Action::Order(slot, pid, order) => self.order(&[(slot, pid)], order),
            Action::End(_) => {} // `perform` returns it
        }
    }

    /// The value; a fault becomes an event, for nothing here can mend it.
    fn unless_damaged<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        let event = |fault: Fault| match &fault {
            Fault::DiskFull(..) => Event::NoRoom(fault.to_string()),
            _ => Event::Damaged(fault.to_string()),
        };
        result.map_err(|fault| self.events.push_back(event(fault))).ok()
    }

    /// Leaves no process behind, and says what the queues hold.
    pub fn close(mut self) -> (Closing, Deed, Replacing, Inbox) {
        match self.children.sweep(&self.inbox) {
            Ok(left) if left.is_empty() => {}
            Ok(left) => log!(target: "mprun", Level::Error, "these processes would not die: {left:?}"),
            Err(error) => log!(target: "mprun", Level::Error, "failed to wait for children: {error}"),
        }
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
        let Performer {
            names,
            tokens,
            mut steward,
            dead_before,
            dead_at_start,
            launcher,
            deed,
            replacing,
            inbox,
            ..
        } = self;
        let mut counted = |queue, name| Some((name, steward.counts(queue).ok()?));
        let mut queues: Vec<_> = names.into_iter().filter_map(|(queue, name)| counted(queue, name)).collect();
        // Nobody asked for these: they are told of only if something is left in them.
        let hidden = tokens.into_iter().filter_map(|(queue, label)| match label {
            Label::Outbox(stage) => counted(queue, format!("(finished outputs of {stage})")),
            Label::Queue(_) | Label::Token { .. } => None,
        });
        queues.extend(hidden.filter(|(_, counts)| counts.waiting + counts.leased > 0));
        let too_long = launcher.undo_log.counted_in_all().unwrap_or(0);
        let dead_letters = launcher.dead_letters.path;
        let closing = Closing { queues, dead_before, dead_at_start, too_long, dead_letters };
        (closing, deed, replacing, inbox)
    }
}
