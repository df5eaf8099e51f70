//! How far each stage is, and how long it will take. Pure.
//!
//! A source may know its end. Behind it, what a queue has got so far stands for as much of all that it will get as its
//! writers have done of theirs: exact once they are through, or where each item makes as many as any other. Of a queue that
//! several machines share a machine sees its own part, which says nothing before the queue has ended.

use crate::status::{Fate, Phase, QueueStatus, Samples, Snapshot, StageStatus};
use std::collections::{BTreeMap, VecDeque};

/// The time left is estimated from this much of the past.
const WINDOW_SECONDS: f64 = 15.0;
/// From less of it, no time left is shown.
const MIN_SECONDS: f64 = 0.5;

/// One stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Its name.
    pub name: String,
    /// Items it is through with; of a source, items it has emitted.
    pub items: u64,
    /// All the items that it will get, where that is known.
    pub total: Option<u64>,
    /// Of its items those that failed.
    pub failed: u64,
    /// Items a second, lately.
    pub rate: f64,
    /// The part of its work that is done, 0 ..= 1; none: how much there is, is unknown.
    pub share: Option<f64>,
    /// Seconds until it is through, if it goes on as it did lately.
    pub left: Option<f64>,
    /// It has ended, and the broker has what it has written.
    pub is_done: bool,
}

/// Remembers earlier snapshots.
#[derive(Debug)]
pub(super) struct Estimate {
    samples: Samples,
    earlier: VecDeque<(f64, BTreeMap<String, f64>)>,
}

impl Estimate {
    pub(super) fn new() -> Estimate {
        Estimate { samples: Samples::new(None), earlier: VecDeque::new() }
    }

    /// What a snapshot of the pipeline shows.
    pub(super) fn update(&mut self, mut snapshot: Snapshot) -> Vec<Reading> {
        self.samples.rate(&mut snapshot, || None);
        let now = snapshot.uptime;
        let shares = shares(&snapshot);
        while self.earlier.get(1).is_some_and(|(at, _)| now - at >= WINDOW_SECONDS) {
            self.earlier.pop_front();
        }
        // A drain ends before all is read that there is.
        let goes_on = !matches!(snapshot.phase, Phase::Draining | Phase::Stopping);
        let readings = snapshot.stages.iter().map(|stage| {
            let share = shares.get(&stage.name).copied();
            let (items, rate) = match stage.is_source() {
                true => (stage.totals.emitted, stage.rate.emitted),
                false => (stage.totals.done + stage.totals.dead, stage.rate.done),
            };
            let left = share.filter(|_| goes_on).and_then(|share| self.left(&stage.name, share, now));
            Reading {
                name: stage.name.clone(),
                items,
                total: total(stage, &snapshot),
                failed: stage.totals.dead,
                rate,
                share,
                left,
                is_done: is_done(stage, &snapshot),
            }
        });
        let readings = readings.collect();
        self.earlier.push_back((now, shares));
        readings
    }

    fn left(&self, stage: &str, share: f64, now: f64) -> Option<f64> {
        let mut known = self.earlier.iter().filter_map(|(at, shares)| Some((at, shares.get(stage)?)));
        let (at, before) = known.next()?;
        let gained = share - before;
        (now - at >= MIN_SECONDS && gained > 0.0).then(|| (1.0 - share) / gained * (now - at))
    }
}

fn is_done(stage: &StageStatus, snapshot: &Snapshot) -> bool {
    let waits = snapshot.broker.as_ref().is_some_and(|broker| broker.commits > 0);
    let is_shared = |name: &String| snapshot.queues.iter().any(|queue| queue.name == *name && queue.shared);
    let mut queues = stage.inputs.iter().chain(&stage.outputs);
    stage.fate == Fate::Finished && !(waits && queues.any(is_shared))
}

/// Its queues have ended, or their only writer is a source that counts its items.
fn total(stage: &StageStatus, snapshot: &Snapshot) -> Option<u64> {
    let of_queue = |queue: &QueueStatus| match &queue.writers[..] {
        _ if queue.shared => None,
        _ if queue.ended => Some(queue.put),
        [writer] => {
            let writer = snapshot.stages.iter().find(|stage| stage.name == *writer)?;
            let progress = writer.progress.filter(|_| writer.is_source())?;
            // Others count bytes.
            (progress.done > 0 && progress.done == writer.totals.emitted).then_some(progress.total)
        }
        _ => None,
    };
    let mut queues = snapshot.queues.iter().filter(|queue| stage.inputs.contains(&queue.name)).peekable();
    queues.peek()?;
    queues.map(of_queue).sum()
}

/// The part of each stage's work that is done, where that is known.
fn shares(snapshot: &Snapshot) -> BTreeMap<String, f64> {
    let mut known = BTreeMap::new();
    // Each round knows the stages one queue further on; in a ring of stages they stay unknown.
    for _ in 0..snapshot.stages.len() {
        let before = known.len();
        for stage in &snapshot.stages {
            if !known.contains_key(&stage.name)
                && let Some(share) = share(stage, snapshot, &known)
            {
                known.insert(stage.name.clone(), share.clamp(0.0, 1.0));
            }
        }
        if known.len() == before {
            break;
        }
    }
    known
}

fn share(stage: &StageStatus, snapshot: &Snapshot, known: &BTreeMap<String, f64>) -> Option<f64> {
    if stage.fate == Fate::Finished {
        return Some(1.0);
    }
    if stage.is_source() {
        let progress = stage.progress?;
        return Some(progress.done as f64 / progress.total.max(1) as f64);
    }
    let (mut through, mut expected) = (0.0, 0.0);
    for queue in snapshot.queues.iter().filter(|queue| stage.inputs.contains(&queue.name)) {
        through += (queue.done + queue.dead + queue.dropped) as f64;
        expected += queue.put as f64 / written(queue, known)?.max(f64::MIN_POSITIVE);
    }
    if expected > 0.0 { Some(through / expected) } else { Some(0.0) }
}

/// The part of all its items that a queue has got.
fn written(queue: &QueueStatus, known: &BTreeMap<String, f64>) -> Option<f64> {
    if queue.ended {
        return Some(1.0);
    }
    if queue.shared {
        return None;
    }
    let shares: Option<Vec<f64>> = queue.writers.iter().map(|writer| known.get(writer).copied()).collect();
    shares.map(|shares| shares.into_iter().fold(1.0, f64::min))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture::{queue, snapshot, stage};
    use crate::status::{Progress, Totals};

    /// A source that is at `done` of 100, a stage that is through with half of what it got, and one behind it.
    fn update(uptime: f64, done: u64) -> Snapshot {
        let mut source = stage("a", "", "p", [1.0, 0.0, 0.0]);
        source.progress = Some(Progress { done, total: 100 });
        source.totals = Totals { emitted: done, ..Totals::default() };
        let mut first = queue("p", 0);
        (first.put, first.done, first.dead) = (done, done / 2, 0);
        first.writers = vec!["a".into()];
        let mut second = queue("q", 0);
        (second.put, second.done, second.dead) = (done / 2, done / 4, 0);
        second.writers = vec!["b".into()];
        let stages =
            vec![stage("c", "q", "", [1.0, 0.0, 0.0]), source, stage("b", "p", "q", [1.0, 0.0, 0.0])];
        Snapshot { uptime, stages, queues: vec![first, second], ..snapshot() }
    }

    fn shares_of(readings: &[Reading]) -> Vec<Option<f64>> {
        readings.iter().map(|reading| reading.share).collect()
    }

    #[test]
    fn what_lies_behind_a_source_with_an_end_is_known_in_parts_of_it() {
        let mut estimate = Estimate::new();
        let first = estimate.update(update(1.0, 20));
        assert_eq!(shares_of(&first), [Some(0.05), Some(0.2), Some(0.1)]);
        assert_eq!(first[1].left, None, "one update tells no speed");
        let second = estimate.update(update(3.0, 40));
        assert_eq!(shares_of(&second), [Some(0.1), Some(0.4), Some(0.2)]);
        assert!(
            (second[1].left.unwrap() - 6.0).abs() < 1e-9 && (second[0].left.unwrap() - 36.0).abs() < 1e-9
        );
        assert_eq!(second[1].items, 40);
        assert_eq!(second.iter().map(|reading| reading.total).collect::<Vec<_>>(), [None, None, Some(100)]);
        let stuck = estimate.update(update(40.0, 40));
        let stuck = [stuck, estimate.update(update(60.0, 40))];
        assert_eq!(stuck[1][1].left, None, "at a stand nobody knows");
    }

    #[test]
    fn without_an_end_nothing_is_claimed_and_a_stage_that_is_through_is() {
        let mut seen = update(1.0, 40);
        seen.stages[1].progress = None;
        assert_eq!(shares_of(&Estimate::new().update(seen.clone())), [None, None, None]);
        seen.stages[1].fate = Fate::Finished;
        seen.queues[0].ended = true;
        let readings = Estimate::new().update(seen);
        assert_eq!(shares_of(&readings), [Some(0.25), Some(1.0), Some(0.5)]);
        assert_eq!(readings[2].total, Some(40));
    }

    #[test]
    fn of_a_shared_queue_nothing_is_claimed_before_its_end() {
        let mut seen = update(1.0, 40);
        seen.queues[0].shared = true;
        seen.queues[0].done = 40;
        // On this machine, as all that came here; others write it and read it.
        for writers in [vec!["a".to_owned()], Vec::new()] {
            seen.queues[0].writers = writers;
            assert_eq!(shares_of(&Estimate::new().update(seen.clone())), [None, Some(0.4), None]);
        }
        seen.queues[0].ended = true;
        assert_eq!(shares_of(&Estimate::new().update(seen)), [Some(0.5), Some(0.4), Some(1.0)]);
    }

    #[test]
    fn a_ring_of_stages_is_no_trap() {
        let mut seen = update(1.0, 40);
        seen.queues[0].writers.push("c".into());
        assert_eq!(shares_of(&Estimate::new().update(seen)), [None, Some(0.4), None]);
    }
}
