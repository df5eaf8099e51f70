//! What a worker does for a broker: its commit is in the line, or its leases are as they were, wherever it is killed.

use super::crash::killed;
use super::*;
use crate::broker::{Commit, End, Output, Sequence, SharedQueue};

const LINE: QueueId = QueueId(3);
const WORKER: SlotId = SlotId(0);
const SHARED: [(QueueId, SharedQueue); 2] = [(A, SharedQueue(5)), (B, SharedQueue(6))];

fn limited(limits: &Limits) -> (Arena, QueueAdmin) {
    let arena = Arena::create().unwrap();
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    // The queues of a broker have no room here: their items go into the line.
    [A, B].into_iter().for_each(|q| admin.set_queue(q, &super::limits(1)).unwrap());
    admin.set_queue(C, &super::limits(600)).unwrap();
    admin.set_queue(LINE, limits).unwrap();
    (arena, admin)
}

fn set_up() -> (Arena, QueueAdmin) {
    limited(&limits(4))
}

/// A worker that reads A and C, and writes to these.
fn sharing(arena: &Arena, admin: &mut QueueAdmin, outputs: &[QueueId]) -> WorkerHandle {
    sharing_from(arena, admin, &[A, C], outputs)
}

fn sharing_from(
    arena: &Arena,
    admin: &mut QueueAdmin,
    inputs: &[QueueId],
    outputs: &[QueueId],
) -> WorkerHandle {
    let mut worker = attach(arena, admin, WORKER.0);
    worker.share(SharedQueues { line: LINE, queues: SHARED.to_vec(), token: None }, inputs, outputs);
    worker
}

fn reader(arena: &Arena, admin: &mut QueueAdmin) -> WorkerHandle {
    attach(arena, admin, 1)
}

/// Items come in as a link puts them.
fn store(arena: &Arena, admin: &mut QueueAdmin, items: &[u64]) {
    let mut link = reader(arena, admin);
    link.begin_regardless();
    for &n in items {
        link.put(&[A], &[&Sequence(n, 0).to_mark()[..], format!("item {n}").as_bytes()].concat(), None)
            .unwrap();
    }
    link.publish_whole(0).unwrap().unwrap();
    link.give_back_all().unwrap();
}

fn commits(arena: &Arena, admin: &mut QueueAdmin) -> Vec<Commit> {
    let (mut link, mut commits) = (reader(arena, admin), Vec::new());
    link.look(LINE, 0, usize::MAX, |id, bytes| {
        commits.push(Commit::decode(id + 1, &bytes.to_vec().into()).unwrap());
        true
    })
    .unwrap();
    commits
}

fn waiting(arena: &Arena, admin: &mut QueueAdmin, q: QueueId) -> Vec<Vec<u8>> {
    let (mut link, mut items) = (reader(arena, admin), Vec::new());
    link.look(q, 0, usize::MAX, |_, bytes| {
        items.push(bytes.to_vec());
        true
    })
    .unwrap();
    items
}

fn end(n: u64) -> End {
    End { queue: SharedQueue(5), sequence: Sequence(n, 0), dead: None }
}

fn output(item: &[u8]) -> Output {
    Output { queue: SharedQueue(6), item: item.to_vec().into() }
}

fn done(committed: Committed) {
    assert!(matches!(committed, Committed::Done { .. }), "{committed:?}");
}

#[test]
fn a_stage_sees_no_mark_and_its_commit_has_all_of_it() {
    let (arena, mut admin) = set_up();
    store(&arena, &mut admin, &[1, 2, 3]);
    let mut worker = sharing(&arena, &mut admin, &[B]);
    worker.take(&[A], 2, Wait::No).unwrap();
    assert_eq!(held(&worker), [b"item 1", b"item 2"]);
    assert_eq!(worker.lines(0).unwrap(), None);
    worker.put(&[B], b"one", Some(0)).unwrap();
    worker.put(&[B], b"two", Some(1)).unwrap();
    done(worker.commit(2, Wait::No).unwrap());
    worker.take(&[A], 2, Wait::No).unwrap();
    done(worker.commit(1, Wait::No).unwrap());
    let first = Commit {
        number: 1,
        ends: vec![end(1), end(2)],
        outputs: vec![output(b"one"), output(b"two")],
        ..Commit::default()
    };
    let second = Commit { number: 2, ends: vec![end(3)], ..Commit::default() };
    assert_eq!(commits(&arena, &mut admin), [first, second]);
    let counts = admin.counts(A).unwrap();
    assert_eq!((counts.put, counts.done, counts.leased), (3, 3, 0));
    let report = admin.report(WORKER).unwrap().counts;
    assert_eq!((report.done, report.emitted), (3, 2));
    admin.audit().unwrap();
}

#[test]
fn what_fails_leaves_nothing_in_a_commit() {
    let (arena, mut admin) = set_up();
    store(&arena, &mut admin, &[1, 2]);
    let mut worker = sharing(&arena, &mut admin, &[B]);
    worker.take(&[A], 2, Wait::No).unwrap();
    (0..2).for_each(|i| worker.put(&[B], b"out", Some(i)).unwrap());
    worker.discard_staged_from(1).unwrap();
    done(worker.commit(1, Wait::No).unwrap());
    worker.put(&[B], b"again", Some(0)).unwrap();
    worker.give_back_all().unwrap();
    let only = Commit { number: 1, ends: vec![end(1)], outputs: vec![output(b"out")], ..Commit::default() };
    assert_eq!(commits(&arena, &mut admin), [only]);
    assert_eq!(admin.counts(A).unwrap().waiting, 1);
    admin.audit().unwrap();
}

#[test]
fn a_full_line_is_waited_for_and_an_order_to_finish_ends_that() {
    let (arena, mut admin) = set_up();
    store(&arena, &mut admin, &[1, 2, 3, 4, 5, 6]);
    let mut worker = sharing(&arena, &mut admin, &[B]);
    for _ in 0..4 {
        worker.take(&[A], 1, Wait::No).unwrap();
        done(worker.commit(1, Wait::No).unwrap());
    }
    worker.take(&[A], 2, Wait::No).unwrap();
    worker.put(&[B], b"five", Some(0)).unwrap();
    assert_eq!(worker.commit(1, Wait::No).unwrap(), Committed::Full { queue: LINE, size: 4 });
    let mut link = reader(&arena, &mut admin);
    link.take(&[LINE], 1, Wait::No).unwrap();
    link.give_back_from(1).unwrap();
    link.commit(1, Wait::No).unwrap();
    link.settle().unwrap();
    done(worker.commit(1, Wait::No).unwrap());
    admin.order(WORKER, Order::Finish).unwrap();
    assert_eq!(worker.commit(1, Wait::UntilOrder).unwrap(), Committed::Ordered);
    worker.give_back_all().unwrap();
    assert_eq!(admin.counts(A).unwrap().waiting, 1);
    let last = commits(&arena, &mut admin).pop().unwrap();
    assert_eq!((last.number, last.outputs), (5, vec![output(b"five")]));
    admin.audit().unwrap();
}

#[test]
fn the_bytes_of_a_line_are_bounded_but_one_commit_has_always_room() {
    let (arena, mut admin) = limited(&Limits { max_bytes: 1 << 12, ..limits(100) });
    let mut worker = sharing(&arena, &mut admin, &[B]);
    worker.put(&[B], &[1; 20_000], None).unwrap();
    done(worker.commit(0, Wait::No).unwrap());
    worker.put(&[B], b"small", None).unwrap();
    assert_eq!(worker.commit(0, Wait::No).unwrap(), Committed::Full { queue: LINE, size: 1 });
    let mut link = reader(&arena, &mut admin);
    link.take(&[LINE], 1, Wait::No).unwrap();
    link.commit(1, Wait::No).unwrap();
    link.settle().unwrap();
    done(worker.commit(0, Wait::No).unwrap());
    admin.audit().unwrap();
}

#[test]
fn all_or_nothing_goes_with_the_line() {
    let (arena, mut admin) = set_up();
    store(&arena, &mut admin, &[1, 2, 3, 4, 5, 6]);
    let mut worker = sharing(&arena, &mut admin, &[B]);
    for n in 1..=5 {
        worker.take(&[A], 1, Wait::No).unwrap();
        let items = [&b"x"[..], b"y"];
        let committed = worker.commit_whole(&[B], items.into_iter(), 1).unwrap();
        assert_eq!((committed.is_some(), worker.len()), (n <= 4, usize::from(n > 4)), "{committed:?}");
    }
    let all = commits(&arena, &mut admin);
    assert!(all.iter().all(|commit| commit.outputs == [output(b"x"), output(b"y")]) && all.len() == 4);
    admin.audit().unwrap();
}

/// Of an item of this machine with very many outputs to queues of both kinds some go out early: then those for the broker as well.
#[test]
fn outputs_of_both_kinds_come_once_whenever_the_worker_is_killed() {
    const OUTPUTS: usize = 1200;
    let mut at = 40;
    loop {
        let (arena, mut admin) = set_up();
        let d = QueueId(4);
        admin.set_queue(d, &limits(3000)).unwrap();
        let mut source = reader(&arena, &mut admin);
        put(&mut source, C, &[b"one", b"two"]);
        source.give_back_all().unwrap();
        let work = |worker: &mut WorkerHandle| {
            while let Taken::Items { .. } = worker.take(&[C], 1, Wait::No).unwrap() {
                let mark = worker.item(0).unwrap().mark as usize;
                let name = held(worker).pop().unwrap();
                for n in mark..OUTPUTS {
                    worker.put(&[d, B], format!("{name:?} {n}").as_bytes(), Some(0)).unwrap();
                }
                done(worker.commit(1, Wait::No).unwrap());
            }
        };
        admin.set_queue(LINE, &limits(100)).unwrap();
        let mut worker = sharing_from(&arena, &mut admin, &[C], &[d, B]);
        let died = killed(at, || work(&mut worker));
        worker.die();
        admin.release(WORKER, FailureAttribution::Nobody, 3, &mut |_| Ok(())).unwrap();
        let mut worker = sharing_from(&arena, &mut admin, &[C], &[d, B]);
        work(&mut worker);
        let mut shared: Vec<Vec<u8>> = commits(&arena, &mut admin)
            .into_iter()
            .flat_map(|commit| commit.outputs)
            .map(|output| output.item.to_vec())
            .collect();
        let mut local = waiting(&arena, &mut admin, d);
        [&mut shared, &mut local].into_iter().for_each(|items| items.sort_unstable());
        assert_eq!((shared.len(), local.len()), (2 * OUTPUTS, 2 * OUTPUTS), "killed at store {at}");
        assert!(shared == local, "killed at store {at}");
        shared.dedup();
        assert_eq!(shared.len(), 2 * OUTPUTS, "killed at store {at}");
        if !died {
            break;
        }
        at += 97;
    }
}

/// What an exhaustive test does with two items of a broker and one of this machine.
#[derive(Clone, Copy, Debug)]
enum Script {
    /// They end together.
    Commit,
    /// The first fails for good.
    DeadLetter,
}

fn run(worker: &mut WorkerHandle, script: Script) {
    worker.take(&[A], 2, Wait::No).unwrap();
    worker.take(&[C], 1, Wait::No).unwrap();
    match script {
        Script::Commit => {
            (0..3).for_each(|i| worker.put(&[B], &[i as u8; 90], Some(i)).unwrap());
            worker.put(&[C], b"a state", Some(2)).unwrap();
            done(worker.commit(3, Wait::No).unwrap());
        }
        Script::DeadLetter => {
            worker.mark_dead(0, "no good").unwrap();
            done(worker.commit(1, Wait::No).unwrap());
            assert_eq!(worker.len(), 2);
        }
    }
}

#[test]
fn a_worker_that_is_killed_at_any_store_leaves_the_leases_or_the_commit() {
    for script in [Script::Commit, Script::DeadLetter] {
        let (mut before, mut after) = (0, 0);
        for at in 0.. {
            let (arena, mut admin) = set_up();
            store(&arena, &mut admin, &[1, 2]);
            let mut source = reader(&arena, &mut admin);
            put(&mut source, C, &[b"local"]);
            source.give_back_all().unwrap();
            let mut worker = sharing(&arena, &mut admin, &[B]);
            let died = killed(at, || run(&mut worker, script));
            worker.die();
            admin.release(WORKER, FailureAttribution::Begun, 3, &mut |_| Ok(())).unwrap();
            admin.audit().unwrap_or_else(|wrong| panic!("{script:?}, killed at store {at}: {wrong}"));
            let (commits, counts) = (commits(&arena, &mut admin), admin.counts(A).unwrap());
            match (&commits[..], script) {
                ([], _) => {
                    assert_eq!((counts.waiting, counts.done, counts.dead), (2, 0, 0), "store {at}");
                    assert_eq!(waiting(&arena, &mut admin, C), [b"local"]);
                    before += 1;
                }
                ([commit], Script::Commit) => {
                    assert_eq!((counts.waiting, counts.done), (0, 2), "store {at}");
                    assert_eq!((&commit.ends[..], commit.outputs.len()), (&[end(1), end(2)][..], 3));
                    assert_eq!(waiting(&arena, &mut admin, C), [b"a state"]);
                    after += 1;
                }
                ([commit], Script::DeadLetter) => {
                    assert_eq!((counts.waiting, counts.dead), (1, 1), "store {at}");
                    let dead = Some(("no good".to_owned(), 1));
                    assert_eq!(commit.ends, [End { dead, ..end(1) }]);
                    after += 1;
                }
                _ => panic!("{script:?}, killed at store {at}: {commits:?}"),
            }
            if !died {
                break;
            }
        }
        assert!(before > 30 && after > 3, "{script:?}: {before} {after}");
    }
}

#[test]
fn a_supervisor_that_is_killed_anywhere_gives_a_letter_to_the_broker_once() {
    let letter =
        Commit { ends: vec![End { dead: Some(("killed".into(), 1)), ..end(1) }], ..Commit::default() };
    let mut deaths = 0;
    for at in 0.. {
        let (arena, mut admin) = set_up();
        store(&arena, &mut admin, &[1, 2]);
        let mut worker = sharing(&arena, &mut admin, &[B]);
        worker.take(&[A], 2, Wait::No).unwrap();
        worker.begin(0);
        worker.die();
        let died = killed(at, || {
            admin.release_dead_into(WORKER, LINE, &letter.encode()).unwrap();
        });
        admin.die();
        let mut admin = QueueAdmin::open(arena.clone()).unwrap();
        admin.release_dead_into(WORKER, LINE, &letter.encode()).unwrap();
        admin.audit().unwrap_or_else(|wrong| panic!("killed at store {at}: {wrong}"));
        let counts = admin.counts(A).unwrap();
        assert_eq!((counts.dead, counts.waiting, counts.leased), (1, 1, 0), "killed at store {at}");
        assert_eq!(commits(&arena, &mut admin), [Commit { number: 1, ..letter.clone() }], "store {at}");
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 20, "{deaths}");
}
