//! In order, whatever happens: random lives of a stage.

use super::super::transaction::delayed::clock;
use super::crash::killed;
use super::order::*;
use super::*;
use proptest::prelude::*;
use std::time::Duration;

/// A random life of an ordered stage.
#[derive(Clone, Debug)]
enum Event {
    Take(usize, usize),
    /// So many outputs for each of the leases from the first on, and they are published.
    Finish(usize, usize, u8),
    Whole(usize, u8),
    GiveBack(usize),
    Delay(usize, u64),
    DeadLetter(usize),
    /// The first lease's outputs count, though it has failed.
    MarkDead(usize, u8),
    Read(usize),
    Time(u64),
    Restart(bool),
}

fn event() -> impl Strategy<Value = (Event, Option<u64>)> {
    let who = 0..3usize;
    let event = prop_oneof![
        6 => (who.clone(), 1..5usize).prop_map(|(who, n)| Event::Take(who, n)),
        6 => (who.clone(), 1..5usize, 0..4u8).prop_map(|(who, n, outputs)| Event::Finish(who, n, outputs)),
        2 => (who.clone(), 0..6u8).prop_map(|(who, outputs)| Event::Whole(who, outputs)),
        1 => who.clone().prop_map(Event::GiveBack),
        1 => (who.clone(), 0..5u64).prop_map(|(who, seconds)| Event::Delay(who, seconds)),
        1 => who.clone().prop_map(Event::DeadLetter),
        2 => (who, 0..4u8).prop_map(|(who, outputs)| Event::MarkDead(who, outputs)),
        6 => (1..4usize).prop_map(Event::Read),
        1 => (0..5u64).prop_map(Event::Time),
        1 => any::<bool>().prop_map(Event::Restart),
    ];
    (event, prop_oneof![5 => Just(None), 1 => (0..80u64).prop_map(Some)])
}

struct Life {
    bench: Bench,
    workers: Vec<WorkerHandle>,
    now: u64,
    capacity: u64,
}

impl Life {
    fn new(capacity: u64, most: u64) -> Life {
        clock::set(1 << 40);
        let mut bench = Bench::new(60, capacity, most);
        let workers = (0..3).map(|slot| bench.worker(slot)).collect();
        Life { bench, workers, now: 1 << 40, capacity }
    }

    fn act(&mut self, event: &Event) {
        match *event {
            Event::Take(who, n) => assert!(self.workers[who].take(&[A], n, Wait::No).is_ok()),
            Event::Finish(who, n, outputs) => finish_some(&mut self.workers[who], n, outputs),
            Event::Whole(who, outputs) => whole(&mut self.workers[who], outputs),
            Event::GiveBack(who) if !self.workers[who].is_empty() => {
                self.workers[who].give_back(0, true).unwrap();
            }
            Event::Delay(who, seconds) if !self.workers[who].is_empty() => {
                let (time, most) = (Duration::from_secs(seconds), Duration::from_secs(9));
                self.workers[who].delay(0, true, Delay { time, most, put_off: 0 }).unwrap();
            }
            Event::DeadLetter(who) if !self.workers[who].is_empty() => {
                self.workers[who].dead_letter(0).unwrap();
            }
            Event::MarkDead(who, outputs) if !self.workers[who].is_empty() => {
                let (worker, dead) = (&mut self.workers[who], self.bench.admin.counts(A).unwrap().dead);
                worker.mark_dead(0, "no good").unwrap();
                whole(worker, outputs);
                assert_eq!(self.bench.admin.counts(A).unwrap().dead, dead + 1);
            }
            Event::GiveBack(_) | Event::Delay(..) | Event::DeadLetter(_) | Event::MarkDead(..) => {}
            Event::Read(n) => self.read(n),
            Event::Time(seconds) => {
                self.now += seconds * 1000;
                clock::set(self.now);
            }
            Event::Restart(_) => {}
        }
    }

    fn read(&mut self, n: usize) {
        let Bench { reader, out, .. } = &mut self.bench;
        reader.take(&[B], n, Wait::No).unwrap();
        let items = held(reader).into_iter().map(|item| String::from_utf8(item).unwrap());
        let items: Vec<String> = items.collect();
        reader.commit(n, Wait::No).unwrap();
        reader.settle().unwrap();
        out.extend(items);
    }

    /// Whoever acts dies at this store.
    fn kill(&mut self, event: &Event, at: u64) {
        if matches!(event, Event::Read(_) | Event::Time(_) | Event::Restart(_)) {
            return self.act(event);
        }
        killed(at, || self.act(event));
        let slot = match *event {
            Event::Take(who, _) | Event::Finish(who, ..) | Event::Whole(who, _) => who as u16,
            Event::GiveBack(who)
            | Event::Delay(who, _)
            | Event::DeadLetter(who)
            | Event::MarkDead(who, _) => who as u16,
            Event::Read(_) | Event::Time(_) | Event::Restart(_) => return,
        };
        self.bench.kill(&self.workers[slot as usize], slot);
        self.workers[slot as usize] = self.bench.worker(slot);
    }

    /// The machine goes down, or all processes do.
    fn restart(&mut self, power: bool) {
        if power {
            let copy = saved(&mut self.bench.admin);
            self.bench.arena = Arena::create().unwrap();
            self.bench.admin = QueueAdmin::open(self.bench.arena.clone()).unwrap();
            restore(&mut self.bench.admin, &copy);
        } else {
            self.bench.admin = QueueAdmin::open(self.bench.arena.clone()).unwrap();
        }
        self.bench.admin.recover().unwrap();
        self.bench.admin.begin_order((A, &[B]), W, 9).unwrap();
        self.bench.reader = attach(&self.bench.arena, &mut self.bench.admin, READER);
        self.workers = (0..3).map(|slot| self.bench.worker(slot)).collect();
    }

    /// Everything is worked off.
    fn end(&mut self) {
        for _ in 0..1000 {
            self.now += 10_000;
            clock::set(self.now);
            for who in 0..3 {
                self.act(&Event::Take(who, 5));
                self.act(&Event::Whole(who, 1));
            }
            self.read(self.capacity as usize);
            let counts = self.bench.admin.counts(A).unwrap();
            if counts.done + counts.dead == counts.put && self.bench.window().outputs == 0 {
                break;
            }
        }
        self.bench.read();
        let counts = self.bench.admin.counts(A).unwrap();
        assert_eq!(counts.done + counts.dead, 60);
        let known =
            |item: &String| item.split_once('.').map(|(n, k)| (n.parse().unwrap(), k.parse().unwrap()));
        let out: Vec<(usize, usize)> = self.bench.out.iter().filter_map(known).collect();
        assert!(out.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", self.bench.out);
        for pair in out.windows(2) {
            assert!(pair[1].1 == 0 || pair[1] == (pair[0].0, pair[0].1 + 1), "{:?}", self.bench.out);
        }
    }
}

/// Publishes leases `0 .. n`, with the marks that they have.
fn finish_some(worker: &mut WorkerHandle, n: usize, outputs: u8) {
    let n = n.min(worker.len());
    for i in 0..n {
        let lease = worker.item(i).unwrap();
        let (text, mark) = (String::from_utf8(lease.bytes.to_vec()).unwrap(), lease.mark);
        for k in mark..u64::from(outputs).max(mark) {
            worker.put(&[B], format!("{text}.{k}").as_bytes(), Some(i)).unwrap();
        }
    }
    let held = worker.len();
    if !matches!(worker.commit(n, Wait::No).unwrap(), Committed::Done { .. }) {
        worker.discard_staged().unwrap();
    }
    assert!(worker.len() <= held);
    worker.settle().unwrap();
}

/// Publishes the first lease's outputs all at once.
fn whole(worker: &mut WorkerHandle, outputs: u8) {
    if worker.is_empty() {
        return;
    }
    let lease = worker.item(0).unwrap();
    let (text, mark) = (String::from_utf8(lease.bytes.to_vec()).unwrap(), lease.mark);
    let items: Vec<String> = (mark..u64::from(outputs).max(mark)).map(|k| format!("{text}.{k}")).collect();
    let done = worker.commit_whole(&[B], items.iter().map(String::as_bytes), 1).unwrap();
    assert!(matches!(done, Some(Committed::Done { .. })), "{done:?}");
    worker.settle().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 100 }))]

    #[test]
    fn whatever_happens_the_outputs_are_in_order(
        capacity in 1..6u64,
        most in 1..12u64,
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut life = Life::new(capacity, most);
        for (event, death) in &events {
            match (event, death) {
                (Event::Restart(power), _) => life.restart(*power),
                (event, Some(at)) => life.kill(event, *at),
                (event, None) => life.act(event),
            }
            life.bench.audit();
        }
        life.end();
    }
}
