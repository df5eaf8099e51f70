//! The process that speaks with the broker: before the first worker, after the last one.

use super::bench::Bench;
use crate::broker::link::Room;
use crate::broker::{Outage, QueueSettings};
use crate::config::{Broker, BrokerAccess, BrokerUrl, Pipeline, WhenFull};
use crate::control::protocol::{Command, OneStage};
use crate::link::{LinkNews, LinkOrder};
use crate::model::Machines;
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, stage, wanted};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::Pid;
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
        stream_replicas: 1,
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
    bench.send(Event::LinkNews(LinkNews::Up {
        run: 3,
        begun: 7,
        works_off: false,
        warnings: vec!["it may lose a second".into()],
    }));
    bench.run_starts();
    bench.all_ready();
    bench
}

fn away(why: &str) -> LinkNews {
    LinkNews::Away { outage: Outage::Unreachable, why: why.into() }
}

fn denied() -> LinkNews {
    LinkNews::Away { outage: Outage::Denied, why: "wrong password".into() }
}

fn room(stage: &str, room: Room) -> Event {
    Event::LinkNews(LinkNews::Room { stage: stage.into(), room })
}

fn say(bench: &mut Bench, stage: &str, ending: Ending) {
    bench.end(bench.pid(stage, 0), End::Said(ending));
}

fn killed() -> Event {
    Event::LinkEnded(Some(Exit::Signal(SignalNumber(libc::SIGKILL))))
}

#[test]
fn no_worker_starts_before_it_has_said_how_things_are() {
    for news in [
        LinkNews::Up { run: 1, begun: 7, works_off: false, warnings: Vec::new() },
        away("the broker can't be reached: refused"),
    ] {
        let mut bench = begun();
        assert_eq!((bench.links.started, bench.running().len()), (1, 0));
        bench.send(Event::LinkNews(news));
        bench.run_starts();
        assert_eq!(bench.running(), ["a[0]", "b[0]"]);
    }
}

#[test]
fn stopped_inside_the_lock_it_is_killed_and_another_one_starts() {
    let mut bench = up();
    bench.send(Event::LinkSuspended { pid: Pid(77), holds_lock: false });
    assert!(bench.has_said("kill -CONT 77"), "{:?}", bench.said);
    assert_eq!(bench.links.killed, 0);
    bench.send(Event::LinkSuspended { pid: Pid(77), holds_lock: true });
    assert_eq!(bench.links.killed, 1);
    bench.send(killed());
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.links.started, 2);
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
fn a_drain_waits_for_room_at_the_broker_and_a_stop_does_not() {
    let mut bench = up();
    bench.ask(Command::Drain);
    assert_eq!((bench.links.finished, bench.links.stopped), (1, 0));
    bench.send(Event::Terminate);
    assert_eq!((bench.links.finished, bench.links.stopped), (2, 1), "it waits no longer");
    bench.send(Event::Terminate);
    assert_eq!(bench.links.stopped, 1);
}

#[test]
fn a_machine_that_has_come_to_its_end_waits_for_room_until_it_is_stopped() {
    let mut bench = up();
    say(&mut bench, "a", Ending::Finished);
    say(&mut bench, "b", Ending::InputEnded);
    assert_eq!((bench.links.finished, bench.links.stopped), (1, 0));
    bench.send(Event::Terminate);
    assert_eq!((bench.links.finished, bench.links.stopped), (2, 1));
}

#[test]
fn an_outage_is_told_once_with_its_length() {
    let mut bench = up();
    for _ in 0..3 {
        bench.send(Event::LinkNews(away("the broker can't be reached: refused")));
        bench.pass(Duration::from_secs(4));
    }
    bench.send(Event::LinkNews(LinkNews::Up {
        run: 3,
        begun: 7,
        works_off: false,
        warnings: vec!["again".into()],
    }));
    assert_eq!(bench.said.iter().filter(|line| line.contains("can't be reached")).count(), 1);
    assert!(bench.has_said("there again, after 12.0s") && !bench.has_said("again\""), "{:?}", bench.said);
}

#[test]
fn a_secret_that_is_refused_in_the_middle_of_a_run_is_an_outage_and_a_fault_at_its_start() {
    let mut bench = up();
    bench.send(Event::LinkNews(away("the broker can't be reached: gone")));
    for _ in 0..3 {
        bench.send(Event::LinkNews(denied()));
    }
    assert_eq!(
        bench.said.iter().filter(|line| line.contains("wrong password")).count(),
        1,
        "{:?}",
        bench.said
    );
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
    let mut bench = begun();
    bench.send(Event::LinkNews(denied()));
    let outcome = bench.outcome.unwrap();
    assert!(
        matches!(outcome.stopped, Some(StopCause::NoBroker { is_usage: true, .. })),
        "{:?}",
        outcome.stopped
    );
    assert_eq!(bench.links.killed, 1);
}

#[test]
fn a_full_broker_is_said_once_and_that_it_has_room_again_once_all_stages_have_some() {
    let mut bench = up();
    bench.send(room("a", Room::Short));
    bench.send(room("b", Room::Short));
    let full = |bench: &Bench| bench.said.iter().filter(|line| line.contains("is full")).count();
    assert!(
        bench.has_said("the broker redis://db is full: what the stage a has for q waits"),
        "{:?}",
        bench.said
    );
    assert_eq!(full(&bench), 1);
    bench.send(room("a", Room::Gone));
    assert!(bench.has_said("has taken nothing of the stage a for a minute"), "{:?}", bench.said);
    bench.pass(Duration::from_secs(3));
    bench.send(room("a", Room::There));
    assert!(!bench.has_said("room again"));
    bench.send(room("b", Room::There));
    assert!(bench.has_said("the broker redis://db has room again, after 3.0s"), "{:?}", bench.said);
}

#[test]
fn a_burst_of_refused_commits_is_said_once_with_a_cause_that_fits_the_stage() {
    let refused = |stage: &str| Event::LinkNews(LinkNews::Refused { stage: stage.to_owned() });
    let said = |bench: &Bench| bench.said.iter().filter(|line| line.contains("refuses commits")).count();
    let mut bench = placed();
    for _ in 0..6 {
        bench.send(refused("a"));
        bench.send(refused("b"));
        bench.pass(Duration::from_secs(2));
    }
    assert_eq!(said(&bench), 2, "{:?}", bench.said);
    assert!(bench.has_said("commits of the stage a: the broker gave it to another machine"));
    assert!(bench.has_said("commits of the stage b: another machine was faster with the items"));
    bench.pass(Duration::from_secs(60));
    bench.send(refused("a"));
    assert_eq!(said(&bench), 3, "{:?}", bench.said);
}

#[test]
fn another_password_in_the_file_reaches_the_next_process() {
    let mut bench = up();
    let mut pipeline = shared();
    pipeline.broker.as_mut().unwrap().url = BrokerUrl::parse("redis://:new@db").unwrap();
    bench.reload(pipeline);
    assert_eq!((bench.links.started, bench.links.killed), (1, 1), "{:?}", bench.said);
    bench.send(killed());
    bench.pass(Duration::from_secs(1));
    assert_eq!((bench.links.started, bench.links.killed), (2, 1), "{:?}", bench.said);
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

/// `a` works where the broker says.
fn placed() -> Bench {
    let mut pipeline = shared();
    pipeline.stages[0].placed = Some(Machines::One);
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(pipeline, &["a"])));
    bench.send(Event::LinkNews(LinkNews::Up { run: 1, begun: 7, works_off: false, warnings: Vec::new() }));
    bench.run_starts();
    bench
}

fn news(bench: &mut Bench, news: fn(String) -> LinkNews) {
    bench.send(Event::LinkNews(news("a".into())));
    bench.run_starts();
    bench.all_ready();
}

const HERE: fn(String) -> LinkNews = |stage| LinkNews::Here { stage };
const ELSEWHERE: fn(String) -> LinkNews = |stage| LinkNews::Elsewhere { stage };

fn stopped() -> LinkOrder {
    LinkOrder::Stopped { stage: "a".into() }
}

fn switched(is_off: bool) -> LinkOrder {
    LinkOrder::Switch { stage: "a".into(), is_off }
}

#[test]
fn a_stage_that_moves_works_while_the_broker_says_so() {
    let mut bench = placed();
    assert_eq!(bench.running(), ["b[0]"]);
    assert_eq!(bench.links.orders, [stopped()], "no worker of it is there");
    news(&mut bench, HERE);
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
    news(&mut bench, ELSEWHERE);
    assert_eq!(bench.links.orders.len(), 1, "its worker is there still");
    bench.obey();
    assert_eq!((bench.running(), &bench.links.orders[1..]), (vec!["b[0]".to_owned()], &[stopped()][..]));
    assert!(bench.outcome.is_none());
    news(&mut bench, HERE);
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
}

#[test]
fn an_end_that_was_none_is_taken_back() {
    let mut bench = placed();
    news(&mut bench, HERE);
    say(&mut bench, "a", Ending::Finished);
    say(&mut bench, "b", Ending::InputEnded);
    assert_eq!(bench.links.finished, 1);
    news(&mut bench, ELSEWHERE);
    assert_eq!((bench.links.heard, bench.links.finished), (1, 1), "that order is one from before");
    assert_eq!(bench.links.orders.last(), Some(&stopped()));
    news(&mut bench, HERE);
    assert_eq!(bench.running(), ["a[0]", "b[0]"], "there may be items for it again");
    say(&mut bench, "a", Ending::Finished);
    say(&mut bench, "b", Ending::InputEnded);
    assert_eq!(bench.links.finished, 2);
    bench.send(Event::LinkEnded(Some(Exit::Code(0))));
    assert!(!bench.outcome.as_ref().unwrap().failed);
}

#[test]
fn without_autostart_a_stage_is_not_wanted_of_the_broker_before_it_is_started() {
    let mut pipeline = shared();
    pipeline.stages[0].placed = Some(Machines::One);
    pipeline.stages[0].rules.autostart = false;
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(pipeline, &[])));
    bench.run_starts();
    bench.send(Event::LinkNews(LinkNews::Up { run: 3, begun: 7, works_off: false, warnings: Vec::new() }));
    bench.run_starts();
    assert_eq!(bench.links.orders[..], [switched(true), stopped()]);
    news(&mut bench, HERE);
    assert_eq!(bench.running(), ["b[0]"]);
    bench.ask(Command::StartStage(OneStage { stage: "a".into(), wait: false }));
    bench.run_starts();
    assert_eq!(bench.links.orders.last(), Some(&switched(false)));
    news(&mut bench, HERE);
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
}

#[test]
fn one_that_is_stopped_by_hand_is_free_for_others_and_comes_back_only_by_the_broker() {
    let mut bench = placed();
    news(&mut bench, HERE);
    let whom = || OneStage { stage: "a".into(), wait: false };
    bench.ask(Command::StopStage(whom()));
    bench.obey();
    assert_eq!(bench.links.orders[1..], [switched(true), stopped()]);
    news(&mut bench, HERE);
    assert_eq!(bench.running(), ["b[0]"], "it was said before the link knew");
    bench.ask(Command::StartStage(whom()));
    bench.run_starts();
    assert_eq!((bench.running().len(), bench.links.orders.last()), (1, Some(&switched(false))));
    // The next link knows nothing of all that.
    let orders = bench.links.orders.len();
    bench.send(killed());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.links.orders[orders..], [stopped()]);
    news(&mut bench, HERE);
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
}

#[test]
fn what_was_done_in_the_run_before_is_not_begun_again() {
    let mut bench = begun();
    bench.send(Event::LinkNews(LinkNews::Over { stage: "a".into() }));
    bench.send(Event::LinkNews(LinkNews::Up { run: 1, begun: 7, works_off: false, warnings: Vec::new() }));
    bench.run_starts();
    assert_eq!(bench.running(), ["b[0]"]);
    let mut bench = up();
    bench.send(Event::LinkNews(LinkNews::Over { stage: "a".into() }));
    assert_eq!(bench.running(), ["a[0]", "b[0]"], "it has begun in this life");
}

/// In a run that works off dead letters sources have nothing to do, wherever they work.
#[test]
fn the_sources_of_a_run_that_works_off_dead_letters_are_over() {
    for placed in [None, Some(Machines::All), Some(Machines::One)] {
        let mut pipeline = shared();
        pipeline.stages[0].placed = placed;
        let mut bench = Bench::new();
        bench.send(Event::Begin(wanted(pipeline, &["a"])));
        bench.run_starts();
        let up = LinkNews::Up { run: 2, begun: 7, works_off: true, warnings: Vec::new() };
        for _ in 0..2 {
            bench.send(Event::LinkNews(up.clone()));
            bench.run_starts();
            assert_eq!(bench.running(), ["b[0]"], "{placed:?}");
        }
        assert!(bench.has_said("only works off dead letters"), "{placed:?}");
    }
}
