//! Going back: a stage that keeps the order, that fails and delays, and writes a file behind it by turns, is saved again and
//! again and goes back to what was saved. Each saved image is one moment, and what comes in the end has everything once.

use super::super::recovery::image::{self, Image, QueueImage};
use super::super::transaction::delayed::clock;
use super::super::transaction::failing;
use super::crash::killed;
use super::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The window of `A`; what comes of its items goes to `B`, and from there into the file whose length this token says.
const W: QueueId = QueueId(2);
const TOKEN: QueueId = QueueId(3);
const STAGE: StageId = StageId(0);
const PRINTER: u16 = 7;
const WORKERS: u16 = 3;
const NOW: u64 = 1 << 40;
/// More than any delay.
const HOUR: u64 = 3_600_000;

fn settings() -> Tuning {
    let retry = Retry { delay: Duration::from_millis(200), max: Duration::from_secs(30) };
    Tuning { attempts: 2, retry, ..Tuning::default() }
}

/// How many outputs an item has.
fn outputs(item: u64) -> u64 {
    [1, 4, 0][item as usize % 3]
}

fn number(item: &[u8]) -> u64 {
    std::str::from_utf8(item).unwrap().parse().unwrap()
}

fn output(item: u64, k: u64) -> String {
    format!("{item:04}.{k}")
}

#[derive(Clone, Debug)]
enum Event {
    Feed(usize),
    Take(u16, usize),
    Done(u16, usize),
    Fail(u16, bool),
    /// So many items fail, one after the other.
    Outage(u64),
    GiveBack(u16),
    Print(usize),
    Time(u64),
    Save,
    /// All processes die; the queues are as they are.
    Restart,
    /// The machine goes down: back to what was saved last, or to what was saved before that.
    Cut(bool),
}

fn event() -> impl Strategy<Value = (Event, Option<u64>)> {
    let who = 0..WORKERS;
    let event = prop_oneof![
        12 => (1..6usize).prop_map(Event::Feed),
        18 => (who.clone(), 1..5usize).prop_map(|(who, n)| Event::Take(who, n)),
        15 => (who.clone(), 1..5usize).prop_map(|(who, n)| Event::Done(who, n)),
        18 => (who.clone(), any::<bool>()).prop_map(|(who, is_charged)| Event::Fail(who, is_charged)),
        6 => (0..7u64).prop_map(Event::Outage),
        3 => who.prop_map(Event::GiveBack),
        12 => (1..4usize).prop_map(Event::Print),
        9 => (0..40_000u64).prop_map(Event::Time),
        9 => Just(Event::Save),
        2 => Just(Event::Restart),
        2 => any::<bool>().prop_map(Event::Cut),
    ];
    (event, prop_oneof![6 => Just(None), 1 => (0..80u64).prop_map(Some)])
}

struct Life {
    arena: Arena,
    admin: QueueAdmin,
    workers: Vec<WorkerHandle>,
    printer: WorkerHandle,
    /// What was written, and how much of it a power cut leaves.
    file: Vec<String>,
    safe: usize,
    letters: BTreeSet<u64>,
    images: Vec<Vec<u8>>,
    now: u64,
    seen: BTreeMap<&'static str, u32>,
}

impl Life {
    fn new(capacity: u64, most: u64) -> Life {
        clock::set(NOW);
        let (arena, mut admin) = arena(capacity);
        admin.set_label(TOKEN, "token").unwrap();
        admin.set_queue(TOKEN, &limits(1)).unwrap();
        admin.seed(TOKEN, b"0").unwrap();
        let (workers, printer) = crew(&arena, &mut admin, most);
        let (file, letters, seen) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
        let mut life = Life {
            arena,
            admin,
            workers,
            printer,
            file,
            safe: 0,
            letters,
            images: Vec::new(),
            now: NOW,
            seen,
        };
        life.save();
        life
    }

    fn act(&mut self, event: &Event) {
        match *event {
            Event::Feed(n) => self.feed(n),
            Event::Take(who, n) => drop(self.workers[who as usize].take(&[A], n, Wait::No).unwrap()),
            Event::Done(who, n) => done(&mut self.workers[who as usize], n),
            Event::Fail(who, is_charged) => self.fail(who, is_charged),
            Event::Outage(n) => (0..n).for_each(|_| {
                self.feed(1);
                self.workers[0].take(&[A], 1, Wait::No).unwrap();
                self.fail(0, true);
            }),
            Event::GiveBack(who) => self.workers[who as usize].give_back_all().unwrap(),
            Event::Print(n) => self.print(n),
            Event::Time(millis) => {
                self.now += millis;
                clock::set(self.now);
            }
            Event::Save | Event::Restart | Event::Cut(_) => {}
        }
    }

    /// The source: its position is how much it has put.
    fn feed(&mut self, n: usize) {
        let mut source = attach(&self.arena, &mut self.admin, 9);
        for _ in 0..n {
            let next = self.admin.counts(A).unwrap().put;
            source.put(&[A], next.to_string().as_bytes(), None).unwrap();
            if !matches!(source.commit(0, Wait::No).unwrap(), Committed::Done { .. }) {
                source.discard_staged().unwrap();
            }
        }
        source.give_back_all().unwrap();
    }

    fn fail(&mut self, who: u16, is_charged: bool) {
        let worker = &mut self.workers[who as usize];
        if worker.is_empty() {
            return;
        }
        let item = number(worker.item(0).unwrap().bytes);
        match worker.fail(0, is_charged, &settings(), "no such host").unwrap() {
            Failed::Dead => {
                self.letters.insert(item);
                worker.dead_letter(0).unwrap();
            }
            Failed::Again { failing, .. } => *self.seen.entry("failing").or_default() += u32::from(failing),
        }
    }

    /// A turn, as `append/turn.rs` has it: what does not count is cut off, and what is written counts with the commit.
    fn print(&mut self, n: usize) {
        let Life { printer, file, .. } = self;
        printer.take(&[B], n, Wait::No).unwrap();
        printer.take_first(TOKEN, Wait::No).unwrap();
        let counted = number(printer.item(0).unwrap().bytes) as usize;
        assert!(counted <= file.len(), "{counted} lines count of {}", file.len());
        file.truncate(counted);
        file.extend(held(printer).into_iter().skip(1).map(|item| String::from_utf8(item).unwrap()));
        printer.put(&[TOKEN], file.len().to_string().as_bytes(), Some(0)).unwrap();
        printer.commit(printer.len(), Wait::No).unwrap();
        printer.settle().unwrap();
    }

    /// Whoever acts dies at this store.
    fn kill(&mut self, event: &Event, at: u64) {
        let slot = match *event {
            Event::Take(who, _) | Event::Done(who, _) | Event::Fail(who, _) | Event::GiveBack(who) => who,
            Event::Print(_) => PRINTER,
            Event::Feed(_)
            | Event::Outage(_)
            | Event::Time(_)
            | Event::Save
            | Event::Restart
            | Event::Cut(_) => {
                return self.act(event);
            }
        };
        self.act_until(event, at);
        match self.workers.get_mut(slot as usize) {
            Some(worker) => worker.die(),
            None => self.printer.die(),
        }
        self.release(slot);
        match self.workers.get_mut(slot as usize) {
            Some(dead) => *dead = worker(&self.arena, &mut self.admin, slot),
            None => self.printer = printer(&self.arena, &mut self.admin),
        }
    }

    fn act_until(&mut self, event: &Event, at: u64) {
        killed(at, || self.act(event));
    }

    fn release(&mut self, slot: u16) {
        let letters = &mut self.letters;
        let write = &mut |letter: DeadLetterCandidate<'_>| {
            letters.insert(number(letter.item));
            Ok(())
        };
        self.admin.release(SlotId(slot), FailureAttribution::Begun, 2, write).unwrap();
    }

    /// What the file holds is safe before the image is that says so.
    fn save(&mut self) {
        let owner = Identity { pipeline: "test".to_owned(), file: "test.toml".to_owned() };
        let copied = image::take(&self.admin.session.begin().unwrap(), &owner).unwrap();
        let (_, counted) = copied.lone.iter().find(|(label, _)| label == "token").unwrap();
        self.safe = self.safe.max(number(counted) as usize);
        self.check(&image::read(&copied.bytes).unwrap());
        self.images.push(copied.bytes);
    }

    /// Everything that was put is in one place of the image: it waits, or what came of it does, or that is in the file.
    fn check(&mut self, image: &Image<'_>) {
        let queue = |q: QueueId| image.queues.iter().find(|queue| queue.id == q).unwrap();
        let texts = |queue: &QueueImage<'_>| -> Vec<String> {
            let items = queue.items.iter().filter(|item| !item.bytes.is_empty());
            items.map(|item| String::from_utf8(item.bytes.to_vec()).unwrap()).collect()
        };
        let counted = number(queue(TOKEN).items[0].bytes) as usize;
        assert!(counted <= self.file.len());
        let out: Vec<String> =
            self.file[..counted].iter().cloned().chain(texts(queue(B))).chain(texts(queue(W))).collect();
        assert!(out.windows(2).all(|pair| pair[0] < pair[1]), "out of order, or twice: {out:?}");
        let out: BTreeSet<String> = out.into_iter().collect();
        let waiting: BTreeMap<u64, u64> =
            queue(A).items.iter().map(|item| (number(item.bytes), item.mark)).collect();
        assert_eq!(waiting.len(), queue(A).items.len(), "an item is there twice");
        let mut incomplete = 0;
        for item in 0..queue(A).put() {
            let n = (0..outputs(item)).filter(|&k| out.contains(&output(item, k))).count() as u64;
            match waiting.get(&item) {
                Some(&mark) => assert_eq!(n, mark, "item {item} waits, and {mark} of its outputs are out"),
                None if n < outputs(item) => {
                    assert!(self.letters.contains(&item), "item {item} is gone, with {n} outputs out");
                    incomplete += 1;
                }
                None => {}
            }
        }
        let (done, dead) = (queue(A).word(queue::DONE), queue(A).word(queue::DEAD));
        assert!(incomplete <= dead, "{incomplete} items without all outputs, {dead} dead");
        assert_eq!(done + dead + queue(A).items.len() as u64, queue(A).put());
        let seen = [
            ("delayed", queue(A).items.iter().filter(|item| item.due > 0).count()),
            ("known bad", queue(A).items.iter().filter(|item| item.known_bad > 0).count()),
            ("partly out", waiting.values().filter(|&&mark| mark > 0).count()),
            ("in the window", queue(W).items.len()),
            ("overfull", queue(A).items.len().saturating_sub(queue(A).word(queue::CAPACITY) as usize)),
        ];
        seen.into_iter().for_each(|(what, n)| *self.seen.entry(what).or_default() += n as u32);
    }

    /// The machine goes down and comes up: the queues are as one of the last two images says, and of the file at least what was
    /// safe is there, with anything behind it.
    fn cut(&mut self, is_older: bool, most: u64) {
        let back = if is_older { self.images.len().saturating_sub(2) } else { self.images.len() - 1 };
        self.images.truncate(back + 1);
        let bytes = self.images[back].clone();
        let image = image::read(&bytes).unwrap();
        self.arena = Arena::create().unwrap();
        self.admin = QueueAdmin::open(self.arena.clone()).unwrap();
        self.admin.restore(&image).unwrap();
        assert_eq!(super::power::said(&self.admin.image().unwrap().1), super::power::said(&bytes));
        self.recover(most);
        self.file.truncate(self.safe);
        self.file.extend(["half a li".to_owned(), String::new()]);
        *self.seen.entry("cuts").or_default() += 1;
    }

    fn restart(&mut self, most: u64) {
        self.admin.die();
        self.workers.iter().chain([&self.printer]).for_each(WorkerHandle::die);
        self.admin = QueueAdmin::open(self.arena.clone()).unwrap();
        self.recover(most);
        *self.seen.entry("restarts").or_default() += 1;
    }

    fn recover(&mut self, most: u64) {
        self.act(&Event::Time(1000)); // a start takes longer than a failure: epochs of runs differ
        self.admin.recover().unwrap();
        (self.workers, self.printer) = crew(&self.arena, &mut self.admin, most);
        assert_eq!(self.admin.failing(STAGE).unwrap(), None, "whether it fails is to be found out anew");
    }

    /// Everything is worked off, and nothing fails any more.
    fn end(&mut self) {
        for _ in 0..1000 {
            self.act(&Event::Time(HOUR));
            for who in 0..WORKERS {
                self.act(&Event::Take(who, 5));
                self.act(&Event::Done(who, 5));
            }
            self.print(5);
            let counts = self.admin.counts(A).unwrap();
            let is_out = self.admin.window(W).unwrap().unwrap().outputs == 0
                && self.admin.counts(B).unwrap().waiting == 0;
            if counts.done + counts.dead == counts.put && is_out {
                break;
            }
        }
        self.print(1);
        self.save();
        let counts = self.admin.counts(A).unwrap();
        assert_eq!((counts.put, counts.leased), (counts.done + counts.dead, 0));
        self.audit();
    }

    fn audit(&mut self) {
        self.admin.audit().unwrap();
        if self.workers.iter().all(WorkerHandle::is_empty) {
            let (counted, there) = failing::counted(&self.admin.session.begin().unwrap(), STAGE, A).unwrap();
            assert_eq!(counted, there, "items that have failed since the last success");
        }
    }
}

/// Publishes the first leases, with the marks that they have.
fn done(worker: &mut WorkerHandle, n: usize) {
    let n = n.min(worker.len());
    for i in 0..n {
        let lease = worker.item(i).unwrap();
        let (item, mark) = (number(lease.bytes), lease.mark);
        for k in mark..outputs(item) {
            worker.put(&[B], output(item, k).as_bytes(), Some(i)).unwrap();
        }
    }
    if !matches!(worker.commit(n, Wait::No).unwrap(), Committed::Done { .. }) {
        worker.discard_staged().unwrap();
    }
    worker.settle().unwrap();
}

fn worker(arena: &Arena, admin: &mut QueueAdmin, slot: u16) -> WorkerHandle {
    admin.open_slot(SlotId(slot), &settings()).unwrap();
    admin.set_queues_of(SlotId(slot), &[A, B], 1).unwrap();
    admin.set_stage_of(SlotId(slot), STAGE).unwrap();
    let worker = WorkerHandle::open(arena.clone(), SlotId(slot)).unwrap();
    worker.tuning();
    worker
}

fn printer(arena: &Arena, admin: &mut QueueAdmin) -> WorkerHandle {
    let mut printer = attach(arena, admin, PRINTER);
    printer.add_hidden_queue(TOKEN);
    printer
}

fn crew(arena: &Arena, admin: &mut QueueAdmin, most: u64) -> (Vec<WorkerHandle>, WorkerHandle) {
    admin.open_stage(STAGE).unwrap();
    admin.begin_order((A, &[B]), W, most).unwrap();
    let workers = (0..WORKERS).map(|slot| worker(arena, admin, slot)).collect();
    (workers, printer(arena, admin))
}

fn live(capacity: u64, most: u64, events: &[(Event, Option<u64>)]) -> BTreeMap<&'static str, u32> {
    let mut life = Life::new(capacity, most);
    for (event, death) in events {
        match (event, death) {
            (Event::Save, _) => life.save(),
            (Event::Cut(is_older), _) => life.cut(*is_older, most),
            (Event::Restart, _) => life.restart(most),
            (event, Some(at)) => life.kill(event, *at),
            (event, None) => life.act(event),
        }
        life.audit();
    }
    life.end();
    life.seen
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whenever_the_power_fails_everything_is_there_once_and_in_order(
        capacity in 1..8u64,
        most in 1..12u64,
        events in prop::collection::vec(event(), 1..150),
    ) {
        live(capacity, most, &events);
    }
}

/// What the test above is about, it meets.
#[test]
fn the_lives_that_go_back_see_all_that_an_image_can_hold() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for n in 0..if cfg!(miri) { 1 } else { 40 } {
        let events = prop::collection::vec(event(), 150).new_tree(&mut runner).unwrap().current();
        for (what, times) in live(1 + n % 7, 1 + n % 11, &events) {
            *seen.entry(what).or_default() += times;
        }
    }
    let least = [
        ("cuts", 50),
        ("delayed", 600),
        ("failing", 60),
        ("in the window", 400),
        ("known bad", 10),
        ("overfull", 400),
        ("partly out", 4),
        ("restarts", 50),
    ];
    for (what, least) in least {
        assert!(cfg!(miri) || seen[what] >= least, "{what}: {seen:?}");
    }
}
