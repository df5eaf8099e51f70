//! Queues that lie in a broker: who reads and writes them elsewhere is none of this machine's knowledge.

use super::bench::Bench;
use crate::broker::{QueueSettings, SharedQueue};
use crate::config::pipeline::{Broker, BrokerAccess, BrokerUrl};
use crate::config::{Pipeline, Stage, WhenFull};
use crate::link::arena::{LinkLine, LinkQueue, LinkSpec};
use crate::queue::{Ending, QueueId};
use crate::supervisor::fixture::{pipeline, stage, wanted};
use crate::supervisor::machine::event::{Event, Loading};
use crate::sys::wait::Exit;
use std::time::Duration;

/// With these queues in a broker.
fn shared(stages: Vec<Stage>, names: &[&str]) -> Pipeline {
    let mut pipeline = pipeline(stages);
    for queue in &mut pipeline.queues {
        queue.shared = names.contains(&queue.name.as_str());
    }
    let settings =
        |name: &&str| QueueSettings { name: (*name).to_owned(), capacity: 9, when_full: WhenFull::Block };
    let access = BrokerAccess {
        credentials_file: None,
        tls_ca: None,
        prefix: "mprun".into(),
        ack_wait: Duration::from_secs(30),
        allow_loss: false,
        stream_replicas: 1,
    };
    let queues = names.iter().map(settings).collect();
    pipeline.broker =
        Some(Broker { url: BrokerUrl::parse("redis://db").unwrap(), access, queues, before: Vec::new() });
    pipeline
}

fn chain() -> Pipeline {
    let stages = vec![
        stage("read", &[], &["jobs"]),
        stage("work", &["jobs"], &["done"]),
        stage("sink", &["done"], &[]),
    ];
    shared(stages, &["done", "jobs"])
}

fn id(bench: &Bench, name: &str) -> QueueId {
    *bench.queues.iter().find(|(_, known)| *known == name).unwrap_or_else(|| panic!("{:?}", bench.queues)).0
}

#[test]
fn a_worker_knows_its_line_and_what_is_shared_and_the_link_all_of_it() {
    let mut bench = Bench::up(chain());
    let (jobs, done, line) = (id(&bench, "jobs"), id(&bench, "done"), id(&bench, "line of work"));
    let of = |bench: &Bench| bench.procs[&bench.pid("work", 0)].spawn.version.shared.clone().unwrap();
    let mut queues = of(&bench).queues;
    queues.sort_by_key(|(_, shared)| *shared);
    assert_eq!(queues, [(done, SharedQueue(0)), (jobs, SharedQueue(1))]);
    assert_eq!(of(&bench).line, line);
    let [of_jobs, of_done] =
        ["held jobs", "held done"].map(|label| id(&bench, &format!("position of {label}")));
    let lines = ["read", "work", "sink"].map(|name| LinkLine {
        name: name.to_owned(),
        queue: id(&bench, &format!("line of {name}")),
        token: None,
    });
    let spec = LinkSpec {
        queues: vec![
            LinkQueue { shared: SharedQueue(1), queue: jobs, held: of_jobs },
            LinkQueue { shared: SharedQueue(0), queue: done, held: of_done },
        ],
        lines: lines.to_vec(),
    };
    assert_eq!(bench.state.link_spec(), Some(spec.clone()));
    // A reload finds them again.
    let mut more = chain();
    more.stages[1].processes = 2;
    bench.send(Event::Loaded(Loading::Good(Box::new(wanted(more, &[])), Vec::new())));
    bench.run_starts();
    bench.all_ready();
    assert_eq!(bench.state.link_spec(), Some(spec));
    assert!(Bench::up(pipeline(vec![stage("a", &[], &["p"])])).state.link_spec().is_none());
}

#[test]
fn a_queue_whose_ends_are_on_other_machines_is_neither_ended_nor_closed() {
    let mut bench = Bench::up(shared(vec![stage("work", &["jobs"], &["done"])], &["done", "jobs"]));
    bench.pass(Duration::from_secs(60));
    assert!(bench.ended.is_empty() && bench.closed.is_empty(), "{:?} {:?}", bench.ended, bench.closed);
    assert_eq!(bench.running(), ["work[0]"]);
}

#[test]
fn a_stage_that_has_come_to_its_end_ends_its_line_and_no_queue() {
    let mut bench = Bench::up(chain());
    bench.say("read", 0, Ending::Finished);
    assert_eq!(bench.ended.iter().collect::<Vec<_>>(), ["line of read"]);
    // The broker says when there is no more.
    bench.say("work", 0, Ending::InputEnded);
    bench.say("sink", 0, Ending::InputEnded);
    assert!(bench.ended.iter().all(|name| name.starts_with("line of")), "{:?}", bench.ended);
    bench.send(Event::LinkEnded(Some(Exit::Code(0))));
    assert!(bench.outcome.is_some());
}

#[test]
fn a_stop_sends_the_items_back_at_once_and_ends_no_line() {
    let mut bench = Bench::up(chain());
    bench.send(Event::Terminate);
    assert_eq!(bench.running(), ["read[0] finish", "sink[0] finish", "work[0] finish"]);
    bench.obey_and_drain();
    bench.send(Event::LinkEnded(Some(Exit::Code(0))));
    assert!(bench.outcome.is_some());
    assert!(bench.ended.iter().all(|name| !name.starts_with("line")), "{:?}", bench.ended);
}

#[test]
fn a_stage_with_inputs_of_both_kinds_works_off_those_of_this_machine() {
    let stages = vec![stage("read", &[], &["own"]), stage("work", &["jobs", "own"], &[])];
    let mut bench = Bench::up(shared(stages, &["jobs"]));
    bench.send(Event::Terminate);
    assert_eq!(bench.running(), ["read[0] finish", "work[0] drain"]);
    assert!(bench.ended.contains("jobs"));
    bench.obey_and_drain();
    bench.send(Event::LinkEnded(Some(Exit::Code(0))));
    assert!(bench.outcome.is_some());
}
