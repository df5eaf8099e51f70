//! Random operations of several workers and the supervisor, deaths at random stores among them, against the model:
//! after every step the same answers, the same items in the same order, the same leases, and a clean audit.

use super::super::inject::{self, Killed};
use super::model::{self, ATTEMPTS, Model, Op, Queue};
use super::*;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

const WORKERS: usize = 3;
const QUEUES: usize = 3;

/// What may happen; numbers are cut to what is there when it happens.
#[derive(Clone, Debug)]
enum Event {
    Put { queues: u8, len: usize, lease: Option<u8> },
    Commit(u8),
    Take { inputs: u8, max: usize },
    Begin(u8),
    Rest,
    GiveBack(u8, bool),
    Delay(u8, bool, u64),
    Clock(u64),
    GiveBackAll,
    DeadLetter(u8),
    MarkDead(u8),
    Settle,
    Discard,
    Limits { queue: usize, capacity: usize, policy: u8 },
    Close { queue: usize, closed: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let len = prop_oneof![Just(0), 1..9usize, 9..300usize, Just(5000)];
    let queue = 0..QUEUES;
    prop_oneof![
        8 => (1..8u8, len, any::<Option<u8>>()).prop_map(|(queues, len, lease)| Event::Put { queues, len, lease }),
        6 => any::<u8>().prop_map(Event::Commit),
        6 => (1..8u8, 1..9usize).prop_map(|(inputs, max)| Event::Take { inputs, max }),
        2 => any::<u8>().prop_map(Event::Begin),
        1 => Just(Event::Rest),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(i, charged)| Event::GiveBack(i, charged)),
        3 => (any::<u8>(), any::<bool>(), 0..30u64).prop_map(|(i, charged, s)| Event::Delay(i, charged, s)),
        2 => (0..5u64).prop_map(Event::Clock),
        1 => Just(Event::GiveBackAll),
        1 => any::<u8>().prop_map(Event::DeadLetter),
        1 => any::<u8>().prop_map(Event::MarkDead),
        1 => Just(Event::Settle),
        1 => Just(Event::Discard),
        1 => (queue.clone(), 1..9usize, 0..3u8)
            .prop_map(|(queue, capacity, policy)| Event::Limits { queue, capacity, policy }),
        1 => (queue, any::<bool>()).prop_map(|(queue, closed)| Event::Close { queue, closed }),
    ]
}

/// A step: who, what, and at which store it dies, if so.
fn step() -> impl Strategy<Value = (usize, Event, Option<u64>)> {
    let death = prop_oneof![6 => Just(None), 1 => (0..60u64).prop_map(Some)];
    (0..WORKERS, event(), death)
}

fn members(mask: u8) -> Vec<usize> {
    (0..QUEUES).filter(|q| mask >> q & 1 == 1).collect()
}

struct World {
    arena: Arena,
    admin: QueueAdmin,
    workers: Vec<WorkerHandle>,
    model: Model,
    clock: u64,
}

impl World {
    fn new() -> World {
        model::start_clock();
        let arena = Arena::create().unwrap();
        let mut admin = QueueAdmin::open(arena.clone()).unwrap();
        for q in 0..QUEUES as u16 {
            admin.set_queue(QueueId(q), &bounds(4, WhenFull::Block)).unwrap();
        }
        let workers = (0..WORKERS as u16).map(|slot| attach(&arena, &mut admin, slot)).collect();
        let queues = vec![Queue::new(4, WhenFull::Block); QUEUES];
        World { arena, admin, workers, model: Model::new(queues, WORKERS), clock: 0 }
    }

    /// The operation, if it makes sense now.
    fn operation(&self, who: usize, event: &Event) -> Option<Op> {
        let worker = &self.model.workers[who];
        let held = worker.leases.len();
        let index = |i: u8| (held > 0).then(|| i as usize % held);
        Some(match event {
            Event::Put { queues, len, lease } => Op::Put(members(*queues), *len, lease.and_then(index)),
            Event::Commit(upto) => Op::Commit(*upto as usize % (held + 1)),
            Event::Take { inputs, max } => Op::Take(members(*inputs), *max),
            Event::Begin(i) => Op::Begin(index(*i)?),
            Event::Rest => Op::Rest,
            // Outputs name leases by index: whoever ends one out of turn throws what is staged away first.
            Event::GiveBack(..) | Event::Delay(..) | Event::DeadLetter(_) | Event::MarkDead(_)
                if worker.has_staged() =>
            {
                Op::Discard
            }
            Event::GiveBack(i, charged) => Op::GiveBack(index(*i)?, *charged),
            Event::Delay(i, charged, seconds) => Op::Delay(index(*i)?, *charged, *seconds),
            Event::Clock(seconds) => Op::Clock(self.model.seconds() + seconds),
            Event::GiveBackAll => Op::GiveBackAll,
            Event::DeadLetter(i) => Op::DeadLetter(index(*i)?),
            Event::MarkDead(i) => Op::MarkDead(index(*i)?),
            Event::Settle => Op::Settle,
            Event::Discard => Op::Discard,
            Event::Limits { .. } | Event::Close { .. } => return None,
        })
    }

    fn govern(&mut self, event: &Event) {
        match event {
            Event::Limits { queue, capacity, policy } => {
                let policy = [WhenFull::Block, WhenFull::DropNew, WhenFull::DropOld][*policy as usize];
                self.admin.set_queue(QueueId(*queue as u16), &bounds(*capacity as u64, policy)).unwrap();
                let model = &mut self.model.queues[*queue];
                (model.capacity, model.policy) = (*capacity, policy);
            }
            Event::Close { queue, closed } => {
                self.admin.set_closed(QueueId(*queue as u16), *closed).unwrap();
                self.model.queues[*queue].closed = *closed;
            }
            _ => {}
        }
    }

    fn work(&mut self, who: usize, op: &Op, dies_at: Option<u64>) {
        self.clock += 1;
        let (worker, seed) = (&mut self.workers[who], self.clock);
        inject::arm(dies_at.unwrap_or(u64::MAX));
        let result = catch_unwind(AssertUnwindSafe(|| model::run(worker, op, seed)));
        inject::arm(u64::MAX);
        match result {
            Ok(answer) => assert_eq!(answer, self.model.apply(who, op, seed, &mut |_| {}), "{op:?}"),
            Err(panic) if panic.is::<Killed>() => self.release_the_dead(who, op, seed),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn release_the_dead(&mut self, who: usize, op: &Op, seed: u64) {
        self.workers[who].die();
        let slot = SlotId(who as u16);
        self.admin.release(slot, FailureAttribution::Begun, ATTEMPTS, &mut |_| Ok(())).unwrap();
        self.workers[who] = attach(&self.arena, &mut self.admin, slot.0);
        let mut possible = vec![self.model.clone()];
        self.model.apply(who, op, seed, &mut |state| possible.push(state.clone()));
        possible.iter_mut().for_each(|state| _ = state.die(who, FailureAttribution::Begun));
        let found = model::peek(&mut self.admin, QUEUES);
        let state = possible.iter().find(|state| state.settled() == found);
        self.model = state.unwrap_or_else(|| panic!("{op:?}: found {found:#?} of {possible:#?}")).clone();
    }

    fn check(&mut self) {
        assert_eq!(model::peek(&mut self.admin, QUEUES), self.model.settled());
        for (worker, model) in self.workers.iter().zip(&self.model.workers) {
            let held: Vec<_> = (0..worker.len()).map(|i| model::lease(worker, i)).collect();
            assert_eq!(held, model.leases);
        }
        self.admin.audit().unwrap();
    }
}

fn bounds(capacity: u64, when_full: WhenFull) -> Limits {
    Limits { capacity, max_bytes: 1 << 30, max_item: 1 << 20, when_full }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_queues_do_what_the_lists_do(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for (who, event, dies_at) in &steps {
            match world.operation(*who, event) {
                Some(op) => world.work(*who, &op, *dies_at),
                None => world.govern(event),
            }
            world.check();
        }
    }

    /// One producer, one consumer that dies again and again: what it completes, it completes in the order of the puts.
    #[test]
    fn one_consumer_completes_in_the_order_of_one_producer(
        rounds in prop::collection::vec((1..9usize, 0..9usize, any::<bool>()), 1..60)
    ) {
        let (arena, mut admin) = arena(16);
        let mut writer = attach(&arena, &mut admin, 0);
        let mut reader = attach(&arena, &mut admin, 1);
        let (mut next_in, mut next_out) = (0u64, 0u64);
        for (max, ended, dies) in rounds {
            while admin.counts(A).unwrap().waiting < 16 {
                writer.put(&[A], &next_in.to_le_bytes(), None).unwrap();
                writer.commit(0, Wait::No).unwrap();
                next_in += 1;
            }
            reader.take(&[A], max, Wait::No).unwrap();
            for _ in 0..ended.min(reader.len()) {
                prop_assert_eq!(reader.item(0).unwrap().bytes, next_out.to_le_bytes());
                reader.put(&[B], b"", Some(0)).unwrap();
                admin.set_queue(B, &Limits { when_full: WhenFull::DropOld, ..limits(1) }).unwrap();
                let committed = reader.commit(1, Wait::No).unwrap();
                let done = matches!(committed, Committed::Done { .. });
                prop_assert!(done);
                next_out += 1;
            }
            if dies {
                admin.release(SlotId(1), FailureAttribution::Begun, 9, &mut |_| Ok(())).unwrap();
                reader = attach(&arena, &mut admin, 1);
            }
        }
    }
}
