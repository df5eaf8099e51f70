use super::bench::{Bench, segv, signal};
use crate::config::{OnGiveUp, Restart};
use crate::control::protocol::{Command, Scale};
use crate::queue::{Ending, FailureAttribution, Order};
use crate::supervisor::fixture::{pipeline, stage, wanted};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::history::TransitionKind;
use crate::supervisor::machine::reason::{End, StartReason, StopReason};
use crate::sys::process::StartStep;
use std::time::Duration;

fn two() -> crate::config::Pipeline {
    let mut read = stage("read", &["q"], &[]);
    read.processes = 2;
    pipeline(vec![stage("write", &[], &["q"]), read])
}

#[test]
fn all_workers_of_a_new_pipeline_are_started() {
    let bench = Bench::up(two());
    assert_eq!(bench.running(), ["read[0]", "read[1]", "write[0]"]);
    assert!(bench.has_said("up after"), "{:?}", bench.said);
    assert_eq!(bench.guardians, 1);
}

#[test]
fn the_first_crash_is_followed_by_a_new_process_at_once_and_the_second_after_a_while() {
    let mut bench = Bench::up(two());
    bench.crash("read", 1);
    assert_eq!(bench.running(), ["read[0]", "read[1]", "write[0]"]);
    bench.crash("read", 1);
    assert_eq!(bench.running(), ["read[0]", "write[0]"]);
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.running(), ["read[0]", "read[1]", "write[0]"]);
}

#[test]
fn every_transition_is_kept_with_its_reason() {
    let mut bench = Bench::up(two());
    bench.crash("read", 1);
    let mut smaller = two();
    smaller.stages[1].processes = 1;
    bench.reload(smaller);
    bench.obey();
    let of_it = bench.state.history.transitions().filter(|transition| transition.worker == "read[1]");
    let changes: Vec<_> = of_it.map(|transition| transition.change.clone()).collect();
    assert_eq!(
        changes,
        [
            TransitionKind::Started(StartReason::New),
            TransitionKind::Ended(segv()),
            TransitionKind::Started(StartReason::Failed),
            TransitionKind::Asked(StopReason::Scaled),
            TransitionKind::Ended(End::Said(Ending::Ordered)),
        ]
    );
}

#[test]
fn a_crash_blames_the_item_at_hand_and_a_kill_by_the_supervisor_nobody() {
    let mut bench = Bench::up(two());
    bench.crash("read", 1);
    bench.send(Event::Quit);
    bench.end(bench.pid("read", 0), signal(libc::SIGTERM));
    bench.end(bench.pid("read", 1), segv());
    let attributions = [
        ("read[1]", FailureAttribution::Begun),
        ("read[0]", FailureAttribution::Nobody),
        ("read[1]", FailureAttribution::Begun),
    ];
    assert_eq!(bench.attributions, attributions.map(|(who, attribution)| (who.to_owned(), attribution)));
}

#[test]
fn a_good_run_makes_the_next_restart_immediate_again() {
    let mut bench = Bench::up(two());
    for _ in 0..3 {
        bench.crash("read", 0);
        bench.pass(Duration::from_secs(1));
    }
    bench.all_ready();
    bench.pass(Duration::from_secs(120));
    bench.crash("read", 0);
    assert_eq!(bench.running().len(), 3);
}

#[test]
fn too_many_restarts_stop_the_pipeline_and_make_it_fail() {
    let mut given = two();
    given.stages[1].rules.backoff.max = Duration::from_secs(1);
    let mut bench = Bench::up(given);
    for _ in 0..11 {
        bench.crash("read", 0);
        bench.pass(Duration::from_secs(4));
        bench.all_ready();
    }
    assert!(bench.has_said("gives up: more than 10 restarts within 1m"), "{:?}", bench.said);
    assert_eq!(bench.running(), ["read[1] finish", "write[0] finish"]);
    bench.obey_and_drain();
    let outcome = bench.outcome.unwrap();
    assert!(outcome.failed);
    // The last death was followed by none.
    let restarts: Vec<u64> = outcome.stages.iter().map(|stage| stage.restarts).collect();
    assert_eq!(restarts, [0, 10]);
}

#[test]
fn a_pipeline_can_go_on_without_a_stage_that_gave_up() {
    let mut given = two();
    given.stages[1].rules.on_give_up = OnGiveUp::Continue;
    given.stages[1].rules.give_up.restarts = 0;
    given.stages.push(stage("other", &["q"], &[]));
    let mut bench = Bench::up(given);
    bench.crash("read", 0);
    bench.obey();
    assert_eq!(bench.running(), ["other[0]", "write[0]"]);
    bench.say("write", 0, Ending::Finished);
    bench.obey_and_drain();
    assert!(bench.outcome.unwrap().failed, "a stage gave up, so the run was no success");
}

#[test]
fn what_is_killed_from_outside_is_restarted_and_never_given_up() {
    let mut bench = Bench::up(two());
    let ends = [
        signal(libc::SIGKILL),
        signal(libc::SIGTERM),
        End::Terminated,
        End::ProgramKilled("the program failed: it was killed by SIGKILL".into()),
    ];
    for end in ends.iter().cycle().take(40) {
        bench.end_idle(bench.pid("read", 0), end.clone());
        let waits = bench.running().len();
        bench.pass(Duration::from_secs(31));
        assert_eq!(bench.running(), ["read[0]", "read[1]", "write[0]"], "{waits} {:?}", bench.said);
        bench.all_ready();
    }
    assert!(
        bench
            .has_said("the stage read was killed from outside 10 times in a row, and is restarted each time")
    );
    assert_eq!(bench.said.iter().filter(|line| line.contains("times in a row")).count(), 1);
    assert!(bench.state.stages[1].killed_in_a_row == 40 && !bench.state.failed);
    // What does an item in between has come back.
    bench.end(bench.pid("read", 0), signal(libc::SIGKILL));
    assert_eq!(bench.state.stages[1].killed_in_a_row, 1);
}

#[test]
fn a_kill_is_followed_at_once_and_the_next_one_after_a_pause() {
    let mut bench = Bench::up(two());
    bench.end_idle(bench.pid("read", 0), signal(libc::SIGKILL));
    assert_eq!(bench.running().len(), 3);
    bench.end_idle(bench.pid("read", 0), signal(libc::SIGKILL));
    assert_eq!(bench.running(), ["read[1]", "write[0]"]);
    assert!(bench.has_said("it starts again in"), "{:?}", bench.said);
}

#[test]
fn all_workers_of_a_stage_may_be_killed_at_once() {
    let mut given = two();
    given.stages[1].processes = 20;
    let mut bench = Bench::up(given);
    for index in 0..20 {
        bench.end(bench.pid("read", index), signal(libc::SIGKILL));
    }
    assert_eq!((bench.running().len(), bench.outcome.is_none()), (21, true));
    assert!(
        bench.attributions.iter().all(|(_, attribution)| *attribution == FailureAttribution::Begun),
        "{:?}",
        bench.attributions
    );
}

#[test]
fn a_program_that_can_not_be_started_at_first_ends_the_run_with_one_line() {
    let never = || End::CannotStart("can't start `x`".into());
    let mut bench = Bench::up(two());
    bench.end_idle(bench.pid("read", 0), never());
    bench.end_idle(bench.pid("read", 1), never());
    bench.obey_and_drain();
    assert!(bench.outcome.as_ref().unwrap().failed);
    let sent = bench.said.iter().filter(|line| line.contains("can't start") && !line.starts_with("DEBUG"));
    assert_eq!(sent.collect::<Vec<_>>(), ["ERROR: the stage read failed: can't start `x`"]);
    assert!(
        bench
            .attributions
            .iter()
            .filter(|(who, _)| who.starts_with("read"))
            .all(|(_, b)| *b == FailureAttribution::Nobody)
    );
}

#[test]
fn a_program_that_can_not_be_started_may_take_only_its_stage_along() {
    let mut given = two();
    given.stages[1].rules.on_give_up = OnGiveUp::Continue;
    given.stages.push(stage("other", &["q"], &[]));
    let mut bench = Bench::up(given);
    bench.end_idle(bench.pid("read", 0), End::CannotStart("can't start `x`".into()));
    bench.obey();
    assert_eq!(bench.running(), ["other[0]", "write[0]"]);
}

#[test]
fn a_program_that_could_be_started_once_is_tried_again() {
    let never = || End::CannotStart("can't start `x`".into());
    // It has done something.
    let mut bench = Bench::up(two());
    bench.end(bench.pid("read", 0), never());
    assert_eq!(bench.running().len(), 3);
    // Another worker of it has, or is a new one.
    let mut more = two();
    more.stages[1].processes = 3;
    let mut bench = Bench::up(two());
    bench.reload(more);
    bench.all_ready();
    bench.end_idle(bench.pid("read", 2), never());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.running().len(), 4);
    // It has failed in another way before.
    let mut bench = Bench::up(two());
    bench.end_idle(bench.pid("read", 0), End::Said(Ending::Failed("no".into())));
    bench.end_idle(bench.pid("read", 1), never());
    assert_eq!(bench.running().len(), 3);
}

#[test]
fn a_failed_fork_is_tried_again_after_a_pause_and_never_in_a_circle() {
    let mut bench = Bench::new();
    bench.forks_fail = true;
    bench.send(Event::Begin(wanted(pipeline(vec![stage("only", &[], &[])]), &[])));
    bench.run_starts();
    assert!(
        bench.has_said("failed to fork: Resource temporarily unavailable (EAGAIN)")
            || bench.has_said("EAGAIN")
    );
    let due = bench.state.deadline().unwrap();
    assert!(due >= bench.now + Duration::from_millis(50));
    bench.forks_fail = false;
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.running(), ["only[0]"]);
}

#[test]
fn a_fork_that_always_fails_ends_the_pipeline() {
    let mut bench = Bench::new();
    bench.forks_fail = true;
    bench.send(Event::Begin(wanted(two(), &[])));
    bench.pass(Duration::from_secs(600));
    assert!(bench.outcome.unwrap().failed);
}

#[test]
fn a_disk_without_room_for_a_process_is_waited_for_however_long() {
    let mut bench = Bench::new();
    (bench.forks_fail, bench.failing_step) = (true, StartStep::QueueMemory);
    bench.send(Event::Begin(wanted(two(), &[])));
    bench.pass(Duration::from_secs(600));
    assert!(bench.outcome.is_none() && bench.has_said("find room on the disk"), "{:?}", bench.said);
    bench.forks_fail = false;
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.running(), ["read[0]", "read[1]", "write[0]"]);
}

#[test]
fn where_no_further_process_can_be_had_those_of_its_stage_go_on_and_it_is_tried_again() {
    let mut bench = Bench::up(two());
    bench.all_ready();
    bench.forks_fail = true;
    let scale = Scale { stage: "read".into(), processes: Some(12), by: None, wait: false };
    bench.ask(Command::Scale(scale));
    bench.pass(Duration::from_secs(600));
    assert!(bench.outcome.is_none() && bench.has_said("EAGAIN"), "{:?}", bench.said);
    assert_eq!(bench.running(), ["read[0]", "read[1]", "write[0]"]);
    bench.forks_fail = false;
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.running().len(), 13);
}

#[test]
fn the_end_runs_down_the_pipeline() {
    let mut bench = Bench::up(two());
    assert!(bench.ended.is_empty());
    bench.say("write", 0, Ending::Finished);
    assert!(bench.ended.contains("q"));
    bench.say("read", 0, Ending::InputEnded);
    assert!(!bench.closed.contains("q"), "one reader is still there");
    bench.say("read", 1, Ending::InputEnded);
    let outcome = bench.outcome.unwrap();
    assert!(!outcome.failed && outcome.stopped.is_none());
    assert_eq!(outcome.stages[1].counts.taken, 2);
}

#[test]
fn a_closed_output_ends_all_workers_of_its_writers() {
    let mut given = two();
    given.stages[0].processes = 3;
    given.stages[1].processes = 1;
    let mut bench = Bench::up(given);
    bench.say("read", 0, Ending::OutputClosed);
    assert!(bench.closed.contains("q"));
    bench.say("write", 1, Ending::OutputClosed);
    assert_eq!(bench.running(), ["write[0] finish", "write[2] finish"]);
    bench.obey();
    assert!(!bench.outcome.unwrap().failed);
}

#[test]
fn never_means_that_a_failed_stage_stays_down() {
    let mut given = two();
    given.stages[1].rules.restart = Restart::Never;
    let mut bench = Bench::up(given);
    bench.crash("read", 0);
    assert_eq!(bench.running(), ["read[1]", "write[0]"]);
    bench.crash("read", 1);
    assert_eq!(bench.running(), ["write[0] finish"]);
    bench.obey();
    assert!(bench.outcome.unwrap().failed);
}

#[test]
fn a_failure_that_others_made_good_is_none() {
    let mut given = two();
    given.stages[1].rules.restart = Restart::Never;
    let mut bench = Bench::up(given);
    bench.crash("read", 0);
    bench.say("write", 0, Ending::Finished);
    bench.obey_and_drain();
    assert!(!bench.outcome.unwrap().failed);
}

#[test]
fn always_starts_a_source_with_a_position_over_once_all_its_workers_are_through() {
    let mut source = stage("source", &[], &[]);
    source.processes = 2;
    source.rules.restart = Restart::Always;
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(pipeline(vec![source]), &["source"])));
    bench.obey();
    assert_eq!(bench.seeds, 1);
    bench.say("source", 0, Ending::Finished);
    assert_eq!(bench.running(), ["source[1]"]);
    bench.say("source", 1, Ending::Finished);
    bench.run_starts();
    assert_eq!((bench.seeds, bench.running().len()), (2, 2));
}

#[test]
fn a_worker_that_was_recycled_is_followed_at_once_as_often_as_it_likes() {
    let mut bench = Bench::up(two());
    for _ in 0..100 {
        bench.say("read", 0, Ending::Recycled);
    }
    assert_eq!(bench.running().len(), 3);
}

#[test]
fn a_worker_stopped_inside_the_lock_is_killed_and_followed_by_another() {
    let mut bench = Bench::up(two());
    let pid = bench.pid("read", 0);
    let worker = bench.knows(pid).unwrap();
    bench.send(Event::Suspended { worker, pid, holds_lock: false });
    assert!(!bench.procs[&pid].killed);
    bench.send(Event::Suspended { worker, pid, holds_lock: true });
    assert!(bench.procs[&pid].killed);
    bench.end(pid, signal(libc::SIGKILL));
    assert_eq!(bench.attributions, [("read[0]".to_owned(), FailureAttribution::Nobody)]);
    assert_eq!(bench.running().len(), 3);
}

#[test]
fn a_thousand_starts_leave_room_for_other_events() {
    let mut given = two();
    given.stages[1].processes = 1000;
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(given, &[])));
    assert!(bench.procs.len() < 100);
    bench.send(Event::Interrupt);
    assert!(bench.procs.values().any(|proc| proc.order == Order::Finish), "it was looked at in between");
}

#[test]
fn a_guardian_that_ends_is_replaced_but_not_in_a_circle() {
    let mut bench = Bench::up(two());
    for _ in 0..5 {
        bench.send(Event::GuardianEnded);
        bench.send(Event::Deadline);
    }
    assert_eq!(bench.guardians, 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.guardians, 2);
    // One that never lives is started less and less often, but the run is never long without one.
    for _ in 0..600 {
        bench.send(Event::GuardianEnded);
        bench.pass(Duration::from_secs(1));
    }
    assert!((100..130).contains(&bench.guardians), "{}", bench.guardians);
}

#[test]
fn damaged_memory_ends_everything_at_once_with_a_failure() {
    let mut bench = Bench::up(two());
    bench.send(Event::Damaged("queue memory is damaged".into()));
    assert_eq!(bench.running(), ["read[0] killed", "read[1] killed", "write[0] killed"]);
    bench.send(Event::Damaged("queue memory is damaged".into()));
    bench.obey();
    assert!(bench.outcome.unwrap().failed);
}
