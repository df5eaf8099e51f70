//! The hands of the supervisor: what they hold, and which of them does what.

use super::service_hands::ServiceHands;
use crate::config::Control;
use crate::control::protocol::Reply;
use crate::control::server::{Listeners, Server};
use crate::dead_letter;
use crate::link::LinkNews;
use crate::progress::TerminalThread;
use crate::queue::{Fault, Phase, QueueAdmin, QueueId, SlotId, StageId};
use crate::service::NotifySocket;
use crate::stage::Registry;
use crate::supervisor::closing::summary::Closing;
use crate::supervisor::error::SetUpError;
use crate::supervisor::machine::condition::Finding;
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::{Pid, RequestId, StageKey};
use crate::supervisor::machine::observe::RunIdentity;
use crate::supervisor::machine::recovered::Label;
use crate::supervisor::machine::state::State;
use crate::supervisor::notify::StatusLine;
use crate::supervisor::options::RunOptions;
use crate::supervisor::recovery::membership::Names;
use crate::supervisor::recovery::queue_store::QueueStore;
use crate::supervisor::recovery::replacing::Replacing;
use crate::supervisor::recovery::upgrade_state::{self, UpgradeState};
use crate::supervisor::runtime::children::{Auxiliary, Children};
use crate::supervisor::runtime::control::ProgressDisplay;
use crate::supervisor::runtime::dead_letter_writer::DeadLetterWriter;
use crate::supervisor::runtime::errand::{self, Errand};
use crate::supervisor::runtime::guardian::Guardian;
use crate::supervisor::runtime::inbox::{Inbox, Notice};
use crate::supervisor::runtime::launch::Launcher;
use crate::supervisor::runtime::link::LinkProcess;
use crate::supervisor::runtime::log_writer::LogWriter;
use crate::supervisor::runtime::services::identities::Asked;
use crate::supervisor::runtime::settler::Unsettled;
use crate::supervisor::runtime::watch::Watch;
use crate::sys::fd;
use log::{Level, log};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CString;
use std::ops::RangeFrom;
use std::os::fd::OwnedFd;
use std::time::{Instant, SystemTime};
use tokio::sync::oneshot;

/// What an errand is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To take the file over.
    Load,
    /// To tell a client what that would change.
    Plan(oneshot::Sender<Reply>),
    /// A preflight of this program.
    Preflight(CString),
    /// Whom services run as.
    Identify(Asked),
}

/// What every run is made of, whatever its pipeline is.
pub(crate) struct Run<'a> {
    pub options: &'a RunOptions,
    pub registry: &'a Registry,
    pub manager: &'a NotifySocket,
    pub started: Instant,
    pub progress: Option<ProgressDisplay>,
}

/// What is left of a performer once all processes have ended.
pub(crate) struct Ended {
    pub closing: Closing,
    pub store: QueueStore,
    pub replacing: Replacing,
    pub inbox: Inbox,
    /// Its clients wait for the end of the run.
    pub server: Option<Server>,
}

/// Dead letters, as far as the ledgers of the queues that are there do not count them.
#[derive(Default)]
pub(crate) struct DeadCounters {
    /// Of queues that are gone.
    pub before: u64,
    /// Those that recovered queues had counted before a run that only works off dead letters.
    pub at_start: u64,
    /// Letters that the broker held when the link left the run; `None`: it was not asked, or has not answered.
    pub in_broker: Option<u64>,
    /// Items that were given up on behalf of dead workers, by stage.
    pub by_stage: BTreeMap<String, u64>,
}

/// Performs effects, and takes in what happens outside.
pub(crate) struct Performer<'a> {
    pub(super) run: &'a Run<'a>,
    pub inbox: Inbox,
    pub store: QueueStore,
    pub launcher: Launcher,
    pub(super) log_writer: &'a mut LogWriter,
    pub(super) children: Children,
    pub(super) watch: Option<Watch>,
    /// A thread tells when the wall clock is set.
    pub(super) watches_clock: bool,
    pub(super) status_line: StatusLine,
    pub(super) guardian: Option<Guardian>,
    /// The queues in use, and how they are called.
    pub(super) names: BTreeMap<QueueId, String>,
    /// Queues that there is no room for.
    pub(super) unmade: BTreeSet<QueueId>,
    /// Hidden queues, and what they are for.
    pub(super) tokens: BTreeMap<QueueId, Label>,
    /// How the stages are called that have had a worker.
    pub(super) stages: BTreeMap<StageKey, String>,
    /// Whose the stages' places in the arena are.
    pub(super) opened_stages: BTreeMap<StageId, StageKey>,
    /// The stages that were looked at: since when they were failing then, if they were.
    pub(super) failing: BTreeMap<StageKey, Option<SystemTime>>,
    /// Workers of a program before this one that do not lead a group.
    pub(super) non_leaders: Vec<u32>,
    pub(super) dead: DeadCounters,
    /// What stages that are gone have left open beside their tokens.
    pub(super) unsettled: Vec<Unsettled>,
    /// Letters of dead workers that are being written, by the slot that holds the item.
    pub(super) dead_letter_writers: BTreeMap<SlotId, DeadLetterWriter>,
    pub(super) ends_with_terminal: bool,
    /// The files to replace at the end of a run that went well.
    pub replacing: Replacing,
    pub(super) identity: RunIdentity,
    /// The locks of this run, for the program after this one.
    pub(in crate::supervisor) locks: Vec<OwnedFd>,
    /// The sockets on which clients are served: the program after this one gets them, too.
    pub listeners: Listeners,
    /// They are served by it.
    pub(super) server: Option<Server>,
    /// In this way.
    pub(super) served: Control,
    /// Processes that look at something outside.
    pub(super) errands: Vec<Errand<Purpose>>,
    /// Those that are through, and not reported yet.
    pub(super) ended_errands: Vec<(Errand<Purpose>, errand::Ended)>,
    pub(super) services: ServiceHands,
    /// The process that speaks with the broker.
    pub(super) link: Option<LinkProcess>,
    /// By which names the broker knows this machine; `None`: it has no shared queue.
    pub(super) membership: Option<Names>,
    /// A program before this one has run the pipeline up to now.
    pub(super) is_resumed: bool,
    /// Requests that wait for their answers.
    pub(super) requests: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    pub(super) request_ids: RangeFrom<u64>,
    /// The next program, once its preflight was good.
    pub(super) next_program: Option<CString>,
    /// What happened while performing, in its order.
    pub(super) events: VecDeque<Event>,
    /// A notice was taken in since something was due.
    pub(super) was_notice: bool,
}

impl Performer<'_> {
    /// Resumes from the previous program. Notices that it may have missed are looked at.
    pub(crate) fn resume(&mut self, upgrade_state: &UpgradeState) -> Result<(), SetUpError> {
        self.launcher.resume(upgrade_state)?;
        self.services.resume(upgrade_state);
        self.identity.run.clone_from(&upgrade_state.run);
        self.non_leaders.clone_from(&upgrade_state.non_leaders);
        self.replacing = Replacing::of(&upgrade_state.replacing);
        self.dead.before = upgrade_state.dead_before;
        self.dead.by_stage.clone_from(&upgrade_state.dead_by_stage);
        self.ends_with_terminal = upgrade_state.ends_with_terminal;
        if let Some((pid, alive)) = upgrade_state.guardian {
            self.children.add_auxiliary(pid, Auxiliary::Guardian);
            self.guardian = Some(Guardian { pid, alive: upgrade_state::taken(alive)? });
        } else {
            self.events.push_back(Event::GuardianEnded);
        }
        let watched = self.watch.is_some().then_some(Notice::FileTouched);
        [Notice::Child, Notice::WorkerSignal]
            .into_iter()
            .chain(watched)
            .for_each(|notice| self.inbox.put_back(notice));
        Ok(())
    }

    /// The next event, and the news of workers right behind it if it is such; waits for it until the state's deadline.
    ///
    /// Each round of the state looks at all stages: thousands of workers that come up or end together must not each cost
    /// one.
    pub(crate) fn next(&mut self, state: &State) -> Vec<Event> {
        let mut events = vec![self.next_one(state)];
        if events.iter().all(Event::is_news_of_worker) {
            let more = self.events.iter().take_while(|event| event.is_news_of_worker()).count();
            events.extend(self.events.drain(..more));
        }
        events
    }

    fn next_one(&mut self, state: &State) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            let errands = self.errands.iter().map(Errand::until).min();
            let measured = self.services.measure_at();
            let until = state.deadline().into_iter().chain(errands).chain(measured).min();
            // By turns: notices that come without end must not hold up what is due, nor the other way round.
            let is_due = until.is_some_and(|until| until <= Instant::now());
            let notice = if is_due && self.was_notice { None } else { self.inbox.wait(until) };
            self.was_notice = notice.is_some();
            let Some(notice) = notice else {
                self.expire_errands();
                self.report_errands(state);
                self.measure_services();
                return Event::Deadline;
            };
            self.take_in(notice, state);
            self.report_errands(state);
        }
    }

    /// The thread that has the terminal, where there are progress bars.
    pub(super) fn terminal(&self) -> Option<&TerminalThread> {
        self.run.progress.as_ref()?.show.terminal()
    }

    fn take_in(&mut self, notice: Notice, state: &State) {
        let event = match notice {
            Notice::Suspend => return self.suspend(),
            Notice::Child => return self.look_at_children(),
            Notice::WorkerSignal => {
                self.look_for_failing_stages();
                return self.poll_ready_workers(state);
            }
            Notice::Upgrade => Event::Upgrade,
            Notice::Terminate => Event::Terminate,
            Notice::Interrupt => Event::Interrupt,
            Notice::Quit => Event::Quit,
            Notice::Hangup if self.ends_with_terminal && self.run.options.text.is_some() => Event::HungUp,
            Notice::Hangup if self.ends_with_terminal && !fd::has_terminal() => Event::TerminalGone,
            Notice::Hangup => Event::Hangup,
            Notice::FileTouched => Event::FileTouched,
            Notice::ClockSet => Event::ClockSet,
            Notice::RetriesDone(all) => Event::RetriesDone(all),
            Notice::ServiceBegun(slot) => return self.service_begun(slot),
            Notice::SaysReady(slot, pid) => return self.found(slot, Pid(pid), Finding::Ready),
            Notice::Linked(LinkNews::Look) => return self.show(state),
            Notice::Linked(news) => {
                self.note_run(&news);
                Event::LinkNews(news)
            }
            Notice::LinkEnded(exit) => return self.link_ended(exit),
            Notice::Checked(report) => return self.checked(report),
            Notice::Printed(slot) => return self.service_printed(slot),
            Notice::NotPrinted(slot, errno) => return self.service_not_printed(slot, errno),
            Notice::Asked(request, sender) => return self.handle_request(*request, sender, state),
        };
        self.events.push_back(event);
    }

    /// A worker has signalled: the slots of all that are awaited are read.
    fn poll_ready_workers(&mut self, state: &State) {
        for (worker, pid, slot) in state.awaited() {
            match self.admin(|admin| admin.report(slot)).map(|report| report.phase) {
                Some(Phase::Ready) => self.events.push_back(Event::Ready(worker, pid)),
                Some(Phase::AtRest) => {
                    self.events.push_back(Event::Ready(worker, pid));
                    self.events.push_back(Event::AtRest(worker, pid));
                }
                Some(Phase::Starting) | None => {}
            }
        }
    }

    /// Does something to the queues; a fault becomes an event, for nothing here can mend it.
    pub(super) fn admin<T>(&mut self, act: impl FnOnce(&mut QueueAdmin) -> Result<T, Fault>) -> Option<T> {
        let result = act(&mut self.store.admin);
        self.unless_damaged(result)
    }

    /// The value; a fault becomes an event.
    pub(super) fn unless_damaged<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        let store = &self.store;
        let event = |fault: Fault| match &fault {
            Fault::DiskFull(..) => Event::NoRoom(store.with_place(fault).to_string()),
            _ => Event::Damaged(fault.to_string()),
        };
        result.map_err(|fault| self.events.push_back(event(fault))).ok()
    }

    /// Ends all processes, and counts what the queues hold.
    pub(crate) fn close(mut self) -> Ended {
        match self.children.sweep(&self.inbox) {
            Ok(left) if left.is_empty() => {}
            Ok(left) => {
                log!(target: "mprun", Level::Error, "processes do not end after SIGKILL: {left:?}; does a disk or network file system not answer them?")
            }
            Err(error) => log!(target: "mprun", Level::Error, "failed to wait for children: {error}"),
        }
        if let Some(guardian) = self.guardian.take() {
            guardian.dismiss();
        }
        let Performer { names, tokens, mut store, dead, launcher, replacing, inbox, server, .. } = self;
        let mut counted = |queue, name| Some((name, store.admin.counts(queue).ok()?));
        let mut queues: Vec<_> = names.into_iter().filter_map(|(queue, name)| counted(queue, name)).collect();
        let is_shared = |name: &String| tokens.iter().any(|(_, label)| *label == Label::Held(name.clone()));
        let dead_shared =
            queues.iter().filter(|(name, _)| is_shared(name)).map(|(_, counts)| counts.dead).sum();
        // What lies in the broker, or waits for it, is not left here.
        let here = queues.iter().filter(|(name, _)| !is_shared(name));
        let mut left = here.map(|(_, counts)| counts.items()).sum::<u64>();
        let mut unsent = 0;
        // Hidden queues are listed only if something is left in them.
        for (queue, label) in tokens {
            let (name, left) = match label {
                Label::Spill(stage) | Label::Window { stage, .. } => {
                    (format!("(finished outputs of {stage})"), &mut left)
                }
                Label::Line(stage) => (format!("(what {stage} has for the broker)"), &mut unsent),
                Label::Queue(_) | Label::Token { .. } | Label::Held(_) | Label::Print => continue,
            };
            if let Some((name, counts)) = counted(queue, name).filter(|(_, counts)| counts.items() > 0) {
                *left += counts.items();
                queues.push((name, counts));
            }
        }
        let too_long = launcher.undo_log.counted_in_all().unwrap_or(0);
        let repeated = launcher.undo_log.repeated_in_all().unwrap_or(0);
        let mut closing = Closing {
            queues,
            left,
            unsent,
            dead_before: dead.before,
            dead_at_start: dead.at_start,
            dead_shared,
            letters_in_broker: dead.in_broker,
            too_long,
            repeated,
            letters_in_file: None,
            dead_letters: launcher.dead_letters.path,
        };
        // Where none was written they need not be counted.
        if launcher.dead_letters.keeps && closing.dead().all() > 0 {
            let in_file = dead_letter::amount(&closing.dead_letters, &launcher.run).ok();
            closing.letters_in_file = in_file.map(|in_file| in_file.of_run + in_file.dropped);
        }
        Ended { closing, store, replacing, inbox, server }
    }
}
