//! Each request to a broker, against a real redis-server and a real nats-server.

#[path = "broker/commits.rs"]
mod commits;
#[path = "broker/jetstream.rs"]
mod jetstream;
#[path = "broker/online.rs"]
mod online;
#[path = "broker/same.rs"]
mod same;
#[path = "broker/server.rs"]
mod server;
mod support;
#[path = "broker/visits.rs"]
mod visits;
#[path = "broker/ways.rs"]
mod ways;

use commits::{A, B, alone, commit, emits, end, items, output, passes, stage, verdicts};
use mprun::broker::{
    Access, AnyBroker, Broker, BrokerKind, Commit, End, Fault, Forgotten, Full, Joined, Layout, Ledger,
    MemberState, Membership, Progress, Registered, SHOWN_FOR, Step, Verdict, Woken,
};
use mprun::queue::WhenFull;
use server::{SAFE, Server, audit, layout, member, on_both};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use visits::visit;

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// As long as an item that goes to Redis by a command of its own.
const LONG_ITEM_BYTES: usize = 4 << 10;

fn brief(capacities: &[u64]) -> Layout {
    Layout { ack_wait: Duration::from_millis(50), ..layout(capacities) }
}

fn an_item_passes_a_stage_once_however_often_its_commit_comes(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let redis = server.join(&layout, "m").await;
        for _ in 0..3 {
            assert_eq!(verdicts(&redis, "read", &[emits(1, &["x"])]).await, [Verdict::Done]);
        }
        let taken = redis.take(A, 10, false).await.unwrap();
        assert_eq!((taken.len(), taken[0].attempts, taken[0].deliveries), (1, 0, 1));
        for before in [0, 1, 1] {
            let judged = commit(&redis, "pass", &[passes(1, &taken[0])]).await.unwrap();
            assert_eq!((judged.verdicts, judged.before), (vec![Verdict::Done], before));
        }
        assert_eq!(items(&redis, B).await, ["x"]);
        let ledger = redis.ledger(A).await.unwrap();
        assert_eq!((ledger.put, ledger.done, ledger.waiting, ledger.leased), (1, 1, 0, 0));
        audit(&redis, &layout).await;
    });
}

fn the_verdicts_of_a_request_are_the_same_when_it_comes_again_with_more_behind_it(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let redis = server.join(&layout, "m").await;
        commit(&redis, "read", &[emits(1, &["x", "y", "z"])]).await.unwrap();
        let taken = redis.take(A, 3, false).await.unwrap();
        let lost = Commit { number: 2, ..passes(2, &taken[0]) };
        let mut request = vec![passes(1, &taken[0]), lost, passes(3, &taken[1])];
        let expected = [Verdict::Done, Verdict::Refused, Verdict::Done];
        assert_eq!(verdicts(&redis, "pass", &request).await, expected);
        request.push(passes(4, &taken[2]));
        for _ in 0..3 {
            assert_eq!(verdicts(&redis, "pass", &request).await[..3], expected);
        }
        assert_eq!(items(&redis, B).await, ["x", "y", "z"]);
    });
}

fn long_items_and_short_ones_pass_in_order_however_often_their_request_comes(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[6, 10]));
        let broker = server.join(&layout, "m").await;
        let [x, y, z] = ["x", "y", "z"].map(|item| item.repeat(LONG_ITEM_BYTES));
        let request =
            [emits(1, &["a"]), emits(2, &[&x, "b"]), emits(3, &["c"]), emits(4, &[&y]), emits(5, &[&z, "d"])];
        for before in [0, 4] {
            let judged = commit(&broker, "read", &request).await.unwrap();
            assert_eq!((judged.before, judged.full), (before, Some(Full::Queue(A))));
            assert_eq!(judged.verdicts, [Verdict::Done; 4]);
        }
        let taken = broker.take(A, 10, false).await.unwrap();
        let all: Vec<&[u8]> = taken.iter().map(|lease| &lease.item[..]).collect();
        assert_eq!(all, [b"a", x.as_bytes(), b"b", b"c", y.as_bytes()]);
        // None of them waits, so there is room.
        assert_eq!(verdicts(&broker, "read", &request[3..]).await, [Verdict::Done; 2]);
        broker.give_back(A, &[(taken[1].sequence, 1)]).await.unwrap();
        let again = broker.take(A, 10, false).await.unwrap();
        let of = |lease: &mprun::broker::Lease| (lease.item.to_vec(), lease.attempts, lease.deliveries);
        let expected = [(x.clone(), 1, 1), (z.clone(), 0, 1), ("d".to_owned(), 0, 1)];
        let expected = expected.map(|(item, attempts, count)| (item.into_bytes(), attempts, count));
        assert_eq!(again.iter().map(of).collect::<Vec<_>>(), expected);
        let dead = End { dead: Some(("boom".into(), 2)), ..end(A, again[1].sequence) };
        let passed: Vec<_> = (1..).zip(&taken).map(|(number, lease)| passes(number, lease)).collect();
        let fails = Commit { number: 6, ends: vec![dead, end(A, again[2].sequence)], ..Commit::default() };
        let refused = Commit { number: 7, ..passes(7, &taken[1]) };
        let request = [&passed[..], &[fails, refused]].concat();
        for _ in 0..2 {
            let judged = verdicts(&broker, "pass", &request).await;
            assert_eq!(judged, [&[Verdict::Done; 6][..], &[Verdict::Refused]].concat());
        }
        assert_eq!(items(&broker, B).await, ["a", &x, "b", "c", &y]);
        assert_eq!(broker.letters(A, None, 10).await.unwrap()[0].item, z.as_bytes());
        assert_eq!(broker.take(A, 10, true).await.unwrap(), []);
        audit(&broker, &layout).await;
    });
}

fn items_that_end_in_another_order_than_they_came_leave_the_others_where_they_are(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[300, 10]));
        let broker = server.join(&layout, "m").await;
        let names: Vec<String> = (0..250).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        commit(&broker, "read", &[emits(1, &names[..240])]).await.unwrap();
        let taken = broker.take(A, 230, false).await.unwrap();
        commit(&broker, "read", &[emits(2, &names[240..])]).await.unwrap();
        // Behind others, around one that stays, the oldest, all but one, and that one.
        let groups: [Vec<usize>; 5] = [
            (100..200).rev().collect(),
            (20..100).filter(|n| *n != 50).collect(),
            (0..20).collect(),
            (200..230).collect(),
            vec![50],
        ];
        let mut left = 250;
        for (number, group) in (1..).zip(groups) {
            let ends = group.iter().map(|n| end(A, taken[*n].sequence)).collect();
            let commit = Commit { number, ends, ..Commit::default() };
            assert_eq!(verdicts(&broker, "pass", &[commit]).await, [Verdict::Done]);
            left -= group.len() as u64;
            let ledger = broker.ledger(A).await.unwrap();
            assert_eq!((ledger.waiting, ledger.waiting + ledger.leased), (20, left));
            audit(&broker, &layout).await;
        }
        assert_eq!(items(&broker, A).await, names[230..]);
    });
}

fn a_full_queue_stops_the_line_and_room_wakes_it(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[2, 10]));
        let redis = server.join(&layout, "m").await;
        let request = [emits(1, &["1"]), emits(2, &["2", "3"]), emits(3, &["4"])];
        let judged = commit(&redis, "read", &request).await.unwrap();
        assert_eq!(
            (judged.verdicts.len(), judged.full),
            (1, Some(Full::Queue(A))),
            "3 keeps its place behind 2"
        );
        let taken = redis.take(A, 1, false).await.unwrap();
        assert_eq!(
            commit(&redis, "read", &request[1..]).await.unwrap().full,
            Some(Full::Queue(A)),
            "what is leased counts"
        );
        commit(&redis, "pass", &[passes(1, &taken[0])]).await.unwrap();
        assert_eq!(timeout(Duration::from_secs(5), redis.woken()).await.unwrap(), Woken::Room(A));
        assert_eq!(verdicts(&redis, "read", &request[1..2]).await, [Verdict::Done]);
        assert_eq!(items(&redis, A).await, ["2", "3"]);
        audit(&redis, &layout).await;
    });
}

fn room_wakes_a_line_once_it_is_as_large_as_its_commit(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[3, 10]));
        let broker = server.join(&layout, "m").await;
        assert_eq!(verdicts(&broker, "read", &[emits(1, &["1", "2", "3"])]).await, [Verdict::Done]);
        for longer in [emits(2, &["4", "5"]), emits(2, &["4", "5", "6"])] {
            assert_eq!(commit(&broker, "read", &[longer]).await.unwrap().full, Some(Full::Queue(A)));
        }
        let taken = broker.take(A, 2, false).await.unwrap();
        let woken = async || timeout(Duration::from_secs(5), broker.woken()).await.unwrap();
        // What wakes for an item in B came behind what would have waked for the place in A.
        assert_eq!(items(&broker, B).await, [""; 0]);
        commit(&broker, "pass", &[passes(1, &taken[0])]).await.unwrap();
        assert_eq!(woken().await, Woken::Items(B));
        commit(&broker, "pass", &[passes(2, &taken[1])]).await.unwrap();
        assert_eq!(woken().await, Woken::Room(A));
        assert_eq!(verdicts(&broker, "read", &[emits(2, &["4", "5"])]).await, [Verdict::Done]);
        audit(&broker, &layout).await;
    });
}

/// Else items that fail on their machines would keep the fresh ones out that tell whether they are at fault.
fn a_queue_in_which_nothing_waits_takes_a_commit_however_many_are_leased(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[3, 10]));
        let broker = server.join(&layout, "m").await;
        assert_eq!(verdicts(&broker, "read", &[emits(1, &["1", "2", "3"])]).await, [Verdict::Done]);
        let next = [emits(2, &["4", "5"])];
        let mut taken = broker.take(A, 2, false).await.unwrap();
        assert_eq!(commit(&broker, "read", &next).await.unwrap().full, Some(Full::Queue(A)), "one waits");
        taken.extend(broker.take(A, 1, false).await.unwrap());
        assert_eq!(timeout(Duration::from_secs(5), broker.woken()).await.unwrap(), Woken::Room(A));
        assert_eq!(verdicts(&broker, "read", &next).await, [Verdict::Done]);
        assert_eq!(commit(&broker, "read", &[emits(3, &["6"])]).await.unwrap().full, Some(Full::Queue(A)));
        assert_eq!((taken.len(), broker.ledger(A).await.unwrap().leased), (3, 3));
        audit(&broker, &layout).await;
    });
}

fn an_empty_queue_takes_a_commit_that_is_larger_than_its_capacity(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[1, 1]));
        let redis = server.join(&layout, "m").await;
        assert_eq!(verdicts(&redis, "read", &[emits(1, &["1", "2", "3"])]).await, [Verdict::Done]);
        assert_eq!(items(&redis, A).await, ["1", "2", "3"]);
    });
}

fn a_queue_that_drops_new_items_counts_them(kind: BrokerKind) {
    run(async {
        let (server, mut layout) = (Server::safe(kind), layout(&[1, 1]));
        layout.queues[0].when_full = WhenFull::DropNew;
        let redis = server.join(&layout, "m").await;
        let request = [emits(1, &["1"]), emits(2, &["2"])];
        assert_eq!(verdicts(&redis, "read", &request).await, [Verdict::Done, Verdict::Done]);
        assert_eq!(items(&redis, A).await, ["1"]);
        assert_eq!(redis.ledger(A).await.unwrap().dropped, 1);
        audit(&redis, &layout).await;
    });
}

fn a_machine_that_comes_back_late_is_refused(kind: BrokerKind) {
    run(async {
        let layout = Layout { ack_wait: Duration::from_millis(1500), ..layout(&[10, 10]) };
        let server = Server::safe(kind);
        let (late, other) = (server.join(&layout, "late").await, server.join(&layout, "other").await);
        commit(&late, "read", &[emits(1, &["x"])]).await.unwrap();
        let taken = late.take(A, 1, false).await.unwrap();
        for _ in 0..4 {
            sleep(Duration::from_millis(500)).await;
            assert_eq!(late.extend(A, &[taken[0].sequence]).await.unwrap(), [], "it still has it");
            assert_eq!(other.take(A, 1, true).await.unwrap(), [], "the lease began anew");
        }
        sleep(Duration::from_millis(1510)).await;
        let again = other.take(A, 1, true).await.unwrap();
        assert_eq!((again.len(), again[0].deliveries), (1, 2));
        assert_eq!(late.extend(A, &[taken[0].sequence]).await.unwrap(), [taken[0].sequence]);
        assert_eq!(verdicts(&late, "pass", &[passes(1, &taken[0])]).await, [Verdict::Refused]);
        late.give_back(A, &[(taken[0].sequence, 1)]).await.unwrap();
        assert_eq!(verdicts(&other, "pass", &[passes(1, &again[0])]).await, [Verdict::Done]);
        assert_eq!(verdicts(&late, "pass", &[passes(1, &taken[0])]).await, [Verdict::Refused], "as before");
        assert_eq!(items(&other, B).await, ["x"]);
        audit(&other, &layout).await;
    });
}

fn what_is_given_back_is_taken_at_once_with_its_attempts_and_no_delivery_more(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let (one, two) = (server.join(&layout, "one").await, server.join(&layout, "two").await);
        assert_eq!(two.take(A, 1, false).await.unwrap(), []);
        commit(&one, "read", &[emits(1, &["x"])]).await.unwrap();
        assert_eq!(timeout(Duration::from_secs(5), two.woken()).await.unwrap(), Woken::Items(A));
        for attempts in 1..30 {
            let taken = one.take(A, 1, false).await.unwrap();
            assert_eq!((taken[0].deliveries, taken[0].attempts), (1, attempts - 1));
            one.give_back(A, &[(taken[0].sequence, attempts)]).await.unwrap();
        }
        let ledger = one.ledger(A).await.unwrap();
        assert_eq!((ledger.waiting, ledger.leased), (1, 0));
        assert_eq!(two.take(A, 1, false).await.unwrap()[0].attempts, 29);
        audit(&one, &layout).await;
    });
}

fn an_item_whose_machines_all_died_becomes_a_dead_letter(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), Layout { max_deliveries: 3, ..brief(&[10, 10]) });
        let redis = server.join(&layout, "m").await;
        commit(&redis, "read", &[emits(1, &["bad"])]).await.unwrap();
        for deliveries in 1..=3 {
            assert_eq!(redis.take(A, 1, true).await.unwrap()[0].deliveries, deliveries);
            sleep(Duration::from_millis(60)).await;
        }
        assert_eq!(redis.take(A, 1, true).await.unwrap(), []);
        let letters = redis.letters(A, None, 10).await.unwrap();
        assert_eq!((letters.len(), &letters[0].item[..], letters[0].attempts), (1, &b"bad"[..], 0));
        assert_eq!(letters[0].cause, "every machine that had it died");
        assert_eq!(redis.letters(A, Some(letters[0].sequence), 10).await.unwrap(), []);
        audit(&redis, &layout).await;
    });
}

fn an_item_that_failed_for_good_is_a_dead_letter_in_the_step_that_ends_it(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let redis = server.join(&layout, "m").await;
        commit(&redis, "read", &[emits(1, &["bad"])]).await.unwrap();
        let taken = redis.take(A, 1, false).await.unwrap();
        let dead = End { dead: Some(("exit code 1".into(), 3)), ..end(A, taken[0].sequence) };
        let commit = Commit { number: 1, ends: vec![dead], ..Commit::default() };
        for _ in 0..2 {
            assert_eq!(verdicts(&redis, "pass", std::slice::from_ref(&commit)).await, [Verdict::Done]);
        }
        let letters = redis.letters(A, None, 10).await.unwrap();
        assert_eq!((letters.len(), &letters[0].cause[..], letters[0].attempts), (1, "exit code 1", 3));
        audit(&redis, &layout).await;
    });
}

fn a_new_life_of_a_machine_ends_the_old_one_and_gives_back_what_it_held(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let old = server.join(&layout, "m").await;
        commit(&old, "read", &[emits(1, &["x"])]).await.unwrap();
        let taken = old.take(A, 1, false).await.unwrap();
        let again = server.join(&layout, "m").await;
        assert_eq!(again.held(A).await.unwrap(), [taken[0].sequence], "the same life has what it had");
        let new = Membership { life: "2".into(), ..member("m") };
        let new = server::join(&server.access(), &layout, &new).await;
        assert_eq!(commit(&old, "pass", &[passes(1, &taken[0])]).await, Err(Fault::Superseded));
        assert_eq!(commit(&old, "read", &[emits(2, &["y"])]).await, Err(Fault::Superseded));
        assert_eq!(old.take(A, 1, true).await, Err(Fault::Superseded));
        assert_eq!(
            verdicts(&new, "read", &[emits(1, &["z"])]).await,
            [Verdict::Done],
            "its numbers begin anew"
        );
        assert_eq!(items(&new, A).await, ["x", "z"]);
    });
}

fn a_queue_ends_once_all_its_writers_have_and_what_is_before_it(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let (one, two) = (server.join(&layout, "one").await, server.join(&layout, "two").await);
        let progress = async || (one.progress(A, &[]).await.unwrap(), one.progress(B, &[A]).await.unwrap());
        assert_eq!(progress().await, (Progress::Open, Progress::Open), "its writers have yet to come");
        for redis in [&one, &two, &two] {
            assert_eq!(redis.register(A, &stage("read")).await.unwrap(), Registered::Open);
        }
        let last = Commit { marks: vec![A], ..emits(1, &["x"]) };
        commit(&one, "read", &[last]).await.unwrap();
        assert_eq!(progress().await, (Progress::Open, Progress::Open), "the other machine writes still");
        visit(&server, &layout).await.forget("two").await.unwrap();
        assert_eq!(progress().await, (Progress::Sealed, Progress::Open), "an item is in it");
        assert_eq!(two.register(A, &stage("read")).await.unwrap(), Registered::Sealed, "no new writer");
        assert_eq!(one.register(A, &stage("read")).await.unwrap(), Registered::Ended);
        let taken = one.take(A, 1, false).await.unwrap();
        assert_eq!(progress().await, (Progress::Leased, Progress::Open), "an item is leased");
        one.give_back(A, &[(taken[0].sequence, 0)]).await.unwrap();
        assert_eq!(progress().await, (Progress::Sealed, Progress::Open), "it waits again");
        let taken = one.take(A, 1, false).await.unwrap();
        commit(&one, "pass", &[passes(1, &taken[0])]).await.unwrap();
        assert_eq!(progress().await, (Progress::Finished, Progress::Sealed));
        assert_eq!(verdicts(&one, "late", &[emits(1, &["y"])]).await, [Verdict::Refused]);
        assert!(!one.finish().await.unwrap());
        let taken = one.take(B, 1, false).await.unwrap();
        let done = Commit { number: 1, ends: vec![end(B, taken[0].sequence)], ..Commit::default() };
        commit(&one, "write", &[done]).await.unwrap();
        assert!(one.finish().await.unwrap());
        let Joined { run, ended, .. } = server.join(&layout, "three").await.joined().clone();
        assert!(run == 1 && ended.is_some());
        let anew = Membership { new_run: true, ..member("three") };
        let anew = server::join(&server.access(), &layout, &anew).await;
        assert!(anew.joined().run == 2 && anew.joined().ended.is_none());
        assert_eq!(anew.progress(A, &[]).await.unwrap(), Progress::Open);
        let again = Membership { life: "another".into(), ..member("one") };
        let again = server::join(&server.access(), &layout, &again).await;
        assert_eq!(again.joined().run, 2, "its own run has ended");
    });
}

fn moves(number: u64, from: &str, to: &str) -> Commit {
    Commit { step: Some(Step { from: from.into(), to: to.into() }), ..emits(number, &[to]) }
}

/// A lease that was lost and came back may be in one turn of a worker twice.
fn a_commit_that_ends_an_item_twice_is_refused(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let broker = server.join(&layout, "m").await;
        commit(&broker, "read", &[emits(1, &["x", "y"])]).await.unwrap();
        let taken = broker.take(A, 2, false).await.unwrap();
        let [x, y] = [passes(1, &taken[0]), passes(1, &taken[1])];
        let both = |parts: [&Commit; 3]| Commit {
            ends: parts.iter().flat_map(|part| part.ends.clone()).collect(),
            outputs: parts.iter().flat_map(|part| part.outputs.clone()).collect(),
            ..Commit::default()
        };
        let twice = Commit { number: 1, ..both([&x, &y, &x]) };
        let once = Commit { number: 2, ..x.clone() };
        assert_eq!(verdicts(&broker, "pass", &[twice, once]).await, [Verdict::Refused, Verdict::Done]);
        let ledger = Ledger { put: 2, done: 1, leased: 1, ..Ledger::default() };
        assert_eq!(broker.ledger(A).await.unwrap(), ledger);
        assert_eq!(items(&broker, B).await, ["x"]);
        audit(&broker, &layout).await;
    });
}

fn a_stage_goes_on_from_its_position_on_whatever_machine_has_claimed_it(kind: BrokerKind) {
    run(async {
        let layout = Layout { ack_wait: Duration::from_millis(2000), ..layout(&[10, 10]) };
        let server = Server::safe(kind);
        let (one, two) = (server.join(&layout, "one").await, server.join(&layout, "two").await);
        let read = alone("read");
        let commit = async |redis: &AnyBroker, commit| redis.commit(&read, &[commit]).await.unwrap().verdicts;
        assert_eq!(one.claim(&read).await.unwrap(), Some(Vec::new()), "it has yet to begin");
        assert_eq!(two.claim(&read).await.unwrap(), None);
        assert_eq!(commit(&one, moves(1, "", "1")).await, [Verdict::Done]);
        assert_eq!(one.claim(&read).await.unwrap(), Some(b"1".to_vec()), "it keeps what it has");
        one.resign(&read).await.unwrap();
        assert_eq!(timeout(Duration::from_secs(5), two.woken()).await.unwrap(), Woken::Items(A));
        assert_eq!(two.claim(&read).await.unwrap(), Some(b"1".to_vec()));
        assert_eq!(one.claim(&read).await.unwrap(), None);
        one.resign(&read).await.unwrap();
        assert_eq!(one.claim(&read).await.unwrap(), None, "it resigns for itself alone");
        assert_eq!(commit(&two, moves(1, "1", "2")).await, [Verdict::Done]);
        // What comes late from where the stage was.
        assert_eq!(commit(&one, moves(2, "1", "x")).await, [Verdict::Refused]);
        assert_eq!(commit(&two, moves(1, "1", "2")).await, [Verdict::Done], "as before");
        sleep(layout.ack_wait + Duration::from_millis(20)).await;
        assert_eq!(one.claim(&read).await.unwrap(), Some(b"2".to_vec()), "the claim has expired");
        // The next life of a machine waits for no claim of the one before.
        let next = Membership { life: "next".into(), ..member("one") };
        let next = server::join(&server.access(), &layout, &next).await;
        assert_eq!(next.claim(&read).await.unwrap(), Some(b"2".to_vec()));
        assert!(matches!(one.claim(&read).await, Err(Fault::Superseded)));
        next.leave().await.unwrap();
        assert_eq!(two.claim(&read).await.unwrap(), Some(b"2".to_vec()), "who leaves has no claim");
        assert_eq!(items(&two, A).await, ["1", "2"]);
        audit(&two, &layout).await;
    });
}

fn a_stage_that_works_everywhere_has_a_position_on_each_machine(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let (one, two) = (server.join(&layout, "one").await, server.join(&layout, "two").await);
        assert_eq!(verdicts(&one, "read", &[moves(1, "", "1")]).await, [Verdict::Done]);
        assert_eq!(one.claim(&stage("read")).await.unwrap(), Some(b"1".to_vec()));
        assert_eq!(two.claim(&stage("read")).await.unwrap(), Some(Vec::new()));
        assert_eq!(verdicts(&two, "read", &[moves(1, "", "a")]).await, [Verdict::Done]);
        let last = Commit { marks: vec![A], ..moves(2, "1", "1") };
        one.register(A, &alone("other")).await.unwrap();
        assert_eq!(verdicts(&one, "read", &[last]).await, [Verdict::Done]);
        // The end of a stage that moves is that of no machine.
        let last = Commit { marks: vec![A], number: 1, ..Commit::default() };
        assert_eq!(one.progress(A, &[]).await.unwrap(), Progress::Open);
        two.commit(&alone("other"), &[last]).await.unwrap();
        assert_eq!(one.progress(A, &[]).await.unwrap(), Progress::Sealed);
        assert_eq!(one.register(A, &alone("other")).await.unwrap(), Registered::Ended);
    });
}

async fn refused(access: &Access, layout: &Layout, who: &Membership) -> String {
    match server::joined(access, layout, who).await {
        Err(Fault::Fatal(why) | Fault::Unfit(why) | Fault::Denied(why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

/// Somebody has deleted consumers, or acknowledged entries by hand: who looks for expired leases takes what they held, wherever it lies.
#[test]
fn what_has_lost_its_consumer_is_taken_by_the_next_that_looks_and_trimmed_by_none() {
    run(async {
        let (server, layout) = (Server::safe(BrokerKind::Redis), layout(&[100, 100]));
        let [one, two, three] = [
            server.join(&layout, "1").await,
            server.join(&layout, "2").await,
            server.join(&layout, "3").await,
        ];
        let names: Vec<String> = (10..40).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        commit(&one, "read", &[emits(1, &names)]).await.unwrap();
        let mut held = Vec::new();
        for broker in [&one, &two, &one, &three] {
            held.push(broker.take(A, 5, false).await.unwrap());
        }
        one.give_back(A, &[(held[2][0].sequence, 0)]).await.unwrap();
        for gone in ["1:1", "-"] {
            assert_ne!(server.ask(&format!("XGROUP DELCONSUMER {{mprun/test}}:1:q:a mprun {gone}")), ":0");
        }
        let acknowledged = held[3][4].sequence;
        assert_eq!(server.ask(&format!("XACK {{mprun/test}}:1:q:a mprun {acknowledged}")), ":1");
        // What ends here is behind the oldest of them.
        let passed: Vec<Commit> = (1..).zip(&held[1][..4]).map(|(n, lease)| passes(n, lease)).collect();
        assert_eq!(verdicts(&two, "pass", &passed).await, [Verdict::Done; 4]);
        assert_eq!(verdicts(&one, "pass", &[passes(1, &held[0][0])]).await, [Verdict::Refused]);
        let found = two.take(A, 8, true).await.unwrap();
        let rest = two.take(A, 8, true).await.unwrap();
        let orphans: Vec<&[u8]> = found.iter().chain(&rest[..3]).map(|lease| &lease.item[..]).collect();
        let expected: Vec<String> = (10..15).chain(20..25).chain([29]).map(|n: u32| n.to_string()).collect();
        assert_eq!(orphans, expected.iter().map(String::as_bytes).collect::<Vec<_>>());
        assert!(found.iter().all(|lease| lease.deliveries == 1), "{found:?}");
        let ledger = Ledger { put: 30, done: 4, waiting: 5, leased: 21, ..Ledger::default() };
        assert_eq!(two.ledger(A).await.unwrap(), ledger);
        assert_eq!(items(&three, A).await, ["35", "36", "37", "38", "39"]);
        assert_eq!(three.take(A, 100, true).await.unwrap(), []);
        audit(&two, &layout).await;
    });
}

/// What Redis says of a group is wrong from then on (up to 7.2): it counts what was delivered since its file was written anew as not delivered.
#[test]
fn what_has_lost_its_consumer_is_found_after_a_server_has_written_its_file_anew_and_was_killed() {
    run(async {
        let (mut server, layout) = (Server::safe(BrokerKind::Redis), layout(&[100, 100]));
        let names: Vec<String> = (10..40).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let held = {
            let (one, two) = (server.join(&layout, "1").await, server.join(&layout, "2").await);
            commit(&one, "read", &[emits(1, &names)]).await.unwrap();
            one.take(A, 5, false).await.unwrap();
            server.write_file_anew();
            two.take(A, 5, false).await.unwrap()
        };
        server.kill();
        server.start_again();
        let two = server.join(&layout, "2").await;
        assert_eq!(server.ask("XGROUP DELCONSUMER {mprun/test}:1:q:a mprun 1:1"), ":5");
        let passed: Vec<Commit> = (1..).zip(&held[..4]).map(|(n, lease)| passes(n, lease)).collect();
        assert_eq!(verdicts(&two, "pass", &passed).await, [Verdict::Done; 4]);
        let ledger = Ledger { put: 30, done: 4, waiting: 25, leased: 1, ..Ledger::default() };
        assert_eq!(two.ledger(A).await.unwrap(), ledger);
        let rest = two.take(A, 100, true).await.unwrap();
        let items: Vec<&[u8]> = rest.iter().map(|lease| &lease.item[..]).collect();
        let expected: Vec<String> = (10..15).chain(20..40).map(|n: u32| n.to_string()).collect();
        assert_eq!(items, expected.iter().map(String::as_bytes).collect::<Vec<_>>());
        audit(&two, &layout).await;
    });
}

/// All is new again then, and what has ended is not.
#[test]
fn a_group_that_somebody_has_deleted_is_there_again_with_the_next_membership() {
    run(async {
        let (server, layout) = (Server::safe(BrokerKind::Redis), layout(&[10, 10]));
        let broker = server.join(&layout, "m").await;
        commit(&broker, "read", &[emits(1, &["x", "y", "z"])]).await.unwrap();
        let taken = broker.take(A, 2, false).await.unwrap();
        commit(&broker, "pass", &[passes(1, &taken[0])]).await.unwrap();
        assert_eq!(server.ask("XGROUP DESTROY {mprun/test}:1:q:a mprun"), ":1");
        assert!(broker.take(A, 1, true).await.unwrap_err().may_pass());
        let broker = server.join(&layout, "m").await;
        assert_eq!(verdicts(&broker, "pass", &[passes(2, &taken[1])]).await, [Verdict::Refused]);
        assert_eq!(items(&broker, A).await, ["y", "z"]);
        audit(&broker, &layout).await;
    });
}

/// As after the restart of a server whose clock was an hour ahead.
#[test]
fn times_of_a_clock_that_has_gone_back_hold_nothing_up() {
    const AHEAD: &str = "local now = redis.call('TIME')[1] * 1000 + 3600000 \
        local stream = KEYS[1] .. ':q:a' \
        for _, entry in ipairs(redis.call('XPENDING', stream, 'mprun', '-', '+', 10)) do \
        redis.call('XCLAIM', stream, 'mprun', entry[2], 0, entry[1], 'TIME', now, 'JUSTID') end \
        redis.call('HSET', stream .. ':about', 'looked_at', now) \
        redis.call('HSET', KEYS[1] .. ':claims', redis.call('HKEYS', KEYS[1] .. ':claims')[1], now .. ' gone:1') \
        return redis.call('PEXPIRE', KEYS[1] .. ':seen:gone', 7200000)";
    run(async {
        let server = Server::safe(BrokerKind::Redis);
        let layout = Layout { ack_wait: Duration::from_secs(2), ..layout(&[10, 10]) };
        let (gone, here) = (server.join(&layout, "gone").await, server.join(&layout, "here").await);
        commit(&gone, "read", &[emits(1, &["x", "y", "z"])]).await.unwrap();
        assert_eq!(gone.claim(&alone("read")).await.unwrap(), Some(Vec::new()));
        gone.take(A, 2, true).await.unwrap();
        gone.show(b"busy", SHOWN_FOR).await.unwrap();
        assert_eq!(server.ask(&format!("EVAL \"{AHEAD}\" 1 {{mprun/test}}:1")), ":1");
        assert_eq!(here.claim(&alone("read")).await.unwrap(), Some(Vec::new()));
        // They last for once `ack_wait` from the first look on.
        assert_eq!(items(&here, A).await, ["z"]);
        assert_eq!(here.take(A, 10, true).await.unwrap(), []);
        sleep(layout.ack_wait + Duration::from_millis(20)).await;
        let expired = here.take(A, 10, true).await.unwrap();
        assert_eq!(expired.iter().filter(|lease| lease.item[..] != *b"z").count(), 2, "{expired:?}");
        let visitor = visit(&server, &layout).await;
        let machines = visitor.machines().await.unwrap();
        assert_eq!((&machines[0].machine[..], machines[0].state), ("gone", MemberState::Silent));
        assert!(matches!(visitor.forget("gone").await.unwrap(), Forgotten::Struck { .. }));
        audit(&here, &layout).await;
    });
}

/// Looks of others may find it so: of a run that has ended no machine makes it anew.
#[test]
fn a_queue_whose_group_somebody_has_deleted_is_seen_as_what_waits() {
    run(async {
        let (server, layout) = (Server::safe(BrokerKind::Redis), layout(&[10, 10]));
        let broker = server.join(&layout, "m").await;
        commit(&broker, "read", &[emits(1, &["x", "y"])]).await.unwrap();
        broker.take(A, 1, false).await.unwrap();
        assert_eq!(server.ask("XGROUP DESTROY {mprun/test}:1:q:a mprun"), ":1");
        let seen = visit(&server, &layout).await.overview().await.unwrap();
        assert_eq!(seen.queues[0].ledger, Ledger { put: 2, waiting: 2, ..Ledger::default() });
    });
}

/// A server that was killed while it wrote may come back with half of a transaction.
#[test]
fn a_queue_whose_stream_has_the_name_of_a_transaction_gets_its_own_back() {
    run(async {
        let (server, layout) = (Server::safe(BrokerKind::Redis), layout(&[10]));
        let broker = server.join(&layout, "m").await;
        commit(&broker, "read", &[emits(1, &["x", "y"])]).await.unwrap();
        broker.take(A, 1, false).await.unwrap();
        let stream = "{mprun/test}:1:q:a";
        assert_eq!(server.ask(&format!("RENAME {stream} {stream}:open")), "+OK");
        let again = server.join(&layout, "m").await;
        assert_eq!(again.held(A).await.unwrap().len(), 1);
        assert_eq!(items(&again, A).await, ["y"]);
        audit(&again, &layout).await;
    });
}

#[test]
fn a_server_that_may_lose_items_and_another_pipelines_queues_are_refused_at_the_start() {
    run(async {
        let (server, two) = (Server::start(&["--appendonly", "no"]), layout(&[1, 1]));
        assert!(refused(&server.access(), &two, &member("m")).await.contains("appendonly"));
        let daring = Membership { allow_loss: true, ..member("m") };
        let redis = server::join(&server.access(), &two, &daring).await;
        assert_eq!(redis.joined().warnings.len(), 2, "{:?}", redis.joined().warnings);
        let three = layout(&[1, 1, 1]);
        assert!(refused(&server.access(), &three, &daring).await.contains("other shared queues"));
        let apart = Layout { prefix: "mine".into(), ..three };
        assert_eq!(server::join(&server.access(), &apart, &daring).await.joined().run, 1);
    });
}

#[test]
fn a_wrong_password_is_fatal_and_told_without_it_and_a_server_that_is_away_is_not() {
    run(async {
        let server = Server::start(&["--appendonly", "yes", "--requirepass", "right"]);
        let layout = layout(&[1]);
        let access = |secret: &str| Access::at(format!("redis://:{secret}@127.0.0.1:{}", server.port));
        server::join(&access("right"), &layout, &member("m")).await;
        for url in [access("hunter2"), server.access()] {
            let why = refused(&url, &layout, &member("m")).await;
            assert!(why.contains("password") && !why.contains("hunter2"), "{why}");
        }
        let garbled = Access::at("redis://:hunter2@[");
        let why = refused(&garbled, &layout, &member("m")).await;
        assert!(!format!("{why}{garbled:?}").contains("hunter2"), "{why}");
        let gone = Access::at("redis://:hunter2@127.0.0.1:1");
        let Err(Fault::Away(why)) = AnyBroker::join(&gone, &layout, &member("m")).await else {
            panic!("away")
        };
        assert!(!why.contains("hunter2"), "{why}");
    });
}

#[test]
fn where_the_servers_memory_is_full_items_can_be_taken_and_ended_and_none_comes() {
    run(async {
        let options = [SAFE, &["--maxmemory", "6mb"]].concat();
        let (server, layout) = (Server::start(&options), layout(&[1_000_000, 10]));
        let redis = server.join(&layout, "m").await;
        let (large, mut n) = ("x".repeat(100_000), 0);
        let full = loop {
            let judged = commit(&redis, "read", &[emits(n + 1, &[&large])]).await.unwrap();
            n += judged.verdicts.len() as u64;
            if let Some(full) = judged.full {
                break full;
            }
        };
        assert_eq!(full, Full::Memory);
        assert!(n > 5, "{n}");
        // Machines come, or none could take anything; no pipeline begins.
        assert_eq!(server.ask("CONFIG SET maxmemory 1mb"), "+OK");
        let late = server.join(&layout, "late").await;
        assert_eq!(late.register(B, &stage("pass")).await.unwrap(), Registered::Open);
        assert_eq!(late.claim(&alone("pass")).await.unwrap(), Some(Vec::new()));
        assert_eq!(late.progress(B, &[A]).await.unwrap(), Progress::Open);
        late.leave().await.unwrap();
        let new = Layout { pipeline: "new".into(), ..layout.clone() };
        let refused = AnyBroker::join(&server.access(), &new, &member("m")).await.map(drop).unwrap_err();
        assert!(
            matches!(refused, Fault::Full(_)) && refused.to_string().contains("`maxmemory`"),
            "{refused}"
        );
        assert_eq!(server.ask("CONFIG SET maxmemory 6mb"), "+OK");
        let mut ended = 0;
        while ended < n {
            let taken = redis.take(A, 1, true).await.unwrap();
            ended += 1;
            let commit = Commit { number: ended, ends: vec![end(A, taken[0].sequence)], ..Commit::default() };
            assert_eq!(verdicts(&redis, "pass", &[commit]).await, [Verdict::Done]);
        }
        assert_eq!(redis.take(A, 1, true).await.unwrap(), []);
        assert_eq!(verdicts(&redis, "read", &[emits(n + 1, &["y"])]).await, [Verdict::Done]);
        audit(&redis, &layout).await;
    });
}

fn what_was_answered_is_there_after_a_kill_of_the_server(kind: BrokerKind) {
    run(async {
        let (mut server, layout) = (Server::safe(kind), layout(&[1000, 1000]));
        let redis = server.join(&layout, "m").await;
        let request: Vec<Commit> = (1..=100).map(|n| emits(n, &["x"])).collect();
        commit(&redis, "read", &request).await.unwrap();
        let taken = redis.take(A, 60, false).await.unwrap();
        let passed: Vec<Commit> = (1..).zip(&taken[..50]).map(|(n, lease)| passes(n, lease)).collect();
        commit(&redis, "pass", &passed).await.unwrap();
        server.kill();
        assert_eq!(timeout(Duration::from_secs(5), redis.woken()).await.unwrap(), Woken::Away);
        assert!(matches!(commit(&redis, "pass", &passed).await, Err(Fault::Away(_))));
        server.start_again();
        let redis = server.join(&layout, "m").await;
        let judged = commit(&redis, "pass", &passed).await.unwrap();
        assert_eq!((judged.before, judged.verdicts), (50, vec![Verdict::Done; 50]));
        assert_eq!(redis.held(A).await.unwrap().len(), 10);
        let (a, b) = (redis.ledger(A).await.unwrap(), redis.ledger(B).await.unwrap());
        assert_eq!((a.waiting, a.leased, b.waiting), (40, 10, 50));
        audit(&redis, &layout).await;
    });
}

fn machines_are_seen_and_one_that_leaves_gives_back(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let (one, two) = (server.join(&layout, "one").await, server.join(&layout, "two").await);
        one.show(b"busy", SHOWN_FOR).await.unwrap();
        let seen = visit(&server, &layout).await.machines().await.unwrap();
        let shown = |n: usize| seen[n].shown.as_ref().map(|(_, text)| &text[..]);
        assert_eq!(
            (&*seen[0].machine, shown(0), seen[0].state),
            ("one", Some(&b"busy"[..]), MemberState::Alive)
        );
        assert_eq!((&*seen[1].machine, shown(1), seen[1].state), ("two", None, MemberState::Silent));
        let both = Commit { number: 1, outputs: vec![output(A, "x"), output(B, "y")], ..Commit::default() };
        commit(&one, "read", &[both]).await.unwrap();
        assert_eq!((items(&one, A).await, items(&one, B).await), (vec!["x".into()], vec!["y".into()]));
        one.leave().await.unwrap();
        let seen = visit(&server, &layout).await.machines().await.unwrap();
        assert_eq!((seen[0].state, seen[1].state), (MemberState::Left, MemberState::Silent));
        assert_eq!((items(&two, A).await, items(&two, B).await), (vec!["x".into()], vec!["y".into()]));
    });
}

fn a_life_begins_one_run_at_most_however_often_it_asks(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let joins = async |machine: &str, life: &str, new_run| {
            let who = Membership { life: life.into(), new_run, ..member(machine) };
            server::join(&server.access(), &layout, &who).await
        };
        assert_eq!(joins("one", "1", false).await.joined().run, 1);
        let first = joins("two", "1", true).await;
        assert_eq!(first.joined().run, 2);
        commit(&first, "read", &[emits(1, &["x"])]).await.unwrap();
        // Its connection breaks, or its answer gets lost.
        let again = joins("two", "1", true).await;
        assert_eq!((again.joined().run, again.joined().is_back), (2, true));
        assert_eq!(commit(&again, "read", &[emits(1, &["x"])]).await.unwrap().before, 1, "it is known");
        assert_eq!(joins("one", "1", true).await.joined().run, 3, "it had begun none");
        assert_eq!(joins("two", "1", true).await.joined().run, 2, "its own");
        let who = Membership { joined: Some(1), ..member("one") };
        let stays = server::join(&server.access(), &layout, &who).await;
        assert_eq!((stays.joined().run, stays.joined().is_back), (1, true), "whatever is the latest");
        let lost = Membership { joined: Some(9), ..member("other") };
        assert_eq!(
            server::join(&server.access(), &layout, &lost).await.joined().run,
            3,
            "the broker has lost it"
        );
        assert_eq!(joins("two", "2", true).await.joined().run, 4, "another life");
    });
}

fn a_machine_that_was_killed_comes_back_to_its_run_and_one_that_has_left_joins_the_latest(kind: BrokerKind) {
    run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let joins = async |machine: &str, life: &str, new_run| {
            let who = Membership { life: life.into(), new_run, ..member(machine) };
            server::join(&server.access(), &layout, &who).await
        };
        for machine in ["one", "two", "three"] {
            assert_eq!(joins(machine, "1", false).await.joined().run, 1);
        }
        assert_eq!(joins("other", "1", true).await.joined().run, 2);
        let one = joins("one", "2", false).await;
        assert_eq!((one.joined().run, one.joined().is_back), (1, true));
        let says =
            |broker: &AnyBroker, text: &str| broker.joined().warnings.iter().any(|said| said.contains(text));
        assert!(says(&one, "run 2 has not ended: `mprun run FILE --run 2` joins it"), "{:?}", one.joined());
        one.leave().await.unwrap();
        assert_eq!(joins("one", "3", false).await.joined().run, 2, "it had left");
        assert_eq!(joins("new", "1", false).await.joined().run, 2, "it was in none");
        let mut changed = layout.clone();
        changed.queues[1].name = "renamed".into();
        let who = Membership { life: "2".into(), new_run: true, ..member("other") };
        assert_eq!(server::join(&server.access(), &changed, &who).await.joined().run, 3);
        let who = Membership { life: "2".into(), ..member("two") };
        assert_eq!(
            server::join(&server.access(), &changed, &who).await.joined().run,
            3,
            "its run has other queues"
        );
        assert_eq!(joins("three", "2", false).await.joined().run, 1, "its own has those of its file");
    });
}

/// Two files: the settings of a queue are the run's.
fn a_file_changes_the_settings_of_a_queue_only_with_all_others(kind: BrokerKind) {
    run(async {
        let (server, large, small) = (Server::safe(kind), layout(&[9, 9]), layout(&[9, 4]));
        let mut drops = layout(&[9, 9]);
        drops.queues[1].when_full = WhenFull::DropNew;
        let joins = async |layout: &Layout, machine: &str| {
            server::joined(&server.access(), layout, &member(machine)).await
        };
        let capacity = async || visit(&server, &large).await.overview().await.unwrap().queues[1].capacity;
        let warning = |broker: &AnyBroker| {
            broker.joined().warnings.iter().find(|warning| warning.contains("queue")).cloned()
        };
        let one = joins(&large, "one").await.unwrap();
        let two = joins(&small, "two").await.unwrap();
        let said = "the queue b has `capacity = 9` in this run, where this file says 4: the file's value counts once those of all \
                    machines in the run say the same";
        assert_eq!((warning(&one), warning(&two).as_deref(), capacity().await), (None, Some(said), 9));
        assert_eq!(
            warning(&joins(&large, "one").await.unwrap()),
            None,
            "a connection that broke changes nothing"
        );
        let refused = joins(&drops, "three").await.err().map(|fault| fault.to_string());
        let refused = refused.expect("items that the run keeps would be dropped");
        assert!(
            refused.contains("have `when_full = \"block\"` for the queue b, this file says \"drop-new\""),
            "{refused}"
        );
        assert_eq!(visit(&server, &large).await.overview().await.unwrap().machines.len(), 2);
        // The last machine with the old file gets the new one.
        assert_eq!((warning(&joins(&small, "one").await.unwrap()), capacity().await), (None, 4));
        // A machine that is in the run is not thrown out by its own change.
        let changed = warning(&joins(&drops, "one").await.unwrap()).unwrap();
        assert!(
            changed.contains("has `when_full = \"block\"` in this run, where this file says \"drop-new\""),
            "{changed}"
        );
        let items: Vec<String> = (0..5).map(|n| n.to_string()).collect();
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let outputs = items.iter().map(|item| output(B, item)).collect();
        let fills = Commit { number: 1, outputs, ..Commit::default() };
        let more = Commit { number: 2, outputs: vec![output(B, "x")], ..Commit::default() };
        let judged = commit(&two, "read", &[fills, more]).await.unwrap();
        assert_eq!((judged.verdicts.len(), judged.full), (1, Some(Full::Queue(B))), "it waits");
        two.leave().await.unwrap();
        assert_eq!(warning(&joins(&drops, "three").await.unwrap()), None, "all that are there say so");
        assert!(joins(&small, "two").await.is_err(), "and now it is the other way round");
    });
}

fn a_machine_with_a_long_lease_loses_it_to_none_with_a_short_one(kind: BrokerKind) {
    run(async {
        let server = Server::safe(kind);
        let of = |ms| Layout { ack_wait: Duration::from_millis(ms), ..layout(&[10, 10]) };
        let (slow, quick) = (server.join(&of(60_000), "slow").await, server.join(&of(50), "quick").await);
        commit(&slow, "read", &[emits(1, &["x"])]).await.unwrap();
        let taken = slow.take(A, 1, false).await.unwrap();
        sleep(Duration::from_millis(120)).await;
        assert!(quick.take(A, 1, true).await.unwrap().is_empty());
        assert_eq!(verdicts(&slow, "pass", &[passes(1, &taken[0])]).await, [Verdict::Done]);
        commit(&slow, "read", &[emits(2, &["y"])]).await.unwrap();
        slow.take(A, 1, false).await.unwrap();
        slow.leave().await.unwrap();
        let quick = server.join(&of(50), "quick").await;
        assert_eq!(quick.take(A, 1, true).await.unwrap().len(), 1);
        let late = server.join(&of(50), "late").await;
        sleep(Duration::from_millis(120)).await;
        assert_eq!(
            late.take(A, 1, true).await.unwrap().len(),
            1,
            "the longest is the one of those that are there"
        );
    });
}

/// The rights of the scripts are tried at each connection, and those of a commit at each request: nothing is done by half.
#[test]
fn a_right_that_is_missing_is_found_before_anything_is_written() {
    run(async {
        let (server, layout) = (Server::safe(BrokerKind::Redis), layout(&[10, 10]));
        let machine = server.join(&layout, "m").await;
        let rights = ["xadd", "xack", "xdel", "xtrim", "rename", "hincrby", "publish", "hdel"];
        // Every other one is long, and comes by a command of its own.
        let all = [0, 1, 2, 3, 4, 5, 6, 7]
            .map(|n| n.to_string().repeat(if n % 2 == 0 { 1 } else { LONG_ITEM_BYTES }));
        commit(&machine, "read", &[emits(1, &all.each_ref().map(String::as_str))]).await.unwrap();
        let taken = machine.take(A, rights.len(), false).await.unwrap();
        for (n, right) in rights.into_iter().enumerate() {
            assert_eq!(server.ask(&format!("ACL SETUSER default -{right}")), "+OK");
            let passes = [passes(n as u64 + 1, &taken[n])];
            let refused = machine.commit(&stage("pass"), &passes).await;
            assert!(matches!(&refused, Err(Fault::Denied(_))), "{right}: {refused:?}");
            let joined = server::joined(&server.access(), &layout, &member("other")).await.map(drop);
            let examined = server::examined(&server.access(), &layout).await;
            for refused in [joined, examined.map(drop)] {
                let said = format!("{:?}", refused.unwrap_err());
                assert!(said.contains("no right to") && said.to_lowercase().contains(right), "{said}");
            }
            assert_eq!(server.ask("ACL SETUSER default +@all"), "+OK");
            let judged = machine.commit(&stage("pass"), &passes).await.unwrap();
            assert_eq!((judged.before, judged.verdicts), (n as u64, vec![Verdict::Done]), "{right}");
        }
        assert_eq!(items(&machine, B).await, all);
        audit(&machine, &layout).await;
        assert!(!server.ask("EXISTS {mprun/t}:probe").contains('1'), "nothing of it is left");
    });
}

on_both!(
    a_life_begins_one_run_at_most_however_often_it_asks,
    a_machine_that_was_killed_comes_back_to_its_run_and_one_that_has_left_joins_the_latest,
    a_file_changes_the_settings_of_a_queue_only_with_all_others,
    a_machine_with_a_long_lease_loses_it_to_none_with_a_short_one,
    an_item_passes_a_stage_once_however_often_its_commit_comes,
    the_verdicts_of_a_request_are_the_same_when_it_comes_again_with_more_behind_it,
    long_items_and_short_ones_pass_in_order_however_often_their_request_comes,
    items_that_end_in_another_order_than_they_came_leave_the_others_where_they_are,
    a_full_queue_stops_the_line_and_room_wakes_it,
    room_wakes_a_line_once_it_is_as_large_as_its_commit,
    a_queue_in_which_nothing_waits_takes_a_commit_however_many_are_leased,
    an_empty_queue_takes_a_commit_that_is_larger_than_its_capacity,
    a_queue_that_drops_new_items_counts_them,
    a_machine_that_comes_back_late_is_refused,
    what_is_given_back_is_taken_at_once_with_its_attempts_and_no_delivery_more,
    an_item_whose_machines_all_died_becomes_a_dead_letter,
    an_item_that_failed_for_good_is_a_dead_letter_in_the_step_that_ends_it,
    a_new_life_of_a_machine_ends_the_old_one_and_gives_back_what_it_held,
    a_queue_ends_once_all_its_writers_have_and_what_is_before_it,
    a_commit_that_ends_an_item_twice_is_refused,
    a_stage_goes_on_from_its_position_on_whatever_machine_has_claimed_it,
    a_stage_that_works_everywhere_has_a_position_on_each_machine,
    what_was_answered_is_there_after_a_kill_of_the_server,
    machines_are_seen_and_one_that_leaves_gives_back,
);
