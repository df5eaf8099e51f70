//! Every phase with every event: what the link does, as a table.

use super::machine::ACK_WAIT;
use super::model::{A, B};
use crate::broker::link::{Effect, Event, LineId, Link, Remains, Role};
use crate::broker::{Full, Judged, Sequence, Verdict, Woken};
use std::time::{Duration, Instant};

const HELD: Sequence = Sequence(1, 0);
const COMMITTED: Sequence = Sequence(2, 0);
const NEW: Sequence = Sequence(3, 0);

/// In the arena: two items held, one of them with commit 5, which has no verdict.
fn away(now: Instant) -> Link {
    let remains =
        Remains { held: vec![(A, vec![HELD, COMMITTED])], commits: vec![vec![(5, vec![(A, COMMITTED)])]] };
    Link::new(&remains, &[Role { reads: vec![A], ..Role::default() }], ACK_WAIT, now)
}

fn after(mut link: Link, events: &[Event], now: Instant) -> Link {
    for event in events {
        link.handle(event.clone(), now);
    }
    link
}

fn phases(now: Instant) -> [(&'static str, Link); 7] {
    let held = Event::Held { queue: A, sequences: vec![HELD, COMMITTED] };
    let none = Event::Held { queue: A, sequences: Vec::new() };
    let joined = [Event::Tick, Event::Joined];
    let up = [&joined[..], &[held.clone(), Event::Room { queue: A, places: 2 }]].concat();
    let done = Judged { verdicts: vec![Verdict::Done], full: None, before: 4 };
    let judged = Event::Judged { line: LineId(0), first: 5, judged: done };
    let leaving = [&joined[..], &[none, judged, Event::Finish]].concat();
    [
        ("away", after(away(now), &[Event::Tick, Event::Broken { jitter: 1.0 }], now)),
        ("joining", after(away(now), &joined[..1], now)),
        ("joined", after(away(now), &joined, now)),
        ("up", after(away(now), &up, now)),
        ("finishing", after(away(now), &[&up[..], &[Event::Finish]].concat(), now)),
        ("leaving", after(away(now), &leaving, now)),
        ("over", after(away(now), &[Event::Hopeless("x".into())], now)),
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    let judged = |first, verdicts: &[Verdict], full, before| {
        let judged = Judged { verdicts: verdicts.to_vec(), full, before };
        Event::Judged { line: LineId(0), first, judged }
    };
    vec![
        ("tick", Event::Tick),
        ("joined", Event::Joined),
        ("broken", Event::Broken { jitter: 1.0 }),
        ("hopeless", Event::Hopeless("no".into())),
        ("held all", Event::Held { queue: A, sequences: vec![HELD, COMMITTED] }),
        ("held none", Event::Held { queue: A, sequences: Vec::new() }),
        ("held more", Event::Held { queue: A, sequences: vec![HELD, COMMITTED, NEW] }),
        ("room", Event::Room { queue: A, places: 3 }),
        ("taken", Event::Taken { queue: A, asked: 2, sequences: vec![NEW] }),
        ("taken again", Event::Taken { queue: A, asked: 2, sequences: vec![HELD] }),
        ("extended", Event::Extended { queue: A, lost: Vec::new() }),
        ("extended, lost", Event::Extended { queue: A, lost: vec![HELD, COMMITTED] }),
        ("withdrawn", Event::Withdrawn { queue: A, leases: vec![(HELD, 1)] }),
        ("queued", Event::Queued { line: LineId(0), number: 6, ends: vec![(A, HELD)] }),
        ("done", judged(5, &[Verdict::Done], None, 4)),
        ("refused", judged(5, &[Verdict::Refused], None, 4)),
        ("done, forgotten", judged(5, &[Verdict::Done], None, 2)),
        ("full", judged(5, &[], Some(Full::Queue(B)), 4)),
        ("no memory", judged(5, &[], Some(Full::Memory), 0)),
        ("judged before", judged(4, &[Verdict::Done], None, 3)),
        ("items", Event::Woken(Woken::Items(A))),
        ("room in B", Event::Woken(Woken::Room(B))),
        ("woken, away", Event::Woken(Woken::Away)),
        ("switched off", Event::Switched { line: LineId(0), is_off: true }),
        ("end forgotten", Event::EndForgotten { line: LineId(0) }),
        ("finish", Event::Finish),
        ("left", Event::Left),
    ]
}

fn words(effects: &[Effect]) -> String {
    let word = |effect: &Effect| {
        let text = format!("{effect:?}");
        let text = text.replace("SharedQueue(0)", "A").replace("LineId(0)", "0").replace("queue: A, ", "");
        let text = text.replace(" { queue: A }", "");
        (1..=3).fold(text, |text, n| text.replace(&format!("Sequence({n}, 0)"), &n.to_string()))
    };
    effects.iter().map(word).collect::<Vec<_>>().join("; ")
}

#[test]
fn every_event_in_every_phase_leads_to_what_the_table_says() {
    let now = Instant::now();
    let mut table = String::new();
    for (name, event) in events() {
        for (phase, mut link) in phases(now) {
            // A later time, at which no other deadline than that of a connection has come.
            let effects = link.handle(event.clone(), now + Duration::from_millis(1));
            let effects = words(&effects);
            if !effects.is_empty() {
                table += &format!("{name} | {phase} | {effects}\n");
            }
        }
    }
    let expected = include_str!("pairs.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("src/broker/link/tests/pairs.txt", &table).unwrap();
    }
    assert!(table == expected, "the table is now:\n{table}");
}

#[test]
fn tries_to_connect_come_at_growing_pauses_up_to_the_longest() {
    let now = Instant::now();
    let mut link = away(now);
    let (mut at, mut pauses) = (now, Vec::new());
    for _ in 0..12 {
        assert_eq!(link.handle(Event::Tick, at), [Effect::Join]);
        assert_eq!(link.handle(Event::Broken { jitter: 1.0 }, at), []);
        assert_eq!(link.handle(Event::Broken { jitter: 1.0 }, at), [], "it is told once");
        let next = link.deadline().unwrap();
        pauses.push((next - at).as_millis());
        at = next;
    }
    assert_eq!(pauses[..4], [100, 200, 400, 800]);
    assert_eq!(pauses[8..], [5000; 4]);
}

#[test]
fn leases_are_extended_thrice_in_their_time_and_expired_ones_looked_for() {
    let now = Instant::now();
    let held = Event::Held { queue: A, sequences: vec![HELD, COMMITTED] };
    let mut link = after(away(now), &[Event::Tick, Event::Joined, held], now);
    assert_eq!(link.deadline(), Some(now + ACK_WAIT / 3));
    let at = now + ACK_WAIT / 3;
    let extend = Effect::Extend { queue: A, sequences: vec![HELD, COMMITTED] };
    assert_eq!(link.handle(Event::Tick, at), [extend]);
    assert_eq!(link.handle(Event::Tick, at), [], "one request is under way");
    link.handle(Event::Extended { queue: A, lost: Vec::new() }, at);
    let take = |look_for_expired| Effect::Take { queue: A, n: 2, look_for_expired };
    assert_eq!(link.handle(Event::Room { queue: A, places: 2 }, at), [take(true)]);
    assert_eq!(link.handle(Event::Taken { queue: A, asked: 2, sequences: Vec::new() }, at), []);
    assert_eq!(link.handle(Event::Woken(Woken::Items(A)), at), [take(false)]);
    link.handle(Event::Taken { queue: A, asked: 2, sequences: Vec::new() }, at);
    assert_eq!(link.handle(Event::Tick, at + ACK_WAIT / 4), [take(true)]);
}

#[test]
fn where_a_look_for_expired_leases_found_as_many_as_asked_for_there_may_be_more_at_once() {
    let now = Instant::now();
    let held = Event::Held { queue: A, sequences: vec![HELD, COMMITTED] };
    let mut link = after(away(now), &[Event::Tick, Event::Joined, held], now);
    let take = |look_for_expired| Effect::Take { queue: A, n: 1, look_for_expired };
    let stored = |n| Effect::Store { queue: A, sequences: vec![Sequence(n, 0)] };
    assert_eq!(link.handle(Event::Room { queue: A, places: 1 }, now), [take(true)]);
    for n in 1001..1004 {
        let taken = Event::Taken { queue: A, asked: 1, sequences: vec![Sequence(n, 0)] };
        assert_eq!(link.handle(taken, now), [stored(n)]);
        assert_eq!(link.handle(Event::Room { queue: A, places: 1 }, now), [take(true)]);
    }
}

#[test]
fn a_full_queue_is_asked_again_once_there_is_room_or_a_time_has_passed() {
    let now = Instant::now();
    let held = Event::Held { queue: A, sequences: vec![HELD, COMMITTED] };
    let judged = Judged { verdicts: Vec::new(), full: Some(Full::Queue(B)), before: 4 };
    let full = Event::Judged { line: LineId(0), first: 5, judged };
    let blocked = || after(away(now), &[Event::Tick, Event::Joined, held.clone(), full.clone()], now);
    let commit = [Effect::Commit { line: LineId(0), first: 5, last: 5 }];
    assert_eq!(blocked().handle(Event::Woken(Woken::Room(A)), now), [], "another queue");
    assert_eq!(blocked().handle(Event::Woken(Woken::Room(B)), now), commit);
    assert_eq!(blocked().handle(Event::Tick, now + Duration::from_secs(5)), commit);
}

#[test]
fn a_request_after_a_full_queue_has_as_many_commits_as_found_room_and_twice_as_many_after_each_that_did() {
    let now = Instant::now();
    let remains = Remains { held: Vec::new(), commits: vec![(1..=300).map(|n| (n, Vec::new())).collect()] };
    let mut link = Link::new(&remains, &[Role::default()], ACK_WAIT, now);
    let commit = |first, last| [Effect::Commit { line: LineId(0), first, last }];
    link.handle(Event::Tick, now);
    assert_eq!(link.handle(Event::Joined, now)[1..], commit(1, 128));
    let mut judged = |first, n, full| {
        let judged = Judged { verdicts: vec![Verdict::Done; n], full, before: first - 1 };
        let effects = link.handle(Event::Judged { line: LineId(0), first, judged }, now);
        [effects, link.handle(Event::Woken(Woken::Room(B)), now)].concat().split_off(usize::from(n > 0))
    };
    let full = Some(Full::Queue(B));
    assert_eq!(judged(1, 3, full), commit(4, 6));
    assert_eq!(judged(4, 3, None), commit(7, 12));
    assert_eq!(judged(7, 0, full), commit(7, 7));
    assert_eq!(judged(7, 1, None), commit(8, 9));
}

#[test]
fn a_machine_that_has_nothing_for_the_broker_leaves_one_that_is_away_without_a_word() {
    let now = Instant::now();
    let mut link = Link::new(&Remains::default(), &[Role::default()], ACK_WAIT, now);
    assert_eq!(link.handle(Event::Tick, now), [Effect::Join]);
    assert_eq!(
        (link.handle(Event::Finish, now), link.deadline()),
        (vec![], Some(now + Duration::from_secs(1)))
    );
    assert_eq!(link.handle(Event::Tick, now + Duration::from_secs(1)), [Effect::Exit(None)]);
    let mut link = after(away(now), &[Event::Tick, Event::Broken { jitter: 1.0 }, Event::Finish], now);
    assert_eq!(link.handle(Event::Tick, now + Duration::from_secs(2)), [Effect::Join], "it holds an item");
}
