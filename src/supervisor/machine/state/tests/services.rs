//! Programs that run without a worker.

use super::bench::Bench;
use crate::config::{GiveUp, Restart};
use crate::control::protocol::{Command, OneStage, Scale, StageOrAll};
use crate::queue::Ending;
use crate::status::Snapshot;
use crate::supervisor::fixture::{pipeline, service, stage, wanted};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::ids::Pid;
use crate::supervisor::machine::notifier::NotifyCapabilities;
use crate::supervisor::machine::reason::End;
use crate::supervisor::machine::state::State;
use crate::sys::wait::{Exit, SignalNumber};
use std::time::Duration;

fn killed() -> End {
    End::ProgramKilled("it was killed by SIGKILL".to_owned())
}

fn pausing(stage: &str, on: bool) -> Command {
    let whom = StageOrAll { stage: Some(stage.to_owned()), wait: false };
    if on { Command::Pause(whom) } else { Command::Resume(whom) }
}

fn is_suspended(bench: &Bench, pid: Pid) -> bool {
    bench.procs[&pid].suspended
}

#[test]
fn it_is_told_by_signals_only_and_holds_nothing_of_the_queues() {
    let mut bench =
        Bench::up(pipeline(vec![service("web"), stage("s", &[], &["q"]), stage("t", &["q"], &[])]));
    let web = bench.pid("web", 0);
    assert!(bench.procs[&web].spawn.stage_id.is_none());
    bench.send(Event::Terminate);
    assert!(bench.running().contains(&"web[0] termed".to_owned()), "{:?}", bench.running());
    bench.end(web, End::Died(Exit::Signal(SignalNumber(libc::SIGTERM))));
    assert!(!bench.running().iter().any(|running| running.starts_with("web")));
    assert!(bench.attributions.iter().all(|(name, _)| name != "web[0]"), "it is not released");
}

#[test]
fn it_is_killed_after_stop_timeout_however_it_was_told() {
    let mut bench = Bench::up(pipeline(vec![service("web")]));
    bench.ask(Command::Scale(Scale { stage: "web".into(), processes: Some(2), by: None, wait: false }));
    bench.all_ready();
    bench.ask(Command::Scale(Scale { stage: "web".into(), processes: Some(1), by: None, wait: false }));
    assert_eq!(bench.running(), ["web[0]", "web[1] termed"]);
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.running(), ["web[0]", "web[1] killed"]);
    bench.end_idle(bench.pid("web", 1), killed());
    assert_eq!(bench.running(), ["web[0]"]);
}

#[test]
fn one_that_was_told_has_obeyed_however_it_ends() {
    let mut bench = Bench::up(pipeline(vec![service("web")]));
    bench.ask(Command::Restart(crate::control::protocol::Restart { stage: "web".into(), wait: false }));
    let first = bench.pid("web", 0);
    bench.end_idle(first, End::Said(Ending::Failed("it ended with exit code 1".to_owned())));
    bench.all_ready();
    assert_eq!(bench.running(), ["web[0]"]);
    assert!(!bench.said.iter().any(|line| line.contains("starts again")), "{:?}", bench.said);
}

#[test]
fn a_kill_from_outside_counts_for_no_give_up_and_a_failure_does() {
    let mut fragile = service("web");
    fragile.rules.give_up = GiveUp { restarts: 2, within: Duration::from_secs(3600) };
    fragile.rules.restart = Restart::Always;
    let mut bench = Bench::up(pipeline(vec![fragile]));
    for _ in 0..20 {
        bench.end_idle(bench.pid("web", 0), killed());
        bench.pass(Duration::from_secs(31));
        bench.run_starts();
        bench.all_ready();
    }
    for _ in 0..3 {
        bench.end_idle(bench.pid("web", 0), End::Said(Ending::Finished));
        bench.pass(Duration::from_secs(31));
        bench.run_starts();
    }
    assert!(bench.outcome.is_some_and(|outcome| outcome.failed));
}

/// A service of processes that end well, of which one restart is one too many within an hour.
fn pool(processes: u32) -> Bench {
    let mut pool = service("pool");
    pool.processes = processes;
    pool.rules.give_up = GiveUp { restarts: 1, within: Duration::from_secs(3600) };
    pool.rules.restart = Restart::Always;
    Bench::up(pipeline(vec![pool]))
}

fn end_well(bench: &mut Bench, index: u32) {
    bench.end_idle(bench.pid("pool", index), End::Said(Ending::Finished));
    bench.pass(Duration::from_secs(31));
    bench.run_starts();
    bench.all_ready();
}

#[test]
fn each_process_is_counted_by_itself_for_give_up() {
    let mut bench = pool(4);
    (1..4).for_each(|index| bench.end_idle(bench.pid("pool", index), End::Said(Ending::Finished)));
    end_well(&mut bench, 0);
    assert_eq!(bench.running().len(), 4, "{:?}", bench.said);
    end_well(&mut bench, 2);
    assert!(
        bench.has_said("the stage pool gives up: more than 1 restart of one process within"),
        "{:?}",
        bench.said
    );
}

#[test]
fn a_process_that_ran_well_begins_anew_for_give_up() {
    let mut bench = pool(1);
    for _ in 0..5 {
        end_well(&mut bench, 0);
        bench.pass(Duration::from_secs(61));
        end_well(&mut bench, 0);
        bench.pass(Duration::from_secs(61));
        assert_eq!(bench.running(), ["pool[0]"], "{:?}", bench.said);
    }
    end_well(&mut bench, 0);
    end_well(&mut bench, 0);
    end_well(&mut bench, 0);
    assert!(bench.outcome.is_some_and(|outcome| outcome.failed));
}

#[test]
fn a_paused_one_is_suspended_and_none_takes_its_place_before_it_is_resumed() {
    let mut bench = Bench::up(pipeline(vec![service("web")]));
    let first = bench.pid("web", 0);
    bench.ask(pausing("web", true));
    assert!(is_suspended(&bench, first) && bench.state.awaited().is_empty());
    bench.end_idle(first, killed());
    bench.pass(Duration::from_secs(60));
    bench.run_starts();
    assert_eq!(bench.running(), [""; 0]);
    bench.ask(pausing("web", false));
    bench.all_ready();
    assert_eq!(bench.running(), ["web[0]"]);
    assert!(!is_suspended(&bench, bench.pid("web", 0)));
}

#[test]
fn one_that_is_paused_before_its_program_has_begun_is_suspended_then() {
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(pipeline(vec![service("web")]), &[])));
    bench.run_starts();
    let web = bench.pid("web", 0);
    bench.ask(pausing("web", true));
    assert!(!is_suspended(&bench, web), "it has not its program yet");
    bench.ready(web);
    assert!(is_suspended(&bench, web));
}

#[test]
fn a_restart_of_paused_ones_is_over_before_they_are_resumed() {
    let mut web = service("web");
    web.processes = 2;
    let mut bench = Bench::up(pipeline(vec![web]));
    bench.ask(pausing("web", true));
    let restart =
        bench.ask(Command::Restart(crate::control::protocol::Restart { stage: "web".into(), wait: true }));
    for index in 0..2 {
        assert!(!bench.answers.contains_key(&restart));
        bench.end_idle(bench.pid("web", index), End::Died(Exit::Signal(SignalNumber(libc::SIGTERM))));
        bench.run_starts();
    }
    let done = &bench.answers[&restart].as_ref().unwrap().done;
    assert!(done.contains(" web` lets it start") && !done.contains("NAME"), "{done}");
    assert_eq!(bench.running(), [""; 0]);
    bench.ask(pausing("web", false));
    bench.all_ready();
    assert_eq!(bench.running(), ["web[0]", "web[1]"]);
}

#[test]
fn one_of_its_age_or_size_makes_room_for_a_fresh_one() {
    let mut old = service("old");
    old.recycle.age = Some(Duration::from_secs(60));
    let mut bench = Bench::up(pipeline(vec![old, service("large")]));
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.running(), ["large[0]", "old[0]"]);
    let large = bench.pid("large", 0);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.running(), ["large[0]", "old[0] termed"]);
    bench.send(Event::Outgrown(bench.procs[&large].spawn.worker, large));
    assert_eq!(bench.running(), ["large[0] termed", "old[0] termed"]);
    for name in ["large", "old"] {
        bench.end_idle(bench.pid(name, 0), End::Died(Exit::Signal(SignalNumber(libc::SIGTERM))));
    }
    bench.all_ready();
    assert_eq!(bench.running(), ["large[0]", "old[0]"]);
}

#[test]
fn an_idle_one_without_limits_has_no_deadline() {
    let bench = Bench::up(pipeline(vec![service("web"), service("db")]));
    assert_eq!(bench.state.deadline(), None);
}

#[test]
fn one_that_nobody_reads_ends_with_all_of_its_stage() {
    let mut twice = service("web");
    twice.processes = 2;
    let mut bench = Bench::up(pipeline(vec![twice]));
    let first = bench.pid("web", 0);
    let worker = bench.procs[&first].spawn.worker;
    bench.send(Event::OutputClosed(worker, first));
    assert_eq!(bench.running(), ["web[0] termed", "web[1] termed"]);
    for index in [0, 1] {
        bench.end_idle(bench.pid("web", index), killed());
    }
    assert!(bench.outcome.is_some_and(|outcome| !outcome.failed && outcome.stopped.is_none()));
}

#[test]
fn it_lives_on_under_the_next_program() {
    let wanted = wanted(pipeline(vec![service("web")]), &[]);
    let mut bench = Bench::up(wanted.pipeline.clone());
    let web = bench.pid("web", 0);
    bench.ask(pausing("web", true));
    bench.send(Event::Upgrade);
    let saved = bench.handed_over.take().unwrap();
    assert!(saved.stages[0].workers[0].is_service);
    bench.state = State::new(8, NotifyCapabilities::default());
    bench.send(Event::Resume(wanted, Box::new(saved)));
    assert_eq!(bench.pid("web", 0), web);
    bench.send(Event::Terminate);
    assert_eq!(bench.running(), ["web[0] termed"]);
}

#[test]
fn a_pause_suspends_none_that_ends() {
    let mut bench = Bench::up(pipeline(vec![service("web"), service("db")]));
    let web = bench.pid("web", 0);
    bench.ask(Command::StopStage(OneStage { stage: "web".into(), wait: false }));
    bench.ask(pausing("web", true));
    assert!(!is_suspended(&bench, web), "it could not end");
    assert_eq!(bench.running(), ["db[0]", "web[0] termed"]);
}

#[test]
fn a_further_stop_continues_one_that_was_suspended_while_it_ends() {
    let suspended = || {
        let mut bench = Bench::up(pipeline(vec![service("web"), service("db")]));
        let web = bench.pid("web", 0);
        bench.ask(Command::StopStage(OneStage { stage: "web".into(), wait: false }));
        bench.procs.get_mut(&web).unwrap().suspended = true; // by hand
        (bench, web)
    };
    let (mut bench, web) = suspended();
    bench.ask(Command::StopStage(OneStage { stage: "web".into(), wait: false }));
    assert!(!is_suspended(&bench, web));
    let (mut bench, web) = suspended();
    bench.send(Event::Terminate);
    assert!(!is_suspended(&bench, web));
}

/// A service whose output has lost its reader, and the snapshot after its end.
fn without_reader(restart: Restart) -> (Bench, Snapshot) {
    let mut web = service("web");
    web.rules.restart = restart;
    let mut bench = Bench::up(pipeline(vec![web, service("db")]));
    let pid = bench.pid("web", 0);
    let worker = bench.procs[&pid].spawn.worker;
    bench.send(Event::OutputClosed(worker, pid));
    bench.end_idle(pid, killed());
    let snapshot = bench.snapshot();
    (bench, snapshot)
}

#[test]
fn one_that_nobody_reads_is_a_fault_if_it_is_meant_to_run() {
    for restart in [Restart::Always, Restart::OnFailure] {
        let (bench, snapshot) = without_reader(restart);
        let said =
            bench.said.iter().find(|said| said.starts_with("WARN: web[0] ended as asked after")).unwrap();
        assert!(said.ends_with("; it is not started again: the reader of its output is gone"), "{said}");
        let web = snapshot.stages.iter().find(|stage| stage.name == "web").unwrap();
        assert_eq!((web.state(), web.workers[0].lost_reader), ("failed", true));
    }
    let (bench, snapshot) = without_reader(Restart::Never);
    assert!(!bench.has_said("WARN: web[0]"), "{:?}", bench.said);
    let web = snapshot.stages.iter().find(|stage| stage.name == "web").unwrap();
    assert_eq!((web.state(), web.workers[0].lost_reader), ("finished", false));
}

#[test]
fn one_that_has_finished_and_starts_again_later_has_not_failed() {
    let mut web = service("web");
    web.rules.restart = Restart::Always;
    let mut bench = Bench::up(pipeline(vec![web]));
    for _ in 0..2 {
        bench.end_idle(bench.pid("web", 0), End::Said(Ending::Finished));
        bench.run_starts();
    }
    let stage = bench.snapshot().stages.remove(0);
    assert_eq!((stage.state(), stage.workers[0].has_finished), ("restarting", true));
}

#[test]
fn the_last_words_of_a_program_end_the_line() {
    let mut bench = Bench::up(pipeline(vec![service("web")]));
    let why = "it ended with exit code 3; its last words: FATAL: the reason".to_owned();
    bench.end_idle(bench.pid("web", 0), End::Said(Ending::Failed(why)));
    let said = bench.said.iter().find(|said| said.contains("FATAL")).unwrap();
    assert!(
        said.starts_with("WARN: web[0] failed after ")
            && said.contains(": it ended with exit code 3; it starts"),
        "{said}"
    );
    assert!(said.ends_with("; its last words: FATAL: the reason"), "{said}");
}

#[test]
fn the_verbs_say_that_one_stands_still_or_has_no_process() {
    let mut bench = Bench::up(pipeline(vec![service("web"), service("db")]));
    bench.ask(Command::StopStage(OneStage { stage: "web".into(), wait: false }));
    bench.end_idle(bench.pid("web", 0), killed());
    let said = |bench: &Bench, id| bench.answers[&id].as_ref().unwrap().done.clone();
    let paused = bench.ask(pausing("web", true));
    assert_eq!(said(&bench, paused), "web: no process runs, and none is started until `mprun resume`");
    let started = bench.ask(Command::StartStage(OneStage { stage: "web".into(), wait: false }));
    let said = said(&bench, started);
    assert!(said.contains("it is paused: it starts at `mprun resume ") && !said.contains("NAME"), "{said}");
}
