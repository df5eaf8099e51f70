use super::bench::{Bench, segv};
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, service, stage};
use crate::supervisor::machine::event::Event;
use std::time::Duration;

fn chain() -> crate::config::Pipeline {
    pipeline(vec![stage("a", &[], &["p"]), stage("b", &["p"], &["q"]), stage("c", &["q"], &[])])
}

#[test]
fn a_stop_lets_sources_finish_and_the_others_drain() {
    let mut bench = Bench::up(chain());
    bench.send(Event::Terminate);
    assert_eq!(bench.running(), ["a[0] finish", "b[0] drain", "c[0] drain"]);
    bench.say("a", 0, Ending::Ordered);
    assert!(bench.ended.contains("p") && !bench.ended.contains("q"));
    bench.obey_and_drain();
    let outcome = bench.outcome.unwrap();
    assert!(!outcome.failed && outcome.stopped.is_some());
}

#[test]
fn a_drain_goes_on_after_a_crash() {
    let mut bench = Bench::up(chain());
    bench.send(Event::Terminate);
    bench.crash("b", 0);
    assert_eq!(bench.running(), ["a[0] finish", "b[0] drain", "c[0] drain"]);
    bench.crash("a", 0);
    assert_eq!(bench.running(), ["b[0] drain", "c[0] drain"], "a source that is to end is not started again");
    bench.obey_and_drain();
    assert!(!bench.outcome.unwrap().failed);
}

#[test]
fn a_drain_that_takes_too_long_is_ended_by_term_and_then_by_kill() {
    let mut bench = Bench::up(chain());
    bench.send(Event::Terminate);
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.running(), ["a[0] termed", "b[0] termed", "c[0] termed"]);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.running(), ["a[0] killed", "b[0] killed", "c[0] killed"]);
    bench.obey();
    assert!(!bench.outcome.unwrap().failed);
}

#[test]
fn a_second_interrupt_skips_the_drain_and_a_third_the_patience() {
    let mut bench = Bench::up(chain());
    bench.send(Event::Interrupt);
    bench.pass(Duration::from_millis(200));
    bench.send(Event::Interrupt);
    assert!(
        bench.has_said("stopping all workers, for at most 10s (stop_timeout); Ctrl-C kills them"),
        "{:?}",
        bench.said
    );
    assert_eq!(bench.running(), ["a[0] termed", "b[0] termed", "c[0] termed"]);
    bench.pass(Duration::from_millis(200));
    bench.send(Event::Interrupt);
    assert_eq!(bench.running(), ["a[0] killed", "b[0] killed", "c[0] killed"]);
}

#[test]
fn interrupts_that_come_at_once_are_one_wish() {
    let mut bench = Bench::up(chain());
    for _ in 0..3 {
        bench.send(Event::Interrupt);
        bench.pass(Duration::from_millis(60));
    }
    assert_eq!(bench.running(), ["a[0] finish", "b[0] drain", "c[0] drain"]);
    // An echo does not make the next wish an echo as well.
    bench.pass(Duration::from_millis(20));
    bench.send(Event::Interrupt);
    assert_eq!(bench.running(), ["a[0] termed", "b[0] termed", "c[0] termed"]);
}

#[test]
fn the_same_request_sent_twice_by_a_service_manager_is_one_request() {
    let mut bench = Bench::up(chain());
    bench.send(Event::Terminate);
    bench.send(Event::Terminate);
    assert_eq!(bench.running(), ["a[0] finish", "b[0] drain", "c[0] drain"]);
}

#[test]
fn workers_that_wait_for_their_back_off_don_t_hold_up_a_stop() {
    let mut bench = Bench::up(chain());
    for _ in 0..6 {
        bench.crash("a", 0);
        bench.pass(Duration::from_millis(1600));
    }
    bench.all_ready();
    bench.crash("a", 0);
    assert_eq!(bench.running(), ["b[0]", "c[0]"]);
    bench.send(Event::Interrupt);
    bench.obey_and_drain();
    assert!(bench.outcome.is_some());
}

#[test]
fn a_lost_terminal_stops_the_pipeline() {
    let mut bench = Bench::up(chain());
    bench.send(Event::TerminalGone);
    bench.obey_and_drain();
    assert!(bench.outcome.is_some());
}

#[test]
fn nothing_is_reloaded_any_more_once_it_stops() {
    let mut bench = Bench::up(chain());
    bench.send(Event::FileTouched);
    bench.send(Event::Terminate);
    bench.send(Event::Hangup);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.loads, 0);
    bench.reload(pipeline(vec![stage("x", &[], &[])]));
    assert_eq!(bench.running(), ["a[0] finish", "b[0] drain", "c[0] drain"]);
}

#[test]
fn a_stop_during_a_roll_still_drains() {
    let mut bench = Bench::up(chain());
    let mut new = chain();
    new.stages[1].work.task = crate::config::Task::of("y");
    bench.reload(new);
    assert_eq!(bench.running(), ["a[0]", "b[0] finish", "c[0]"]);
    bench.send(Event::Terminate);
    bench.say("b", 0, Ending::Ordered);
    assert_eq!(bench.running(), ["a[0] finish", "b[0] drain", "c[0] drain"], "somebody has to drain p");
    bench.end(bench.pid("c", 0), segv());
    bench.obey_and_drain();
    assert!(!bench.outcome.unwrap().failed);
}

#[test]
fn services_are_spoken_of_as_services() {
    let mut bench = Bench::up(pipeline(vec![service("web"), service("app")]));
    assert!(bench.said.iter().any(|line| line.ends_with(": 2 services, 2 processes")), "{:?}", bench.said);
    for says in [
        "SIGINT: stopping the services, those that come after others first, for at most 30s; Ctrl-C skips that",
        "SIGINT again: stopping all services, for at most 10s (stop_timeout); Ctrl-C kills them",
    ] {
        bench.send(Event::Interrupt);
        assert!(bench.has_said(says), "{:?}", bench.said);
        bench.pass(Duration::from_millis(200));
    }
    bench.send(Event::Interrupt);
    assert_eq!(bench.running(), ["app[0] killed", "web[0] killed"]);
}
