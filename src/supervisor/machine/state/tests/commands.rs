//! What is asked for over the control socket, in all states.

use super::bench::{Bench, signal};
use crate::control::protocol::{Command, OneStage, Reason, Reload, Restart, Scale, StageOrAll, Stop};
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, stage, wanted};
use crate::supervisor::machine::event::{Event, Loading};
use crate::supervisor::machine::reason::End;
use std::time::Duration;

fn two(processes: u32) -> crate::config::Pipeline {
    let mut end = stage("c", &["q"], &[]);
    end.processes = processes;
    pipeline(vec![stage("a", &[], &["q"]), end])
}

fn scale(stage: &str, processes: u32, wait: bool) -> Command {
    Command::Scale(Scale { stage: stage.into(), processes: Some(processes), by: None, wait })
}

fn restart(stage: &str, wait: bool) -> Command {
    Command::Restart(Restart { stage: stage.into(), wait })
}

fn one(stage: &str, wait: bool) -> OneStage {
    OneStage { stage: stage.into(), wait }
}

fn pause(stage: Option<&str>) -> Command {
    Command::Pause(StageOrAll { stage: stage.map(str::to_owned), wait: false })
}

fn resume() -> Command {
    Command::Resume(StageOrAll::default())
}

fn all_commands() -> [Command; 9] {
    [
        scale("c", 2, false),
        restart("c", false),
        pause(None),
        pause(Some("c")),
        resume(),
        Command::Reload(Reload { wait: false }),
        Command::Drain,
        Command::Stop(Stop { now: false }),
        Command::Stop(Stop { now: true }),
    ]
}

#[test]
fn scale_adds_workers_or_lets_the_newest_go_and_answers_when_that_is_done() {
    let mut bench = Bench::up(two(1));
    let at_once = bench.ask(scale("c", 3, false));
    assert!(bench.answers[&at_once].is_ok());
    let later = bench.ask(scale("c", 2, true));
    assert!(!bench.answers.contains_key(&later), "one has still to go");
    bench.obey();
    assert!(bench.answers[&later].is_ok());
    assert_eq!(bench.running(), ["a[0]", "c[0]", "c[1]"]);
}

#[test]
fn scale_lasts_until_the_file_is_another_one_or_is_asked_for() {
    let mut bench = Bench::up(two(1));
    bench.ask(scale("c", 3, false));
    bench.obey();
    bench.reload(two(1));
    bench.obey();
    assert_eq!(bench.running().len(), 4, "the file is as it was: only touched");
    bench.ask(Command::Reload(Reload { wait: false }));
    bench.reload(two(1));
    bench.obey();
    assert_eq!(bench.running(), ["a[0]", "c[0]"], "asked for, the file counts");
    bench.ask(scale("c", 3, false));
    bench.obey();
    bench.reload(two(2));
    bench.obey();
    assert_eq!(bench.running(), ["a[0]", "c[0]", "c[1]"]);
}

#[test]
fn a_reload_that_fails_goes_back_to_what_was_scaled() {
    let mut bench = Bench::up(two(1));
    bench.ask(scale("c", 2, false));
    bench.obey();
    let mut bad = two(1);
    bad.stages[1].work.task = crate::config::Task::of("bad");
    let waiting = bench.ask(Command::Reload(Reload { wait: true }));
    bench.reload(bad);
    bench.say("c", 1, Ending::Ordered);
    bench.say("c", 0, Ending::Ordered);
    bench.say("c", 0, Ending::Failed("no".into()));
    assert_eq!(bench.refusal(waiting), Some(Reason::RolledBack));
    bench.obey();
    assert_eq!(bench.running(), ["a[0]", "c[0]", "c[1]"]);
}

#[test]
fn what_can_not_be_scaled_is_refused_with_the_reason() {
    let mut bench = Bench::up(two(1));
    for (command, reason) in [
        (scale("x", 2, false), Reason::NoSuchStage),
        (scale("c", 0, false), Reason::TooFew),
        (scale("c", 5000, true), Reason::TooMany),
        (restart("x", true), Reason::NoSuchStage),
        (pause(Some("x")), Reason::NoSuchStage),
    ] {
        let id = bench.ask(command);
        assert_eq!(bench.refusal(id), Some(reason));
    }
    assert_eq!(bench.running(), ["a[0]", "c[0]"]);
    bench.say("a", 0, Ending::Finished);
    let id = bench.ask(scale("a", 2, true));
    assert_eq!(bench.refusal(id), Some(Reason::Finished));
    let id = bench.ask(restart("a", true));
    assert_eq!(bench.refusal(id), Some(Reason::Finished));
}

#[test]
fn a_pause_that_is_waited_for_is_answered_when_nobody_is_at_an_item() {
    let mut bench = Bench::up(two(2));
    let wait =
        |stage: Option<&str>| Command::Pause(StageOrAll { stage: stage.map(str::to_owned), wait: true });
    let one = bench.ask(wait(Some("c")));
    let rest = |bench: &mut Bench, index| {
        let pid = bench.pid("c", index);
        let worker = bench.knows(pid).unwrap();
        bench.send(Event::AtRest(worker, pid));
    };
    rest(&mut bench, 0);
    assert!(!bench.answers.contains_key(&one), "the other one is at its item");
    bench.crash("c", 1);
    assert!(bench.answers[&one].is_ok(), "who is dead is at no item, and who takes its place is told first");

    let all = bench.ask(wait(None));
    assert!(!bench.answers.contains_key(&all), "the source is at work");
    bench.ask(resume());
    assert_eq!(bench.refusal(all), Some(Reason::Resumed));
    let again = bench.ask(wait(None));
    assert!(!bench.answers.contains_key(&again), "a rest before the resume does not count");
    bench.obey();
    assert!(bench.answers[&again].is_ok());
    bench.ask(resume());
    let stopped = bench.ask(wait(None));
    bench.send(Event::Terminate);
    assert_eq!(bench.refusal(stopped), Some(Reason::Stopping));
}

#[test]
fn restart_replaces_workers_one_by_one_and_answers_when_all_are_fresh() {
    let mut bench = Bench::up(two(2));
    let before = [bench.pid("c", 0), bench.pid("c", 1)];
    let id = bench.ask(restart("c", true));
    assert_eq!(bench.running(), ["a[0]", "c[0] finish", "c[1]"], "one at a time");
    bench.obey();
    assert!(bench.answers[&id].is_ok());
    let after = [bench.pid("c", 0), bench.pid("c", 1)];
    assert!(before.iter().all(|pid| !after.contains(pid)));
    assert!(bench.said.iter().all(|line| !line.contains("gives up")));
}

#[test]
fn restart_gives_a_stage_that_gave_up_another_chance() {
    let mut two = two(1);
    two.stages[1].rules.give_up.restarts = 0;
    two.stages[1].rules.on_give_up = crate::config::OnGiveUp::Continue;
    let mut bench = Bench::up(two);
    bench.crash("c", 0);
    let id = bench.ask(scale("c", 2, false));
    assert_eq!(bench.refusal(id), Some(Reason::GaveUp));
    let id = bench.ask(restart("c", true));
    bench.obey();
    assert!(bench.answers[&id].is_ok());
    assert_eq!(bench.running(), ["a[0]", "c[0]"]);
}

#[test]
fn a_stage_that_is_started_while_its_workers_still_end_runs_and_its_queue_is_read_on() {
    let mut bench = Bench::up(two(3));
    bench.ask(Command::StopStage(one("c", false)));
    assert_eq!(bench.running(), ["a[0]", "c[0] finish", "c[1] finish", "c[2] finish"]);
    bench.say("c", 0, Ending::Ordered);
    let started = bench.ask(Command::StartStage(one("c", true)));
    assert_eq!(bench.running(), ["a[0]", "c[0]", "c[1]", "c[2]"]);
    // One had heard the first order, and was killed for it.
    bench.say("c", 1, Ending::Ordered);
    bench.end(bench.pid("c", 2), End::Terminated);
    bench.obey();
    assert!(bench.answers[&started].is_ok());
    assert_eq!(bench.running(), ["a[0]", "c[0]", "c[1]", "c[2]"]);
    assert!(bench.ended.is_empty() && bench.closed.is_empty());
}

#[test]
fn nor_does_a_stage_end_that_is_started_when_a_worker_that_did_not_end_is_being_killed() {
    let mut bench = Bench::up(two(1));
    bench.ask(Command::StopStage(one("c", false)));
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.running(), ["a[0]", "c[0] termed"]);
    let started = bench.ask(Command::StartStage(one("c", true)));
    assert!(!bench.answers.contains_key(&started), "it is on its way out");
    bench.end(bench.pid("c", 0), signal(libc::SIGTERM));
    bench.obey();
    assert!(bench.answers[&started].is_ok());
    assert_eq!(bench.running(), ["a[0]", "c[0]"]);
}

#[test]
fn nor_does_one_that_gave_up_and_gets_another_chance_while_others_still_end() {
    let mut two = two(2);
    two.stages[1].rules.give_up.restarts = 0;
    two.stages[1].rules.on_give_up = crate::config::OnGiveUp::Continue;
    let mut bench = Bench::up(two);
    bench.crash("c", 0);
    assert_eq!(bench.running(), ["a[0]", "c[1] finish"]);
    bench.ask(restart("c", false));
    bench.say("c", 1, Ending::Ordered);
    bench.obey();
    assert_eq!(bench.running(), ["a[0]", "c[0]", "c[1]"]);
    assert!(bench.ended.is_empty() && bench.closed.is_empty());
}

#[test]
fn paused_workers_wait_new_ones_too_and_all_go_on_at_resume() {
    let mut bench = Bench::up(two(1));
    bench.ask(pause(None));
    assert_eq!(bench.running(), ["a[0] pause", "c[0] pause"]);
    bench.ask(scale("c", 2, false));
    bench.obey();
    assert_eq!(bench.running(), ["a[0] pause", "c[0] pause", "c[1] pause"]);
    let mut more = two(2);
    more.stages.push(stage("d", &["q"], &[]));
    bench.reload(more);
    bench.obey();
    assert!(bench.running().contains(&"d[0] pause".to_owned()), "{:?}", bench.running());
    bench.ask(resume());
    assert_eq!(bench.running(), ["a[0]", "c[0]", "c[1]", "d[0]"]);
}

#[test]
fn a_paused_pipeline_drains_and_restarts_all_the_same() {
    let mut bench = Bench::up(two(1));
    bench.ask(pause(Some("c")));
    let id = bench.ask(restart("c", true));
    bench.obey();
    assert!(bench.answers[&id].is_ok());
    assert_eq!(bench.running(), ["a[0]", "c[0] pause"]);
    bench.ask(Command::Drain);
    assert_eq!(bench.running(), ["a[0] finish", "c[0] drain"]);
    bench.obey_and_drain();
    assert!(bench.outcome.is_some());
}

#[test]
fn drain_takes_any_time_stop_does_not_and_now_is_now() {
    let mut bench = Bench::up(two(1));
    bench.ask(Command::Drain);
    bench.pass(Duration::from_secs(3600));
    assert_eq!(bench.running(), ["a[0] finish", "c[0] drain"]);
    bench.ask(Command::Stop(Stop { now: false }));
    bench.pass(Duration::from_secs(31));
    assert_eq!(bench.running(), ["a[0] termed", "c[0] termed"]);
    let mut bench = Bench::up(two(1));
    bench.ask(Command::Stop(Stop { now: true }));
    assert_eq!(bench.running(), ["a[0] termed", "c[0] termed"]);
}

#[test]
fn a_signal_limits_a_drain_and_a_second_interrupt_skips_it() {
    let mut bench = Bench::up(two(1));
    bench.ask(Command::Drain);
    bench.send(Event::Terminate);
    assert!(bench.has_said("SIGTERM: draining for at most 30s"), "{:?}", bench.said);
    bench.pass(Duration::from_secs(31));
    assert_eq!(bench.running(), ["a[0] termed", "c[0] termed"]);
    let mut bench = Bench::up(two(1));
    bench.ask(Command::Drain);
    bench.send(Event::Interrupt);
    assert_eq!(bench.running(), ["a[0] finish", "c[0] drain"]);
    bench.pass(Duration::from_secs(1));
    bench.send(Event::Interrupt);
    assert_eq!(bench.running(), ["a[0] termed", "c[0] termed"]);
}

#[test]
fn while_it_ends_everything_is_answered() {
    for begin in [Command::Drain, Command::Stop(Stop { now: true })] {
        for command in all_commands() {
            let mut bench = Bench::up(two(1));
            let waiting = [
                bench.ask(scale("c", 4, true)),
                bench.ask(restart("a", true)),
                bench.ask(Command::Reload(Reload { wait: true })),
            ];
            bench.ask(begin.clone());
            for id in waiting {
                assert_eq!(bench.refusal(id), Some(Reason::Stopping));
            }
            let id = bench.ask(command.clone());
            assert!(bench.answers.contains_key(&id), "{command:?} while {begin:?}");
        }
    }
}

#[test]
fn before_the_first_file_is_up_everything_is_answered() {
    for command in all_commands() {
        let mut bench = Bench::new();
        let id = bench.ask(command.clone());
        if let Command::Reload(_) = command {
            bench.send(Event::Loaded(Loading::Bad("no".into())));
        }
        assert!(bench.answers.contains_key(&id), "{command:?}");
    }
}

#[test]
fn a_reload_is_answered_with_its_steps_its_end_or_its_fault() {
    let mut bench = Bench::up(two(1));
    let id = bench.ask(Command::Reload(Reload { wait: false }));
    bench.send(Event::Loaded(Loading::Bad("a fault".into())));
    assert_eq!(bench.answers[&id].as_ref().unwrap_err().error, "a fault");
    let id = bench.ask(Command::Reload(Reload { wait: false }));
    bench.reload(two(2));
    assert_eq!(bench.answers[&id].as_ref().unwrap().steps, ["stage c: add 1 worker (processes: 1 -> 2)"]);
    bench.obey();
    let id = bench.ask(Command::Reload(Reload { wait: true }));
    bench.reload(two(3));
    assert!(!bench.answers.contains_key(&id), "the new worker isn't ready");
    bench.obey();
    assert_eq!(bench.answers[&id].as_ref().unwrap().done, "reloaded");
    let id = bench.ask(Command::Reload(Reload { wait: true }));
    bench.reload(two(3));
    assert!(bench.answers[&id].as_ref().unwrap().steps.is_empty());
    let mut renamed = two(3);
    renamed.name = "other".into();
    let id = bench.ask(Command::Reload(Reload { wait: true }));
    bench.reload_to(wanted(renamed, &[]));
    assert_eq!(bench.refusal(id), Some(Reason::FileRefused));
}

#[test]
fn too_many_who_wait_are_turned_away() {
    let mut bench = Bench::up(two(1));
    let last = (0..300).map(|_| bench.ask(Command::Reload(Reload { wait: true }))).last();
    assert_eq!(bench.refusal(last.unwrap()), Some(Reason::Busy));
}
