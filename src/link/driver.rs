//! The link's process around its pure machine: what the machine asks for is asked of the broker and of the arena, and what they
//! say becomes its events.
//!
//! One thread. Requests are tasks of one connection: when it breaks they go with it, and the machine asks again.

mod answers;
mod effects;

use super::arena::LinkArena;
use super::news::Waiter;
use super::request::{LineRequest, LinkNews, LinkOrder, LinkPlan};
use super::show::Showing;
use crate::broker::link::{Effect, Event, LineId, Link, Note};
use crate::broker::{
    Broker, Commit, Fault, Heard, Joined, Judged, Lease, Progress, Registered, RunOrder, SHOWN_FOR, Sequence,
    SharedQueue, Step, Verdict, Woken,
};
use crate::queue;
use crate::status::Snapshot;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

/// A message about the end of a queue may get lost, so the link asks this often. Where this machine itself brings the end about, the
/// link asks at once.
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
    /// What [`LinkOrder::Overview`] asks for.
    fn look(&mut self);
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
    /// The stage was claimed, and has said its end before.
    Over(LineId),
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
    /// Lines whose end the broker has acknowledged.
    ended: BTreeSet<LineId>,
    /// Of those that this machine reads.
    sealed: BTreeSet<SharedQueue>,
    finished: BTreeSet<SharedQueue>,
    showing: Showing,
    /// What all machines are told, as the supervisor knows it.
    order: Option<RunOrder>,
    is_finishing: bool,
    /// How often it has said that a stage is elsewhere, and the supervisor has not heard of it yet.
    unheard: u32,
    /// It leaves the run then, or once it has shown what it has done.
    leaves_at: Option<tokio::time::Instant>,
    /// It has asked to leave on this connection: whatever the broker then says of its life, it has left.
    is_leaving: bool,
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
            up: LinkNews::Up { run: 0, begun: 0, works_off: false, warnings: Vec::new() },
            registering: 0,
            ended: BTreeSet::new(),
            sealed: BTreeSet::new(),
            finished: BTreeSet::new(),
            showing,
            order: None,
            is_finishing: false,
            unheard: 0,
            leaves_at: None,
            is_leaving: false,
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
                Some(answer) = self.tasks.join_next() => {
                    self.joined_task(answer);
                    // What has come together is handled before the next look at the arena.
                    while let Some(answer) = self.tasks.try_join_next().filter(|_| self.end.is_none()) {
                        self.joined_task(answer);
                    }
                }
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

    fn joined_task(&mut self, answer: Result<Answer<C::Broker>, JoinError>) {
        match answer {
            Ok(answer) => self.answered(answer),
            Err(error) if error.is_cancelled() => {}
            Err(error) => self.end = Some(End::Broken(error.to_string())),
        }
    }

    fn ordered(&mut self, order: &LinkOrder) {
        // What a stage has committed before is known before it.
        self.look_into_the_arena();
        let line = |name: &String| self.plan.lines.iter().position(|line| line.stage == *name).map(LineId);
        match order {
            // One from before: what was taken for the end of a stage is none.
            LinkOrder::Finish | LinkOrder::Stop if self.unheard > 0 => {}
            LinkOrder::Finish => self.finish(Event::Finish),
            LinkOrder::Stop => self.finish(Event::Stop),
            LinkOrder::WorkOn => self.unheard = self.unheard.saturating_sub(1),
            LinkOrder::Overview => self.supervisor.look(),
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
    fn finish(&mut self, order: Event) {
        self.handle(order);
        if std::mem::replace(&mut self.is_finishing, true) {
            return;
        }
        for queue in self.plan.reads.clone() {
            if let Err(fault) = self.arena.close(queue) {
                self.end = Some(End::Broken(fault.to_string()));
            }
        }
    }

    fn leave(&mut self) {
        (self.leaves_at, self.is_leaving) = (None, true);
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
        if let Some(order) = heard.order.filter(|order| self.order != Some(*order)) {
            self.order = Some(order);
            self.supervisor.tell(LinkNews::Ordered { order });
        }
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

    /// News of the arena. A line that has ended, and is to go on, has a commit with the number of its mark: the supervisor has put it there.
    fn came(&mut self, event: Event) {
        if let Event::Queued { line, number, .. } = &event {
            self.marks.retain(|of, mark| (*of, *mark) != (line.0, *number));
        }
        self.handle(event);
    }

    fn look_into_the_arena(&mut self) {
        // While the broker is to answer first, no wake-up is needed: what has come by then is seen behind the answer.
        match self.arena.poll(self.link.waits_for_arena()) {
            Ok(events) => events.into_iter().for_each(|event| self.came(event)),
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
        if self.plan.reads.contains(&queue) && !self.finished.contains(&queue) {
            self.ask_for_progress(queue);
        }
    }

    /// Seals the queue where it may be: also one that only others read, who hear of it.
    fn ask_for_progress(&mut self, queue: SharedQueue) {
        let before = self.plan.before(queue);
        self.ask(async move |broker| Answer::Progress(queue, broker.progress(queue, &before).await));
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
