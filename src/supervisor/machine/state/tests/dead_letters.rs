//! Dead letters of dead workers: their items stay leased until they are written.

use super::bench::Bench;
use crate::supervisor::fixture::{pipeline, stage};
use crate::supervisor::machine::event::Event;
use std::time::Duration;

fn chain() -> crate::config::Pipeline {
    pipeline(vec![stage("a", &[], &["p"]), stage("b", &["p"], &[])])
}

#[test]
fn a_slot_is_not_used_again_before_its_dead_letter_is_written() {
    let mut bench = Bench::up(chain());
    let slot = bench.die_of_item("b", 0);
    assert_eq!(bench.dead_letter_requests, [slot]);
    bench.pass(Duration::from_secs(2));
    let fresh = bench.procs[&bench.pid("b", 0)].spawn.slot;
    assert_ne!(fresh, slot, "the worker is replaced meanwhile, in another slot");
    bench.dead_letter_written(slot);
    bench.crash("b", 0);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.procs[&bench.pid("b", 0)].spawn.slot, slot);
}

#[test]
fn a_letter_that_is_not_written_is_tried_again_and_told_once() {
    let mut bench = Bench::up(chain());
    let slot = bench.die_of_item("b", 0);
    bench.send(Event::DeadLetterFailed(slot, "no room".into()));
    bench.pass(Duration::from_secs(1));
    bench.send(Event::DeadLetterFailed(slot, "no room".into()));
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.dead_letter_requests, [slot; 3]);
    assert_eq!(bench.said.iter().filter(|text| text.contains("no room")).count(), 1);
    // One that does not come back is ended, and only its end makes room for the next.
    bench.pass(Duration::from_secs(30));
    assert_eq!((bench.killed_writers.as_slice(), bench.dead_letter_requests.len()), ([slot].as_slice(), 3));
    bench.send(Event::DeadLetterFailed(slot, "killed".into()));
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.dead_letter_requests.len(), 4);
}

#[test]
fn a_stop_waits_for_a_letter_as_long_as_for_the_queues_and_then_says_what_is_left() {
    let mut bench = Bench::up(chain());
    let slot = bench.die_of_item("b", 0);
    bench.pass(Duration::from_secs(2));
    bench.send(Event::Terminate);
    bench.obey_and_drain();
    assert!(bench.outcome.is_none(), "its letter is not written");
    bench.pass(Duration::from_secs(30));
    let outcome = bench.outcome.as_ref().unwrap();
    assert!(outcome.failed && bench.has_said("1 dead letter could not be written"), "{:?}", bench.said);

    let mut bench = Bench::up(chain());
    let first = bench.die_of_item("b", 0);
    assert_eq!(first, slot);
    bench.pass(Duration::from_secs(2));
    bench.send(Event::Terminate);
    bench.obey_and_drain();
    bench.dead_letter_written(first);
    assert!(!bench.outcome.unwrap().failed);
}

#[test]
fn queues_have_not_ended_as_long_as_dead_letters_are_put_back() {
    let mut bench = Bench::new();
    bench.state.begin_retries();
    bench
        .send(Event::Begin(crate::supervisor::fixture::wanted(pipeline(vec![stage("b", &["p"], &[])]), &[])));
    bench.run_starts();
    bench.all_ready();
    assert!(bench.ended.is_empty());
    bench.send(Event::RetriesDone(true));
    assert!(bench.ended.contains("p"));
    bench.obey_and_drain();
    assert!(bench.outcome.unwrap().is_through());
}
