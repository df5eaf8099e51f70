//! `after`: the order of first starts, and of ends.

use super::bench::Bench;
use crate::config::{OnGiveUp, Pipeline, Schedule, Stage};
use crate::control::protocol::{Command, OneStage};
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, service, stage, wanted};
use crate::supervisor::machine::event::Event;
use std::time::Duration;

fn after(mut stage: Stage, names: &[&str]) -> Stage {
    stage.after = names.iter().map(|name| name.to_string()).collect();
    stage
}

/// `web` comes after `app`, and that after `db`; they stand the other way round.
fn chain() -> Pipeline {
    pipeline(vec![after(service("web"), &["app"]), after(service("app"), &["db"]), service("db")])
}

fn begun(pipeline: Pipeline) -> Bench {
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(pipeline, &[])));
    bench.run_starts();
    bench
}

#[test]
fn each_is_started_once_those_before_it_are_ready() {
    let mut bench = begun(chain());
    assert_eq!(bench.running(), ["db[0]"]);
    assert_eq!(bench.state.waits_for(&bench.state.stages[0]), ["app"]);
    bench.all_ready();
    assert_eq!(bench.running(), ["app[0]", "db[0]"]);
    assert!(bench.state.waits_for(&bench.state.stages[1]).is_empty());
    assert!(!bench.has_said("up after"));
    bench.all_ready();
    assert_eq!(bench.running(), ["app[0]", "db[0]", "web[0]"]);
    bench.all_ready();
    assert!(bench.has_said("up after"), "{:?}", bench.said);
}

#[test]
fn one_that_dies_before_it_is_ready_is_waited_for() {
    let mut bench = begun(chain());
    for _ in 0..3 {
        bench.crash("db", 0);
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.running(), ["db[0]"]);
    }
    bench.all_ready();
    assert_eq!(bench.running(), ["app[0]", "db[0]"]);
}

#[test]
fn a_restart_of_one_leaves_the_others_alone_and_waits_for_none() {
    let mut bench = begun(chain());
    (0..3).for_each(|_| bench.all_ready());
    let (app, web) = (bench.pid("app", 0), bench.pid("web", 0));
    bench.crash("db", 0);
    bench.crash("db", 0);
    assert_eq!((bench.pid("app", 0), bench.pid("web", 0)), (app, web));
    assert_eq!(bench.running(), ["app[0]", "web[0]"], "db waits for its back-off");
    bench.crash("web", 0);
    assert_eq!(bench.running(), ["app[0]", "web[0]"]);
}

#[test]
fn what_will_not_be_started_is_not_waited_for() {
    let mut given_up = service("db");
    (given_up.rules.on_give_up, given_up.rules.give_up.restarts) = (OnGiveUp::Continue, 0);
    let mut bench = begun(pipeline(vec![after(service("web"), &["db"]), given_up]));
    bench.crash("db", 0);
    assert_eq!(bench.running(), ["web[0]"]);

    let mut scheduled = service("db");
    scheduled.rules.schedule = Some(Schedule::parse("* * * * *").unwrap());
    let bench = begun(pipeline(vec![after(service("web"), &["db"]), scheduled]));
    assert_eq!(bench.running(), ["web[0]"]);

    let mut bench = begun(pipeline(vec![after(service("web"), &["db"]), service("db")]));
    bench.ask(Command::StopStage(OneStage { stage: "db".into(), wait: false }));
    assert_eq!(bench.running(), ["db[0] termed", "web[0]"]);
}

#[test]
fn a_stop_ends_each_service_after_those_that_come_after_it() {
    let mut bench = begun(chain());
    (0..3).for_each(|_| bench.all_ready());
    bench.send(Event::Terminate);
    assert_eq!(bench.running(), ["app[0]", "db[0]", "web[0] termed"]);
    bench.say("web", 0, Ending::Ordered);
    assert_eq!(bench.running(), ["app[0] termed", "db[0]"]);
    bench.say("app", 0, Ending::Ordered);
    assert_eq!(bench.running(), ["db[0] termed"]);
    bench.obey();
    assert!(!bench.outcome.unwrap().failed);
}

#[test]
fn a_stop_that_takes_too_long_or_is_urgent_waits_for_no_order() {
    let mut bench = begun(chain());
    (0..3).for_each(|_| bench.all_ready());
    bench.send(Event::Terminate);
    bench.send(Event::Quit);
    assert_eq!(bench.running(), ["app[0] termed", "db[0] termed", "web[0] termed"]);
}

#[test]
fn a_service_outlives_the_items_of_those_that_need_it_and_queues_come_first() {
    // `sink` needs `db`; that it comes after its own source as well holds up neither.
    let sink = after(stage("sink", &["q"], &[]), &["db", "source"]);
    let mut bench = begun(pipeline(vec![service("db"), stage("source", &[], &["q"]), sink]));
    assert_eq!(bench.running(), ["db[0]", "source[0]"]);
    (0..2).for_each(|_| bench.all_ready());
    bench.send(Event::Terminate);
    assert_eq!(bench.running(), ["db[0]", "sink[0] drain", "source[0] finish"]);
    bench.say("source", 0, Ending::Ordered);
    bench.say("sink", 0, Ending::InputEnded);
    assert_eq!(bench.running(), ["db[0] termed"]);
}

#[test]
fn a_stop_before_all_are_started_starts_none_of_them() {
    let mut bench = begun(chain());
    bench.send(Event::Terminate);
    assert_eq!(bench.running(), ["db[0] termed"]);
    bench.obey();
    assert!(bench.outcome.is_some());
}

#[test]
fn what_a_reload_adds_or_removes_has_its_order_and_after_alone_restarts_none() {
    let mut bench = begun(pipeline(vec![service("web")]));
    bench.all_ready();
    let web = bench.pid("web", 0);
    bench.reload(pipeline(vec![after(service("web"), &["db"]), service("db"), after(service("x"), &["db"])]));
    assert_eq!((bench.pid("web", 0), bench.running()), (web, vec!["db[0]".to_owned(), "web[0]".to_owned()]));
    bench.all_ready();
    assert_eq!(bench.running(), ["db[0]", "web[0]", "x[0]"]);
    bench.all_ready();
    bench.reload(pipeline(vec![service("web")]));
    assert_eq!(bench.running(), ["db[0]", "web[0]", "x[0] termed"]);
    bench.say("x", 0, Ending::Ordered);
    assert_eq!(bench.running(), ["db[0] termed", "web[0]"]);
}

#[test]
fn one_that_was_never_started_holds_up_no_removal() {
    let mut bench = begun(pipeline(vec![service("web")]));
    bench.all_ready();
    bench.reload(pipeline(vec![service("web"), service("db"), after(service("x"), &["db"])]));
    bench.reload(pipeline(vec![service("web")]));
    bench.all_ready();
    assert!(!bench.running().contains(&"db[0]".to_owned()), "{:?}", bench.running());
}
