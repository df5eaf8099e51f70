//! The link's process around its pure machine: what the machine asks for is asked of the broker and of the arena, and what they
//! say becomes its events.
//!
//! One thread. Requests are tasks of one connection: when it breaks they go with it, and the machine asks again.

use super::arena::LinkArena;
use super::news::Waiter;
use super::request::{LineRequest, LinkNews, LinkOrder, LinkPlan};
use super::show::Showing;
use crate::broker::link::{Effect, Event, LineId, Link, Note};
use crate::broker::{
    Broker, Commit, Fault, Heard, Joined, Judged, Lease, Progress, Registered, SHOWN_FOR, Sequence,
    SharedQueue, Step, Verdict, Woken,
};
use crate::queue;
use crate::status::Snapshot;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Whether a queue has ended is told by no message that could not get lost.
const LOOK_FOR_END: Duration = Duration::from_secs(1);
/// A supervisor that is stopped does not hold up the end.
const SHOWN_WITHIN: Duration = Duration::from_millis(500);
/// The thread that waits for the arena looks up that often.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The way to a broker.
pub(super) trait Connect: Clone + 'static {
    type Broker: Broker + 'static;

    async fn join(&self) -> Result<Self::Broker, Fault>;
}

/// What the supervisor wants, and hears.
pub(super) trait Supervisor {
    /// The next order; an error: the supervisor is gone. What was not awaited to its end costs no order.
    async fn order(&mut self) -> Result<LinkOrder, Gone>;
    /// What [`LinkOrder::Show`] is about.
    fn snapshot(&self) -> Option<Snapshot>;
    fn tell(&mut self, news: LinkNews);
}

/// The supervisor is gone.
pub(super) struct Gone;

/// Why a link ended.
pub(super) enum End {
    /// It has left the run, or the run has ended.
    Left,
    /// No try helps: [`LinkNews::Hopeless`] has said why.
    Hopeless,
    /// The supervisor is gone.
    Alone,
    /// The arena is of no use.
    Broken(String),
}

/// What came of a task.
enum Answer<B> {
    Joined(Result<B, Fault>),
    Held(SharedQueue, Result<Vec<Sequence>, Fault>),
    Taken(SharedQueue, usize, Result<Vec<Lease>, Fault>),
    Extended(SharedQueue, Result<Vec<Sequence>, Fault>),
    Judged(LineId, u64, Result<Judged, Fault>),
    Progress(SharedQueue, Result<Progress, Fault>),
    Registered(LineId, Result<Registered, Fault>),
    Claimed(LineId, Result<Option<Vec<u8>>, Fault>),
    Done(Result<(), Fault>),
    Left(Result<(), Fault>),
    Heard(Result<Heard, Fault>),
    Woken(Woken),
}

pub(super) struct Driver<C: Connect, S> {
    plan: LinkPlan,
    link: Link,
    arena: LinkArena,
    connect: C,
    supervisor: S,
    broker: Option<Rc<C::Broker>>,
    tasks: JoinSet<Answer<C::Broker>>,
    /// Items that the broker has leased, until the machine says what becomes of them.
    taken: BTreeMap<SharedQueue, Vec<Lease>>,
    /// Positions that the broker has said, until the machine says what becomes of them.
    positions: BTreeMap<LineId, Vec<u8>>,
    /// The number of the commit with which a line says that it writes no more.
    marks: BTreeMap<usize, u64>,
    /// The lines whose stages may work here, as the supervisor has heard.
    here: BTreeSet<usize>,
    /// What the supervisor hears once this connection is ready for its workers.
    up: LinkNews,
    /// Answers to `register` that have yet to come on this connection. No worker starts before them.
    registering: usize,
    finished: BTreeSet<SharedQueue>,
    showing: Showing,
    is_finishing: bool,
    /// It leaves the run then, or once it has shown what it has done.
    leaves_at: Option<tokio::time::Instant>,
    end: Option<End>,
}

impl<C: Connect, S: Supervisor> Driver<C, S> {
    pub(super) fn new(
        plan: LinkPlan,
        mut arena: LinkArena,
        connect: C,
        supervisor: S,
    ) -> Result<Driver<C, S>, queue::Fault> {
        let roles: Vec<_> = plan.lines.iter().map(LineRequest::role).collect();
        let link = Link::new(&arena.remains()?, &roles, plan.broker.access.ack_wait, Instant::now());
        let is_here = |(_, line): &(usize, &LineRequest)| line.placed.is_none() || line.is_here;
        let here = plan.lines.iter().enumerate().filter(is_here).map(|(n, _)| n).collect();
        let showing = Showing::new(&plan);
        Ok(Driver {
            plan,
            link,
            arena,
            connect,
            supervisor,
            broker: None,
            tasks: JoinSet::new(),
            taken: BTreeMap::new(),
            positions: BTreeMap::new(),
            marks: BTreeMap::new(),
            here,
            up: LinkNews::Up { run: 0, begun: 0, warnings: Vec::new() },
            registering: 0,
            finished: BTreeSet::new(),
            showing,
            is_finishing: false,
            leaves_at: None,
            end: None,
        })
    }

    /// Runs until the link has left, or can't go on. It has to run in a `LocalSet`.
    pub(super) async fn run(mut self) -> End {
        let news = watch(self.arena.waiter());
        let mut looks = tokio::time::interval(LOOK_FOR_END);
        self.handle(Event::Tick);
        loop {
            self.look_into_the_arena();
            if let Some(end) = self.end.take() {
                return end;
            }
            let deadline = self.link.deadline().map(tokio::time::Instant::from_std);
            tokio::select! {
                Some(answer) = self.tasks.join_next() => match answer {
                    Ok(answer) => self.answered(answer),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => self.end = Some(End::Broken(error.to_string())),
                },
                () = news.notified() => {}
                _ = looks.tick() => {
                    self.look_for_ends();
                    self.ask(async |broker| Answer::Heard(broker.hear().await));
                }
                order = self.supervisor.order() => match order {
                    Ok(order) => self.ordered(&order),
                    Err(Gone) => self.end = Some(End::Alone),
                },
                () = until(deadline) => self.handle(Event::Tick),
                () = until(self.leaves_at) => self.leave(),
            }
        }
    }

    fn ordered(&mut self, order: &LinkOrder) {
        // What a stage has committed before is known before it.
        self.look_into_the_arena();
        let line = |name: &String| self.plan.lines.iter().position(|line| line.stage == *name).map(LineId);
        match order {
            LinkOrder::Finish => self.finish(),
            LinkOrder::Show => self.supervisor.snapshot().into_iter().for_each(|seen| self.show(seen)),
            LinkOrder::Stopped { stage } => {
                line(stage).into_iter().for_each(|line| self.handle(Event::Stopped { line }));
            }
            LinkOrder::Switch { stage, is_off } => {
                let is_off = *is_off;
                line(stage).into_iter().for_each(|line| self.handle(Event::Switched { line, is_off }));
            }
        }
    }

    /// What no worker has begun goes back, and no more comes.
    fn finish(&mut self) {
        if std::mem::replace(&mut self.is_finishing, true) {
            return;
        }
        self.handle(Event::Finish);
        for queue in self.plan.reads.clone() {
            if let Err(fault) = self.arena.close(queue) {
                self.end = Some(End::Broken(fault.to_string()));
            }
        }
    }

    fn leave(&mut self) {
        self.leaves_at = None;
        self.ask(async |broker| Answer::Left(broker.leave().await));
    }

    /// The others see this machine as it is now.
    fn show(&mut self, snapshot: Snapshot) {
        if let Some(text) = self.showing.describe(snapshot) {
            self.ask(async move |broker| Answer::Done(broker.show(&text, SHOWN_FOR).await));
        }
        if self.leaves_at.is_some() {
            self.leave();
        }
    }

    fn heard(&mut self, heard: Heard) {
        if self.showing.is_due(heard.is_watched, Instant::now()) {
            self.supervisor.tell(LinkNews::Look);
        }
    }

    fn handle(&mut self, event: Event) {
        let mut effects: VecDeque<Effect> = self.link.handle(event, Instant::now()).into();
        while let Some(effect) = effects.pop_front() {
            match self.perform(effect) {
                Ok(Some(event)) => effects.extend(self.link.handle(event, Instant::now())),
                Ok(None) => {}
                Err(fault) => return self.end = Some(End::Broken(fault.to_string())),
            }
        }
    }

    /// Does what the machine wants; what is known at once comes back as an event.
    fn perform(&mut self, effect: Effect) -> Result<Option<Event>, queue::Fault> {
        match effect {
            Effect::Join => self.join(),
            Effect::AskHeld { queue } => {
                self.ask(async move |broker| Answer::Held(queue, broker.held(queue).await));
            }
            Effect::Take { queue, n, look_for_expired } => {
                self.ask(async move |broker| {
                    Answer::Taken(queue, n, broker.take(queue, n, look_for_expired).await)
                });
            }
            Effect::Store { queue, sequences } => {
                let taken = self.taken.remove(&queue).unwrap_or_default();
                let leases: Vec<Lease> =
                    taken.into_iter().filter(|lease| sequences.contains(&lease.sequence)).collect();
                self.arena.store(queue, &leases)?;
            }
            Effect::Extend { queue, sequences } => {
                self.ask(async move |broker| Answer::Extended(queue, broker.extend(queue, &sequences).await))
            }
            Effect::GiveBack { queue, leases } => {
                self.ask(async move |broker| Answer::Done(broker.give_back(queue, &leases).await));
            }
            Effect::Drop { queue, sequences } => self.arena.drop_unbegun(queue, &sequences)?,
            Effect::Withdraw { queue } => {
                let leases = self.arena.withdraw(queue)?;
                return Ok(Some(Event::Withdrawn { queue, leases }));
            }
            Effect::Open { queue } => self.arena.open_again(queue)?,
            Effect::Claim { line } => self.claim(line),
            Effect::PutToken { line } => {
                if let Some(position) = self.positions.remove(&line) {
                    self.arena.put_token(line, &position)?;
                }
            }
            Effect::Resign { line } => self.resign(line),
            Effect::Commit { line, first, last } => self.commit(line, first, last)?,
            Effect::End { line, first, verdicts } => return self.end_commits(line, first, &verdicts),
            Effect::Say(note) => self.say(note),
            Effect::Leave => {
                // What it has done is shown before.
                self.supervisor.tell(LinkNews::Look);
                self.leaves_at = Some(tokio::time::Instant::now() + SHOWN_WITHIN);
            }
            Effect::Exit(why) => self.exit(why),
        }
        Ok(None)
    }

    fn join(&mut self) {
        let connect = self.connect.clone();
        self.tasks.spawn_local(async move { Answer::Joined(connect.join().await) });
    }

    /// A request on the connection that there is.
    fn ask<F>(&mut self, request: F)
    where
        F: AsyncFnOnce(Rc<C::Broker>) -> Answer<C::Broker> + 'static,
    {
        if let Some(broker) = self.broker.clone() {
            self.tasks.spawn_local(request(broker));
        }
    }

    fn claim(&mut self, line: LineId) {
        let Some(stage) = self.plan.lines.get(line.0).map(LineRequest::shared) else { return };
        self.ask(async move |broker| Answer::Claimed(line, broker.claim(&stage).await));
    }

    fn resign(&mut self, line: LineId) {
        let Some(stage) = self.plan.lines.get(line.0).map(LineRequest::shared) else { return };
        self.ask(async move |broker| Answer::Done(broker.resign(&stage).await));
    }

    fn commit(&mut self, line: LineId, first: u64, last: u64) -> Result<(), queue::Fault> {
        let Some(request) = self.plan.lines.get(line.0) else { return Ok(()) };
        let mark = self.marks.get(&line.0).copied().filter(|mark| *mark == last);
        let mut commits = match mark {
            Some(mark) if first == mark => Vec::new(),
            Some(mark) => self.arena.commits(line, first, mark - 1)?,
            None => self.arena.commits(line, first, last)?,
        };
        if let Some(number) = mark {
            // The end counts where the stage has come to it.
            let step = self.arena.token(line)?.map(|token| Step { from: token.clone(), to: token });
            commits.push(Commit { number, marks: request.ends.clone(), step, ..Commit::default() });
        }
        let stage = request.shared();
        self.ask(async move |broker| Answer::Judged(line, first, broker.commit(&stage, &commits).await));
        Ok(())
    }

    /// The mark of a line does not lie in the arena: it is made anew from the end of the line.
    fn end_commits(
        &mut self,
        line: LineId,
        first: u64,
        verdicts: &[Verdict],
    ) -> Result<Option<Event>, queue::Fault> {
        let mark = self.marks.get(&line.0).copied();
        let stored = mark.map_or(u64::MAX, |mark| mark.saturating_sub(first));
        let stored = usize::try_from(stored).unwrap_or(usize::MAX).min(verdicts.len());
        if stored > 0 {
            self.arena.end(line, first, &verdicts[..stored])?;
        }
        let has_ended = verdicts.get(stored) == Some(&Verdict::Done);
        if verdicts.get(stored) == Some(&Verdict::Refused) {
            self.marks.remove(&line.0); // another end will come
        }
        Ok(has_ended.then_some(Event::LineEnded { line }))
    }

    fn say(&mut self, note: Note) {
        let stage = |line: LineId| self.plan.lines.get(line.0).map_or("", |line| &line.stage).to_owned();
        let queue = |queue: SharedQueue| {
            let settings = self.plan.broker.queues.get(usize::from(queue.0));
            settings.map_or("", |settings| &settings.name).to_owned()
        };
        let news = match note {
            // Both are told with what belongs to them, where it is known.
            Note::Up | Note::Away => return,
            Note::Here { line } => {
                self.here.insert(line.0);
                LinkNews::Here { stage: stage(line) }
            }
            Note::Elsewhere { line } => {
                self.here.remove(&line.0);
                (self.is_finishing, self.leaves_at) = (false, None);
                LinkNews::Elsewhere { stage: stage(line) }
            }
            Note::Lost { queue: lost, items } => LinkNews::Lost { queue: queue(lost), items },
            Note::Refused { line, commits } => LinkNews::Refused { stage: stage(line), commits },
            Note::Forgotten { line, commits } => LinkNews::Forgotten { stage: stage(line), commits },
        };
        self.supervisor.tell(news);
    }

    fn exit(&mut self, why: Option<String>) {
        self.end = Some(match why {
            None => End::Left,
            Some(why) => {
                self.supervisor.tell(LinkNews::Hopeless { why });
                End::Hopeless
            }
        });
    }

    fn answered(&mut self, answer: Answer<C::Broker>) {
        match answer {
            Answer::Joined(Ok(broker)) => self.joined(Rc::new(broker)),
            Answer::Joined(Err(fault)) => self.failed(&fault),
            Answer::Held(queue, result) => {
                self.on(result, |sequences| Some(Event::Held { queue, sequences }));
            }
            Answer::Taken(queue, asked, result) => self.on_taken(queue, asked, result),
            Answer::Extended(queue, result) => self.on(result, |lost| Some(Event::Extended { queue, lost })),
            Answer::Judged(line, first, result) => {
                self.on(result, |judged| Some(Event::Judged { line, first, judged }));
            }
            Answer::Progress(queue, result) => self.on_progress(queue, result),
            Answer::Registered(line, result) => self.on_registered(line, result),
            Answer::Claimed(line, Ok(position)) => {
                let is_ours = position.is_some();
                self.positions.extend(position.map(|position| (line, position)));
                self.handle(Event::Claimed { line, is_ours });
            }
            Answer::Claimed(_, Err(fault)) => self.failed(&fault),
            Answer::Done(result) => self.on(result, |()| None),
            Answer::Left(result) => self.on(result, |()| Some(Event::Left)),
            Answer::Heard(Ok(heard)) => self.heard(heard),
            Answer::Heard(Err(fault)) => self.failed(&fault),
            Answer::Woken(Woken::Away) => self.failed(&Fault::Away("the connection is closed".into())),
            Answer::Woken(woken) => {
                self.wait_for_messages();
                self.handle(Event::Woken(woken));
                if let Woken::Items(queue) = woken {
                    self.look_for_end(queue);
                }
            }
        }
    }

    /// What an answer means to the machine; a fault is one of the connection.
    fn on<T>(&mut self, result: Result<T, Fault>, event: impl FnOnce(T) -> Option<Event>) {
        match result.map(event) {
            Ok(Some(event)) => self.handle(event),
            Ok(None) => {}
            Err(fault) => self.failed(&fault),
        }
    }

    fn on_taken(&mut self, queue: SharedQueue, asked: usize, result: Result<Vec<Lease>, Fault>) {
        let Ok(leases) = &result else { return self.on(result, |_| None) };
        let sequences: Vec<Sequence> = leases.iter().map(|lease| lease.sequence).collect();
        let is_short = sequences.is_empty();
        if let Ok(leases) = result {
            self.taken.insert(queue, leases);
        }
        self.handle(Event::Taken { queue, asked, sequences });
        if is_short {
            self.look_for_end(queue);
        }
    }

    fn joined(&mut self, broker: Rc<C::Broker>) {
        let Joined { run, begun, ended, warnings } = broker.joined();
        if let Some(at) = *ended {
            self.supervisor.tell(LinkNews::Ended { at });
            self.end = Some(End::Left);
            return;
        }
        self.up = LinkNews::Up { run: *run, begun: *begun, warnings: warnings.clone() };
        self.broker = Some(broker);
        self.heard(Heard { is_watched: true });
        self.wait_for_messages();
        self.registering = 1;
        for (n, line) in self.plan.lines.clone().into_iter().enumerate() {
            for &queue in &line.ends {
                let (id, stage) = (LineId(n), line.shared());
                self.registering += 1;
                // Behind each other on one connection: the queue knows its writer before the writer's first commit comes.
                self.ask(async move |broker| Answer::Registered(id, broker.register(queue, &stage).await));
            }
        }
        self.registered();
        self.handle(Event::Joined);
    }

    fn on_registered(&mut self, line: LineId, result: Result<Registered, Fault>) {
        match result {
            Ok(registered) => {
                let is_placed = self.plan.lines.get(line.0).is_some_and(|line| line.placed.is_some());
                match registered {
                    // One with a position finds its end there.
                    Registered::Ended if !is_placed => self.is_over(line),
                    Registered::Sealed => self.is_over(line),
                    Registered::Open | Registered::Ended => {}
                }
                self.registered();
            }
            Err(fault) => self.failed(&fault),
        }
    }

    /// There is nothing to do for the stage of a line in this run.
    fn is_over(&mut self, line: LineId) {
        self.handle(Event::Switched { line, is_off: true });
        if let Some(line) = self.plan.lines.get(line.0) {
            self.supervisor.tell(LinkNews::Over { stage: line.stage.clone() });
        }
    }

    fn registered(&mut self) {
        self.registering -= 1;
        if self.registering == 0 {
            self.supervisor.tell(self.up.clone());
        }
    }

    fn wait_for_messages(&mut self) {
        self.ask(async |broker| Answer::Woken(broker.woken().await));
    }

    fn failed(&mut self, fault: &Fault) {
        match fault {
            Fault::Away(why) => {
                self.supervisor.tell(LinkNews::Away { why: why.clone() });
                self.broker = None;
                self.leaves_at = None;
                self.tasks.abort_all();
                self.tasks = JoinSet::new();
                self.taken.clear();
                self.handle(Event::Broken { jitter: 0.5 + fastrand::f64() / 2.0 });
            }
            Fault::Superseded | Fault::Fatal(_) => self.handle(Event::Hopeless(fault.to_string())),
        }
    }

    fn look_into_the_arena(&mut self) {
        match self.arena.poll() {
            Ok(events) => events.into_iter().for_each(|event| self.handle(event)),
            Err(fault) => self.end = Some(End::Broken(fault.to_string())),
        }
        for line in 0..self.plan.lines.len() {
            let is_meant = self.here.contains(&line) && self.plan.lines[line].has_end();
            if self.marks.contains_key(&line) || !is_meant {
                continue;
            }
            match self.arena.last(LineId(line)) {
                Ok(Some(last)) => {
                    self.marks.insert(line, last + 1);
                    self.handle(Event::Queued { line: LineId(line), number: last + 1, ends: Vec::new() });
                }
                Ok(None) => {}
                Err(fault) => self.end = Some(End::Broken(fault.to_string())),
            }
        }
    }

    fn look_for_ends(&mut self) {
        for queue in self.plan.reads.clone() {
            self.look_for_end(queue);
        }
    }

    fn look_for_end(&mut self, queue: SharedQueue) {
        if self.finished.contains(&queue) || !self.plan.reads.contains(&queue) {
            return;
        }
        let before = self.plan.before(queue);
        self.ask(async move |broker| Answer::Progress(queue, broker.progress(queue, &before).await));
    }

    fn on_progress(&mut self, queue: SharedQueue, result: Result<Progress, Fault>) {
        if !matches!(result, Ok(Progress::Finished)) {
            return self.on(result, |_| None);
        }
        if !self.finished.insert(queue) {
            return;
        }
        if let Err(fault) = self.arena.close(queue) {
            self.end = Some(End::Broken(fault.to_string()));
        }
        self.ask(async |broker| Answer::Done(broker.finish().await.map(drop)));
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Waits for the arena in a thread of its own, which ends with the process.
fn watch(waiter: Waiter) -> Arc<Notify> {
    let news = Arc::new(Notify::new());
    let notified = Arc::clone(&news);
    std::thread::spawn(move || {
        loop {
            waiter.wait(LONGEST_WAIT);
            notified.notify_one();
        }
    });
    news
}
