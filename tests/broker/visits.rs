//! What is asked of a run from outside, against real servers.

use crate::LONG_ITEM_BYTES;
use crate::commits::{A, B, alone, commit, emits, items, passes, stage, verdicts};
use crate::server::{self, SAFE, Server, audit, layout, member, on_both};
use mprun::broker::{
    AnyBroker, Broker, BrokerKind, Commit, Fault, Forgotten, Inventory, Layout, Ledger, MemberState,
    Membership, Overview, Progress, Registered, SHOWN_FOR, SILENT_AFTER, Verdict, Visitor, Writer,
    WriterState,
};
use std::time::Duration;

pub async fn visit(server: &Server, layout: &Layout) -> Visitor {
    Visitor::open(&server.access(), layout).await.unwrap().expect("a run")
}

async fn register(machine: &AnyBroker) -> Registered {
    machine.register(A, &stage("read")).await.unwrap()
}

fn struck(items: &[(&str, u64)], writers: &[(&str, &str)]) -> Forgotten {
    Forgotten::Struck {
        items: items.iter().map(|&(queue, items)| (queue.into(), items)).collect(),
        writers: writers.iter().map(|&(queue, stage)| (queue.into(), stage.into())).collect(),
    }
}

fn a_run_is_seen_whole_and_a_look_changes_nothing(kind: BrokerKind) {
    crate::run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 5]));
        assert!(Visitor::open(&server.access(), &layout).await.unwrap().is_none(), "no run has begun");
        let one = server.join(&layout, "one").await;
        assert_eq!(register(&one).await, Registered::Open);
        commit(&one, "read", &[emits(1, &["x", "y", "z", "bad"])]).await.unwrap();
        let taken = one.take(A, 3, false).await.unwrap();
        commit(&one, "pass", &[passes(1, &taken[0])]).await.unwrap();
        one.give_back(A, &[(taken[1].sequence, 0)]).await.unwrap();
        let seen = visit(&server, &layout).await.overview().await.unwrap();
        assert_eq!((seen.run, seen.ended, seen.machines.len()), (1, None, 1));
        let (a, b) = (&seen.queues[0], &seen.queues[1]);
        let ledger = Ledger { put: 4, done: 1, waiting: 2, leased: 1, ..Ledger::default() };
        assert_eq!((a.ledger, a.capacity, a.letters, a.sealed), (ledger, 10, 0, false));
        assert_eq!(a.leased, [("one".to_owned(), 1)]);
        let writer = Writer { machine: "one".into(), stage: "read".into(), state: WriterState::Open };
        assert_eq!((&a.writers[..], b.writers.len()), (&[writer][..], 0));
        assert!(a.oldest.unwrap() < Duration::from_secs(60) && b.oldest.is_some());
        assert_eq!((b.ledger.waiting, b.capacity), (1, 5));
        let other = server::layout(&[1]);
        let foreign = Visitor::open(&server.access(), &other).await.map(|visitor| visitor.is_some());
        assert!(matches!(foreign, Err(Fault::Fatal(why)) if why.contains("other shared queues")));
        let again = visit(&server, &layout).await.overview().await.unwrap();
        assert_eq!(again.machines.len(), 1, "who looks is no machine");
        let ledgers = |seen: &Overview| seen.queues.iter().map(|queue| queue.ledger).collect::<Vec<_>>();
        assert_eq!(ledgers(&again), ledgers(&seen));
    });
}

fn a_machine_that_shows_itself_is_not_struck_off_and_hears_who_looks(kind: BrokerKind) {
    crate::run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let one = server.join(&layout, "one").await;
        let visitor = visit(&server, &layout).await;
        assert!(!one.hear().await.unwrap().is_watched);
        visitor.watch().await.unwrap();
        assert!(one.hear().await.unwrap().is_watched);
        one.show(b"busy", SHOWN_FOR).await.unwrap();
        let Forgotten::Alive(age) = visitor.forget("one").await.unwrap() else { panic!("it is alive") };
        assert!(age < Duration::from_secs(10), "{age:?}");
        assert_eq!(visitor.forget("another").await.unwrap(), Forgotten::Unknown);
        // As if nothing was heard of it for a while.
        one.show(b"late", SHOWN_FOR - Duration::from_secs(16)).await.unwrap();
        assert_eq!(visitor.machines().await.unwrap()[0].state, MemberState::Silent);
        assert_eq!(visitor.forget("one").await.unwrap(), struck(&[], &[]));
        assert_eq!(visitor.machines().await.unwrap()[0].state, MemberState::Struck);
    });
}

fn a_machine_that_was_struck_off_is_refused_whatever_it_brings(kind: BrokerKind) {
    crate::run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let (gone, other) = (server.join(&layout, "gone").await, server.join(&layout, "other").await);
        assert_eq!([register(&gone).await, register(&other).await], [Registered::Open; 2]);
        commit(&gone, "read", &[emits(1, &["x", "y"])]).await.unwrap();
        let taken = gone.take(A, 2, false).await.unwrap();
        let visitor = visit(&server, &layout).await;
        assert_eq!(visitor.forget("gone").await.unwrap(), struck(&[("a", 2)], &[("a", "read")]));
        assert_eq!(visitor.forget("gone").await.unwrap(), struck(&[], &[]), "the same again");
        // Its items are another's at once, without an expired lease.
        let again = other.take(A, 2, false).await.unwrap();
        assert_eq!(again.len(), 2);
        assert_eq!(commit(&gone, "pass", &[passes(1, &taken[0])]).await, Err(Fault::Superseded));
        assert_eq!(commit(&gone, "read", &[emits(2, &["z"])]).await, Err(Fault::Superseded));
        assert_eq!(gone.take(A, 1, true).await, Err(Fault::Superseded));
        assert_eq!(gone.show(b"here", SHOWN_FOR).await, Err(Fault::Superseded));
        assert_eq!(gone.hear().await, Err(Fault::Superseded));
        assert_eq!(gone.extend(A, &[taken[0].sequence]).await.unwrap(), [taken[0].sequence]);
        gone.give_back(A, &[(taken[0].sequence, 1)]).await.unwrap();
        gone.leave().await.unwrap();
        let Err(Fault::Fatal(why)) = server::joined(&server.access(), &layout, &member("gone")).await else {
            panic!("it has joined")
        };
        assert!(why.contains("struck off"), "{why}");
        let passed: Vec<Commit> = (1..).zip(&again).map(|(n, lease)| passes(n, lease)).collect();
        assert_eq!(verdicts(&other, "pass", &passed).await, [Verdict::Done; 2]);
        assert_eq!(items(&other, B).await, ["x", "y"]);
        // Its next life is welcome, and its source a writer again.
        let next = Membership { life: "2".into(), ..member("gone") };
        let next = server::join(&server.access(), &layout, &next).await;
        commit(&other, "read", &[Commit { marks: vec![A], ..emits(1, &[]) }]).await.unwrap();
        assert_eq!(
            other.progress(A, &[]).await.unwrap(),
            Progress::Finished,
            "what was struck off does not count"
        );
        assert_eq!(register(&next).await, Registered::Sealed, "it comes too late");
        audit(&other, &layout).await;
    });
}

fn a_source_whose_machine_was_struck_off_is_a_writer_again_with_its_next_life(kind: BrokerKind) {
    crate::run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let (gone, other) = (server.join(&layout, "gone").await, server.join(&layout, "other").await);
        assert_eq!([register(&gone).await, register(&other).await], [Registered::Open; 2]);
        let visitor = visit(&server, &layout).await;
        assert_eq!(visitor.forget("gone").await.unwrap(), struck(&[], &[("a", "read")]));
        let next = Membership { life: "2".into(), ..member("gone") };
        let next = server::join(&server.access(), &layout, &next).await;
        assert_eq!(register(&next).await, Registered::Open);
        commit(&other, "read", &[Commit { marks: vec![A], ..emits(1, &[]) }]).await.unwrap();
        assert_eq!(other.progress(A, &[]).await.unwrap(), Progress::Open);
        commit(&next, "read", &[Commit { marks: vec![A], ..emits(1, &[]) }]).await.unwrap();
        assert_eq!(other.progress(A, &[]).await.unwrap(), Progress::Finished);
    });
}

fn a_machine_that_has_left_before_its_source_had_ended_can_be_struck_off(kind: BrokerKind) {
    crate::run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let (gone, other) = (server.join(&layout, "gone").await, server.join(&layout, "other").await);
        assert_eq!(register(&gone).await, Registered::Open);
        gone.show(b"busy", SHOWN_FOR).await.unwrap();
        gone.leave().await.unwrap();
        assert_eq!(other.progress(A, &[]).await.unwrap(), Progress::Open);
        let visitor = visit(&server, &layout).await;
        assert_eq!(visitor.forget("gone").await.unwrap(), struck(&[], &[("a", "read")]));
        assert_eq!(other.progress(A, &[]).await.unwrap(), Progress::Finished);
    });
}

#[test]
fn where_the_servers_memory_is_full_no_machine_falls_silent() {
    crate::run(async {
        let options = [SAFE, &["--maxmemory", "6mb"]].concat();
        let (server, layout) = (Server::start(&options), layout(&[1_000_000, 10]));
        let one = server.join(&layout, "one").await;
        one.show(b"busy", SHOWN_FOR - Duration::from_secs(16)).await.unwrap();
        let (large, mut n) = ("x".repeat(100_000), 0);
        while commit(&one, "read", &[emits(n + 1, &[&large])]).await.unwrap().full.is_none() {
            n += 1;
        }
        let visitor = visit(&server, &layout).await;
        assert_eq!(visitor.machines().await.unwrap()[0].state, MemberState::Silent);
        one.show(&vec![b'x'; 60_000], SHOWN_FOR).await.unwrap();
        visitor.watch().await.unwrap();
        let seen = visitor.overview().await.unwrap();
        assert_eq!(seen.machines[0].state, MemberState::Alive);
        assert_eq!(seen.machines[0].shown.as_ref().unwrap().1, vec![b'x'; 60_000]);
        assert_eq!(seen.queues[0].ledger.put, n);
    });
}

/// Also where nothing is said by anybody any more.
fn a_machine_that_has_fallen_silent_is_not_listed_as_alive(kind: BrokerKind) {
    crate::run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10]));
        let one = server.join(&layout, "one").await;
        one.show(b"busy", SHOWN_FOR - SILENT_AFTER + Duration::from_secs(3)).await.unwrap();
        drop(one);
        let alive = async || {
            let inventory = Inventory::open(&server.access()).await.unwrap();
            inventory.pipelines().await.unwrap()[0].runs[0].alive
        };
        assert_eq!(alive().await, 1);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(alive().await, 0);
    });
}

#[test]
fn a_key_that_something_else_has_written_is_named_and_hides_no_other_pipeline() {
    crate::run(async {
        let (server, layout) = (Server::safe(BrokerKind::Redis), layout(&[10, 10]));
        let other = Layout { pipeline: "zoo".into(), ..layout.clone() };
        server.join(&other, "zoo").await;
        let one = server.join(&layout, "one").await;
        let long = "x".repeat(LONG_ITEM_BYTES);
        commit(&one, "read", &[emits(1, &["x", &long])]).await.unwrap();
        let taken = one.take(A, 2, false).await.unwrap();
        let visitor = visit(&server, &layout).await;
        let key = "{mprun/test}:1:q:b";
        assert_eq!(server.ask(&format!("SET {key} x")), "+OK");
        let examined = server::examined(&server.access(), &layout).await;
        for refused in [
            examined.map(drop),
            one.take(B, 1, false).await.map(drop),
            commit(&one, "pass", &[passes(1, &taken[0])]).await.map(drop),
            commit(&one, "pass", &[passes(2, &taken[1])]).await.map(drop),
            one.ledger(B).await.map(drop),
            visitor.overview().await.map(drop),
        ] {
            let Err(Fault::Fatal(why)) = refused else { panic!("{refused:?}") };
            assert!(why.contains(&format!("the key {key}: it is a string")), "{why}");
        }
        let held = Inventory::open(&server.access()).await.unwrap().pipelines().await.unwrap();
        let foreign = |n: usize| (held[n].pipeline.as_str(), held[n].runs[0].foreign.clone());
        assert_eq!([foreign(0), foreign(1)], [("test", vec![key.to_owned()]), ("zoo", Vec::new())]);
        assert_eq!(held[0].runs[0].items, 2, "all else is counted");
    });
}

fn a_stage_that_works_on_one_machine_at_a_time_is_free_once_its_machine_was_struck_off(kind: BrokerKind) {
    crate::run(async {
        let (server, layout) = (Server::safe(kind), layout(&[10, 10]));
        let (gone, other) = (server.join(&layout, "gone").await, server.join(&layout, "other").await);
        let read = alone("read");
        gone.register(A, &read).await.unwrap();
        assert_eq!(gone.claim(&read).await.unwrap(), Some(Vec::new()));
        assert_eq!(other.claim(&read).await.unwrap(), None);
        let visitor = visit(&server, &layout).await;
        // Its end is still to be said, by the machine that goes on with it.
        assert_eq!(visitor.forget("gone").await.unwrap(), struck(&[], &[]));
        assert_eq!(gone.claim(&read).await, Err(Fault::Superseded));
        assert_eq!(other.claim(&read).await.unwrap(), Some(Vec::new()));
        assert_eq!(other.progress(A, &[]).await.unwrap(), Progress::Open);
    });
}

on_both!(
    a_run_is_seen_whole_and_a_look_changes_nothing,
    a_machine_that_shows_itself_is_not_struck_off_and_hears_who_looks,
    a_machine_that_was_struck_off_is_refused_whatever_it_brings,
    a_source_whose_machine_was_struck_off_is_a_writer_again_with_its_next_life,
    a_machine_that_has_left_before_its_source_had_ended_can_be_struck_off,
    a_machine_that_has_fallen_silent_is_not_listed_as_alive,
    a_stage_that_works_on_one_machine_at_a_time_is_free_once_its_machine_was_struck_off,
);
