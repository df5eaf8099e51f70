//! A stage that is failing: said once, waited for, and the end of the run where that is wanted.

use super::bench::{Bench, segv};
use super::keeping::upgraded_with;
use crate::config::{Pipeline, WhenFailing};
use crate::control::protocol::{Command, OneStage};
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, stage, wanted};
use crate::supervisor::machine::event::{Event, FailingNews};
use crate::supervisor::machine::reason::StopCause;
use crate::supervisor::machine::totals::ProcessWork;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn chain(when_failing: WhenFailing, timeout: Option<Duration>) -> Pipeline {
    let mut send = stage("send", &["q"], &[]);
    send.tuning.when_failing = when_failing;
    send.rules.failing_timeout = timeout;
    pipeline(vec![stage("read", &[], &["q"]), send])
}

fn fail(bench: &mut Bench) {
    fail_since(bench, Duration::ZERO);
}

/// `since`: by the clock.
fn fail_since(bench: &mut Bench, since: Duration) {
    let key = bench.knows(bench.pid("send", 0)).unwrap().stage;
    let news = FailingNews { since, last_words: "no such host".to_owned() };
    bench.send(Event::Failing(key, Some(news)));
}

fn recover(bench: &mut Bench) {
    let key = bench.knows(bench.pid("send", 0)).unwrap().stage;
    bench.send(Event::Failing(key, None));
}

fn times_said(bench: &Bench, text: &str) -> usize {
    bench.said.iter().filter(|said| said.contains(text)).count()
}

fn has_failed(mut bench: Bench) {
    bench.obey_and_drain();
    let outcome = bench.outcome.unwrap();
    let cause = StopCause::Failing { stage: "send".to_owned(), last_words: "no such host".to_owned() };
    assert_eq!((outcome.failed, outcome.stopped), (true, Some(cause)));
}

#[test]
fn a_stage_that_is_failing_is_reported_with_its_last_words_and_waited_for() {
    let mut bench = Bench::up(chain(WhenFailing::Wait, None));
    fail(&mut bench);
    assert_eq!((times_said(&bench, "is failing"), times_said(&bench, "no such host")), (1, 1));
    // Where they say "not now", one that fails in another way is charged.
    assert!(bench.has_said("an item that fails as they did is charged no attempt"), "{:?}", bench.said);
    bench.pass(60 * MINUTE);
    recover(&mut bench);
    assert!(bench.has_said("the stage send is no longer failing, after 1h"), "{:?}", bench.said);
    assert_eq!(bench.running(), ["read[0]", "send[0]"]);
}

#[test]
fn where_that_is_wanted_the_run_ends_at_once_and_one_line_says_why() {
    let mut bench = Bench::up(chain(WhenFailing::Stop, None));
    fail(&mut bench);
    assert_eq!(times_said(&bench, "is failing"), 1, "{:?}", bench.said);
    has_failed(bench);
}

#[test]
fn after_its_time_out_the_run_ends_unless_it_has_recovered_before() {
    let mut bench = Bench::up(chain(WhenFailing::Wait, Some(5 * MINUTE)));
    fail(&mut bench);
    bench.pass(4 * MINUTE);
    recover(&mut bench);
    bench.pass(4 * MINUTE);
    fail(&mut bench);
    bench.pass(4 * MINUTE);
    assert!(!bench.has_said("the run ends"));
    bench.pass(2 * MINUTE);
    assert!(bench.has_said("so the run ends (failing_timeout, 5m"), "{:?}", bench.said);
    has_failed(bench);
}

#[test]
fn an_upgrade_and_a_clock_that_is_set_change_nothing_of_the_time_out() {
    for clock_says in [Duration::ZERO, 600 * MINUTE] {
        let mut bench = Bench::up(chain(WhenFailing::Wait, Some(5 * MINUTE)));
        fail(&mut bench);
        bench.pass(3 * MINUTE);
        let mut bench = upgraded_with(bench, chain(WhenFailing::Wait, Some(5 * MINUTE)));
        fail_since(&mut bench, clock_says);
        bench.pass(MINUTE);
        assert!(!bench.has_said("the run ends"), "{clock_says:?}: {:?}", bench.said);
        bench.pass(2 * MINUTE);
        assert!(bench.has_said("so the run ends (failing_timeout, 5m"), "{clock_says:?}: {:?}", bench.said);
    }
    // It has recovered meanwhile: what comes later begins anew.
    let mut bench = Bench::up(chain(WhenFailing::Wait, Some(5 * MINUTE)));
    fail(&mut bench);
    bench.pass(3 * MINUTE);
    let mut bench = upgraded_with(bench, chain(WhenFailing::Wait, Some(5 * MINUTE)));
    recover(&mut bench);
    fail(&mut bench);
    bench.pass(4 * MINUTE);
    assert!(!bench.has_said("the run ends"), "{:?}", bench.said);
}

#[test]
fn a_run_that_ends_by_itself_waits_for_ten_minutes() {
    let mut given = wanted(chain(WhenFailing::Wait, None), &[]);
    given.ending.insert("read".to_owned());
    let mut bench = Bench::new();
    bench.send(Event::Begin(given));
    bench.run_starts();
    bench.all_ready();
    fail(&mut bench);
    bench.pass(9 * MINUTE);
    assert!(!bench.has_said("the run ends"));
    bench.pass(2 * MINUTE);
    has_failed(bench);
}

#[test]
fn a_source_that_is_through_makes_it_a_run_that_ends_by_itself() {
    let mut bench = Bench::up(chain(WhenFailing::Wait, None));
    bench.say("read", 0, crate::queue::Ending::Finished);
    fail(&mut bench);
    bench.pass(11 * MINUTE);
    has_failed(bench);
}

#[test]
fn a_reload_of_the_setting_is_obeyed_while_it_fails() {
    let mut bench = Bench::up(chain(WhenFailing::Wait, None));
    fail(&mut bench);
    bench.pass(MINUTE);
    assert!(!bench.has_said("the run ends"));
    bench.reload(chain(WhenFailing::Stop, None));
    assert!(bench.has_said("so the run ends (when_failing = \"stop\")"), "{:?}", bench.said);
    has_failed(bench);
}

#[test]
fn deaths_over_another_item_each_do_not_count_towards_give_up() {
    let mut given = chain(WhenFailing::Wait, None);
    given.stages[1].rules.backoff.max = Duration::from_secs(1);
    let mut bench = Bench::up(given);
    let die = |bench: &mut Bench, with_another| {
        let pid = bench.pid("send", 0);
        let worker = bench.knows(pid).unwrap();
        let work =
            ProcessWork { attempt: 1, has_hope: true, with_another, ready: true, ..Default::default() };
        bench.procs.remove(&pid);
        bench.send(Event::Ended(worker, pid, segv(), work));
        bench.pass(Duration::from_secs(1));
    };
    (0..30).for_each(|_| die(&mut bench, true));
    assert!(!bench.has_said("gives up"));
    fail(&mut bench);
    (0..30).for_each(|_| die(&mut bench, false));
    assert!(!bench.has_said("gives up"), "it is failing");
    recover(&mut bench);
    (0..11).for_each(|_| {
        if !bench.has_said("gives up") {
            die(&mut bench, false)
        }
    });
    assert!(bench.has_said("gives up"), "always the same item");
}

/// The time before does not count: it was no limit then.
#[test]
fn a_drain_gives_a_stage_that_has_been_failing_for_long_its_whole_time_out() {
    let mut bench = Bench::up(chain(WhenFailing::Wait, None));
    fail(&mut bench);
    bench.pass(60 * MINUTE);
    bench.ask(Command::Drain);
    bench.say("read", 0, Ending::Ordered);
    bench.pass(9 * MINUTE);
    assert!(!bench.has_said("the run ends"), "{:?}", bench.said);
    bench.pass(2 * MINUTE);
    assert!(bench.has_said("so the run ends (failing_timeout, 10m"), "{:?}", bench.said);
}

#[test]
fn a_source_that_is_stopped_by_hand_has_not_come_to_its_end() {
    let mut bench = Bench::up(chain(WhenFailing::Wait, None));
    fail(&mut bench);
    bench.pass(60 * MINUTE);
    bench.ask(Command::StopStage(OneStage { stage: "read".into(), wait: false }));
    bench.say("read", 0, Ending::Ordered);
    bench.pass(60 * MINUTE);
    assert!(!bench.has_said("the run ends"), "{:?}", bench.said);
    assert_eq!(bench.running(), ["send[0]"]);
}

#[test]
fn the_second_stage_that_is_failing_has_its_own_time_out_once_the_first_has_ended_the_run() {
    let mut two = pipeline(vec![
        stage("read", &[], &["p", "q"]),
        stage("send", &["p"], &[]),
        stage("other", &["q"], &[]),
    ]);
    for (stage, timeout) in [(1, 3), (2, 5)] {
        two.stages[stage].tuning.when_failing = WhenFailing::Wait;
        two.stages[stage].rules.failing_timeout = Some(timeout * MINUTE);
    }
    two.drain_timeout = 60 * MINUTE;
    let mut bench = Bench::up(two);
    for name in ["send", "other"] {
        let key = bench.knows(bench.pid(name, 0)).unwrap().stage;
        let news = FailingNews { since: Duration::ZERO, last_words: "no such host".to_owned() };
        bench.send(Event::Failing(key, Some(news)));
    }
    bench.pass(4 * MINUTE);
    bench.say("read", 0, Ending::Ordered);
    bench.say("send", 0, Ending::Ordered);
    assert_eq!(times_said(&bench, "so the run ends"), 1, "{:?}", bench.said);
    bench.pass(2 * MINUTE);
    assert_eq!(times_said(&bench, "so the run ends"), 2, "{:?}", bench.said);
    has_failed(bench);
}
