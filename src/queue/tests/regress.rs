//! Bugs that were found, by review or by another test here, and must not come back. Each tells its story.

use super::super::arena::futex;
use super::super::arena::layout::{Class, Event, FreeStack, Queue};
use super::super::arena::place::Field;
use super::super::transaction::{event, session::Session};
use super::*;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits for a condition that other threads bring about.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TIMEOUT, "{what} never came true");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A thread with a worker, which reports that its work is done.
fn worker(
    arena: &Arena,
    slot: u16,
    work: impl FnOnce(&mut WorkerHandle) + Send + 'static,
) -> mpsc::Receiver<()> {
    let (arena, (done, report)) = (arena.clone(), mpsc::channel());
    std::thread::spawn(move || {
        let mut worker = WorkerHandle::open(arena, SlotId(slot)).unwrap();
        work(&mut worker);
        worker.settle().unwrap();
        done.send(())
    });
    report
}

fn is_idle(arena: &Arena, q: QueueId, event: Field<Queue, Event>) -> bool {
    event::is_idle(&arena.0, QueueAt::of(q).unwrap() + event)
}

fn memory_used(arena: &Arena) -> u64 {
    let file = std::fs::File::from(arena.fd().try_clone_to_owned().unwrap());
    std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512
}

/// Found by review: woken for room in A, it found B full, slept on B and kept A's wake-up. Another writer slept on
/// beside an empty A.
#[test]
fn a_writer_that_moves_on_to_another_queue_passes_its_wake_up_on() {
    let (arena, mut admin) = arena(1);
    let mut filler = attach(&arena, &mut admin, 0);
    put(&mut filler, A, &[b"a"]);
    put(&mut filler, B, &[b"b"]);
    (1..3).for_each(|slot| admin.open_slot(SlotId(slot), &Tuning::default()).unwrap());
    let both = worker(&arena, 1, |worker| {
        worker.put(&[A, B], b"both", None).unwrap();
        worker.commit(0, Wait::Forever).unwrap();
    });
    eventually("the first writer sleeps", || is_idle(&arena, A, queue::NOT_FULL));
    std::thread::sleep(Duration::from_millis(20)); // it must be the first in the kernel's queue
    let one = worker(&arena, 2, |worker| {
        worker.put(&[A], b"one", None).unwrap();
        worker.commit(0, Wait::Forever).unwrap();
    });
    std::thread::sleep(Duration::from_millis(20));
    let mut reader = attach(&arena, &mut admin, 3);
    reader.take(&[A], 1, Wait::No).unwrap();
    one.recv_timeout(TIMEOUT).expect("the second writer never got the room that the first could not use");
    reader.take(&[A, B], 2, Wait::No).unwrap();
    both.recv_timeout(TIMEOUT).unwrap();
}

/// Found by review: the wait for room asked for the order the public way, which marks it as seen. A worker that was ordered to
/// drain, or tuned, while its output was full never heard of it.
#[test]
fn a_change_during_a_wait_for_room_is_still_news_afterwards() {
    let (arena, mut admin) = arena(1);
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, A, &[b"full"]);
    writer.order();
    admin.order(SlotId(0), Order::Drain).unwrap();
    writer.put(&[A], b"more", None).unwrap();
    let soon = Instant::now() + Duration::from_millis(5);
    assert!(matches!(writer.commit(0, Wait::Until(soon)).unwrap(), Committed::Full { .. }));
    assert!(writer.has_new_orders());
}

/// Found by review: an output for A and B that got its block for A but not for B left the first one staged, outside
/// of any group. The next commit published it in the place of another item, which was lost.
#[test]
fn an_output_that_can_not_be_staged_for_all_its_queues_is_staged_for_none() {
    let (arena, mut admin) = arena(1);
    admin.set_queue(B, &Limits { max_bytes: 1024, ..limits(10) }).unwrap();
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, B, &[&[1; 1000]]);
    put(&mut writer, A, &[b"full"]);
    admin.order(SlotId(0), Order::Finish).unwrap();
    writer.put(&[A], b"staged before", None).unwrap();
    assert!(matches!(writer.put(&[A, B], &[2; 100], None), Err(PutError::Ordered)));
    admin.set_queue(A, &limits(10)).unwrap();
    put(&mut writer, A, &[b"staged after"]);
    writer.settle().unwrap();
    admin.audit().unwrap();
    let mut reader = attach(&arena, &mut admin, 2);
    reader.take(&[A], 10, Wait::No).unwrap();
    assert_eq!(held(&reader), [&b"full"[..], b"staged before", b"staged after"]);
}

/// Found by review: a spare block was noted before the transaction that reserved it was sure to succeed; when the
/// size's last block was gone it would have been used without being owned.
#[test]
fn the_last_block_of_a_size_is_used_and_the_next_put_waits_as_if_the_queue_were_full() {
    let (arena, mut admin) = arena(10);
    let mut writer = attach(&arena, &mut admin, 0);
    writer.put(&[A], &[1; 2500], None).unwrap();
    writer.put(&[A], &[1; 5000], None).unwrap(); // with a spare or two
    writer.settle().unwrap();
    let class = Class::for_len(5000);
    arena.0.store(class.free(FreeStack::Hot), 0);
    arena.0.store(class.carved(), class.blocks() - 1);
    writer.put(&[A], &[2; 5000], None).unwrap();
    assert_eq!(admin.put_back(A, &[2; 5000], 7, None).unwrap(), PutBack::Full);
    admin.order(SlotId(0), Order::Finish).unwrap();
    for _ in 0..3 {
        assert!(matches!(writer.put(&[A], &[2; 5000], None), Err(PutError::Ordered)));
    }
    // A block of that size that some other queue is done with, which no event of this queue tells.
    admin.order(SlotId(0), Order::Run).unwrap();
    arena.0.store(class.carved(), class.blocks() - 2);
    writer.put(&[A], &[2; 5000], None).unwrap();
    writer.settle().unwrap();
}

/// Found by review: up to 31 spare blocks were kept for each queue and size, which could fill the worker's table:
/// the next put then took its own holdings for damaged memory.
#[test]
fn spare_blocks_do_not_crowd_out_what_must_be_held() {
    let (arena, mut admin) = arena(1000);
    let outputs = [B, C, QueueId(3)];
    for q in outputs {
        admin.set_queue(q, &Limits { max_bytes: 1 << 26, ..limits(1000) }).unwrap();
    }
    let mut worker = attach(&arena, &mut admin, 0);
    for i in 0..600u64 {
        put(&mut worker, A, &[&i.to_le_bytes()]);
    }
    worker.take(&[A], 512, Wait::No).unwrap();
    worker.take(&[A], 512, Wait::No).unwrap();
    assert_eq!(worker.len(), 512);
    for i in 0..200usize {
        worker.put(&outputs, &vec![0; 33 << (i % 7)], Some(i)).unwrap();
    }
    assert!(matches!(worker.commit(512, Wait::No).unwrap(), Committed::Done { .. }));
    worker.settle().unwrap();
    admin.audit().unwrap();
}

/// Found by review: which marks fit was judged once, but publishing fewer groups can leave more leases to be marked:
/// a journal that was too small, and a dead worker.
#[test]
fn marks_of_leases_that_are_left_unfinished_by_the_cut_itself_fit_too() {
    let (arena, mut admin) = arena(1000);
    admin.set_queue(B, &limits(466)).unwrap();
    let mut worker = attach(&arena, &mut admin, 0);
    for i in 0..512u64 {
        put(&mut worker, A, &[&i.to_le_bytes()]);
    }
    worker.take(&[A], 512, Wait::No).unwrap();
    let order = (0..399).chain((400..466).rev()).chain([0, 399]);
    for lease in order {
        worker.put(&[B], &[1], Some(lease)).unwrap();
    }
    assert!(matches!(worker.commit(512, Wait::No).unwrap(), Committed::Full { .. }));
    let mut reader = attach(&arena, &mut admin, 1);
    reader.take(&[B], 512, Wait::No).unwrap();
    let left = worker.len();
    assert!(matches!(worker.commit(left, Wait::No).unwrap(), Committed::Done { .. }));
    assert_eq!((worker.len(), admin.audit().unwrap()[0].1.done), (0, 512));
}

/// Found by the property test: a long output (a short one not) put while its queue had no reader was thrown away
/// although a reader had come by the time of the commit.
#[test]
fn whether_anybody_reads_is_asked_when_an_output_is_published() {
    let (arena, mut admin) = arena(10);
    let mut writer = attach(&arena, &mut admin, 0);
    admin.set_closed(A, true).unwrap();
    writer.put(&[A], b"a long output", None).unwrap();
    admin.set_closed(A, false).unwrap();
    writer.commit(0, Wait::No).unwrap();
    assert_eq!(admin.counts(A).unwrap().waiting, 1);
}

/// Found by the property test: a commit that put nothing into a drop-old queue (it was closed) dropped items from it
/// nevertheless, when they were more than a lowered capacity.
#[test]
fn nothing_is_dropped_for_nothing() {
    let (arena, mut admin) = arena(10);
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, A, &[b"1", b"2"]);
    admin.set_queue(A, &Limits { when_full: WhenFull::DropOld, ..limits(1) }).unwrap();
    admin.set_closed(A, true).unwrap();
    writer.put(&[A, B], b"3", None).unwrap();
    writer.commit(0, Wait::No).unwrap();
    assert_eq!(admin.counts(A).unwrap().dropped, 0);
}

/// Found by review: a worker whose sleep is another thread's took after it as if nobody had slept, so it announced
/// nobody: of two items put in quick succession the second lay beside a sleeping reader.
#[test]
fn who_slept_in_another_thread_passes_the_wake_up_on_too() {
    let (arena, mut admin) = arena(10);
    let mut first = attach(&arena, &mut admin, 0);
    first.order();
    assert_eq!(first.take(&[A], 1, Wait::No).unwrap(), Taken::Empty);
    let waiter = first.waiter();
    let woken = std::thread::spawn(move || waiter.sleep());
    std::thread::sleep(Duration::from_millis(30)); // it must be the first in the kernel's queue
    admin.open_slot(SlotId(1), &Tuning::default()).unwrap();
    let second = worker(&arena, 1, |worker| {
        worker.order();
        assert!(matches!(worker.take(&[A], 1, Wait::Forever).unwrap(), Taken::Items { .. }));
    });
    std::thread::sleep(Duration::from_millis(30));
    let mut writer = attach(&arena, &mut admin, 2);
    put(&mut writer, A, &[b"1"]);
    put(&mut writer, A, &[b"2"]);
    woken.join().unwrap();
    assert!(matches!(first.take(&[A], 1, Wait::No).unwrap(), Taken::Items { .. }));
    second.recv_timeout(TIMEOUT).expect("the second reader slept beside the second item");
}

/// Found by a run over two machines that stood still: the link looked after a queue of a stage that was elsewhere, the
/// stage came, and the wake-up for its worker went to the link's old sleep.
#[test]
#[cfg_attr(miri, ignore = "needs the kernel's queue of sleepers")]
fn who_only_listens_passes_the_wake_up_on() {
    let (arena, mut admin) = arena(10);
    let mut link = attach(&arena, &mut admin, 0);
    let listener = link.listen([(A, News::Items), (B, News::Items)].into_iter()).unwrap();
    let (tell, thread) = std::sync::mpsc::channel();
    let heard = std::thread::spawn(move || {
        tell.send(nix::unistd::gettid()).unwrap();
        listener.sleep(Instant::now() + TIMEOUT)
    });
    let state = format!("/proc/self/task/{}/stat", thread.recv().unwrap());
    while !std::fs::read_to_string(&state).unwrap().contains(") S ") {
        std::thread::yield_now(); // it must be the first in the kernel's queue
    }
    admin.open_slot(SlotId(1), &Tuning::default()).unwrap();
    let reader = worker(&arena, 1, |worker| {
        worker.order();
        assert!(matches!(worker.take(&[A], 1, Wait::Forever).unwrap(), Taken::Items { .. }));
    });
    std::thread::sleep(Duration::from_millis(30));
    put(&mut link, A, &[b"1"]);
    assert!(heard.join().unwrap());
    reader.recv_timeout(TIMEOUT).expect("the reader slept beside the item");
}

/// Found by a test that hung: the last lease of an ended queue was only noted as finished, by a worker that slept in
/// another thread for the end that its own note held up.
#[test]
fn the_end_of_the_last_lease_wakes_who_sleeps_for_it_in_another_thread() {
    let (arena, mut admin) = arena(10);
    let (mut writer, mut reader) = (attach(&arena, &mut admin, 0), attach(&arena, &mut admin, 1));
    reader.order();
    put(&mut writer, A, &[b"last"]);
    assert!(matches!(reader.take(&[A], 10, Wait::No).unwrap(), Taken::Items { .. }));
    admin.set_ended(A, true).unwrap();
    assert_eq!(reader.take(&[A], 10, Wait::No).unwrap(), Taken::Empty);
    let waiter = reader.waiter();
    let (tell, slept) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        waiter.sleep();
        tell.send(())
    });
    reader.commit(1, Wait::No).unwrap();
    slept.recv_timeout(TIMEOUT).expect("it slept for an end that it held up itself");
    assert_eq!(reader.take(&[A], 10, Wait::No).unwrap(), Taken::Ended);
}

/// Found by the benchmark: what a burst had touched stayed for ever.
#[test]
#[cfg_attr(miri, ignore = "needs a memory file of its own")]
fn a_burst_gives_its_memory_back_when_a_reader_has_nothing_to_do() {
    let (arena, mut admin) = arena(1000);
    admin.set_queue(A, &Limits { max_bytes: 1 << 28, ..limits(1000) }).unwrap();
    let (mut writer, mut reader) = (attach(&arena, &mut admin, 0), attach(&arena, &mut admin, 1));
    let before = memory_used(&arena);
    for _ in 0..300 {
        put(&mut writer, A, &[&[1; 100_000], &[2; 5000]]);
    }
    writer.settle().unwrap();
    assert!(memory_used(&arena) > before + (30 << 20));
    reader.order();
    let soon = || Wait::Until(Instant::now() + Duration::from_millis(1));
    while reader.take(&[A], 100, soon()).unwrap() != Taken::Empty {
        reader.commit(100, Wait::No).unwrap();
    }
    assert!(memory_used(&arena) < before + (1 << 20), "{} bytes are left", memory_used(&arena) - before);
    admin.audit().unwrap();
}

/// Found by review: only the last size of a ring that had grown and run empty gave its pages back.
#[test]
#[cfg_attr(miri, ignore = "needs a memory file of its own")]
fn a_ring_that_ran_empty_gives_all_its_pages_back() {
    let (arena, mut admin) = arena(1 << 20);
    let (mut writer, mut reader) = (attach(&arena, &mut admin, 0), attach(&arena, &mut admin, 1));
    let before = memory_used(&arena);
    for i in 0..300_000u64 {
        writer.put(&[A], &i.to_le_bytes(), None).unwrap();
        if i % 500 == 499 {
            writer.commit(0, Wait::No).unwrap();
        }
    }
    assert!(memory_used(&arena) > before + (8 << 20));
    while reader.take(&[A], 512, Wait::No).unwrap() != Taken::Empty {
        reader.commit(512, Wait::No).unwrap();
    }
    // The blocks of the items' extents stay hot.
    assert!(memory_used(&arena) < before + (2 << 20), "{} bytes are left", memory_used(&arena) - before);
}

/// Found by review: a notifier wakes one waiter. If that one was stopped (SIGSTOP) no other waiter was woken, now or by
/// any later put, as nobody announced himself again.
#[test]
#[cfg_attr(miri, ignore = "needs a process of its own")]
fn a_stopped_sleeper_does_not_keep_a_wake_up_to_itself() {
    let (arena, mut admin) = arena(10);
    let stopped = arena.clone();
    // What is left of a worker that was stopped asleep: its thread's place in the kernel's queue.
    std::thread::spawn(move || {
        let event = QueueAt::of(A).unwrap() + queue::NOT_EMPTY;
        let mut session = Session::open(stopped, layout::JOURNAL).unwrap();
        let seen = session.begin().unwrap().register_waiter(event);
        loop {
            futex::wait(event::sequence(session.memory(), event), seen, None);
        }
    });
    eventually("the stopped one sleeps", || is_idle(&arena, A, queue::NOT_EMPTY));
    std::thread::sleep(Duration::from_millis(20)); // it must be the first in the kernel's queue
    admin.open_slot(SlotId(1), &Tuning::default()).unwrap();
    let healthy = worker(&arena, 1, |worker| {
        worker.tuning();
        while !matches!(worker.take(&[A], 1, Wait::Forever).unwrap(), Taken::Items { .. }) {
            worker.tuning();
        }
    });
    std::thread::sleep(Duration::from_millis(20));
    admin.set_stopped(1).unwrap();
    std::thread::sleep(Duration::from_millis(20)); // asleep again, behind the stopped one
    let mut writer = attach(&arena, &mut admin, 0);
    put(&mut writer, A, &[b"item"]);
    healthy.recv_timeout(TIMEOUT).expect("the stopped worker ate the wake-up");
}
