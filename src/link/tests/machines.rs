//! Two machines with real arenas and real workers, between links and a broker of the model: links and workers die at any store,
//! machines die with their arenas, cables are cut, leases expire. Every item is ended once in each queue.

use super::*;
use crate::broker::Woken;
use crate::broker::link::tests::model::{self, A, Answer, B, Broker, Consumer, Request};
use crate::broker::link::{Effect, Event, LineId, Link, Role};
use crate::queue::SharedQueues;
use crate::queue::inject::{self, Killed};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const ITEMS: u32 = 8;
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Passes items from A to B; its line is 0. The other ends those of B.
const WORKERS: [(SlotId, SharedQueue, QueueId, QueueId); 2] =
    [(SlotId(1), A, QueueId(0), QueueId(4)), (SlotId(2), B, QueueId(2), QueueId(5))];
const HELD: [QueueId; 2] = [QueueId(1), QueueId(3)];

/// True if it was killed before it ended.
fn dies(at: Option<u64>, work: impl FnOnce()) -> bool {
    inject::arm(at.unwrap_or(u64::MAX));
    let result = catch_unwind(AssertUnwindSafe(work));
    inject::arm(u64::MAX);
    result.is_err_and(|panic| panic.is::<Killed>() || std::panic::resume_unwind(panic))
}

struct Arenas {
    arena: Arena,
    admin: QueueAdmin,
}

impl Arenas {
    fn new() -> Arenas {
        let arena = Arena::create().unwrap();
        let mut admin = QueueAdmin::open(arena.clone()).unwrap();
        let limits =
            |capacity| Limits { capacity, max_bytes: 1 << 20, max_item: 1 << 20, when_full: WhenFull::Block };
        for ((_, _, queue, line), held) in WORKERS.into_iter().zip(HELD) {
            admin.set_queue(queue, &limits(2)).unwrap();
            admin.set_queue(line, &limits(2)).unwrap();
            admin.set_queue(held, &limits(1)).unwrap();
            admin.seed(held, b"").unwrap();
        }
        Arenas { arena, admin }
    }

    fn release(&mut self, slot: SlotId) {
        self.admin.release(slot, FailureAttribution::Nobody, 99, &mut |_| Ok(())).unwrap();
    }

    fn link(&mut self) -> LinkArena {
        self.admin.open_slot(LINK, &Tuning::default()).unwrap();
        let queues = WORKERS.into_iter().zip(HELD);
        let queues = queues.map(|((_, shared, queue, _), held)| LinkQueue { shared, queue, held }).collect();
        let line = |(_, _, _, queue)| LinkLine { name: "stage".into(), queue, token: None };
        LinkArena::open(self.arena.clone(), LINK, &LinkSpec { queues, lines: WORKERS.map(line).to_vec() })
            .unwrap()
    }

    fn worker(&mut self, n: usize) -> WorkerHandle {
        let (slot, _, input, line) = WORKERS[n];
        self.admin.open_slot(slot, &Tuning::default()).unwrap();
        let mut worker = WorkerHandle::open(self.arena.clone(), slot).unwrap();
        worker.tuning();
        let queues = WORKERS.iter().map(|&(_, shared, queue, _)| (queue, shared)).collect();
        worker.share(SharedQueues { line, queues, token: None }, &[input], &[WORKERS[1].2]);
        worker
    }
}

fn roles() -> [Role; 2] {
    [A, B].map(|queue| Role { reads: vec![queue], ..Role::default() })
}

struct Machine {
    consumer: Consumer,
    arenas: Arenas,
    arena: LinkArena,
    link: Link,
    workers: [WorkerHandle; 2],
    effects: VecDeque<Effect>,
    events: VecDeque<Event>,
    answered: BTreeMap<(SharedQueue, Sequence), u32>,
    requests: VecDeque<Request>,
}

impl Machine {
    fn new(consumer: Consumer, now: Instant) -> Machine {
        let mut arenas = Arenas::new();
        let mut arena = arenas.link();
        let workers = [arenas.worker(0), arenas.worker(1)];
        let link = Link::new(&arena.remains().unwrap(), &roles(), ACK_WAIT, now);
        let (effects, events, requests) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Machine {
            consumer,
            arenas,
            arena,
            link,
            workers,
            effects,
            events,
            answered: BTreeMap::new(),
            requests,
        }
    }

    /// The link has died, and another comes.
    fn relink(&mut self, now: Instant) {
        self.arena.die();
        self.arenas.release(LINK);
        self.arenas.admin.audit().unwrap();
        self.arena = self.arenas.link();
        self.link = Link::new(&self.arena.remains().unwrap(), &roles(), ACK_WAIT, now);
        self.effects.clear();
        self.events.clear();
        self.answered.clear();
    }

    /// One step of the link; false: there is none.
    fn step(&mut self, now: Instant) -> bool {
        if let Some(effect) = self.effects.pop_front() {
            self.perform(effect);
        } else if let Some(event) = self.events.pop_front() {
            self.effects.extend(self.link.handle(event, now));
        } else {
            let events = self.arena.poll(true).unwrap();
            let any = !events.is_empty();
            self.events.extend(events);
            return any;
        }
        true
    }

    fn perform(&mut self, effect: Effect) {
        let request = match effect {
            Effect::Join => Request::Join,
            Effect::AskHeld { queue } => Request::AskHeld { queue },
            Effect::Take { queue, n, look_for_expired } => Request::Take { queue, n, look_for_expired },
            Effect::Extend { queue, sequences } => Request::Extend { queue, sequences },
            Effect::GiveBack { queue, leases } => Request::GiveBack { queue, leases },
            Effect::Commit { line, first, last } => {
                let commits = self.arena.commits(line, first, last).unwrap();
                Request::Commit { line: line.0, commits: commits.into_iter().map(of_model).collect() }
            }
            Effect::Store { queue, sequences } => {
                let lease = |sequence| {
                    let item = self.answered[&(queue, sequence)].to_le_bytes().to_vec().into();
                    Lease { sequence, item, attempts: 0, deliveries: 1 }
                };
                let leases: Vec<Lease> = sequences.into_iter().map(lease).collect();
                return self.arena.store(queue, &leases).unwrap();
            }
            Effect::Drop { queue, sequences } => return self.arena.drop_unbegun(queue, &sequences).unwrap(),
            Effect::End { line, first, verdicts } => return self.arena.end(line, first, &verdicts).unwrap(),
            Effect::Say(_) => return,
            Effect::Withdraw { .. } | Effect::Open { .. } | Effect::Leave | Effect::Exit(_) => {
                unreachable!("no machine finishes")
            }
            Effect::Claim { .. } | Effect::PutToken { .. } | Effect::Resign { .. } => {
                unreachable!("no stage has a position there")
            }
        };
        self.requests.push_back(request);
    }

    fn answered(&mut self, answer: Answer) {
        self.events.push_back(match answer {
            Answer::Joined => Event::Joined,
            Answer::Held { queue, sequences } => Event::Held { queue, sequences },
            Answer::Taken { queue, asked, items } => {
                self.answered.extend(items.iter().map(|&(sequence, item)| ((queue, sequence), item)));
                Event::Taken {
                    queue,
                    asked,
                    sequences: items.into_iter().map(|(sequence, _)| sequence).collect(),
                }
            }
            Answer::Extended { queue, lost } => Event::Extended { queue, lost },
            Answer::Judged { line, first, judged } => Event::Judged { line: LineId(line), first, judged },
            Answer::Given | Answer::Left => return,
        });
    }

    /// A worker takes an item, or ends the one that it has; it may die of that.
    fn work(&mut self, n: usize, at: Option<u64>) -> bool {
        let (slot, _, input, _) = WORKERS[n];
        let mut was_done = false;
        let worker = &mut self.workers[n];
        let died = dies(at, || {
            if worker.is_empty() {
                was_done = matches!(worker.take(&[input], 1, Wait::No).unwrap(), Taken::Items { .. });
                return;
            }
            if n == 0 {
                worker.discard_staged().unwrap();
                let item = worker.item(0).unwrap().bytes.to_vec();
                worker.put(&[WORKERS[1].2], &item, Some(0)).unwrap();
            }
            worker.commit(1, Wait::No).unwrap();
            was_done = worker.is_empty();
        });
        if died {
            self.workers[n].die();
            self.arenas.release(slot);
            self.workers[n] = self.arenas.worker(n);
        }
        was_done || died
    }
}

fn of_model(commit: Commit) -> model::Commit {
    let [End { queue, sequence, .. }] = commit.ends[..] else { panic!("{commit:?}") };
    let output = commit.outputs.first().map(|output| u32::from_le_bytes(output.item[..].try_into().unwrap()));
    model::Commit { number: commit.number, end: (queue, sequence), output }
}

struct World {
    broker: Broker,
    machines: Vec<Machine>,
    late: Vec<(Consumer, Request)>,
    now: Instant,
    lives: Consumer,
    dice: fastrand::Rng,
    idle: usize,
    deaths: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let now = Instant::now();
        let mut broker = Broker::default();
        (0..ITEMS).for_each(|item| broker.put(A, item));
        let machines = (0..2).map(|n| Machine::new(n, now)).collect();
        let dice = fastrand::Rng::with_seed(seed);
        World { broker, machines, late: Vec::new(), now, lives: 2, dice, idle: 0, deaths: 0 }
    }

    /// Where something dies, if it does: one of some stores to come.
    fn death(&mut self) -> Option<u64> {
        (self.deaths < 30 && self.dice.u8(..12) == 0).then(|| self.dice.u64(..80))
    }

    fn step(&mut self) {
        let (which, at, now) = (self.dice.usize(..2), self.death(), self.now);
        let machine = &mut self.machines[which];
        let was_done = match self.dice.u8(..5) {
            0 | 1 => {
                let mut was_done = false;
                let died = dies(at, || was_done = machine.step(now));
                if died {
                    self.deaths += 1;
                    self.cut(which);
                    self.machines[which].relink(now);
                }
                was_done || died
            }
            2 => machine.requests.pop_front().is_some_and(|request| {
                let answer = self.broker.ask(machine.consumer, &request);
                machine.answered(answer);
                true
            }),
            n @ 3..5 => machine.work(usize::from(n - 3), at),
            _ => false,
        };
        if std::mem::take(&mut self.broker.has_news) {
            let woken = [A, B].map(|queue| [Woken::Items(queue), Woken::Room(queue)]).concat();
            let woken: Vec<Event> = woken.into_iter().map(Event::Woken).collect();
            self.machines.iter_mut().for_each(|machine| machine.events.extend(woken.clone()));
        }
        self.idle = if was_done { 0 } else { self.idle + 1 };
        if self.idle > 60 {
            self.time_passes();
        }
    }

    /// Nothing more happens by itself.
    fn time_passes(&mut self) {
        self.idle = 0;
        let next = self.machines.iter().filter_map(|machine| machine.link.deadline()).min();
        self.now = self.now.max(next.unwrap_or(self.now)) + Duration::from_millis(1);
        self.machines.iter_mut().for_each(|machine| machine.events.push_back(Event::Tick));
        self.broker.expire_all();
    }

    /// What a connection had under way happens, or does not, or later.
    fn cut(&mut self, which: usize) {
        let machine = &mut self.machines[which];
        for request in machine.requests.drain(..) {
            match self.dice.u8(..3) {
                0 => drop(self.broker.ask(machine.consumer, &request)),
                1 => self.late.push((machine.consumer, request)),
                _ => {}
            }
        }
    }

    fn strike(&mut self) {
        let which = self.dice.usize(..2);
        match self.dice.u8(..4) {
            0 => {
                self.cut(which);
                self.machines[which].events.push_back(Event::Broken { jitter: 1.0 });
            }
            1 => {
                self.cut(which);
                self.broker.supersede(self.machines[which].consumer);
                self.machines[which] = Machine::new(self.lives, self.now);
                self.lives += 1;
            }
            2 => self.broker.expire_all(),
            _ if self.late.is_empty() => {}
            _ => {
                let (consumer, request) = self.late.swap_remove(self.dice.usize(..self.late.len()));
                self.broker.ask(consumer, &request);
            }
        }
    }
}

#[test]
fn whatever_dies_at_any_store_every_item_is_ended_once() {
    let mut deaths = 0;
    for seed in 0..60 {
        let (mut world, mut steps, mut strikes) = (World::new(seed), 0, 0);
        while !world.broker.is_empty() {
            if strikes < 10 && world.dice.u8(..60) == 0 {
                strikes += 1;
                world.strike();
            }
            world.step();
            steps += 1;
            assert!(steps < 200_000, "seed {seed} hangs: {:?}", world.broker.ended);
        }
        for ended in &mut world.broker.ended {
            ended.sort_unstable();
            assert_eq!(*ended, (0..ITEMS).collect::<Vec<_>>(), "seed {seed}");
        }
        world.machines.iter_mut().for_each(|machine| drop(machine.arenas.admin.audit().unwrap()));
        deaths += world.deaths;
    }
    assert!(deaths > 150, "{deaths}");
}
