use super::*;
use crate::config::OrderOf;
use crate::model::Machines;
use crate::supervisor::fixture::{pipeline, queue, service, stage};

fn lines(old: &Pipeline, new: &Pipeline) -> Vec<String> {
    plan(old, new, &[]).unwrap()
}

fn chain() -> Pipeline {
    pipeline(vec![stage("a", &[], &["p"]), stage("b", &["p"], &["q"]), stage("c", &["q"], &[])])
}

#[test]
fn the_same_file_is_an_empty_plan() {
    assert_eq!(lines(&chain(), &chain()), [] as [&str; 0]);
}

#[test]
fn a_plan_says_what_will_happen_line_by_line() {
    let mut new = chain();
    new.stages[0].processes = 4;
    new.stages[0].tuning.sleep = std::time::Duration::from_secs(1);
    new.stages[1].work.task = crate::config::Task::of("other");
    new.stages[1].recycle.items = Some(5);
    new.queues[0].limits.capacity = 7;
    new.stages.push(stage("d", &["q"], &[]));
    assert_eq!(
        lines(&chain(), &new),
        [
            "queue p: change capacity: 1024 -> 7",
            "stage a: take over sleep: 0s -> 1s",
            "stage a: add 3 workers (processes: 1 -> 4)",
            "stage b: replace workers one by one (use: x -> other, recycle.items: unset -> 5)",
            "stage d: start",
        ]
    );
    assert_eq!(
        lines(&new, &chain()),
        [
            "queue p: change capacity: 7 -> 1024",
            "stage a: take over sleep: 1s -> 0s",
            "stage a: the newest 3 workers leave (processes: 4 -> 1)",
            "stage b: replace workers one by one (use: other -> x, recycle.items: 5 -> unset)",
            "stage d: drain and stop",
        ]
    );
}

#[test]
fn of_a_stage_that_runs_at_its_times_nothing_is_replaced() {
    let mut job = service("job");
    job.rules.schedule = Some(crate::model::Schedule::parse("0 3 * * *").unwrap());
    let (old, mut new) = (pipeline(vec![job.clone()]), pipeline(vec![job]));
    new.stages[0].recycle.age = Some(std::time::Duration::from_secs(60));
    assert_eq!(lines(&old, &new), ["stage job: the next run takes over recycle.age: unset -> 1m"]);
}

#[test]
fn of_a_service_nothing_is_drained() {
    let old = pipeline(vec![service("a"), service("b")]);
    let mut new = pipeline(vec![service("a")]);
    new.stages[0].processes = 2;
    new.stages[0].recycle.age = Some(std::time::Duration::from_secs(60));
    assert_eq!(
        lines(&old, &new),
        [
            "stage a: add 1 process (processes: 1 -> 2)",
            "stage a: replace processes one by one (recycle.age: unset -> 1m)",
            "stage b: stop",
        ]
    );
}

#[test]
fn what_goes_goes_last_and_queues_after_their_stages() {
    let new = pipeline(vec![stage("a", &[], &["q"]), stage("c", &["q"], &[])]);
    assert_eq!(
        lines(&chain(), &new),
        [
            "stage a: replace workers one by one (output: p -> q)",
            "stage b: drain and stop",
            "queue p: remove once it is empty"
        ]
    );
}

#[test]
fn another_name_needs_a_restart() {
    let mut new = chain();
    new.name = "other".into();
    let refusal = plan(&chain(), &new, &[]).unwrap_err();
    assert_eq!(refusal.to_string(), "the pipeline's name changed (test -> other), which needs a restart");
}

#[test]
fn a_queue_with_items_goes_only_if_a_stage_works_it_off() {
    let held = [("p".to_owned(), 3)];
    let drained = pipeline(vec![stage("a", &[], &["q"]), stage("c", &["q"], &[])]);
    assert!(plan(&chain(), &drained, &held).is_ok());
    let rewired =
        pipeline(vec![stage("a", &[], &["n"]), stage("b", &["n"], &["q"]), stage("c", &["q"], &[])]);
    assert!(plan(&chain(), &rewired, &held).is_ok(), "all that `b` reads goes");
    let of_two = pipeline(vec![
        stage("a", &[], &["p"]),
        stage("s", &[], &["r"]),
        stage("b", &["p", "r"], &["q"]),
        stage("c", &["q"], &[]),
    ]);
    let only_one =
        pipeline(vec![stage("s", &[], &["r"]), stage("b", &["r"], &["q"]), stage("c", &["q"], &[])]);
    assert!(plan(&of_two, &only_one, &[]).is_ok());
    let refusal = plan(&of_two, &only_one, &held).unwrap_err();
    assert_eq!(refusal, Refusal::QueueHolds("p".into(), 3));
}

#[test]
fn a_stage_that_keeps_an_order_gets_another_output_with_one_process_or_another_input_only() {
    let ordered = |inputs: &[&str], outputs: &[&str], processes| {
        let mut all =
            pipeline(vec![stage("a", &[], inputs), stage("b", inputs, outputs), stage("c", outputs, &[])]);
        (all.stages[1].order.order, all.stages[1].processes) = (Some(OrderOf::Input), processes);
        all
    };
    let refused = Err(Refusal::OrderedOutput("b".into()));
    assert_eq!(plan(&ordered(&["p"], &["q"], 3), &ordered(&["p"], &["r"], 3), &[]), refused);
    assert!(plan(&ordered(&["p"], &["q"], 1), &ordered(&["p"], &["r"], 1), &[]).is_ok());
    assert!(plan(&ordered(&["p"], &["q"], 3), &ordered(&["n"], &["r"], 3), &[]).is_ok());
    assert!(plan(&ordered(&["p"], &["q"], 3), &ordered(&["p"], &["q"], 2), &[]).is_ok());
}

fn line(stages: &[(&str, &[&str], &[&str])]) -> Pipeline {
    pipeline(stages.iter().map(|(name, inputs, outputs)| stage(name, inputs, outputs)).collect())
}

#[test]
fn queues_that_change_their_names_with_each_other_are_refused_and_new_names_are_not() {
    let moved = |old: &Pipeline, new: &Pipeline| match plan(old, new, &[]) {
        Err(Refusal::Moved(Moved { queue, stage, again })) => Some((queue, stage, again)),
        other => {
            other.unwrap();
            None
        }
    };
    let with =
        |p: &'static str, q: &'static str| line(&[("a", &[], &[p]), ("b", &[p], &[q]), ("c", &[q], &[])]);
    assert_eq!(moved(&with("p", "q"), &with("q", "p")), Some(("p".into(), "b".into(), false)));
    assert_eq!(moved(&with("p", "q"), &with("q", "n")), Some(("q".into(), "b".into(), true)));
    assert_eq!(moved(&with("p", "q"), &with("n", "p")), Some(("p".into(), "b".into(), false)));
    assert_eq!(moved(&with("p", "q"), &with("n", "m")), None);
    // Stages that come in, go out, or take over what another one has read or written.
    let longer =
        line(&[("a", &[], &["p"]), ("n", &["p"], &["m"]), ("b", &["m"], &["q"]), ("c", &["q"], &[])]);
    let others = line(&[("x", &[], &["p"]), ("y", &["p"], &["q"]), ("c", &["q"], &[])]);
    let shorter = line(&[("a", &[], &["p"]), ("c", &["p"], &[])]);
    let further =
        line(&[("x", &[], &["p"]), ("y", &["p"], &["m"]), ("b", &["m"], &["q"]), ("c", &["q"], &[])]);
    for new in [&longer, &others, &shorter, &further] {
        assert_eq!(moved(&chain(), new), None);
    }
    assert_eq!(moved(&longer, &chain()), None);
    // Two stages that change places.
    let swapped =
        line(&[("a", &[], &["p"]), ("c", &["p"], &["q"]), ("b", &["q"], &["r"]), ("d", &["r"], &[])]);
    let straight =
        line(&[("a", &[], &["p"]), ("b", &["p"], &["q"]), ("c", &["q"], &["r"]), ("d", &["r"], &[])]);
    assert_eq!(moved(&straight, &swapped), Some(("q".into(), "c".into(), false)));
}

#[test]
fn more_processes_than_a_file_may_ask_for_are_refused() {
    let mut new = chain();
    let others: u32 = new.stages[1..].iter().map(|stage| stage.processes).sum();
    new.stages[0].processes = 4000 - others;
    assert!(plan(&chain(), &new, &[]).is_ok());
    new.stages[0].processes += 1;
    assert_eq!(plan(&chain(), &new, &[]), Err(Refusal::TooManyWorkers(4001)));
    new.stages[0].processes = u32::MAX;
    assert!(matches!(plan(&chain(), &new, &[]), Err(Refusal::TooManyWorkers(_))));
    assert_eq!(queue("q").limits.capacity, 1024);
}

#[test]
fn stages_at_shared_queues_neither_come_nor_go_while_it_runs() {
    let with_shared = |mut pipeline: Pipeline| {
        pipeline.queues.iter_mut().filter(|queue| queue.name == "p").for_each(|queue| queue.shared = true);
        pipeline
    };
    let old = with_shared(chain());
    let mut faster = with_shared(chain());
    faster.stages[1].processes = 9;
    faster.stages.push(stage("d", &["q"], &[]));
    assert!(plan(&old, &faster, &[]).is_ok());
    let more = with_shared(pipeline([chain().stages, vec![stage("d", &["p"], &[])]].concat()));
    let mut elsewhere = with_shared(chain());
    let at = elsewhere.stages.iter_mut().find(|stage| stage.work.outputs.contains(&"p".to_owned())).unwrap();
    at.placed = Some(Machines::One);
    for (from, to) in [(&old, &more), (&more, &old), (&old, &elsewhere), (&elsewhere, &old)] {
        assert_eq!(plan(from, to, &[]), Err(Refusal::SharedStages));
    }
}
