use super::bench::{Bench, EVERY, segv};
use super::keeping::upgraded_with;
use crate::config::pipeline::Invocation;
use crate::config::{self, Pipeline, Schedule, Task, Work};
use crate::control::protocol::{Command, OneStage, Restart, StageOrAll};
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, service, stage};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::reason::End;
use std::time::Duration;

/// `a` is started by the clock, and gives `b` its items.
fn scheduled(pattern: &str) -> Pipeline {
    let mut source = stage("a", &[], &["q"]);
    source.rules.schedule = Some(Schedule::parse(pattern).unwrap());
    pipeline(vec![source, stage("b", &["q"], &[])])
}

fn up() -> Bench {
    Bench::up(scheduled("* * * * *"))
}

#[test]
fn it_starts_at_its_time_and_not_before() {
    let mut bench = up();
    assert_eq!(bench.running(), ["b[0]"]);
    assert!(bench.has_said("up after"), "nothing waits for its first run: {:?}", bench.said);
    bench.pass(EVERY - Duration::from_secs(1));
    assert_eq!(bench.running(), ["b[0]"]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
}

#[test]
fn its_queue_does_not_end_between_two_runs_and_neither_does_the_pipeline() {
    let mut bench = up();
    for _ in 0..3 {
        bench.pass(EVERY);
        bench.all_ready();
        bench.say("a", 0, Ending::Finished);
        assert_eq!(bench.running(), ["b[0]"]);
        assert!(bench.ended.is_empty() && bench.outcome.is_none());
    }
}

#[test]
fn runs_do_not_overlap_and_what_passes_meanwhile_is_left_out() {
    let mut bench = up();
    bench.pass(EVERY);
    bench.all_ready();
    let first = bench.pid("a", 0);
    bench.pass(EVERY * 3);
    assert_eq!(bench.pid("a", 0), first);
    bench.say("a", 0, Ending::Finished);
    assert_eq!(bench.running(), ["b[0]"], "three times have passed, and none is made up for");
    bench.pass(EVERY);
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
}

#[test]
fn a_failed_run_is_told_and_counts_for_nothing() {
    let mut bench = up();
    for _ in 0..50 {
        bench.pass(EVERY);
        bench.crash("a", 0);
    }
    assert!(bench.has_said("WARN: a[0] was killed by SIGSEGV"), "{:?}", bench.said);
    assert!(bench.outcome.is_none() && !bench.has_said("gives up"));
    bench.send(Event::Terminate);
    bench.obey_and_drain();
    assert!(!bench.outcome.unwrap().failed);
}

fn job() -> Pipeline {
    let mut job = service("job");
    job.rules.schedule = Some(Schedule::parse("* * * * *").unwrap());
    pipeline(vec![job])
}

/// How the service that is started by the clock is failing, as the status has it.
fn failing(bench: &Bench) -> Option<(f64, String)> {
    let stage = bench.snapshot().stages.remove(0);
    assert_eq!(stage.state() == "failing", stage.failing.is_some());
    stage.failing.map(|failing| (failing.since, failing.last_words))
}

#[test]
fn a_failed_run_is_shown_until_one_ends_well_also_by_the_next_program() {
    let mut bench = Bench::up(job());
    assert_eq!(failing(&bench), None);
    bench.pass(EVERY);
    bench.end_idle(bench.pid("job", 0), segv());
    bench.pass(EVERY);
    let since = EVERY.as_secs_f64();
    let died = Some((since, "its last run was killed by SIGSEGV".to_owned()));
    assert_eq!(failing(&bench), died, "while the next one runs");
    bench.all_ready();
    bench.end_idle(bench.pid("job", 0), End::Said(Ending::Failed("no disk".into())));
    let said = Some((since, "its last run failed: no disk".to_owned()));
    assert_eq!(failing(&bench), said, "since the first of them");
    let mut next = upgraded_with(bench, job());
    next.run_starts();
    assert_eq!(failing(&next), said);
    next.ask(Command::StopStage(OneStage { stage: "job".into(), wait: false }));
    assert_eq!(failing(&next), None, "it was stopped by hand");
    next.ask(Command::StartStage(OneStage { stage: "job".into(), wait: false }));
    next.pass(EVERY);
    next.all_ready();
    next.end_idle(next.pid("job", 0), End::Said(Ending::Finished));
    assert_eq!(failing(&next), None);
}

#[test]
fn a_stop_waits_for_no_time() {
    let mut bench = up();
    bench.send(Event::Terminate);
    bench.obey_and_drain();
    assert!(bench.outcome.is_some());
}

#[test]
fn a_clock_that_was_set_is_asked_again() {
    let mut bench = up();
    bench.pass(EVERY / 2);
    bench.send(Event::ClockSet);
    bench.pass(EVERY / 2);
    assert_eq!(bench.running(), ["b[0]"]);
    bench.pass(EVERY / 2);
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
}

#[test]
fn a_restart_by_hand_is_a_run_at_once() {
    let mut bench = up();
    bench.ask(Command::Restart(Restart { stage: "a".into(), wait: false }));
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
    bench.all_ready();
    bench.say("a", 0, Ending::Finished);
    assert_eq!(bench.running(), ["b[0]"]);
}

#[test]
fn an_edited_stage_keeps_waiting_and_another_schedule_is_asked_for() {
    let mut bench = up();
    let mut new = scheduled("* * * * *");
    new.stages[0].work = Work { task: Task::of("y"), ..new.stages[0].work.clone() };
    bench.reload(new);
    assert_eq!(bench.running(), ["b[0]"]);
    assert!(bench.has_said("reloaded after"), "{:?}", bench.said);
    bench.pass(EVERY / 2);
    bench.reload(scheduled("*/2 * * * *"));
    bench.pass(EVERY / 2);
    assert_eq!(bench.running(), ["b[0]"]);
    bench.reload(pipeline(vec![stage("a", &[], &["q"]), stage("b", &["q"], &[])]));
    assert_eq!(bench.running(), ["a[0]", "b[0]"], "without a schedule it runs at once");
    bench.all_ready();
    bench.reload(scheduled("* * * * *"));
    assert_eq!(bench.running(), ["a[0]", "b[0]"], "what runs, runs on");
    bench.say("a", 0, Ending::Finished);
    assert_eq!(bench.running(), ["b[0]"]);
    bench.pass(EVERY);
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
}

#[test]
fn the_next_program_goes_on_waiting() {
    let mut bench = up();
    bench.pass(EVERY / 2);
    let mut next = upgraded_with(bench, scheduled("* * * * *"));
    next.run_starts();
    assert_eq!(next.running(), ["b[0]"]);
    next.pass(EVERY);
    assert_eq!(next.running(), ["a[0]", "b[0]"]);
    next.end(next.pid("a", 0), End::Said(Ending::Finished));
    assert_eq!(next.running(), ["b[0]"]);
}

#[test]
fn a_time_that_mprun_has_missed_is_left_out() {
    let mut bench = up();
    bench.now += EVERY + Duration::from_secs(4);
    bench.send(Event::Deadline);
    bench.run_starts();
    assert_eq!(bench.running(), ["b[0]"], "it is no time for a run");
    assert!(bench.has_said("WARN: a: a run is left out: mprun stood still at its time, 4s ago"));
    bench.pass(EVERY);
    assert_eq!(bench.running(), ["a[0]", "b[0]"]);
    let mut busy = up();
    busy.now += EVERY + Duration::from_secs(1);
    busy.send(Event::Deadline);
    busy.run_starts();
    assert_eq!(busy.running(), ["a[0]", "b[0]"]);
}

#[test]
fn times_during_a_pause_are_left_out() {
    let mut bench = up();
    bench.ask(Command::Pause(StageOrAll { stage: Some("a".into()), wait: false }));
    bench.pass(EVERY * 3 + EVERY / 2);
    assert_eq!(bench.running().join(" "), "b[0]");
    bench.ask(Command::Resume(StageOrAll { stage: Some("a".into()), wait: false }));
    assert_eq!(bench.running().join(" "), "b[0]", "none is made up for");
    bench.pass(EVERY);
    assert_eq!(bench.running().join(" "), "a[0] b[0]");
}

#[test]
fn a_changed_command_leaves_the_run_under_way_alone() {
    let of = |uses: &str| {
        let mut job = service("job");
        job.rules.schedule = Some(Schedule::parse("* * * * *").unwrap());
        job.work.task = command(uses);
        pipeline(vec![job, service("web")])
    };
    let mut bench = Bench::up(of("first"));
    bench.pass(EVERY);
    bench.all_ready();
    let run = bench.pid("job", 0);
    bench.reload(of("second"));
    assert_eq!(bench.running(), ["job[0]", "web[0]"], "it is not asked to end");
    assert!(bench.has_said("INFO: job: the run under way ends as it was begun"), "{:?}", bench.said);
    assert!(bench.has_said("reloaded after"), "the reload does not wait for it: {:?}", bench.said);
    bench.end_idle(run, End::Said(Ending::Finished));
    bench.pass(EVERY);
    let next = bench.pid("job", 0);
    assert_eq!(bench.procs[&next].spawn.version.work.task, command("second"));
    bench.all_ready();
    bench.ask(Command::Restart(Restart { stage: "job".into(), wait: false }));
    assert_eq!(bench.running(), ["job[0] termed", "web[0]"], "who asks for a restart gets one");
}

fn command(line: &str) -> Task {
    let invocation = Invocation::Shell(line.to_owned());
    Task::Command(Box::new(config::pipeline::Command { invocation, ..Default::default() }))
}
