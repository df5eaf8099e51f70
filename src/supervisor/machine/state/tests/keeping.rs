//! Queues that outlive a run, and workers that outlive a supervisor's program.

use super::bench::Bench;
use crate::queue::{Ending, QueueId};
use crate::supervisor::fixture::{pipeline, stage, wanted};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::recovered::{Label, RecoveredQueue};
use crate::supervisor::machine::saved::SavedMachine;
use crate::supervisor::machine::stage_state::Fate;
use crate::supervisor::machine::state::{NotifyCapabilities, State};

fn chain() -> crate::config::Pipeline {
    pipeline(vec![stage("a", &[], &["p"]), stage("b", &["p"], &["q"]), stage("c", &["q"], &[])])
}

fn recovered(queue: u16, label: &str, items: u64) -> RecoveredQueue {
    let label = Label::parse(label).unwrap();
    RecoveredQueue { queue: QueueId(queue), label, items, ended: false, closed: false, through: false }
}

/// Takes in what an earlier run has left.
fn recovering(recovered: Vec<RecoveredQueue>, keeps: bool) -> Bench {
    let mut bench = Bench::new();
    for recovered in &recovered {
        let name = match &recovered.label {
            Label::Queue(name) => name.clone(),
            other => other.to_string(),
        };
        bench.queues.insert(recovered.queue, name);
    }
    bench.state.recover(recovered, keeps);
    bench
}

#[test]
fn queues_and_positions_are_found_again_by_their_labels() {
    let left = vec![recovered(4, "queue q", 3), recovered(1, "queue p", 0), recovered(2, "token a x", 1)];
    let mut bench = recovering(left, false);
    bench.send(Event::Begin(wanted(chain(), &["a", "b"])));
    bench.run_starts();
    bench.all_ready();
    let versions: Vec<_> = bench.procs.values().map(|proc| proc.spawn.version.clone()).collect();
    assert_eq!((versions[0].outputs[0], versions[0].token), (QueueId(1), Some(QueueId(2))));
    assert_eq!((versions[2].inputs[0], versions[1].token), (QueueId(4), Some(QueueId(0))));
    assert_eq!(bench.seeds, 1, "only b has no position yet");
}

#[test]
fn a_queue_that_is_not_in_the_file_goes_if_it_is_empty_and_stays_if_not() {
    let left =
        vec![recovered(0, "queue old", 3), recovered(1, "queue older", 0), recovered(2, "token gone x", 1)];
    let mut bench = recovering(left, true);
    bench.held.insert("old".to_owned(), 3);
    bench.send(Event::Begin(wanted(chain(), &[])));
    bench.run_starts();
    bench.all_ready();
    let sent =
        |bench: &Bench| bench.said.iter().filter(|line| line.contains("the queue old holds 3 items")).count();
    assert_eq!(sent(&bench), 1, "{:?}", bench.said);
    assert_eq!(bench.queues.len(), 4, "the empty one is gone: {:?}", bench.queues);
    bench.say("a", 0, Ending::Finished);
    bench.say("b", 0, Ending::InputEnded);
    bench.say("c", 0, Ending::InputEnded);
    assert!(!bench.outcome.unwrap().is_through(), "somebody may want what is in it");
}

#[test]
fn a_stop_of_kept_queues_ends_nobodys_input() {
    let mut bench = recovering(Vec::new(), true);
    bench.send(Event::Begin(wanted(chain(), &[])));
    bench.run_starts();
    bench.all_ready();
    bench.send(Event::Terminate);
    assert_eq!(bench.running(), ["a[0] finish", "b[0] finish", "c[0] finish"]);
    bench.obey();
    assert!(bench.ended.is_empty() && bench.closed.is_empty());
    assert!(bench.outcome.unwrap().stopped.is_some());
}

/// The same processes under another program.
fn upgraded(bench: Bench) -> Bench {
    upgraded_with(bench, chain())
}

/// The same with this pipeline.
pub(super) fn upgraded_with(mut bench: Bench, pipeline: crate::config::Pipeline) -> Bench {
    bench.send(Event::Upgrade);
    let left = bench.handed_over.take().expect("handed over");
    let text = serde_json::to_string(&left).unwrap();
    let left: SavedMachine = serde_json::from_str(&text).unwrap();
    let labels = bench.queues.iter().map(|(id, name)| recovered(id.0, &format!("queue {name}"), 0));
    let labels: Vec<RecoveredQueue> = labels.collect();
    bench.state = State::new(8, NotifyCapabilities::default());
    bench.state.recover(labels, false);
    bench.send(Event::Resume(wanted(pipeline, &[]), Box::new(left)));
    bench
}

#[test]
fn workers_go_on_under_another_program() {
    let before = Bench::up(chain());
    let (pids, guardians): (Vec<_>, _) = (before.procs.keys().copied().collect(), before.guardians);
    let mut bench = upgraded(before);
    bench.run_starts();
    assert_eq!(bench.procs.keys().copied().collect::<Vec<_>>(), pids);
    assert_eq!(
        (bench.running(), bench.guardians),
        (vec!["a[0]".into(), "b[0]".into(), "c[0]".into()], guardians)
    );
    bench.crash("b", 0);
    bench.run_starts();
    assert_eq!(bench.running().len(), 3, "it is started again, in a slot that is free");
    bench.send(Event::Terminate);
    bench.obey_and_drain();
    assert!(!bench.outcome.unwrap().failed);
}

#[test]
fn restarts_and_what_happened_are_remembered_by_the_next_program() {
    let mut pipeline = chain();
    let limit = pipeline.stages[1].rules.give_up.restarts;
    pipeline.stages[1].rules.backoff.initial = std::time::Duration::ZERO;
    let mut bench = Bench::up(pipeline);
    for _ in 0..limit {
        bench.crash("b", 0);
        bench.run_starts();
        bench.all_ready();
    }
    let before = bench.state.history.of("b[0]").count();
    let mut bench = upgraded(bench);
    bench.run_starts();
    assert_eq!(bench.state.history.of("b[0]").count(), before);
    assert_eq!((bench.state.counters.upgrades, bench.state.counters.generation), (1, 1));
    let again = bench.state.history.of("b[0]").filter(|past| past.lived.is_some()).count();
    assert!(again > 0, "how long each process had lived is known, too");
    bench.crash("b", 0);
    let last_stderr = bench.state.stages[1].restarts.clone();
    assert_eq!(last_stderr.values().sum::<u64>(), u64::from(limit));
    assert_eq!(bench.state.stages[1].fate, Fate::GaveUp, "one restart too many, over both programs");
}

#[test]
fn what_is_over_stays_over_and_who_rests_rests_on() {
    let mut bench = Bench::up(chain());
    bench.say("a", 0, Ending::Finished);
    bench.crash("b", 0);
    bench.run_starts();
    bench.all_ready();
    bench.crash("b", 0);
    let mut bench = upgraded(bench);
    bench.run_starts();
    assert_eq!(bench.running(), ["c[0]"], "a is through, b waits for its next start");
    assert!(bench.state.deadline().is_some());
}

#[test]
fn in_the_middle_of_something_nothing_is_handed_over() {
    let mut bench = Bench::up(chain());
    bench.send(Event::Terminate);
    bench.send(Event::Upgrade);
    assert!(bench.handed_over.is_none());
    assert!(bench.said.iter().any(|line| line.contains("upgrade refused: the pipeline stops")));
}
