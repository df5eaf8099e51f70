//! What was to go, and is wanted again before it has gone; and what has ended, and is started by hand.

use super::bench::Bench;
use crate::config::{Restart, Schedule};
use crate::control::protocol::{Command, OneStage, Restart as AskedRestart, Scale};
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, service, stage};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::reason::End;
use std::time::Duration;

fn switch(stage: &str, on: bool) -> Command {
    let whom = OneStage { stage: stage.to_owned(), wait: false };
    if on { Command::StartStage(whom) } else { Command::StopStage(whom) }
}

fn scale(stage: &str, processes: u32) -> Command {
    Command::Scale(Scale { stage: stage.to_owned(), processes: Some(processes), by: None, wait: false })
}

fn restart(stage: &str) -> Command {
    Command::Restart(AskedRestart { stage: stage.to_owned(), wait: false })
}

fn end(bench: &mut Bench, stage: &str, index: u32) {
    bench.end_idle(bench.pid(stage, index), End::ProgramKilled("it was killed by SIGKILL".to_owned()));
    bench.run_starts();
}

#[test]
fn a_service_that_is_started_while_it_still_ends_runs_again_once_it_has_ended() {
    let mut bench = Bench::up(pipeline(vec![service("web"), service("other")]));
    bench.ask(switch("web", false));
    bench.ask(switch("web", true));
    assert_eq!(bench.running(), ["other[0]", "web[0] termed"]);
    end(&mut bench, "web", 0);
    assert_eq!(bench.running(), ["other[0]", "web[0]"]);
    bench.ask(switch("web", false));
    bench.ask(switch("web", true));
    bench.ask(switch("web", false));
    end(&mut bench, "web", 0);
    assert_eq!(bench.running(), ["other[0]"], "the last word counts");
}

#[test]
fn a_worker_with_items_that_is_started_while_it_still_ends_goes_on() {
    let mut bench = Bench::up(pipeline(vec![stage("s", &[], &["q"]), stage("t", &["q"], &[])]));
    bench.ask(switch("t", false));
    assert_eq!(bench.running(), ["s[0]", "t[0] finish"]);
    bench.ask(switch("t", true));
    assert_eq!(bench.running(), ["s[0]", "t[0]"]);
    bench.ask(switch("t", false));
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.running(), ["s[0]", "t[0] termed"]);
    bench.ask(switch("t", true));
    end(&mut bench, "t", 0);
    assert_eq!(bench.running(), ["s[0]", "t[0]"]);
}

#[test]
fn a_stage_that_gets_another_chance_has_all_its_processes_again() {
    let mut two = service("web");
    two.processes = 2;
    two.rules.give_up.restarts = 0;
    two.rules.on_give_up = crate::config::OnGiveUp::Continue;
    let mut bench = Bench::up(pipeline(vec![two, service("other")]));
    let failed = End::Said(Ending::Failed("it ended with exit code 1".to_owned()));
    bench.end_idle(bench.pid("web", 0), failed);
    assert_eq!(bench.running(), ["other[0]", "web[1] termed"]);
    bench.ask(restart("web"));
    end(&mut bench, "web", 1);
    bench.all_ready();
    assert_eq!(bench.running(), ["other[0]", "web[0]", "web[1]"]);
}

#[test]
fn one_process_less_and_one_more_is_the_same_number_again() {
    let mut two = service("web");
    two.processes = 2;
    let mut bench = Bench::up(pipeline(vec![two]));
    bench.ask(scale("web", 1));
    bench.ask(scale("web", 2));
    assert_eq!(bench.running(), ["web[0]", "web[1] termed"], "its number may be a port");
    end(&mut bench, "web", 1);
    assert_eq!(bench.running(), ["web[0]", "web[1]"]);
}

#[test]
fn a_service_that_is_removed_and_is_back_in_the_file_before_it_has_ended_keeps_its_number() {
    let both = || pipeline(vec![service("web"), service("other")]);
    let mut bench = Bench::up(both());
    bench.reload(pipeline(vec![service("other")]));
    assert_eq!(bench.running(), ["other[0]", "web[0] termed"]);
    bench.reload(both());
    end(&mut bench, "web", 0);
    bench.all_ready();
    assert_eq!(bench.running(), ["other[0]", "web[0]"]);
}

#[test]
fn a_service_that_has_ended_by_itself_can_be_started_by_hand() {
    let mut bench = Bench::up(pipeline(vec![service("once"), service("other")]));
    for verb in [switch("once", true), restart("once")] {
        bench.end_idle(bench.pid("once", 0), End::Said(Ending::Finished));
        assert_eq!(bench.running(), ["other[0]"]);
        let id = bench.ask(verb);
        assert_eq!(bench.refusal(id), None);
        assert_eq!(bench.running(), ["once[0]", "other[0]"]);
        bench.all_ready();
    }
    let mut never = service("never");
    never.processes = 2;
    never.rules.restart = Restart::Never;
    let mut bench = Bench::up(pipeline(vec![never]));
    let failed = || End::Said(Ending::Failed("it ended with exit code 1".to_owned()));
    bench.end_idle(bench.pid("never", 0), failed());
    bench.ask(restart("never"));
    bench.all_ready();
    assert_eq!(bench.running()[0], "never[0]");
}

#[test]
fn what_has_a_schedule_waits_for_its_time_after_it_was_stopped() {
    let mut nightly = service("nightly");
    nightly.rules.schedule = Some(Schedule::parse("* * * * *").unwrap());
    let mut bench = Bench::up(pipeline(vec![nightly, service("other")]));
    bench.ask(switch("nightly", false));
    bench.ask(switch("nightly", true));
    assert_eq!(bench.running(), ["other[0]"], "it is not its time");
    bench.pass(super::bench::EVERY);
    assert_eq!(bench.running(), ["nightly[0]", "other[0]"]);
    bench.all_ready();
    bench.ask(switch("nightly", false));
    bench.ask(switch("nightly", true));
    end(&mut bench, "nightly", 0);
    assert_eq!(bench.running(), ["other[0]"]);
}

fn by_hand(mut stage: crate::config::Stage) -> crate::config::Stage {
    stage.rules.autostart = false;
    stage
}

#[test]
fn without_autostart_a_service_begins_stopped_and_is_started_by_hand() {
    let mut bench = Bench::up(pipeline(vec![by_hand(service("tool")), service("web")]));
    assert_eq!(bench.running(), ["web[0]"]);
    assert!(bench.has_said("up after"), "{:?}", bench.said);
    assert_eq!(bench.snapshot().stages[0].state(), "stopped");
    bench.ask(switch("tool", true));
    bench.run_starts();
    assert!(bench.has_said("tool: it runs"), "{:?}", bench.said);
    assert_eq!(bench.running(), ["tool[0]", "web[0]"]);
    bench.reload(pipeline(vec![by_hand(service("tool")), service("web"), by_hand(service("new"))]));
    bench.run_starts();
    assert_eq!(bench.running(), ["tool[0]", "web[0]"], "the key counts where a stage begins");
    bench.ask(switch("new", true));
    bench.run_starts();
    assert_eq!(bench.running(), ["new[0]", "tool[0]", "web[0]"]);
}

#[test]
fn without_autostart_a_reader_gets_what_came_before_and_a_run_ends_after_it() {
    let of = || pipeline(vec![stage("s", &[], &["q"]), by_hand(stage("t", &["q"], &[]))]);
    let mut bench = Bench::up(of());
    assert_eq!(bench.running(), ["s[0]"]);
    bench.say("s", 0, Ending::Finished);
    assert!(bench.outcome.is_none(), "what waits for a start by hand is not through");
    bench.ask(switch("t", true));
    bench.run_starts();
    assert_eq!(bench.running(), ["t[0]"]);
    bench.say("t", 0, Ending::InputEnded);
    assert!(bench.outcome.is_some());
    let mut bench = Bench::up(of());
    bench.send(Event::Terminate);
    bench.obey_and_drain();
    assert!(bench.outcome.is_some(), "a stop does not wait for it: {:?}", bench.said);
}
