//! A world of plain values around a state: processes that do as they are told only when a test lets them.

use super::super::{NotifyCapabilities, State};
use crate::config::Pipeline;
use crate::control::protocol::{Command, Done, Reason, Refused};
use crate::link::{LinkNews, LinkOrder};
use crate::model::Totals;
use crate::queue::{
    Ending, FailureAttribution, Order, QueueCounts, QueueId, SlotId, SlotReport, StageId, WindowState,
};
use crate::service::Message;
use crate::status::Snapshot;
use crate::supervisor::fixture::wanted;
use crate::supervisor::machine::condition::{Condition, Finding, Goal};
use crate::supervisor::machine::effect::{Effect, Outcome, Spawn};
use crate::supervisor::machine::event::{Event, Loading};
use crate::supervisor::machine::ids::{Pid, RequestId, WorkerId};
use crate::supervisor::machine::observe::{Counters, Moment, RunIdentity};
use crate::supervisor::machine::reason::End;
use crate::supervisor::machine::recovered::Label;
use crate::supervisor::machine::saved::SavedMachine;
use crate::supervisor::machine::stage_state::Worker;
use crate::supervisor::machine::totals::ProcessWork;
use crate::supervisor::machine::wanted::Wanted;
use crate::supervisor::machine::worker_state::StopRequest;
use crate::sys::process::{SpawnError, StartStep};
use crate::sys::wait::{Exit, SignalNumber};
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant, SystemTime};

/// Between two moments of any schedule, from the question on.
pub const EVERY: Duration = Duration::from_secs(60);

/// A process that the state asked for.
#[derive(Clone, Debug)]
pub struct Proc {
    pub spawn: Spawn,
    pub order: Order,
    pub ready: bool,
    pub termed: bool,
    pub killed: bool,
    pub suspended: bool,
}

/// What was done with processes that speak with the broker.
#[derive(Debug, Default)]
pub struct Links {
    pub started: usize,
    pub joined_before: bool,
    /// Ordered to finish or to stop.
    pub finished: usize,
    pub stopped: usize,
    /// That a stage is elsewhere.
    pub heard: usize,
    pub killed: usize,
    /// But for those.
    pub orders: Vec<LinkOrder>,
}

/// The state, and what it has done to the world.
pub struct Bench {
    pub state: State,
    pub now: Instant,
    pub procs: BTreeMap<Pid, Proc>,
    /// Slots that were given back and not yet used again are free.
    slots: BTreeSet<SlotId>,
    pub queues: BTreeMap<QueueId, String>,
    /// The windows that keep an order, and how many items may wait there.
    pub orders: BTreeMap<QueueId, u64>,
    pub ended: BTreeSet<String>,
    pub closed: BTreeSet<String>,
    pub attributions: Vec<(String, FailureAttribution)>,
    /// Slots whose dead letters are to be written, as often as it was tried.
    pub dead_letter_requests: Vec<SlotId>,
    pub killed_writers: Vec<SlotId>,
    pub said: Vec<String>,
    /// What the service manager was told.
    pub sent: Vec<Message>,
    pub loads: usize,
    pub seeds: usize,
    pub guardians: usize,
    pub log_writers: usize,
    /// What is to be found out about services.
    pub goals: BTreeMap<SlotId, Goal>,
    /// Helpers that make checks: started, and ended.
    pub checkers: (usize, usize),
    pub links: Links,
    /// What another program is to go on with.
    pub handed_over: Option<SavedMachine>,
    pub held: BTreeMap<String, u64>,
    pub forks_fail: bool,
    /// At which step they do.
    pub failing_step: StartStep,
    pub outcome: Option<Outcome>,
    pub requested: u64,
    pub answers: BTreeMap<RequestId, Result<Done, Refused>>,
    pub next_pid: u32,
}

impl Bench {
    pub fn new() -> Bench {
        Bench {
            state: State::new(7, NotifyCapabilities::default()),
            now: Instant::now(),
            procs: BTreeMap::new(),
            slots: BTreeSet::new(),
            queues: BTreeMap::new(),
            orders: BTreeMap::new(),
            ended: BTreeSet::new(),
            closed: BTreeSet::new(),
            attributions: Vec::new(),
            dead_letter_requests: Vec::new(),
            killed_writers: Vec::new(),
            said: Vec::new(),
            sent: Vec::new(),
            loads: 0,
            seeds: 0,
            guardians: 0,
            log_writers: 0,
            goals: BTreeMap::new(),
            checkers: (0, 0),
            links: Links::default(),
            handed_over: None,
            held: BTreeMap::new(),
            forks_fail: false,
            failing_step: StartStep::Fork,
            outcome: None,
            requested: 0,
            answers: BTreeMap::new(),
            next_pid: 100,
        }
    }

    /// With a service manager.
    pub fn with_capabilities(capabilities: NotifyCapabilities) -> Bench {
        Bench { state: State::new(7, capabilities), ..Bench::new() }
    }

    /// A pipeline that is up: its broker is there, if it has one, and every worker is ready.
    pub fn up(pipeline: Pipeline) -> Bench {
        let mut bench = Bench::new();
        bench.send(Event::Begin(wanted(pipeline, &[])));
        if bench.links.started > 0 {
            bench.send(Event::LinkNews(LinkNews::Up {
                run: 1,
                begun: 7,
                works_off: false,
                warnings: Vec::new(),
            }));
        }
        bench.run_starts();
        bench.all_ready();
        bench
    }

    /// Handles an event and all that follows from it at once.
    pub fn send(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.state.handle(event, self.now) {
                assert!(self.outcome.is_none(), "{action:?} after the end");
                events.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Effect) -> Option<Event> {
        match action {
            Effect::Spawn(spawn) => return Some(self.spawn(spawn)),
            Effect::Adopt { worker, stage_id, slot, pid, .. } => {
                let spawn = &self.proc(pid).spawn;
                assert_eq!((spawn.worker.index, spawn.slot), (worker.index, slot));
                assert_eq!(spawn.stage_id, stage_id);
                self.proc(pid).spawn.worker = worker;
            }
            Effect::Preflight(_) => return Some(Event::PreflightDone(Ok(()))),
            Effect::ReplaceProgram(left) => self.handed_over = Some(*left),
            Effect::Order(_, pid, order) => self.proc(pid).order = order,
            Effect::Term(pid) => self.proc(pid).termed = true,
            Effect::Kill(pid) => self.proc(pid).killed = true,
            Effect::Check(goal) => drop(self.goals.insert(goal.slot, goal)),
            Effect::Uncheck(slot, pid) => {
                if self.goals.get(&slot).is_some_and(|goal| goal.pid == pid) {
                    self.goals.remove(&slot);
                }
            }
            Effect::StartChecker => self.checkers.0 += 1,
            Effect::EndChecker => self.checkers.1 += 1,
            Effect::StartLink(start) => {
                self.links.started += 1;
                self.links.joined_before = start.joined_before;
            }
            Effect::OrderLink(order @ (LinkOrder::Finish | LinkOrder::Stop)) => {
                self.links.finished += 1;
                self.links.stopped += usize::from(order == LinkOrder::Stop);
            }
            Effect::OrderLink(LinkOrder::WorkOn) => self.links.heard += 1,
            Effect::OrderLink(order) => self.links.orders.push(order),
            Effect::KillLink => self.links.killed += 1,
            Effect::Suspend(pid, on) => self.proc(pid).suspended = on,
            Effect::Tune(slot, pid, tuning) => {
                assert_eq!(self.proc(pid).spawn.slot, slot);
                self.proc(pid).spawn.tuning = tuning;
            }
            Effect::Release(release) => {
                assert!(self.slots.remove(&release.slot), "released twice: {release:?}");
                self.attributions
                    .push((format!("{}[{}]", release.stage, release.worker.index), release.attribution));
            }
            Effect::WriteDeadLetter(release) => {
                assert!(self.slots.contains(&release.slot), "its slot is in use: {release:?}");
                self.dead_letter_requests.push(release.slot);
            }
            Effect::KillDeadLetterWriter(slot) => self.killed_writers.push(slot),
            Effect::LimitDeadLetters(_) | Effect::Serve(_) | Effect::ReadTokens | Effect::ReleaseMemory => {}
            Effect::SetQueue(id, spec) => drop(self.queues.insert(id, spec.name)),
            Effect::AddHidden(id, Label::Spill(stage)) => {
                drop(self.queues.insert(id, format!("outbox of {stage}")));
            }
            Effect::AddHidden(id, Label::Window { stage, .. }) => {
                drop(self.queues.insert(id, format!("window of {stage}")));
            }
            Effect::AddHidden(id, Label::Line(stage)) => {
                drop(self.queues.insert(id, format!("line of {stage}")));
            }
            Effect::BeginOrder(order) => {
                let all = [&[order.input, order.window], &order.outputs[..]].concat();
                assert!(all.iter().all(|queue| self.queues.contains_key(queue)), "{order:?}");
                self.orders.insert(order.window, order.most);
            }
            Effect::EndOrder(window) => drop(self.orders.remove(&window)),
            Effect::AddHidden(id, stage) => {
                self.queues.insert(id, format!("position of {stage}"));
                self.seeds += 1;
            }
            Effect::ResetToken(queue) => {
                assert!(self.queues.contains_key(&queue));
                self.seeds += 1;
            }
            Effect::SetEnded(queue, on) | Effect::EndLine(queue, on) => {
                let name = self.queues[&queue].clone();
                if on {
                    self.ended.insert(name)
                } else {
                    self.ended.remove(&name)
                };
            }
            Effect::SetClosed(queue, on) => {
                let name = self.queues[&queue].clone();
                if on {
                    self.closed.insert(name)
                } else {
                    self.closed.remove(&name)
                };
            }
            Effect::RemoveQueues(queues) => return Some(self.remove(queues)),
            Effect::DropToken(queue) => drop(self.queues.remove(&queue)),
            Effect::NextRun(stage, _) => return Some(Event::NextRun(stage, self.now + EVERY)),
            Effect::Load => self.loads += 1,
            Effect::StartGuardian => self.guardians += 1,
            Effect::StartLogWriter => self.log_writers += 1,
            Effect::Notify(messages) => self.sent.extend(messages),
            Effect::Status(head) => self.sent.push(Message::Status(head)),
            Effect::Answer(id, outcome) => {
                let first = self.answers.insert(id, outcome).is_none();
                assert!(first && id.0 < self.requested, "{id:?} is answered twice");
            }
            Effect::Log(level, text) => self.said.push(format!("{level}: {text}")),
            Effect::LogAbout(level, worker, text) => self.said.push(format!("{level}: {worker} {text}")),
            Effect::Show(text) => self.said.push(text),
            Effect::End(outcome) => self.outcome = Some(outcome),
        }
        None
    }

    fn spawn(&mut self, spawn: Spawn) -> Event {
        let worker = spawn.worker;
        assert!(
            !self.procs.values().any(|proc| proc.spawn.worker == worker),
            "{worker:?} has a process already"
        );
        if self.forks_fail {
            let error = SpawnError { step: self.failing_step, errno: Errno::EAGAIN };
            return Event::SpawnFailed(worker, error);
        }
        let is_service = |spawn: &Spawn| spawn.version.is_service();
        let is_free = !self.procs.values().any(|proc| proc.spawn.slot == spawn.slot);
        assert!(is_service(&spawn) && is_free || self.slots.insert(spawn.slot), "{:?} is in use", spawn.slot);
        let of_workers = self.procs.values().map(|proc| &proc.spawn).filter(|_| !is_service(&spawn));
        for other in of_workers.filter(|other| !is_service(other)) {
            let is_same = (spawn.stage_id == other.stage_id, worker.stage == other.worker.stage);
            assert!(spawn.stage_id.is_some() && is_same.0 == is_same.1, "{worker:?}: {:?}", spawn.stage_id);
        }
        for queue in spawn.version.inputs.iter().chain(&spawn.version.outputs).chain(&spawn.version.token) {
            assert!(self.queues.contains_key(queue), "{queue:?} is not there");
        }
        self.next_pid += 1;
        let pid = Pid(self.next_pid);
        let order = spawn.order;
        self.procs
            .insert(pid, Proc { spawn, order, ready: false, termed: false, killed: false, suspended: false });
        Event::Spawned(worker, pid)
    }

    fn remove(&mut self, queues: Vec<QueueId>) -> Event {
        for queue in &queues {
            let users = self.procs.values().filter(|proc| proc.spawn.version.uses(*queue)).count();
            assert_eq!(users, 0, "{} is in use", self.queues[queue]);
            if let Some(&items) = self.held.get(&self.queues[queue])
                && items > 0
            {
                return Event::QueueHolds(*queue, items);
            }
        }
        for queue in &queues {
            let name = self.queues.remove(queue).unwrap();
            self.ended.remove(&name);
            self.closed.remove(&name);
        }
        Event::QueuesRemoved(queues)
    }

    fn proc(&mut self, pid: Pid) -> &mut Proc {
        self.procs.get_mut(&pid).expect("a process that isn't there")
    }

    /// Somebody asks for something.
    pub fn ask(&mut self, command: Command) -> RequestId {
        let id = RequestId(self.requested);
        self.requested += 1;
        self.send(Event::Asked(id, command));
        self.run_starts();
        id
    }

    /// Why it was refused, or `None`.
    pub fn refusal(&self, id: RequestId) -> Option<Reason> {
        self.answers.get(&id).and_then(|answer| answer.as_ref().err()).map(|refused| refused.reason)
    }

    /// Lets starts go on that were put off for the sake of other events.
    pub fn run_starts(&mut self) {
        while self.outcome.is_none() && self.state.deadline() == Some(self.now) {
            self.send(Event::Deadline);
        }
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut turns = 0;
        while let Some(due) = self.state.deadline().filter(|due| *due <= end) {
            turns += 1;
            assert!(turns < 100_000, "time stands still");
            self.now = self.now.max(due);
            self.send(Event::Deadline);
        }
        self.now = end;
    }

    pub fn pid(&self, stage: &str, index: u32) -> Pid {
        let is_it = |proc: &Proc| proc.spawn.stage == stage && proc.spawn.worker.index == index;
        let found = self.procs.iter().find(|(_, proc)| is_it(proc));
        *found.unwrap_or_else(|| panic!("{stage}[{index}] has no process\n{}", self.said.join("\n"))).0
    }

    /// `stage[index]` of every process, with what it was told.
    pub fn running(&self) -> Vec<String> {
        let mut running: Vec<String> = self
            .procs
            .values()
            .map(|proc| {
                let sent = match proc {
                    Proc { killed: true, .. } => " killed",
                    Proc { termed: true, .. } => " termed",
                    Proc { order: Order::Finish, .. } => " finish",
                    Proc { order: Order::Drain, .. } => " drain",
                    Proc { order: Order::Pause, .. } => " pause",
                    Proc { .. } => "",
                };
                format!("{}[{}]{sent}", proc.spawn.stage, proc.spawn.worker.index)
            })
            .collect();
        running.sort();
        running
    }

    pub fn ready(&mut self, pid: Pid) {
        self.proc(pid).ready = true;
        let worker = self.proc(pid).spawn.worker;
        self.send(Event::Ready(worker, pid));
    }

    pub fn all_ready(&mut self) {
        let unready: Vec<Pid> =
            self.procs.iter().filter(|(_, proc)| !proc.ready).map(|(pid, _)| *pid).collect();
        unready.into_iter().for_each(|pid| self.ready(pid));
    }

    pub fn end(&mut self, pid: Pid, end: End) {
        let proc = self.procs.remove(&pid).expect("a process that isn't there");
        let counts = Totals { taken: 1, done: 1, emitted: 1, ..Totals::default() };
        let work = ProcessWork { ready: proc.ready, counts, ..ProcessWork::default() };
        self.send_end(&proc, pid, end, work);
    }

    /// It ends before it has done anything.
    pub fn end_idle(&mut self, pid: Pid, end: End) {
        let proc = self.procs.remove(&pid).expect("a process that isn't there");
        self.send_end(&proc, pid, end, ProcessWork { ready: proc.ready, ..ProcessWork::default() });
    }

    fn send_end(&mut self, proc: &Proc, pid: Pid, end: End, work: ProcessWork) {
        self.goals.retain(|_, goal| goal.pid != pid);
        self.send(Event::Ended(proc.spawn.worker, pid, end, work));
        self.run_starts();
    }

    /// It died of its item, at the last try.
    pub fn die_of_item(&mut self, stage: &str, index: u32) -> SlotId {
        let pid = self.pid(stage, index);
        let proc = self.procs.remove(&pid).expect("a process that isn't there");
        let (worker, slot) = (proc.spawn.worker, proc.spawn.slot);
        let attempt = proc.spawn.tuning.attempts.max(1);
        self.send(Event::Ended(
            worker,
            pid,
            segv(),
            ProcessWork { ready: true, attempt, ..ProcessWork::default() },
        ));
        self.run_starts();
        slot
    }

    /// The dead letter of what is left in this slot is written.
    pub fn dead_letter_written(&mut self, slot: SlotId) {
        assert!(self.slots.remove(&slot));
        self.send(Event::DeadLetterWritten(slot));
    }

    pub fn say(&mut self, stage: &str, index: u32, ending: Ending) {
        self.end(self.pid(stage, index), End::Said(ending));
    }

    pub fn crash(&mut self, stage: &str, index: u32) {
        self.end(self.pid(stage, index), segv());
    }

    /// Every process that was told to go, goes; new ones become ready, paused ones come to rest. Until nothing changes.
    pub fn obey(&mut self) {
        loop {
            let sent = self.procs.iter().find_map(|(pid, proc)| match proc {
                Proc { killed: true, .. } => Some((*pid, signal(libc::SIGKILL))),
                Proc { termed: true, .. } => Some((*pid, signal(libc::SIGTERM))),
                Proc { order: Order::Finish, .. } => Some((*pid, End::Said(Ending::Ordered))),
                Proc { .. } => None,
            });
            match sent {
                Some((pid, end)) => self.end(pid, end),
                None if self.procs.values().any(|proc| !proc.ready) => self.all_ready(),
                None if self.pass_checks() => {}
                None => return self.all_at_rest(),
            }
        }
    }

    /// Services that are to show that they are ready do so; whether there was one.
    fn pass_checks(&mut self) -> bool {
        let starting = self.state.stages.iter().flat_map(|stage| {
            let is_starting = |worker: &&Worker| matches!(worker.condition, Condition::Starting { .. });
            let workers = stage.workers.iter().filter(is_starting);
            workers.filter_map(|worker| {
                let process =
                    worker.life.process().filter(|process| process.requested == StopRequest::Nothing)?;
                Some((WorkerId { stage: stage.key, index: worker.index }, process.pid))
            })
        });
        let starting: Vec<_> = starting.collect();
        starting.iter().for_each(|(worker, pid)| self.send(Event::Found(*worker, *pid, Finding::Ready)));
        !starting.is_empty()
    }

    fn all_at_rest(&mut self) {
        let paused = self.procs.iter().filter(|(_, proc)| proc.order == Order::Pause);
        let paused: Vec<_> = paused.map(|(pid, proc)| (proc.spawn.worker, *pid)).collect();
        paused.into_iter().for_each(|(worker, pid)| self.send(Event::AtRest(worker, pid)));
    }

    /// The readers of ended queues find them empty, and end.
    pub fn obey_and_drain(&mut self) {
        loop {
            self.obey();
            let through = self.procs.iter().find(|(_, proc)| {
                let inputs = &proc.spawn.version.inputs;
                !inputs.is_empty() && inputs.iter().all(|queue| self.ended.contains(&self.queues[queue]))
            });
            match through.map(|(pid, _)| *pid) {
                Some(pid) => self.end(pid, End::Said(Ending::InputEnded)),
                None => return,
            }
        }
    }

    pub fn reload(&mut self, pipeline: Pipeline) {
        self.reload_to(wanted(pipeline, &[]));
    }

    pub fn reload_to(&mut self, wanted: Wanted) {
        let held = self.held.iter().map(|(name, items)| (name.clone(), *items)).collect();
        self.send(Event::Loaded(Loading::Good(Box::new(wanted), held)));
        self.run_starts();
    }

    /// As it is seen from outside; nothing of the queues is known.
    pub fn snapshot(&self) -> Snapshot {
        let (run, file) = ("5a".to_owned(), "/p/test.toml".to_owned());
        let dead_letter_file = String::new();
        let machine = Some("3f".to_owned());
        let identity = RunIdentity { file, run, started: self.now, dead_letter_file, machine };
        let moment = Moment { now: self.now, wall: SystemTime::UNIX_EPOCH };
        self.state.snapshot(&identity, moment, 0, &mut Uncounted)
    }

    pub fn has_said(&self, text: &str) -> bool {
        self.said.iter().any(|line| line.contains(text))
    }

    /// The worker with this pid, by the state's own account.
    pub fn knows(&self, pid: Pid) -> Option<WorkerId> {
        self.state.stages.iter().find_map(|stage| {
            let worker = stage
                .workers
                .iter()
                .find(|worker| worker.life.process().is_some_and(|process| process.pid == pid))?;
            Some(WorkerId { stage: stage.key, index: worker.index })
        })
    }
}

/// Counters of services, which have none.
struct Uncounted;

impl Counters for Uncounted {
    fn slot(&mut self, slot: SlotId) -> SlotReport {
        panic!("{slot:?} is looked at")
    }

    fn program(&mut self, _: SlotId) -> Option<u32> {
        None
    }

    fn queue(&mut self, queue: QueueId) -> QueueCounts {
        panic!("{queue:?} is looked at")
    }

    fn window(&mut self, _: QueueId) -> Option<WindowState> {
        None
    }

    fn last_words(&mut self, _: StageId) -> Option<String> {
        None
    }
}

pub fn signal(number: i32) -> End {
    End::Died(Exit::Signal(SignalNumber(number)))
}

pub fn segv() -> End {
    signal(libc::SIGSEGV)
}
