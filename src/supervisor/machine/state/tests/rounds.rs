//! What follows from an event is bounded, however long the pipeline is.

use super::bench::Bench;
use crate::queue::Ending;
use crate::supervisor::fixture::{pipeline, stage};
use crate::supervisor::machine::effect::{Effect, Effects};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::history::History;
use crate::supervisor::machine::state::converge::settles_within;
use log::Level;
use std::time::Instant;

#[test]
fn what_never_settles_is_left_after_so_many_rounds() {
    let mut out = Effects::new(Instant::now(), History::default());
    assert!(!settles_within(5, &mut out, |out| out.log(Level::Debug, "again")));
    assert_eq!(out.list.len(), 5);
    let mut left = 3;
    let counts_down = |out: &mut Effects| {
        if left > 0 {
            left -= 1;
            out.push(Effect::Load);
        }
    };
    assert!(settles_within(5, &mut out, counts_down));
}

/// A line of stages, each the only reader of the one before: what ends, comes back or goes does so along all of it.
#[test]
fn a_long_pipeline_settles_after_every_event() {
    const LENGTH: usize = 60;
    let name = |i: usize| format!("q{i}");
    let line = |from: usize| {
        let stages = (from..LENGTH).map(|i| {
            let mut spec = stage(&format!("s{i}"), &[], &[]);
            spec.work.inputs.extend((i > from).then(|| name(i - 1)));
            spec.work.outputs.extend((i + 1 < LENGTH).then(|| name(i)));
            spec
        });
        pipeline(stages.collect())
    };
    let mut bench = Bench::up(line(0));
    assert_eq!(bench.running().len(), LENGTH);
    // The last one hears that nobody reads: it goes up the line.
    bench.say(&format!("s{}", LENGTH - 1), 0, Ending::OutputClosed);
    bench.obey();
    assert!(bench.outcome.is_some());
    // A new source far down: all above it goes.
    let mut bench = Bench::up(line(0));
    bench.reload(line(LENGTH / 2));
    bench.obey_and_drain();
    assert_eq!(bench.running().len(), LENGTH / 2);
    bench.reload(line(0));
    bench.obey_and_drain();
    assert_eq!(bench.running().len(), LENGTH);
    // Everything ends, and comes back at the last moment.
    bench.say("s0", 0, Ending::Finished);
    bench.send(Event::Interrupt);
    bench.obey_and_drain();
    assert!(bench.outcome.is_some());
}
