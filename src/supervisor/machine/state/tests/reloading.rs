use super::bench::{Bench, segv};
use crate::config::pipeline::{Collect, Command, Framing, Invocation, Mode, ProgramLimits, Restart, Task};
use crate::config::{OnGiveUp, OrderOf, OutputOrder, Pipeline};
use crate::control::protocol::{self, Command as Verb, OneStage};
use crate::queue::{Ending, MAX_QUEUES};
use crate::supervisor::fixture::{pipeline, stage, wanted};
use crate::supervisor::machine::event::{Event, Loading};
use std::time::Duration;

fn chain() -> Pipeline {
    pipeline(vec![stage("a", &[], &["p"]), stage("b", &["p"], &["q"]), stage("c", &["q"], &[])])
}

fn with(change: impl FnOnce(&mut Pipeline)) -> Pipeline {
    let mut changed = chain();
    change(&mut changed);
    changed
}

/// `b` with so many workers of such work.
fn b(processes: u32, uses: &str) -> Pipeline {
    with(|pipeline| {
        pipeline.stages[1].processes = processes;
        pipeline.stages[1].work.task = Task::of(uses);
    })
}

fn uses(bench: &Bench, stage: &str) -> Vec<String> {
    let of_stage = bench.procs.values().filter(|proc| proc.spawn.stage == stage);
    of_stage.map(|proc| proc.spawn.version.work.title().into_owned()).collect()
}

/// `b` as a program whose outputs may have to wait for room.
fn b_as_program() -> Pipeline {
    with(|pipeline| {
        pipeline.stages[1].work.task = Task::Command(Box::new(Command {
            invocation: Invocation::Shell("true".into()),
            mode: Mode::Each { collect: Collect::Lines, batch: None },
            placeholders: Default::default(),
            max_args: None,
            keep_failed_output: false,
            halt: None,
            tag: false,
            joblog: None,
            in_framing: Framing::Lines,
            out_framing: Framing::Lines,
            success_codes: vec![0],
            dead_codes: Vec::new(),
            later_codes: crate::config::pipeline::LaterCodes::default(),
            stdout: Default::default(),
            stop_signal: Default::default(),
            env: Vec::new(),
            env_file: Vec::new(),
            file_variables: None,
            cwd: None,
            user: None,
            group: None,
            umask: None,
            nice: None,
            limits: ProgramLimits::default(),
        }));
    })
}

#[test]
fn a_stage_whose_finished_outputs_have_no_room_yet_is_not_given_up() {
    let mut bench = Bench::up(b_as_program());
    bench.held.insert("outbox of b".into(), 2);
    bench.reload(with(|pipeline| drop(pipeline.stages.remove(1))));
    bench.obey();
    assert!(bench.has_said("the outputs of 2 items of the stage b have no room yet; going back"));
    assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]"]);
    bench.all_ready();
    assert!(bench.queues.values().any(|name| name == "outbox of b"));
    // Once they are out it can go.
    bench.held.clear();
    bench.reload(with(|pipeline| {
        pipeline.stages.remove(1);
        pipeline.stages[1].tuning.attempts = 9;
    }));
    bench.obey();
    assert!(!bench.queues.values().any(|name| name == "outbox of b"), "{:?}", bench.said);
}

/// The second stage keeps the order of its input.
fn b_in_order(processes: u32) -> Pipeline {
    with(|pipeline| {
        pipeline.stages[1].processes = processes;
        pipeline.stages[1].order = OutputOrder { order: Some(OrderOf::Input), order_window: 10 };
    })
}

fn windows(bench: &Bench) -> usize {
    bench.queues.values().filter(|name| *name == "window of b").count()
}

#[test]
fn an_order_begins_and_ends_and_no_worker_notices() {
    let mut bench = Bench::up(chain());
    let before: Vec<_> = bench.procs.keys().copied().collect();
    bench.reload(b_in_order(1));
    assert_eq!((windows(&bench), bench.orders.values().copied().collect::<Vec<_>>()), (1, vec![10]));
    bench.reload(b_in_order(3));
    bench.all_ready();
    assert_eq!(bench.orders.values().copied().collect::<Vec<_>>(), [30]);
    bench.reload(with(|pipeline| pipeline.stages[1].processes = 3));
    assert_eq!((windows(&bench), bench.orders.len()), (0, 0));
    assert!(before.iter().all(|pid| bench.procs.contains_key(pid)));
}

#[test]
fn a_window_that_holds_outputs_is_left_to_let_them_out_and_used_again() {
    let mut bench = Bench::up(b_in_order(1));
    bench.held.insert("window of b".into(), 2);
    bench.reload(chain());
    assert!(bench.has_said("reloaded after"));
    assert_eq!((windows(&bench), bench.orders.len()), (1, 0));
    bench.reload(b_in_order(1));
    assert_eq!((windows(&bench), bench.orders.len()), (1, 1));
}

#[test]
fn more_processes_are_added_and_nobody_else_notices() {
    let mut bench = Bench::up(chain());
    let before: Vec<_> = bench.procs.keys().copied().collect();
    bench.reload(b(4, "x"));
    assert_eq!(bench.running(), ["a[0]", "b[0]", "b[1]", "b[2]", "b[3]", "c[0]"]);
    assert!(before.iter().all(|pid| bench.procs.contains_key(pid)));
    bench.all_ready();
    assert!(bench.has_said("reloaded after"));
}

#[test]
fn fewer_processes_let_the_newest_finish_their_item_and_leave() {
    let mut bench = Bench::up(b(4, "x"));
    bench.reload(b(2, "x"));
    assert_eq!(bench.running(), ["a[0]", "b[0]", "b[1]", "b[2] finish", "b[3] finish", "c[0]"]);
    bench.obey();
    bench.pass(Duration::from_secs(3600));
    assert_eq!(bench.running(), ["a[0]", "b[0]", "b[1]", "c[0]"]);
}

#[test]
fn a_worker_on_its_way_out_is_called_back() {
    let mut bench = Bench::up(b(2, "x"));
    bench.reload(b(1, "x"));
    bench.reload(b(2, "x"));
    assert_eq!(bench.running(), ["a[0]", "b[0]", "b[1]", "c[0]"]);
    bench.say("b", 1, Ending::Ordered);
    assert_eq!(bench.running(), ["a[0]", "b[0]", "b[1]", "c[0]"], "too late, so another one comes");
}

#[test]
fn changed_work_replaces_workers_one_by_one_each_after_its_item() {
    let mut bench = Bench::up(b(3, "x"));
    bench.reload(b(3, "y"));
    assert_eq!(bench.running(), ["a[0]", "b[0] finish", "b[1]", "b[2]", "c[0]"]);
    bench.say("b", 0, Ending::Ordered);
    assert_eq!(bench.running(), ["a[0]", "b[0]", "b[1]", "b[2]", "c[0]"], "the next waits until it is ready");
    bench.all_ready();
    assert_eq!(bench.running(), ["a[0]", "b[0]", "b[1] finish", "b[2]", "c[0]"]);
    bench.obey();
    assert_eq!(uses(&bench, "b"), ["y", "y", "y"]);
    assert!(bench.has_said("reloaded after"));
}

#[test]
fn settings_are_taken_over_live() {
    let mut bench = Bench::up(chain());
    let before: Vec<_> = bench.procs.keys().copied().collect();
    bench.reload(with(|pipeline| {
        pipeline.stages[1].tuning.sleep = Duration::from_secs(1);
        pipeline.queues[0].limits.capacity = 5;
    }));
    assert_eq!(before, bench.procs.keys().copied().collect::<Vec<_>>());
    let tuned = &bench.procs[&bench.pid("b", 0)].spawn.tuning;
    assert_eq!(tuned.sleep, Duration::from_secs(1));
}

#[test]
fn a_new_version_that_fails_before_it_is_ready_brings_the_old_one_back() {
    let mut bench = Bench::up(b(2, "x"));
    bench.reload(b(2, "bad"));
    bench.say("b", 0, Ending::Ordered);
    assert_eq!(uses(&bench, "b"), ["x", "bad"]);
    bench.say("b", 0, Ending::Failed("no such file".into()));
    assert!(bench.has_said("reload failed: a worker of b failed: no such file"), "{:?}", bench.said);
    bench.obey();
    assert_eq!(uses(&bench, "b"), ["x", "x"]);
    assert!(bench.has_said("back as it was after"));
    bench.reload(b(2, "bad"));
    assert_eq!(uses(&bench, "b"), ["x", "x"], "the same bad text is not tried again by itself");
    bench.reload(b(3, "x"));
    bench.obey();
    assert_eq!(uses(&bench, "b").len(), 3);
}

#[test]
fn a_new_stage_that_fails_takes_the_whole_reload_back() {
    let mut bench = Bench::up(chain());
    bench.reload(with(|pipeline| {
        pipeline.stages[0].processes = 2;
        pipeline.stages.push(stage("d", &["q"], &[]));
    }));
    assert_eq!(bench.running(), ["a[0]", "a[1]", "b[0]", "c[0]", "d[0]"]);
    bench.crash("d", 0);
    bench.obey();
    assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]"]);
}

#[test]
fn a_crash_after_the_reload_is_a_crash_like_any_other() {
    let mut bench = Bench::up(chain());
    bench.reload(b(1, "y"));
    bench.obey();
    bench.crash("b", 0);
    assert_eq!(uses(&bench, "b"), ["y"]);
}

#[test]
fn a_removed_middle_stage_works_off_its_queue_which_then_goes() {
    let mut bench = Bench::up(chain());
    bench.held.insert("p".into(), 5);
    bench.reload(pipeline(vec![stage("a", &[], &["q"]), stage("c", &["q"], &[])]));
    assert_eq!(bench.running(), ["a[0] finish", "b[0] drain", "c[0]"]);
    bench.obey();
    assert!(bench.ended.contains("p"), "its only writer writes q now");
    assert!(!bench.ended.contains("q"));
    bench.held.clear();
    bench.say("b", 0, Ending::InputEnded);
    assert_eq!(bench.running(), ["a[0]", "c[0]"]);
    assert_eq!(bench.queues.values().collect::<Vec<_>>(), ["q"]);
    assert!(bench.has_said("reloaded after"));
}

#[test]
fn a_queue_that_fills_up_before_it_could_go_takes_the_reload_back() {
    let mut bench = Bench::up(chain());
    bench.reload(renamed());
    bench.say("a", 0, Ending::Ordered);
    bench.say("b", 0, Ending::InputEnded);
    bench.held.insert("p".into(), 1);
    bench.obey();
    assert!(bench.has_said("the queue p still holds 1 item"), "{:?}", bench.said);
    bench.say("b", 0, Ending::InputEnded); // what the other version of `a` has put into n
    bench.obey();
    assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]"]);
    assert!(
        bench.procs.values().all(|proc| proc.spawn.version.inputs.iter().all(|q| bench.queues[q] != "n"))
    );
}

#[test]
fn items_in_a_queue_that_only_the_failed_version_knew_are_kept() {
    let mut bench = Bench::up(chain());
    let mut new = with(|pipeline| {
        pipeline.stages[0].work.outputs = vec!["n".into()];
        pipeline.stages[1].work.inputs = vec!["n".into(), "p".into()];
        pipeline.stages.push(stage("d", &["q"], &[]));
    });
    new.queues.push(crate::supervisor::fixture::queue("n"));
    bench.reload(new.clone());
    bench.say("a", 0, Ending::Ordered);
    bench.ready(bench.pid("a", 0));
    bench.held.insert("n".into(), 4);
    bench.crash("d", 0);
    bench.obey();
    assert!(bench.has_said("the queue n holds 4 items: kept until the file names it again"));
    assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]"]);
    new.stages.pop();
    bench.reload(new);
    bench.obey();
    assert_eq!(
        bench.queues.values().filter(|name| *name == "n").count(),
        1,
        "the same queue, with its items"
    );
}

#[test]
fn a_stage_that_reads_on_elsewhere_leaves_after_its_items() {
    let mut bench = Bench::up(with(|pipeline| pipeline.stages.push(stage("d", &["q"], &[]))));
    bench.reload(chain());
    assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]", "d[0] finish"]);
    bench.obey();
    assert!(bench.has_said("reloaded after"));
    assert!(bench.closed.is_empty());
}

#[test]
fn a_queue_with_a_writer_again_wakes_the_readers_that_were_through() {
    let mut bench = Bench::up(with(|pipeline| pipeline.stages.push(stage("lives", &[], &[]))));
    bench.say("a", 0, Ending::Finished);
    bench.obey_and_drain();
    assert_eq!(bench.running(), ["lives[0]"]);
    bench.reload(with(|pipeline| {
        pipeline.stages.push(stage("lives", &[], &[]));
        pipeline.stages.push(stage("more", &[], &["p"]));
    }));
    assert_eq!(bench.running(), ["b[0]", "c[0]", "lives[0]", "more[0]"]);
    assert!(bench.ended.is_empty());
}

#[test]
fn a_finished_source_with_changed_work_runs_again() {
    let mut bench = Bench::up(with(|pipeline| pipeline.stages.push(stage("lives", &[], &[]))));
    bench.say("a", 0, Ending::Finished);
    bench.reload(with(|pipeline| {
        pipeline.stages[0].work.task = Task::of("y");
        pipeline.stages.push(stage("lives", &[], &[]));
    }));
    assert_eq!(uses(&bench, "a"), ["y"]);
}

#[test]
fn more_workers_for_a_finished_source_don_t_do_it_all_again() {
    let mut bench = Bench::up(chain());
    bench.say("a", 0, Ending::Finished);
    bench.reload(with(|pipeline| pipeline.stages[0].processes = 3));
    assert_eq!(bench.running(), ["b[0]", "c[0]"]);
}

#[test]
fn a_position_is_kept_as_long_as_the_stage_is_the_same_and_through_a_failed_reload() {
    let mut bench = Bench::new();
    bench.send(Event::Begin(wanted(chain(), &["a"])));
    bench.obey();
    let token = |bench: &Bench| bench.procs[&bench.pid("a", 0)].spawn.version.token;
    let first = token(&bench);
    bench.reload_to(wanted(
        with(|pipeline| {
            if let crate::config::Task::Use { with, .. } = &mut pipeline.stages[0].work.task {
                with.insert("to".into(), 5.into());
            }
        }),
        &["a"],
    ));
    bench.obey();
    assert_eq!((token(&bench), bench.seeds), (first, 1));
    let other = with(|pipeline| {
        pipeline.stages[0].work.task = Task::of("y");
        pipeline.stages.push(stage("d", &["q"], &[]));
    });
    bench.reload_to(wanted(other, &["a"]));
    bench.say("a", 0, Ending::Ordered);
    assert_ne!(token(&bench), first, "another source has another position");
    bench.ready(bench.pid("a", 0));
    bench.crash("d", 0);
    bench.obey();
    assert_eq!((token(&bench), bench.seeds), (first, 2));
    assert_eq!(bench.queues.len(), 3, "the other one's is gone: {:?}", bench.queues);
}

#[test]
fn an_edit_during_a_reload_wins() {
    let mut bench = Bench::up(b(2, "x"));
    bench.reload(b(2, "y"));
    bench.say("b", 0, Ending::Ordered);
    bench.reload(b(2, "z"));
    bench.obey();
    assert_eq!(uses(&bench, "b"), ["z", "z"]);
}

#[test]
fn a_failure_of_the_second_of_two_edits_goes_back_to_what_last_ran_as_a_whole() {
    let mut bench = Bench::up(b(2, "x"));
    bench.reload(b(2, "y"));
    bench.say("b", 0, Ending::Ordered);
    bench.ready(bench.pid("b", 0));
    bench.reload(b(2, "bad"));
    bench.say("b", 1, Ending::Ordered);
    bench.crash("b", 1);
    bench.obey();
    assert_eq!(uses(&bench, "b"), ["x", "x"]);
}

#[test]
fn a_removed_stage_that_does_not_drain_in_time_stays() {
    let mut bench = Bench::up(chain());
    bench.reload(pipeline(vec![stage("a", &[], &["q"]), stage("c", &["q"], &[])]));
    bench.obey();
    bench.pass(Duration::from_secs(30));
    assert!(bench.has_said("did not work off its input within 30s"), "{:?}", bench.said);
    bench.obey();
    assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]"]);
    assert!(bench.ended.is_empty());
}

/// `a -> n -> b -> q -> c`: the queue between the first two has another name.
fn renamed() -> Pipeline {
    pipeline(vec![stage("a", &[], &["n"]), stage("b", &["n"], &["q"]), stage("c", &["q"], &[])])
}

fn inputs(bench: &Bench, stage: &str) -> Vec<Vec<String>> {
    let of_stage = bench.procs.values().filter(|proc| proc.spawn.stage == stage);
    of_stage.map(|proc| proc.spawn.version.work.inputs.clone()).collect()
}

#[test]
fn a_reader_of_a_renamed_queue_reads_it_to_its_end_first_also_over_a_kill() {
    let mut bench = Bench::up(with(|pipeline| pipeline.stages[1].processes = 2));
    let mut new = renamed();
    new.stages[1].processes = 2;
    bench.reload(new);
    bench.pass(Duration::from_secs(3600));
    assert_eq!(inputs(&bench, "b"), [["p"], ["p"]], "{:?}", bench.said);
    assert!(!bench.ended.contains("p"), "`a` writes into it still");
    bench.say("a", 0, Ending::Ordered);
    assert!(bench.ended.contains("p"));
    bench.crash("b", 0);
    assert_eq!(inputs(&bench, "b"), [["p"], ["p"]], "what it had is worked off");
    bench.say("b", 0, Ending::InputEnded);
    assert_eq!(inputs(&bench, "b"), [["p"]], "what is before comes first");
    bench.say("b", 1, Ending::InputEnded);
    assert_eq!(inputs(&bench, "b"), [["n"], ["n"]]);
    bench.obey();
    assert!(bench.has_said("reloaded after") && bench.ended.is_empty() && bench.closed.is_empty());
    assert!(bench.queues.values().all(|name| name != "p"), "{:?}", bench.queues);
}

#[test]
fn a_reader_that_fails_gets_its_fix_with_the_other_name_of_its_queue() {
    let mut bench = Bench::up(chain());
    bench.crash("b", 0);
    bench.crash("b", 0);
    assert_eq!(bench.running(), ["a[0]", "c[0]"], "it waits before its next start");
    let mut new = renamed();
    new.stages[1].work.task = Task::of("fixed");
    bench.reload(new);
    assert_eq!(
        (inputs(&bench, "b"), uses(&bench, "b")),
        (vec![vec!["p".to_owned()]], vec!["fixed".to_owned()])
    );
}

#[test]
fn a_queue_that_is_renamed_twice_is_read_under_each_of_its_names() {
    for back in [false, true] {
        let mut bench = Bench::up(chain());
        bench.reload(renamed());
        bench.say("a", 0, Ending::Ordered);
        bench.ready(bench.pid("a", 0));
        let mut third = if back { chain() } else { renamed() };
        if !back {
            third.stages[0].work.outputs = vec!["m".into()];
            third.stages[1].work.inputs = vec!["m".into()];
            third
                .queues
                .iter_mut()
                .filter(|queue| queue.name == "n")
                .for_each(|queue| queue.name = "m".into());
        }
        bench.reload(third);
        bench.say("a", 0, Ending::Ordered);
        bench.ready(bench.pid("a", 0));
        let last = if back { "p" } else { "m" };
        if back {
            bench.say("b", 0, Ending::Ordered);
        } else {
            assert_eq!(inputs(&bench, "b"), [["p"]]);
            bench.say("b", 0, Ending::InputEnded);
        }
        assert_eq!(inputs(&bench, "b"), [["n"]], "{back}");
        bench.say("b", 0, Ending::InputEnded);
        assert_eq!(inputs(&bench, "b"), [[last]]);
        bench.obey();
        assert_eq!(bench.queues.len(), 2, "{:?}", bench.queues);
    }
}

#[test]
fn a_drain_in_the_middle_of_a_rename_works_off_both_queues() {
    let mut bench = Bench::up(chain());
    bench.reload(renamed());
    bench.say("a", 0, Ending::Ordered);
    bench.ready(bench.pid("a", 0));
    bench.ask(Verb::Drain);
    bench.say("a", 0, Ending::Ordered);
    assert!(bench.ended.contains("p"), "{:?}", bench.ended);
    bench.say("b", 0, Ending::InputEnded);
    bench.run_starts();
    assert_eq!(inputs(&bench, "b"), [["n"]]);
    bench.say("b", 0, Ending::InputEnded);
    bench.say("c", 0, Ending::InputEnded);
    assert!(bench.outcome.is_some());
}

#[test]
fn a_worker_that_is_not_started_again_holds_no_other_up_in_the_middle_of_a_rename() {
    let never = |mut pipeline: Pipeline| {
        pipeline.stages[1].processes = 2;
        pipeline.stages[1].rules.restart = Restart::Never;
        pipeline
    };
    let mut bench = Bench::up(never(chain()));
    bench.reload(never(renamed()));
    bench.say("a", 0, Ending::Ordered);
    bench.ready(bench.pid("a", 0));
    bench.crash("b", 0);
    assert_eq!(inputs(&bench, "b"), [["p"]]);
    bench.say("b", 1, Ending::InputEnded);
    assert_eq!(inputs(&bench, "b"), [["n"], ["n"]]);
}

#[test]
fn a_stage_that_is_stopped_by_hand_reads_a_renamed_queue_to_its_end_once_it_is_started() {
    let whom = || OneStage { stage: "b".into(), wait: false };
    for is_before in [true, false] {
        let mut bench = Bench::up(chain());
        let stop = |bench: &mut Bench| {
            bench.ask(Verb::StopStage(whom()));
            bench.say("b", 0, Ending::Ordered);
        };
        if is_before {
            stop(&mut bench);
        }
        bench.reload(renamed());
        bench.held.insert("p".to_owned(), 3);
        bench.say("a", 0, Ending::Ordered);
        bench.ready(bench.pid("a", 0));
        if !is_before {
            stop(&mut bench);
        }
        bench.pass(Duration::from_secs(3600));
        assert!(!bench.has_said("going back"), "{:?}", bench.said);
        bench.ask(Verb::StartStage(whom()));
        bench.run_starts();
        assert_eq!(inputs(&bench, "b"), [["p"]]);
        bench.held.clear();
        bench.say("b", 0, Ending::InputEnded);
        assert_eq!(inputs(&bench, "b"), [["n"]]);
        bench.obey();
        assert!(bench.closed.is_empty() && bench.ended.is_empty(), "{:?}", bench.said);
    }
}

#[test]
fn a_stage_that_kept_an_order_reads_its_old_queue_as_it_was() {
    let mut bench = Bench::up(b_in_order(2));
    let mut new =
        pipeline(vec![stage("a", &[], &["n"]), stage("b", &["n"], &["r"]), stage("c", &["r"], &[])]);
    new.stages[1].processes = 2;
    bench.reload(new);
    bench.say("a", 0, Ending::Ordered);
    bench.ready(bench.pid("a", 0));
    assert_eq!((inputs(&bench, "b"), bench.orders.len()), (vec![vec!["p".to_owned()]; 2], 1));
    assert!(
        bench.procs.values().all(|proc| proc.spawn.stage != "b" || proc.spawn.version.work.outputs == ["q"])
    );
    bench.say("b", 0, Ending::InputEnded);
    bench.say("b", 1, Ending::InputEnded);
    assert_eq!(inputs(&bench, "b"), [["n"], ["n"]]);
    assert!(bench.ended.contains("q"), "its reader works it off");
    bench.say("c", 0, Ending::InputEnded);
    bench.obey();
    assert!(bench.has_said("reloaded after") && windows(&bench) == 0, "{:?}", bench.said);
}

#[test]
fn a_stage_that_keeps_an_order_reads_its_old_queue_with_its_new_program_if_it_writes_where_it_did() {
    let mut bench = Bench::up(b_in_order(2));
    let with = |outputs: &str| {
        let mut new = pipeline(vec![
            stage("a", &[], &["n"]),
            stage("b", &["n"], &[outputs]),
            stage("c", &[outputs], &[]),
        ]);
        new.stages[1].processes = 2;
        new.stages[1].order = OutputOrder { order: Some(OrderOf::Input), order_window: 10 };
        new.stages[1].work.task = crate::config::Task::of("mended");
        new
    };
    bench.reload(with("q"));
    for n in 0..2 {
        bench.say("b", n, Ending::Ordered);
        bench.ready(bench.pid("b", n));
    }
    assert_eq!(inputs(&bench, "b"), [["p"], ["p"]]);
    let of_b = |bench: &Bench| {
        let procs = bench.procs.values().filter(|proc| proc.spawn.stage == "b");
        procs.map(|proc| proc.spawn.version.work.task.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of_b(&bench), vec![crate::config::Task::of("mended"); 2]);
    assert!(bench.has_said("INFO: b reads p to the end first"), "{:?}", bench.said);
    let mut other = Bench::up(b_in_order(2));
    other.reload(with("r"));
    assert_eq!(inputs(&other, "b"), [["p"], ["p"]]);
    assert_ne!(of_b(&other), of_b(&bench));
    assert!(
        other.has_said("WARN: b reads p to the end first, as the file before this one has it"),
        "{:?}",
        other.said
    );
}

#[test]
fn a_run_that_ends_with_items_that_no_stage_reads_has_not_gone_well() {
    let mut bench = Bench::up(chain());
    bench.reload(renamed());
    bench.say("a", 0, Ending::Ordered);
    bench.ready(bench.pid("a", 0));
    bench.held.extend([("p".to_owned(), 1), ("n".to_owned(), 2)]);
    bench.say("b", 0, Ending::InputEnded);
    bench.obey();
    assert!(bench.has_said("going back"), "{:?}", bench.said);
    bench.say("b", 0, Ending::InputEnded);
    bench.obey();
    bench.say("a", 0, Ending::Finished);
    bench.say("b", 0, Ending::InputEnded);
    bench.say("c", 0, Ending::InputEnded);
    assert!(
        bench.has_said(
            "the queue n holds items, and no stage of the file reads it: they are lost with the run"
        )
    );
    assert!(bench.outcome.as_ref().unwrap().failed);
}

#[test]
fn a_file_is_read_once_it_is_quiet_but_not_put_off_for_ever() {
    let mut bench = Bench::up(chain());
    for _ in 0..4 {
        bench.send(Event::FileTouched);
        bench.pass(Duration::from_millis(30));
    }
    assert_eq!(bench.loads, 0);
    bench.pass(Duration::from_millis(50));
    assert_eq!(bench.loads, 1);
    for _ in 0..50 {
        bench.send(Event::FileTouched);
        bench.pass(Duration::from_millis(30));
    }
    assert_eq!(bench.loads, 2);
}

#[test]
fn a_bad_file_is_told_once_and_changes_nothing() {
    let mut bench = Bench::up(chain());
    for _ in 0..3 {
        bench.send(Event::Loaded(Loading::Bad("line 3: no".into())));
    }
    assert_eq!(bench.said.iter().filter(|line| *line == "line 3: no").count(), 1);
    bench.send(Event::Hangup);
    bench.send(Event::Loaded(Loading::Bad("line 3: no".into())));
    assert_eq!(bench.said.iter().filter(|line| *line == "line 3: no").count(), 2, "whoever asks is answered");
    assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]"]);
    bench.send(Event::Loaded(Loading::Gone("f.toml: gone".into())));
    bench.send(Event::Loaded(Loading::Gone("f.toml: gone".into())));
    assert_eq!(bench.said.iter().filter(|line| line.contains("gone")).count(), 1);
    bench.reload(chain());
    assert!(bench.has_said("the file says what runs already"));
}

#[test]
fn a_refused_file_is_told_once_and_changes_nothing() {
    let mut bench = Bench::up(chain());
    for _ in 0..2 {
        bench.reload(with(|pipeline| pipeline.name = "other".into()));
    }
    assert_eq!(bench.said.iter().filter(|line| line.contains("reload refused")).count(), 1);
    assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]"]);
}

#[test]
fn a_stage_that_gave_up_gets_another_chance_when_it_is_changed_or_a_reload_is_asked_for() {
    for requested in [false, true] {
        let mut given = chain();
        given.stages.push(stage("d", &["q"], &[]));
        given.stages[3].rules.on_give_up = crate::config::OnGiveUp::Continue;
        given.stages[3].rules.give_up.restarts = 0;
        let mut bench = Bench::up(given.clone());
        bench.crash("d", 0);
        assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]"]);
        if !requested {
            given.stages[3].work.task = Task::of("y");
        }
        let steps = bench.state.plan(&wanted(given.clone(), &[]), &[]).unwrap();
        let step = steps.last().unwrap();
        assert!(step.starts_with("stage d: start again (it gave up)"), "{steps:?}");
        assert_eq!(step.contains("a saved file alone leaves it"), requested, "{steps:?}");
        if requested {
            let id = bench.ask(Verb::Reload(protocol::Reload { wait: true }));
            bench.reload(given);
            // There is no reload whose end would be waited for.
            assert_eq!(bench.answers[&id].as_ref().unwrap().steps, ["stage d: start again (it gave up)"]);
        } else {
            bench.reload(given);
        }
        assert_eq!(bench.running(), ["a[0]", "b[0]", "c[0]", "d[0]"]);
        assert!(bench.said.iter().any(|line| line.contains("reload: stage d: start again (it gave up)")));
    }
}

#[test]
fn a_worker_killed_from_outside_before_it_is_ready_says_nothing_about_the_file() {
    let mut bench = Bench::up(chain());
    bench.reload(b(1, "y"));
    bench.say("b", 0, Ending::Ordered);
    bench.end(bench.pid("b", 0), super::bench::signal(libc::SIGKILL));
    bench.obey();
    assert_eq!(uses(&bench, "b"), ["y"]);
    bench.end(bench.pid("b", 0), segv());
}

#[test]
fn workers_that_leave_go_even_if_they_were_to_end_for_want_of_readers_and_there_is_one_again() {
    let writers = |processes, readers: &[&str]| {
        let mut stages = vec![stage("a", &[], &["q"])];
        stages[0].processes = processes;
        stages.extend(readers.iter().map(|reader| stage(reader, &["q"], &[])));
        pipeline(stages)
    };
    let mut bench = Bench::up(writers(3, &["c"]));
    bench.reload(writers(1, &["c"]));
    assert_eq!(bench.running(), ["a[0]", "a[1] finish", "a[2] finish", "c[0]"]);
    bench.say("c", 0, Ending::Finished);
    assert_eq!(bench.running(), ["a[0] finish", "a[1] finish", "a[2] finish"]);
    bench.reload(writers(1, &["c", "d"]));
    assert_eq!(bench.running(), ["a[0]", "a[1] finish", "a[2] finish", "d[0]"]);
    bench.obey();
    bench.all_ready();
    assert_eq!(bench.running(), ["a[0]", "d[0]"]);
}

#[test]
fn a_removed_stage_that_gives_up_over_its_last_items_is_gone_and_gets_no_other_chance() {
    let mut bench = Bench::new();
    let is_resumed = with(|pipeline| pipeline.stages[1].rules.on_give_up = OnGiveUp::Continue);
    bench.send(Event::Begin(wanted(is_resumed, &[])));
    bench.run_starts();
    // Nothing was up before: there is no way back.
    bench.reload(pipeline(vec![stage("a", &[], &["q"]), stage("c", &["q"], &[])]));
    bench.obey();
    assert_eq!(bench.running(), ["a[0]", "b[0] drain", "c[0]"]);
    bench.forks_fail = true;
    bench.crash("b", 0);
    bench.pass(Duration::from_secs(50));
    assert!(bench.has_said("the stage b gives up"), "{:#?}", bench.said);
    bench.forks_fail = false;
    let requested = bench.ask(Verb::Restart(protocol::Restart { stage: "b".into(), wait: false }));
    assert!(bench.refusal(requested).is_some());
    bench.pass(Duration::from_secs(50));
    assert!(bench.procs.values().all(|proc| proc.spawn.stage != "b"));
    assert!(!bench.queues.values().any(|name| name == "p"), "{:?}", bench.queues);
}

/// A run with nearly all queues that there may be: most between two stages, for each of the others costs time; and a
/// chain of programs, each with a hidden queue.
fn many_queues(links: usize) -> Pipeline {
    let program = b_as_program().stages[1].work.task.clone();
    let wide: Vec<String> = (0..MAX_QUEUES.saturating_sub(24)).map(|i| format!("wide{i}")).collect();
    let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    let name = |i: usize| format!("q{i}");
    let mut stages =
        vec![stage("source", &[], &[&name(0)]), stage("in", &[], &wide), stage("out", &wide, &[])];
    for i in 0..links {
        let mut link = stage(&format!("link{i}"), &[&name(i)], &[&name(i + 1)]);
        link.work.task = program.clone();
        stages.push(link);
    }
    stages.push(stage("sink", &[&name(links)], &[]));
    pipeline(stages)
}

#[test]
fn a_reload_needs_room_for_new_queues_only() {
    let mut bench = Bench::up(many_queues(10));
    let mut changed = many_queues(10);
    changed.stages[3].processes = 3;
    bench.reload(changed);
    bench.all_ready();
    assert!(bench.has_said("reloaded"));
    bench.reload(many_queues(11));
    bench.all_ready();
    assert!(!bench.has_said("it adds"), "there is room for one more of each kind");
    bench.reload(many_queues(13));
    assert!(bench.has_said("it adds 4 queues, hidden ones included, and the run has room for 1 beside"));
}

#[test]
fn stages_that_print_into_a_file_share_one_token_over_reloads() {
    let printing = |pipeline, names: &[&str]| {
        let printing = names.iter().map(|name| (*name).to_owned()).collect();
        crate::supervisor::machine::wanted::Wanted { printing, ..wanted(pipeline, &[]) }
    };
    let both = || pipeline(vec![stage("a", &[], &[]), stage("b", &[], &[])]);
    let mut bench = Bench::new();
    bench.send(Event::Begin(printing(both(), &["a", "b"])));
    bench.obey();
    let token = |bench: &Bench, name| bench.procs[&bench.pid(name, 0)].spawn.version.print_token;
    let first = token(&bench, "a");
    assert!(first.is_some() && token(&bench, "b") == first && bench.seeds == 1);
    // Also while nobody prints.
    let quiet = pipeline(vec![stage("a", &[], &["q"]), stage("b", &["q"], &[])]);
    bench.reload_to(printing(quiet, &[]));
    ["a", "b"].into_iter().for_each(|name| bench.say(name, 0, Ending::Ordered));
    bench.obey();
    assert_eq!((token(&bench, "a"), token(&bench, "b")), (None, None));
    bench.reload_to(printing(both(), &["b"]));
    bench.say("a", 0, Ending::Ordered);
    bench.say("b", 0, Ending::InputEnded);
    bench.obey();
    assert_eq!((token(&bench, "a"), token(&bench, "b"), bench.seeds), (None, first, 1));
}
