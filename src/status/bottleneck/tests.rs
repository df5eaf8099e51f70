use super::*;
use crate::status::Failing;
use crate::status::fixture::{queue, snapshot, stage, worker};
use proptest::prelude::*;

/// Shares of working, starved and blocked time of a source, a middle and a last stage.
fn chain(source: [f64; 3], middle: [f64; 3], last: [f64; 3]) -> Snapshot {
    let stages =
        vec![stage("in", "", "a", source), stage("mid", "a", "b", middle), stage("out", "b", "c", last)];
    Snapshot { stages, queues: vec![queue("a", 5), queue("b", 5), queue("c", 0)], ..snapshot() }
}

fn found(now: &Snapshot) -> Bottleneck {
    find(now, &BTreeMap::new(), None)
}

#[test]
fn a_slow_source_is_the_limit_and_more_of_its_processes_would_not_help() {
    let mut now = chain([1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.1, 0.9, 0.0]);
    let bottleneck = found(&now);
    assert_eq!((bottleneck.limit, bottleneck.stage.as_deref()), (Limit::Work, Some("in")));
    assert_eq!((bottleneck.one_more, bottleneck.no_more_because), (0.0, Some(NoMore::OnePosition)));
    assert_eq!(
        bottleneck.text,
        "in is the bottleneck: it is at work 100 % of the time. The next limit, mid, could do 4.0 times as much. \
         More processes would give nothing: only one of them at a time can work."
    );
    now.stages[0].is_command = true;
    assert_eq!(found(&now).no_more_because, Some(NoMore::OwnProgram));
}

#[test]
fn a_source_that_runs_at_its_times_is_no_limit() {
    let mut now = chain([1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.1, 0.9, 0.0]);
    now.stages[0].scheduled = true;
    assert_eq!((found(&now).limit, found(&now).stage), (Limit::Nothing, None));
}

#[test]
fn a_program_beside_the_flow_of_items_is_not_its_limit() {
    let mut now = chain([0.2, 0.0, 0.8], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0]);
    now.stages.push(stage("beside", "", "", [1.0, 0.0, 0.0]));
    assert_eq!(found(&now).stage.as_deref(), Some("mid"));
    (now.queues, now.stages) = (Vec::new(), now.stages.split_off(3));
    assert_eq!(found(&now).stage.as_deref(), Some("beside"));
}

#[test]
fn a_slow_middle_is_the_limit_as_far_as_the_next_one_lets_it_be() {
    let mut now = chain([0.2, 0.0, 0.8], [0.98, 0.02, 0.0], [0.8, 0.2, 0.0]);
    now.stages[1].running = 2;
    let bottleneck = found(&now);
    assert_eq!((bottleneck.limit, bottleneck.stage.as_deref()), (Limit::Work, Some("mid")));
    assert_eq!(bottleneck.next, Some(Next { stage: "out".into(), times_as_much: 1.25 }));
    // A third process would give 50 %, but `out` only lets 25 % through.
    assert!((bottleneck.one_more - 0.25).abs() < 1e-9, "{bottleneck:?}");
    assert_eq!(
        bottleneck.text,
        "mid is the bottleneck: its 2 processes are at work 98 % of the time. The next limit, out, could do 1.2 times \
         as much. One process more (3) would give about 25 % more."
    );
}

#[test]
fn a_stage_that_waits_for_its_rate_is_the_limit_and_more_processes_give_nothing() {
    let mut now = chain([0.2, 0.0, 0.8], [0.1, 0.0, 0.0], [0.1, 0.9, 0.0]);
    now.stages[1].times.paused = now.stages[1].times.working * 9.0;
    assert_eq!(found(&now).limit, Limit::Pauses);
    now.stages[1].rate_limit = Some("100/s".to_owned());
    let bottleneck = found(&now);
    assert_eq!((bottleneck.limit, bottleneck.stage.as_deref()), (Limit::Rate, Some("mid")));
    assert_eq!((bottleneck.one_more, bottleneck.no_more_because), (0.0, None));
    assert_eq!(
        bottleneck.text,
        "mid is the bottleneck: it is limited by rate = \"100/s\", and at work or waiting for that 100 % of the time. \
         The next limit, in, could do 5.0 times as much. More processes would give nothing."
    );
}

#[test]
fn a_slow_last_stage_blocks_all_before_it() {
    let bottleneck = found(&chain([0.1, 0.0, 0.9], [0.1, 0.0, 0.9], [1.0, 0.0, 0.0]));
    assert_eq!((bottleneck.limit, bottleneck.stage.as_deref()), (Limit::Work, Some("out")));
    assert!((bottleneck.one_more - 1.0).abs() < 1e-9, "twice as many do twice as much: {bottleneck:?}");
}

#[test]
fn a_stage_that_is_paced_by_its_own_pauses_is_said_to_be() {
    let mut now = chain([0.1, 0.0, 0.9], [0.1, 0.0, 0.0], [0.1, 0.9, 0.0]);
    now.stages[1].times.paused = 9.0;
    let bottleneck = found(&now);
    assert_eq!((bottleneck.limit, bottleneck.stage.as_deref()), (Limit::Pauses, Some("mid")));
    assert!(bottleneck.text.starts_with("mid is the bottleneck, by its own pauses"), "{}", bottleneck.text);
    // Pauses overlap, also where the work itself can't, and on busy CPUs.
    let source = chain([0.0, 0.0, 0.0], [0.1, 0.9, 0.0], [0.1, 0.9, 0.0]);
    now.stages[0].times = Times { paused: 9.9, working: 0.1, ..source.stages[0].times };
    now.stages[1].times = source.stages[1].times;
    let bottleneck = find(&now, &BTreeMap::new(), Some(Cpus { count: 2, idle: 0.0 }));
    assert_eq!((bottleneck.stage.as_deref(), bottleneck.one_more), (Some("in"), 1.0));
}

#[test]
fn with_all_cpus_busy_more_processes_help_only_what_waits() {
    let now = chain([0.2, 0.0, 0.8], [1.0, 0.0, 0.0], [0.1, 0.9, 0.0]);
    let bottleneck = find(&now, &BTreeMap::new(), Some(Cpus { count: 2, idle: 0.03 }));
    assert_eq!((bottleneck.one_more, bottleneck.no_more_because), (0.0, Some(NoMore::CpusBusy)));
    let last = " Both CPUs are busy: more processes help only if their work is to wait.";
    assert!(bottleneck.text.ends_with(last), "{}", bottleneck.text);
    let idle = find(&now, &BTreeMap::new(), Some(Cpus { count: 2, idle: 0.5 }));
    assert!(idle.one_more > 0.9 && idle.no_more_because.is_none(), "{idle:?}");
}

#[test]
fn what_lies_outside_is_a_limit_too() {
    let bottleneck = found(&chain([0.02, 0.98, 0.0], [0.1, 0.9, 0.0], [0.1, 0.9, 0.0]));
    assert_eq!((bottleneck.limit, bottleneck.stage.as_deref()), (Limit::Input, Some("in")));
    let mut now = chain([0.1, 0.0, 0.9], [0.1, 0.0, 0.9], [0.03, 0.0, 0.97]);
    now.stages[2].outputs.clear();
    let bottleneck = found(&now);
    assert_eq!((bottleneck.limit, bottleneck.stage.as_deref()), (Limit::Output, Some("out")));
    assert!(bottleneck.text.starts_with("The reader of standard output"), "{}", bottleneck.text);
}

#[test]
fn of_two_that_are_as_busy_the_full_queue_between_them_tells() {
    let mut now = chain([1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.1, 0.9, 0.0]);
    now.queues[0] = queue("a", 10);
    let bottleneck = found(&now);
    assert_eq!((bottleneck.stage.as_deref(), bottleneck.one_more), (Some("mid"), 0.0));
    assert_eq!(bottleneck.no_more_because, Some(NoMore::NextIsNear));
    now.queues[0] = queue("a", 0);
    assert_eq!(found(&now).stage.as_deref(), Some("in"));
}

#[test]
fn who_waits_for_a_turn_is_no_worker_more() {
    let mut now = chain([1.0, 0.0, 0.0], [0.3, 0.7, 0.0], [0.1, 0.9, 0.0]);
    now.stages[0].times.for_turn = 30.0;
    let bottleneck = found(&now);
    assert_eq!((bottleneck.stage.as_deref(), bottleneck.share), (Some("in"), 1.0));
}

#[test]
fn only_the_time_between_the_looks_counts() {
    let now = chain([0.2, 0.0, 0.8], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]);
    // Until then `out` was at work all the time; from then on `mid` is.
    let before = BTreeMap::from([
        ("in".to_owned(), Times { working: 1.0, ..Times::default() }),
        ("mid".to_owned(), Times { working: 5.0, ..Times::default() }),
        ("out".to_owned(), Times { working: 5.0, ..Times::default() }),
    ]);
    let bottleneck = find(&now, &before, None);
    assert_eq!(bottleneck.stage.as_deref(), Some("mid"));
    assert_eq!(bottleneck.next.map(|next| next.stage).as_deref(), Some("in"));
}

#[test]
fn a_stage_that_is_failing_is_the_limit_while_items_wait_for_it() {
    let said = "mid is the bottleneck: it is failing, and tries one item at a time until one is done.";
    // Its tries end at once, or take long.
    for working in [0.1, 0.9] {
        let mut now = chain([0.1, 0.0, 0.9], [working, 1.0 - working, 0.0], [0.1, 0.9, 0.0]);
        now.stages[1].failing = Some(Failing { since: 3.0, last_words: "no server".to_owned() });
        let is = |now: &Snapshot, limit, stage| {
            let found = found(now);
            assert_eq!((found.limit, found.stage.as_deref(), found.next), (limit, stage, None));
            found.text
        };
        assert_eq!(is(&now, Limit::Failing, Some("mid")), said);
        // A source that waits for its rate is not the limit meanwhile.
        now.stages[0].rate_limit = Some("5/s".to_owned());
        now.stages[0].times.paused = 1000.0;
        assert_eq!(is(&now, Limit::Failing, Some("mid")), said);
        // Of two that are failing, the one for which more items wait.
        let mut two = now.clone();
        two.stages[2].failing = Some(Failing { since: 1.0, last_words: "no disk".to_owned() });
        two.queues[1].waiting = 9;
        is(&two, Limit::Failing, Some("out"));
        // Nothing waits for it: the source is the limit.
        (now.queues[0].waiting, now.queues[0].leased) = (0, 0);
        assert_eq!(found(&now).stage.as_deref(), Some("in"));
    }
}

#[test]
fn a_stage_whose_workers_all_pause_after_a_failure_is_the_limit() {
    let mut now = chain([1.0, 0.0, 0.0], [0.1, 0.9, 0.0], [0.1, 0.9, 0.0]);
    now.stages[1].workers = vec![worker("exit code 9"), worker("exit code 9")];
    assert_eq!(found(&now).limit, Limit::Failing);
    assert_eq!(found(&now).text, "mid is the bottleneck: it is failing, and is started again after a pause.");
    now.stages[1].workers[0].state = crate::status::WorkerState::Working;
    assert_eq!(found(&now).stage.as_deref(), Some("in"));
}

#[test]
fn nothing_is_made_up_where_nothing_can_be_told() {
    let idle = chain([0.3, 0.4, 0.3], [0.3, 0.7, 0.0], [0.1, 0.9, 0.0]);
    assert_eq!(found(&idle).limit, Limit::Nothing);
    assert!(found(&idle).text.ends_with("each of them has time left."));
    let mut delayed = idle.clone();
    delayed.queues[1].delayed = 6;
    assert!(
        found(&delayed)
            .text
            .ends_with(" What failed and waits for its next attempt, as `retry` says: 6 items.")
    );
    let mut full = idle;
    full.queues[1].bytes = full.queues[1].max_bytes;
    assert!(
        found(&full).text.ends_with("The max_bytes of the queue b are used up."),
        "{}",
        found(&full).text
    );
    assert_eq!(found(&snapshot()).limit, Limit::Unknown);
    let paused = Snapshot { paused: true, ..chain([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]) };
    assert_eq!(
        (found(&paused).limit, found(&paused).text.as_str()),
        (Limit::Unknown, "The pipeline is paused.")
    );
    let just_born = chain([1e-4, 0.0, 0.0], [0.0, 1e-4, 0.0], [0.0, 0.0, 0.0]);
    assert_eq!(found(&just_born).text, "No stage has worked long enough to tell.");
}

#[test]
fn what_lies_outside_is_not_named_once_more_as_the_next_limit() {
    let bottleneck = found(&chain([0.4, 0.6, 0.0], [0.1, 0.9, 0.0], [0.1, 0.9, 0.0]));
    assert_eq!((bottleneck.limit, bottleneck.next), (Limit::Input, None));
    assert_eq!(bottleneck.text, "The pipeline waits for its input: in has nothing to read 60 % of the time.");
}

/// Stages of any names, one behind the other, each with three shares of its time.
fn any_chain() -> impl Strategy<Value = Snapshot> {
    let share = || 0.0..1.0_f64;
    let one = ("[A-Za-z][A-Za-z0-9_-]{0,8}", [share(), share(), share()], 1..4_u32);
    prop::collection::vec(one, 1..6).prop_map(|all| {
        let last = all.len() - 1;
        let chained = all.into_iter().enumerate().map(|(n, (name, times, running))| {
            let input = if n == 0 { String::new() } else { format!("q{}", n - 1) };
            let output = if n == last { String::new() } else { format!("q{n}") };
            StageStatus { running, ..stage(&format!("{name}{n}"), &input, &output, times) }
        });
        let queues = (0..last).map(|n| queue(&format!("q{n}"), 5)).collect();
        Snapshot { stages: chained.collect(), queues, ..snapshot() }
    })
}

proptest! {
    #[test]
    fn a_limit_is_a_stage_of_the_pipeline_and_the_next_one_is_another(now in any_chain()) {
        let found = found(&now);
        let is_there = |name: &str| now.stages.iter().any(|stage| stage.name == name);
        if let Some(limit) = &found.stage {
            prop_assert!(is_there(limit));
            prop_assert!(found.text.contains(limit.as_str()), "{}", found.text);
        }
        if let Some(next) = &found.next {
            prop_assert!(is_there(&next.stage));
            prop_assert_ne!(Some(&next.stage), found.stage.as_ref());
            prop_assert!(next.times_as_much >= 1.0 - 1e-9, "{found:?}");
        }
    }
}

#[test]
fn a_stage_in_the_middle_that_waits_for_the_disk_is_said_to_and_why() {
    let mut now = chain([0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]);
    assert_eq!(found(&now).limit, Limit::Nothing);
    let obstacle = Some("no room on the disk".to_owned());
    let waits = WorkerStatus { state: crate::status::WorkerState::Working, obstacle, ..worker("") };
    now.stages[0].workers = vec![waits];
    let bottleneck = found(&now);
    assert_eq!((bottleneck.limit, bottleneck.stage.as_deref()), (Limit::Output, Some("in")));
    assert_eq!(bottleneck.text, "in is the bottleneck: no room on the disk. It waits, and tries it again.");
}
