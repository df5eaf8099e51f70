//! `order = "input"`: what comes of a queue's items is put in their order, whoever is done first and whoever dies.

use super::super::recovery::image;
use super::super::transaction::delayed::clock;
use super::crash::killed;
use super::*;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The window of `A`; what comes of its items goes to `B`.
pub(super) const W: QueueId = QueueId(2);
pub(super) const READER: u16 = 7;

pub(super) struct Bench {
    pub(super) arena: Arena,
    pub(super) admin: QueueAdmin,
    pub(super) reader: WorkerHandle,
    pub(super) out: Vec<String>,
}

impl Bench {
    /// `n` items in `A`: their numbers.
    pub(super) fn new(n: usize, capacity: u64, most: u64) -> Bench {
        let (arena, mut admin) = arena(1 << 12);
        admin.set_queue(B, &limits(capacity)).unwrap();
        admin.begin_order((A, &[B]), W, most).unwrap();
        let reader = attach(&arena, &mut admin, READER);
        let mut bench = Bench { arena, admin, reader, out: Vec::new() };
        bench.feed(0, n);
        bench
    }

    pub(super) fn feed(&mut self, from: usize, to: usize) {
        let items: Vec<String> = (from..to).map(|n| n.to_string()).collect();
        let mut writer = self.worker(6);
        for chunk in items.chunks(100) {
            put(&mut writer, A, &chunk.iter().map(|item| item.as_bytes()).collect::<Vec<_>>());
        }
        writer.give_back_all().unwrap();
        self.release(6);
    }

    pub(super) fn worker(&mut self, slot: u16) -> WorkerHandle {
        attach(&self.arena, &mut self.admin, slot)
    }

    /// A worker with the next `n` items.
    pub(super) fn taking(&mut self, slot: u16, n: usize) -> WorkerHandle {
        let mut worker = self.worker(slot);
        take(&mut worker, n);
        worker
    }

    /// A worker with the next item, in a thread of its own.
    pub(super) fn elsewhere(
        &mut self,
        slot: u16,
        work: impl FnOnce(&mut WorkerHandle) + Send + 'static,
    ) -> std::thread::JoinHandle<()> {
        self.admin.open_slot(SlotId(slot), &Tuning::default()).unwrap();
        let (arena, (took, taken)) = (self.arena.clone(), std::sync::mpsc::channel());
        let thread = std::thread::spawn(move || {
            let mut worker = WorkerHandle::open(arena, SlotId(slot)).unwrap();
            worker.tuning();
            take(&mut worker, 1);
            took.send(()).unwrap();
            work(&mut worker);
        });
        taken.recv().unwrap();
        thread
    }

    pub(super) fn release(&mut self, slot: u16) {
        self.admin.release(SlotId(slot), FailureAttribution::Nobody, 9, &mut |_| Ok(())).unwrap();
    }

    pub(super) fn kill(&mut self, worker: &WorkerHandle, slot: u16) {
        worker.die();
        self.release(slot);
    }

    /// Takes all that is there now.
    pub(super) fn read(&mut self) -> &[String] {
        self.audit();
        let before = self.out.len();
        while let Taken::Items { .. } = self.reader.take(&[B], 3, Wait::No).unwrap() {
            self.out.extend(held(&self.reader).into_iter().map(|item| String::from_utf8(item).unwrap()));
            self.reader.commit(9, Wait::No).unwrap();
            self.reader.settle().unwrap();
        }
        self.audit();
        &self.out[before..]
    }

    pub(super) fn window(&mut self) -> WindowState {
        self.admin.window(W).unwrap().unwrap()
    }

    pub(super) fn audit(&mut self) {
        self.admin.audit().unwrap();
    }
}

pub(super) fn take(worker: &mut WorkerHandle, n: usize) -> usize {
    worker.take(&[A], n, Wait::No).unwrap();
    worker.len()
}

/// Each lease's outputs, which say whose they are.
pub(super) fn stage(worker: &mut WorkerHandle, outputs: impl Fn(u64) -> usize) {
    for i in 0..worker.len() {
        let item = worker.item(i).unwrap();
        let (n, text) = (outputs(item.id), String::from_utf8(item.bytes.to_vec()).unwrap());
        for k in 0..n {
            worker.put(&[B], format!("{text}.{k}").as_bytes(), Some(i)).unwrap();
        }
    }
}

pub(super) fn commit(worker: &mut WorkerHandle) {
    let done = worker.commit(worker.len(), Wait::No).unwrap();
    assert!(matches!(done, Committed::Done { .. }), "{done:?}");
    worker.settle().unwrap();
}

/// One output for each lease.
pub(super) fn finish(worker: &mut WorkerHandle) {
    stage(worker, |_| 1);
    commit(worker);
}

pub(super) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("{n}.0")).collect()
}

#[test]
fn what_is_finished_early_waits_for_what_is_before_it() {
    let mut bench = Bench::new(9, 100, 100);
    let [mut a, mut b, mut c] = [1, 2, 3].map(|slot| bench.taking(slot, 3));
    finish(&mut c);
    finish(&mut b);
    assert!(bench.read().is_empty());
    assert_eq!(
        bench.window(),
        WindowState { next: 0, finished: 6, outputs: 6, held_up_by: None, next_is: NextItem::Leased }
    );
    assert_eq!(bench.admin.counts(A).unwrap().done, 6);
    assert_eq!(bench.admin.counts(W).unwrap().waiting, 6);
    finish(&mut a);
    assert_eq!(bench.read(), numbers(0..9));
    assert_eq!(
        bench.window(),
        WindowState { next: 9, finished: 0, outputs: 0, held_up_by: None, next_is: NextItem::Waits }
    );
}

#[test]
fn a_killed_worker_keeps_its_place() {
    let mut bench = Bench::new(6, 100, 100);
    let (a, mut b) = (bench.taking(1, 3), bench.taking(2, 3));
    finish(&mut b);
    bench.kill(&a, 1);
    let mut again = bench.taking(3, 9);
    assert_eq!(again.len(), 3);
    finish(&mut again);
    assert_eq!(bench.read(), numbers(0..6));
}

#[test]
fn an_item_without_outputs_and_a_dead_letter_are_empty_places() {
    let mut bench = Bench::new(8, 100, 100);
    let [mut a, mut b, mut c, mut d] = [1, 2, 3, 4].map(|slot| bench.taking(slot, 2));
    finish(&mut d);
    b.dead_letter(1).unwrap();
    finish(&mut b);
    commit(&mut c);
    assert!(bench.read().is_empty());
    commit(&mut a);
    assert_eq!(bench.read(), ["2.0", "6.0", "7.0"]);
    let counts = bench.admin.counts(A).unwrap();
    assert_eq!((counts.done, counts.dead), (7, 1));
}

#[test]
fn an_item_that_dies_with_its_worker_for_good_is_an_empty_place() {
    let mut bench = Bench::new(4, 100, 100);
    let (a, mut b) = (bench.taking(1, 1), bench.taking(2, 3));
    finish(&mut b);
    a.begin(0);
    a.die();
    let released = bench.admin.release(SlotId(1), FailureAttribution::Begun, 1, &mut |_| Ok(())).unwrap();
    assert_eq!(released.dead, 1);
    assert_eq!(bench.read(), numbers(1..4));
}

#[test]
fn a_delayed_item_holds_those_behind_it() {
    clock::set(1 << 40);
    let mut bench = Bench::new(4, 100, 100);
    let (mut a, mut b) = (bench.taking(1, 1), bench.taking(2, 3));
    let most = Duration::from_secs(60);
    a.delay(0, true, Delay { time: Duration::from_secs(5), most, put_off: 0 }).unwrap();
    finish(&mut b);
    assert_eq!(take(&mut a, 1), 0);
    assert_eq!(bench.window().next_is, NextItem::Delayed);
    assert!(bench.read().is_empty());
    clock::set((1 << 40) + 5000);
    assert_eq!(take(&mut a, 1), 1);
    finish(&mut a);
    assert_eq!(bench.read(), numbers(0..4));
}

#[test]
fn a_full_output_fills_as_it_is_read() {
    for capacity in [1, 2, 5] {
        let mut bench = Bench::new(12, capacity, 100);
        let [mut a, mut b, mut c] = [1, 2, 3].map(|slot| bench.taking(slot, 4));
        stage(&mut c, |_| 3);
        commit(&mut c);
        finish(&mut b);
        a.put(&[B], b"0.0", Some(0)).unwrap();
        commit(&mut a);
        assert_eq!(bench.window().held_up_by, Some(B));
        let expected: Vec<String> = numbers(4..8)
            .into_iter()
            .chain((8..12).flat_map(|n| (0..3).map(move |k| format!("{n}.{k}"))))
            .collect();
        assert_eq!(bench.read()[0], "0.0");
        assert_eq!(bench.out[1..], expected);
        assert_eq!(bench.window().held_up_by, None);
    }
}

#[test]
fn a_reader_that_sleeps_is_not_forgotten() {
    let mut bench = Bench::new(6, 2, 100);
    let (mut a, mut b) = (bench.taking(1, 1), bench.taking(2, 5));
    finish(&mut b);
    finish(&mut a);
    // One reader has taken all there is, and is at work; what it made room for is there for another.
    bench.reader.take(&[B], 2, Wait::No).unwrap();
    let mut other = bench.worker(5);
    other.take(&[B], 9, Wait::No).unwrap();
    assert_eq!(held(&other), [b"2.0", b"3.0"]);
    bench.audit();
}

#[test]
fn a_reader_that_dies_beside_room_leaves_nothing_behind() {
    let mut bench = Bench::new(6, 2, 100);
    let (mut a, mut b) = (bench.taking(1, 1), bench.taking(2, 5));
    finish(&mut b);
    finish(&mut a);
    for at in 0.. {
        let mut dead = bench.worker(5);
        let died = killed(at, || assert!(dead.take(&[B], 2, Wait::No).is_ok()));
        bench.kill(&dead, 5);
        bench.audit();
        let waiting = bench.admin.counts(B).unwrap().waiting;
        assert!([2, 4].contains(&waiting), "killed at store {at}: {waiting}");
        if !died {
            break;
        }
    }
    assert_eq!(bench.read(), numbers(0..6));
}

#[test]
fn no_more_is_taken_than_may_wait() {
    let mut bench = Bench::new(20, 100, 4);
    let (mut a, mut b) = (bench.taking(1, 1), bench.taking(2, 4));
    finish(&mut b);
    assert_eq!(take(&mut b, 5), 0, "the window is full");
    a.give_back(0, false).unwrap();
    assert_eq!(take(&mut b, 5), 1, "but the first item is always taken");
    finish(&mut b);
    assert_eq!(take(&mut a, 5), 5);
    finish(&mut a);
    assert_eq!(bench.read(), numbers(0..10));
}

#[test]
fn what_is_taken_at_once_follows_each_other() {
    let mut bench = Bench::new(6, 100, 100);
    let [a, mut b, c] = [1, 2, 3].map(|slot| bench.taking(slot, 2));
    bench.kill(&c, 3);
    bench.kill(&a, 1);
    let mut d = bench.worker(4);
    assert_eq!(take(&mut d, 9), 2);
    assert_eq!(take(&mut d, 9), 4);
    assert_eq!(d.publishable(), 2);
    finish(&mut d);
    assert_eq!(bench.read(), numbers(0..2));
    finish(&mut b);
    assert_eq!(bench.read(), numbers(2..6));
}

#[test]
fn leases_without_outputs_behind_others_end_too() {
    let mut bench = Bench::new(6, 100, 100);
    let [a, mut b, c] = [1, 2, 3].map(|slot| bench.taking(slot, 2));
    bench.kill(&c, 3);
    bench.kill(&a, 1);
    let mut d = bench.worker(4);
    take(&mut d, 9);
    take(&mut d, 9);
    d.put(&[B], b"1.0", Some(1)).unwrap();
    commit(&mut d);
    finish(&mut b);
    assert_eq!(bench.read(), ["1.0", "2.0", "3.0"]);
    assert_eq!(bench.admin.counts(A).unwrap().done, 6);
}

#[test]
fn many_outputs_of_an_item_wait_for_its_turn() {
    let mut bench = Bench::new(2, 4000, 100);
    let mut a = bench.taking(1, 1);
    let b = bench.elsewhere(2, |worker| {
        stage(worker, |_| 2000);
        commit(worker);
    });
    let awaits = QueueAt::of(W).unwrap() + queue::NOT_FULL + layout::event::IDLE;
    while bench.arena.0.word32(awaits).load(Relaxed) == 0 {
        std::thread::yield_now();
    }
    assert!(bench.read().is_empty());
    stage(&mut a, |_| 600);
    commit(&mut a);
    b.join().unwrap();
    let expected = |n: usize, outputs: usize| (0..outputs).map(move |k| format!("{n}.{k}"));
    assert_eq!(bench.read(), expected(0, 600).chain(expected(1, 2000)).collect::<Vec<_>>());
}

#[test]
fn outputs_that_are_published_whole_wait_in_the_window_any_number_of_them() {
    let mut bench = Bench::new(2, 3, 100);
    bench.admin.set_queue(B, &Limits { max_bytes: 1 << 30, ..limits(3) }).unwrap();
    let (mut a, mut b) = (bench.taking(1, 1), bench.taking(2, 1));
    let items = |n: u8| (0..1500).map(|k| [vec![n], vec![b'x'; 3000 + k]].concat()).collect::<Vec<_>>();
    for (worker, n) in [(&mut b, b'1'), (&mut a, b'0')] {
        let done = worker.commit_whole(&[B], items(n).iter().map(Vec::as_slice), 1).unwrap();
        assert!(matches!(done, Some(Committed::Done { .. })));
        worker.settle().unwrap();
    }
    let expected = [b'0', b'1'].into_iter().flat_map(items).map(|item| String::from_utf8(item).unwrap());
    assert_eq!(bench.read(), expected.collect::<Vec<_>>());
    assert_eq!(bench.admin.counts(B).unwrap().bytes, 0);
}

#[test]
fn what_waits_with_all_bytes_does_not_keep_the_first_from_its_own() {
    let mut bench = Bench::new(3, 100, 100);
    bench.admin.set_queue(B, &Limits { max_bytes: 5000, ..limits(100) }).unwrap();
    let (mut a, mut b) = (bench.taking(1, 1), bench.taking(2, 1));
    b.put(&[B], &[b'1'; 4000], Some(0)).unwrap();
    commit(&mut b);
    let c = bench.elsewhere(3, |worker| {
        worker.put(&[B], &[b'2'; 4000], Some(0)).unwrap();
        commit(worker);
    });
    a.put(&[B], &[b'0'; 4000], Some(0)).unwrap();
    commit(&mut a);
    while bench.out.len() < 3 {
        bench.read();
    }
    c.join().unwrap();
    let firsts: Vec<u8> = bench.out.iter().map(|item| item.as_bytes()[0]).collect();
    assert_eq!(firsts, b"012");
}

#[test]
fn an_order_begins_and_ends_beside_workers_at_work() {
    let mut bench = Bench::new(12, 5, 100);
    bench.admin.end_order(W).unwrap();
    let mut before = bench.taking(1, 2);
    bench.admin.begin_order((A, &[B]), W, 100).unwrap();
    let (mut a, mut b) = (bench.taking(2, 2), bench.taking(3, 2));
    finish(&mut b);
    assert!(bench.read().is_empty(), "2 is before 4");
    finish(&mut a);
    assert_eq!(bench.read(), numbers(2..6), "what was taken before the order is not waited for");
    stage(&mut before, |_| 1);
    while !matches!(before.commit(before.len(), Wait::No).unwrap(), Committed::Done { .. }) {
        bench.read();
    }
    bench.read();
    assert_eq!(bench.out[4..], numbers(0..2));
    let (mut a, mut b) = (bench.taking(2, 1), bench.taking(3, 2));
    finish(&mut b);
    bench.admin.end_order(W).unwrap();
    assert_eq!(bench.read(), numbers(7..9), "nothing is before them any more");
    finish(&mut a);
    let mut c = bench.taking(4, 1);
    bench.admin.begin_order((A, &[B]), W, 100).unwrap();
    let mut d = bench.taking(5, 2);
    finish(&mut d);
    finish(&mut c);
    bench.read();
    assert_eq!(bench.out[8..], ["6.0", "10.0", "11.0", "9.0"]);
}

#[test]
fn a_window_is_removed_with_all_that_it_holds() {
    let mut bench = Bench::new(9, 2, 100);
    let [mut a, mut b, mut c] = [1, 2, 3].map(|slot| bench.taking(slot, 3));
    finish(&mut c);
    a.put(&[B], b"0", Some(0)).unwrap();
    commit(&mut a);
    assert!(b.commit_whole(&[B], [&b"x"[..]; 9].into_iter(), 3).unwrap().is_some());
    assert_eq!(bench.window().held_up_by, Some(B));
    assert_eq!(bench.admin.remove_queue(W).unwrap(), 11);
    bench.audit();
    assert_eq!(bench.read(), ["0", "x"]);
    let mut next = bench.worker(4);
    bench.feed(9, 10);
    assert_eq!(take(&mut next, 9), 1);
    finish(&mut next);
    assert_eq!(bench.read(), ["9.0"]);
}

#[test]
fn a_queue_with_outputs_in_a_window_has_not_ended() {
    let mut bench = Bench::new(3, 1, 100);
    let mut a = bench.taking(1, 3);
    bench.admin.set_ended(A, true).unwrap();
    bench.admin.set_ended(B, true).unwrap();
    a.commit_whole(&[B], [&b"0"[..], b"1", b"2"].into_iter(), 3).unwrap();
    assert_eq!(a.take(&[A], 1, Wait::No).unwrap(), Taken::Empty, "its outputs are not out");
    for n in ["0", "1", "2"] {
        assert!(matches!(bench.reader.take(&[B], 1, Wait::No).unwrap(), Taken::Items { .. }));
        assert_eq!(held(&bench.reader), [n.as_bytes()]);
        bench.reader.commit(1, Wait::No).unwrap();
    }
    assert_eq!(bench.reader.take(&[B], 1, Wait::No).unwrap(), Taken::Ended);
    assert_eq!(a.take(&[A], 1, Wait::No).unwrap(), Taken::Ended);
}

#[test]
fn what_waits_behind_an_item_that_no_worker_has_does_not_keep_a_queue_from_its_end() {
    let mut bench = Bench::new(6, 1, 100);
    let (mut a, mut b, mut c) = (bench.taking(1, 2), bench.taking(2, 1), bench.taking(3, 3));
    finish(&mut c);
    a.commit_whole(&[B], [&b"0.0"[..], b"1.0"].into_iter(), 2).unwrap();
    a.settle().unwrap();
    b.give_back_all().unwrap();
    [1, 2, 3].into_iter().for_each(|slot| bench.release(slot));
    assert_eq!(bench.window().outputs, 4, "one is held up, three wait for item 2");
    bench.admin.set_ended(B, true).unwrap();
    assert_eq!(bench.read(), numbers(0..2), "what waits for room comes");
    assert_eq!(bench.reader.take(&[B], 1, Wait::No).unwrap(), Taken::Ended);
    // The stage is back: nothing is lost.
    bench.admin.set_ended(B, false).unwrap();
    let mut again = bench.taking(1, 9);
    finish(&mut again);
    let mut all = bench.read().to_vec();
    all.sort();
    assert_eq!(all, numbers(2..6));
}

#[test]
fn outputs_wait_for_a_reader_unless_others_have_one() {
    let mut bench = Bench::new(4, 100, 100);
    let (mut a, mut b) = (bench.taking(1, 1), bench.taking(2, 3));
    finish(&mut b);
    bench.admin.set_closed(B, true).unwrap();
    assert!(matches!(a.put(&[B], b"long enough", Some(0)), Ok(())));
    assert_eq!(a.commit(1, Wait::No).unwrap(), Committed::Closed);
    commit(&mut a);
    assert_eq!(bench.window().outputs, 3, "kept: a later run may read them");
    bench.admin.set_closed(B, false).unwrap();
    assert_eq!(bench.read(), numbers(1..4));
    bench.feed(4, 7);
    let (mut a, mut b) = (bench.taking(1, 1), bench.taking(2, 2));
    let other = QueueId(3);
    bench.admin.set_queue(other, &limits(9)).unwrap();
    bench.admin.begin_order((A, &[B, other]), W, 100).unwrap();
    for i in 0..2 {
        b.put(&[B, other], b"long enough", Some(i)).unwrap();
    }
    commit(&mut b);
    bench.admin.set_closed(B, true).unwrap();
    commit(&mut a);
    bench.audit();
    assert_eq!(bench.admin.counts(other).unwrap().waiting, 2);
    assert_eq!(bench.window().outputs, 0);
}

#[test]
fn a_saved_copy_keeps_the_order() {
    let mut bench = Bench::new(40, 3, 100);
    let [mut a, mut b, mut c] = [1, 2, 3].map(|slot| bench.taking(slot, 3));
    let mut d = bench.taking(4, 2);
    stage(&mut c, |_| 4);
    commit(&mut c);
    finish(&mut a); // three items, all that there is room for
    d.put(&[B], b"9.0", Some(0)).unwrap();
    commit(&mut d);
    b.dead_letter(1).unwrap();
    let copy = saved(&mut bench.admin);
    let arena = Arena::create().unwrap();
    bench.admin = QueueAdmin::open(arena.clone()).unwrap();
    bench.arena = arena;
    restore(&mut bench.admin, &copy);
    bench.admin.begin_order((A, &[B]), W, 100).unwrap();
    bench.reader = attach(&bench.arena, &mut bench.admin, READER);
    assert_eq!(bench.read(), numbers(0..3));
    let (mut b, mut e) = (bench.taking(1, 9), bench.taking(2, 9));
    assert_eq!((b.len(), b.item(0).unwrap().id, e.item(0).unwrap().id), (1, 3, 5));
    finish(&mut e);
    finish(&mut b);
    let mut f = bench.taking(3, 1);
    finish(&mut f);
    let late = (6..9).flat_map(|n| (0..4).map(move |k| format!("{n}.{k}")));
    let expected: Vec<String> = ["3.0", "5.0"]
        .map(String::from)
        .into_iter()
        .chain(late)
        .chain(["9.0".to_owned(), "11.0".to_owned()])
        .collect();
    assert_eq!(bench.read(), expected);
}

/// What a power cut leaves.
pub(super) fn saved(admin: &mut QueueAdmin) -> Vec<u8> {
    let owner = Identity { pipeline: "test".to_owned(), file: "test.toml".to_owned() };
    image::take(&admin.session.begin().unwrap(), &owner).unwrap().bytes
}

pub(super) fn restore(admin: &mut QueueAdmin, copy: &[u8]) {
    admin.restore(&image::read(copy).unwrap()).unwrap();
}
