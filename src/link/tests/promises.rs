//! What each call promises.

use super::*;
use crate::broker::Verdict;
use crate::broker::link::{Event, LineId, Remains};
use std::time::{Duration, Instant};

const LINE_0: LineId = LineId(0);

#[test]
fn an_item_comes_in_with_its_mark_and_its_failures_and_leaves_with_its_commit() {
    let mut machine = Machine::new();
    let (mut link, mut worker) = (machine.link(), machine.worker());
    link.store(JOBS, &leases(1..=3)).unwrap();
    link.store(MORE, &leases([4])).unwrap();
    assert_eq!(link.remains().unwrap().held, [(JOBS, sequences(1..=3)), (MORE, sequences([4]))]);
    assert_eq!(take(&mut worker, QUEUES[0].1, 2), 2);
    let marks: Vec<_> = (0..2).map(|i| mark_of(&worker, i)).collect();
    assert_eq!(marks, [(Sequence(1, 1), 1), (Sequence(2, 1), 0)]);
    assert_eq!(worker.item(0).unwrap().bytes[16..], lease(1).item);
    take(&mut worker, QUEUES[1].1, 1);
    commit_all(&mut worker, &commit(&[1, 2], &[4]));
    let events = link.poll(true).unwrap();
    let ends = vec![(JOBS, Sequence(1, 1)), (JOBS, Sequence(2, 1)), (MORE, Sequence(4, 1))];
    assert!(events.contains(&Event::Queued { line: LINE_0, number: 1, ends: ends.clone() }), "{events:?}");
    assert_eq!(link.poll(true).unwrap(), [], "it is told once");
    let expected = Commit { number: 1, ..commit(&[1, 2], &[4]) };
    assert_eq!(link.commits(LINE_0, 1, 1).unwrap(), std::slice::from_ref(&expected));
    drop(link);
    machine.release(LINK);
    // Another link finds all of it.
    let mut link = machine.link();
    let Remains { held, commits } = link.remains().unwrap();
    assert_eq!((held[1].1.len(), commits), (1, vec![vec![(1, ends)]]));
    assert_eq!(link.commits(LINE_0, 1, 128).unwrap(), [expected]);
    link.end(LINE_0, 1, &[Verdict::Done]).unwrap();
    let Remains { held, commits } = link.remains().unwrap();
    assert_eq!(held, [(JOBS, sequences([3])), (MORE, Vec::new())]);
    assert_eq!(commits, [Vec::new()]);
    machine.admin.audit().unwrap();
}

#[test]
fn commits_are_numbered_by_what_was_ever_put_into_their_line() {
    let mut machine = Machine::new();
    let (mut link, mut worker) = (machine.link(), machine.worker());
    for round in 0..5 {
        (0..30).for_each(|_| commit_all(&mut worker, &commit(&[], &[])));
        let first = round * 30 + 1;
        let numbers: Vec<u64> =
            link.commits(LINE_0, first, first + 127).unwrap().iter().map(|commit| commit.number).collect();
        assert_eq!(numbers, (first..first + 30).collect::<Vec<_>>());
        assert_eq!(link.commits(LINE_0, first + 3, first + 4).unwrap().len(), 2);
        link.end(LINE_0, first, &[Verdict::Done; 20]).unwrap();
        link.end(LINE_0, first + 20, &[Verdict::Refused; 10]).unwrap();
    }
    assert!(link.end(LINE_0, 1, &[Verdict::Done]).is_err(), "it is over");
    assert_eq!(link.last(LINE_0).unwrap(), None);
    commit_all(&mut worker, &commit(&[], &[]));
    machine.admin.set_ended(LINE, true).unwrap();
    assert_eq!(link.last(LINE_0).unwrap(), None, "the end does not overtake the last commit");
    link.poll(true).unwrap();
    assert_eq!(link.last(LINE_0).unwrap(), Some(151));
    link.end(LINE_0, 151, &[Verdict::Done]).unwrap();
    drop(link);
    machine.release(LINK);
    assert_eq!(
        machine.link().last(LINE_0).unwrap(),
        Some(151),
        "nor does a link that finds none wait for one"
    );
}

#[test]
fn what_another_machine_has_goes_but_for_what_a_worker_is_at() {
    let mut machine = Machine::new();
    let (mut link, mut worker) = (machine.link(), machine.worker());
    link.store(JOBS, &leases(1..=7)).unwrap();
    take(&mut worker, QUEUES[0].1, 2);
    link.drop_unbegun(JOBS, &sequences([1, 4, 6])).unwrap();
    assert_eq!(link.remains().unwrap().held[0].1, sequences([2, 3, 5, 7]));
    worker.give_back_all().unwrap();
    drop(worker);
    machine.release(WORKER);
    let waiting: Vec<Sequence> = machine.waiting(JOBS).into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(waiting, sequences([1, 2, 3, 5, 7]));
    machine.admin.audit().unwrap();
}

#[test]
fn all_that_no_worker_is_at_is_withdrawn_and_what_comes_back_later_too() {
    let mut machine = Machine::new();
    let (mut link, mut worker) = (machine.link(), machine.worker());
    link.store(JOBS, &leases(1..=6)).unwrap();
    take(&mut worker, QUEUES[0].1, 3);
    let delay =
        crate::queue::Delay { time: Duration::from_secs(3600), most: Duration::from_secs(7200), put_off: 0 };
    worker.delay(0, true, delay).unwrap();
    let mut gone = link.withdraw(JOBS).unwrap();
    gone.sort_unstable();
    let of = |n| (Sequence(n, 1), (n % 2) as u32);
    assert_eq!(gone, [(Sequence(1, 1), 2), of(4), of(5), of(6)], "also what is delayed");
    assert_eq!(link.remains().unwrap().held[0].1, sequences([2, 3]));
    assert_eq!(link.poll(true).unwrap().len(), 1, "only the room of the other queue");
    worker.give_back_all().unwrap();
    assert_eq!(link.poll(true).unwrap(), [Event::Withdrawn { queue: JOBS, leases: vec![of(2), of(3)] }]);
    assert_eq!(link.remains().unwrap().held[0].1, []);
    machine.admin.audit().unwrap();
}

#[test]
fn room_is_what_the_workers_take_in_a_moment() {
    let room = |events: Vec<Event>| {
        events.into_iter().find_map(|event| match event {
            Event::Room { queue: JOBS, places } => Some(places),
            _ => None,
        })
    };
    let mut machine = Machine::new();
    let (mut link, mut worker) = (machine.link(), machine.worker());
    assert_eq!(room(link.poll(true).unwrap()), Some(1), "one until it is known how fast they are");
    link.store(JOBS, &leases([1])).unwrap();
    assert_eq!(room(link.poll(true).unwrap()), None, "the link knows of that itself");
    take(&mut worker, QUEUES[0].1, 1);
    assert_eq!(room(link.poll(true).unwrap()), Some(1));
    link.store(JOBS, &leases(2..=41)).unwrap();
    assert_eq!(take(&mut worker, QUEUES[0].1, 100), 41);
    assert!(room(link.poll(true).unwrap()).unwrap() >= 40, "they are fast");
}

/// What is more goes no faster.
#[test]
fn no_more_is_taken_or_sent_at_once_than_a_mebibyte() {
    let mut machine = Machine::new();
    let (mut link, mut worker) = (machine.link(), machine.worker());
    let long = |n| Lease { item: vec![b'x'; 100_000].into(), ..lease(n) };
    link.store(JOBS, &(1..=40).map(long).collect::<Vec<_>>()).unwrap();
    assert_eq!(take(&mut worker, QUEUES[0].1, 100), 40);
    let places = link.poll(true).unwrap().into_iter().find_map(|event| match event {
        Event::Room { queue: JOBS, places } => Some(places),
        _ => None,
    });
    assert!(matches!(places, Some(7..=10)), "{places:?}");
    let outputs = |len| vec![Output { queue: MORE, item: vec![b'x'; len].into() }];
    for len in [400_000, 400_000, 400_000, 3 << 20, 1] {
        commit_all(&mut worker, &Commit { outputs: outputs(len), ..Commit::default() });
    }
    let mut count = |first| link.commits(LINE_0, first, 5).unwrap().len();
    assert_eq!([count(1), count(2), count(3), count(4), count(5)], [2, 2, 1, 1, 1]);
}

#[test]
fn items_have_their_place_whatever_the_limits_say() {
    let mut machine = Machine::new();
    let mut link = machine.link();
    // 100 may wait, of 8 bytes each, and of 1 MiB together.
    let long = |n| Lease { item: vec![b'x'; 9000].into(), ..lease(n) };
    link.store(JOBS, &(1..=900).map(long).collect::<Vec<_>>()).unwrap();
    assert_eq!(link.remains().unwrap().held[0].1, sequences(1..=900));
    assert_eq!(link.poll(true).unwrap()[0], Event::Room { queue: JOBS, places: 0 });
    let mut gone = link.withdraw(JOBS).unwrap();
    gone.sort_unstable();
    assert_eq!(gone.into_iter().map(|(sequence, _)| sequence).collect::<Vec<_>>(), sequences(1..=900));
    machine.admin.audit().unwrap();
}

#[test]
fn a_queue_that_has_ended_lets_its_workers_end() {
    let mut machine = Machine::new();
    let (mut link, mut worker) = (machine.link(), machine.worker());
    link.close(JOBS).unwrap();
    assert_eq!(worker.take(&[QUEUES[0].1], 1, Wait::Forever).unwrap(), Taken::Ended);
}

#[test]
fn a_thread_that_waits_returns_once_there_is_something_to_look_at() {
    let mut machine = Machine::new();
    let (mut link, mut worker) = (machine.link(), machine.worker());
    let (waiter, (sender, receiver)) = (link.waiter(), std::sync::mpsc::channel());
    let soon = Instant::now();
    waiter.wait(Duration::from_millis(20));
    assert!(soon.elapsed() >= Duration::from_millis(20), "the link has not looked yet");
    link.poll(true).unwrap();
    std::thread::spawn(move || {
        waiter.wait(Duration::from_secs(60));
        sender.send(()).unwrap();
        // What it has said is no news: it waits for the next look.
        waiter.wait(Duration::from_secs(60));
        sender.send(()).unwrap();
    });
    commit_all(&mut worker, &commit(&[], &[]));
    receiver.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(link.poll(true).unwrap().len(), 1);
    link.store(JOBS, &leases([1])).unwrap();
    take(&mut worker, QUEUES[0].1, 1);
    receiver.recv_timeout(Duration::from_secs(30)).unwrap();
}
