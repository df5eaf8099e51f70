//! The process that speaks with the broker: before the first worker, after the last one.

use super::bench::Bench;
use crate::broker::QueueSettings;
use crate::config::{Broker, BrokerAccess, BrokerUrl, Pipeline, WhenFull};
use crate::link::LinkNews;
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, stage, wanted};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::reason::{End, StopCause};
use crate::sys::wait::{Exit, SignalNumber};
use std::time::Duration;

/// `a` writes the shared queue that `b` reads.
fn shared() -> Pipeline {
    let access = BrokerAccess {
        credentials_file: None,
        tls_ca: None,
        prefix: "p".into(),
        ack_wait: Duration::from_secs(30),
        allow_loss: false,
    };
    let queue = QueueSettings { name: "q".into(), capacity: 10, when_full: WhenFull::Block };
    let url = BrokerUrl::parse("redis://db").unwrap();
    let broker = Broker { url, access, queues: vec![queue], before: vec![Vec::new()] };
    Pipeline { broker: Some(broker), ..pipeline(vec![stage("a", &[], &["q"]), stage("b", &["q"], &[])]) }
}

fn begun() -> Bench {
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(shared(), &[])));
    bench.run_starts();
    bench
}

fn up() -> Bench {
    let mut bench = begun();
    bench.send(Event::LinkNews(LinkNews::Up { run: 3, warnings: vec!["it may lose a second".into()] }));
    bench.run_starts();
    bench.all_ready();
    bench
}

fn say(bench: &mut Bench, stage: &str, ending: Ending) {
    bench.end(bench.pid(stage, 0), End::Said(ending));
}

fn killed() -> Event {
    Event::LinkEnded(Some(Exit::Signal(SignalNumber(libc::SIGKILL))))
}

#[test]
fn no_worker_starts_before_it_has_said_how_things_are() {
    for news in [LinkNews::Up { run: 1, warnings: Vec::new() }, LinkNews::Away { why: "refused".into() }] {
        let mut bench = begun();
        assert_eq!((bench.links.started, bench.running().len()), (1, 0));
        bench.send(Event::LinkNews(news));
        bench.run_starts();
        assert_eq!(bench.running(), ["a[0]", "b[0]"]);
    }
}

#[test]
fn the_run_ends_once_it_has_left_after_the_last_worker() {
    let mut bench = up();
    assert!(bench.has_said("it may lose a second"), "{:?}", bench.said);
    say(&mut bench, "a", Ending::Finished);
    assert_eq!(bench.links.finished, 0);
    say(&mut bench, "b", Ending::InputEnded);
    assert_eq!((bench.links.finished, bench.outcome.is_none()), (1, true));
    bench.send(Event::LinkEnded(Some(Exit::Code(0))));
    assert!(!bench.outcome.as_ref().unwrap().failed);
}

#[test]
fn one_that_dies_is_started_again_and_told_to_finish_again() {
    let mut bench = up();
    bench.send(killed());
    bench.pass(Duration::from_secs(2));
    assert_eq!((bench.links.started, bench.links.joined_before), (2, true));
    say(&mut bench, "a", Ending::Finished);
    say(&mut bench, "b", Ending::InputEnded);
    bench.send(killed());
    assert!(bench.outcome.is_none());
    bench.pass(Duration::from_secs(120));
    assert_eq!((bench.links.started, bench.links.finished), (3, 2));
    bench.send(Event::LinkEnded(Some(Exit::Code(0))));
    assert!(bench.outcome.is_some());
}

#[test]
fn on_a_stop_it_is_told_at_once_and_killed_when_all_is_killed() {
    let mut bench = up();
    bench.send(Event::Terminate);
    assert_eq!((bench.links.finished, bench.links.killed), (1, 0));
    bench.send(Event::Quit);
    assert_eq!(bench.links.killed, 1);
    say(&mut bench, "a", Ending::Ordered);
    say(&mut bench, "b", Ending::Ordered);
    assert!(bench.outcome.is_some(), "it waits for none that was killed");
}

#[test]
fn an_outage_is_told_once_with_its_length() {
    let mut bench = up();
    for _ in 0..3 {
        bench.send(Event::LinkNews(LinkNews::Away { why: "refused".into() }));
        bench.pass(Duration::from_secs(4));
    }
    bench.send(Event::LinkNews(LinkNews::Up { run: 3, warnings: vec!["again".into()] }));
    assert_eq!(bench.said.iter().filter(|line| line.contains("can't be reached")).count(), 1);
    assert!(bench.has_said("there again, after 12.0s") && !bench.has_said("again\""), "{:?}", bench.said);
}

#[test]
fn a_run_that_has_ended_ends_this_machine_without_a_worker() {
    let mut bench = begun();
    bench.send(Event::LinkNews(LinkNews::Ended { at: 0 }));
    assert!(bench.has_said("1970-01-01T00:00:00Z") && bench.running().is_empty(), "{:?}", bench.said);
    let outcome = bench.outcome.unwrap();
    assert!(!outcome.failed && matches!(outcome.stopped, Some(StopCause::RunEnded)));
}

#[test]
fn a_broker_that_never_takes_it_is_a_fault_of_the_start_or_of_the_run() {
    for (mut bench, expected) in [(begun(), true), (up(), false)] {
        bench.send(Event::LinkNews(LinkNews::Hopeless { why: "wrong password".into() }));
        bench.send(Event::LinkEnded(Some(Exit::Code(2))));
        for (stage, ending) in [("a", Ending::Ordered), ("b", Ending::Ordered)] {
            if bench.running().iter().any(|name| name.starts_with(stage)) {
                say(&mut bench, stage, ending);
            }
        }
        let outcome = bench.outcome.unwrap();
        assert!(outcome.failed);
        let Some(StopCause::NoBroker { is_usage, .. }) = outcome.stopped else {
            panic!("{:?}", outcome.stopped)
        };
        assert_eq!(is_usage, expected);
    }
}

#[test]
fn without_shared_queues_there_is_none() {
    let bench = Bench::up(Pipeline { broker: None, ..shared() });
    assert_eq!((bench.links.started, bench.running().len()), (0, 2));
}
