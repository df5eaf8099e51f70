//! Items a second. They are measured only for a request: a rate is the difference between two snapshots.

use super::{CpuTicks, Cpus, Rate, Snapshot, Times, Totals};
use std::collections::{BTreeMap, VecDeque};

/// Of a rate, if there was a snapshot that long ago.
const WINDOW_SECONDS: f64 = 10.0;
/// Between two snapshots that are compared.
const MIN_INTERVAL_SECONDS: f64 = 0.5;
/// Between two readings of the CPUs: a reading costs more than the rest of an answer, and their clock ticks a hundred
/// times a second.
const CPU_INTERVAL_SECONDS: f64 = 0.1;

/// Earlier looks, as few as are needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    looks: VecDeque<Sample>,
    /// The CPUs at the start of the run.
    start: Option<CpuTicks>,
    /// The CPUs at the last look at them, and when that was.
    cpus: Option<(f64, Option<CpuTicks>)>,
}

#[derive(Clone, Debug)]
struct Sample {
    /// Seconds since the start of the run.
    at: f64,
    totals: BTreeMap<String, Totals>,
    times: BTreeMap<String, Times>,
    cpus: Option<CpuTicks>,
}

impl Samples {
    /// No look yet. `cpus`: at the start of the run.
    pub(crate) fn new(cpus: Option<CpuTicks>) -> Samples {
        Samples { looks: VecDeque::new(), start: cpus, cpus: None }
    }

    /// Fills in the rates and the bottleneck of `snapshot`, and remembers it for the next one. `look_at_cpus`: what they
    /// did so far; not asked for each time.
    pub(crate) fn rate(&mut self, snapshot: &mut Snapshot, look_at_cpus: impl FnOnce() -> Option<CpuTicks>) {
        let now = snapshot.uptime;
        let cpus = match self.cpus.filter(|(at, _)| now - at < CPU_INTERVAL_SECONDS) {
            Some((_, cpus)) => cpus,
            None => self.cpus.insert((now, look_at_cpus())).1,
        };
        // The newest of those that are old enough stays: so there always is one about a window ago.
        while self.looks.get(1).is_some_and(|next| now - next.at >= WINDOW_SECONDS) {
            self.looks.pop_front();
        }
        let start = Sample { at: 0.0, totals: BTreeMap::new(), times: BTreeMap::new(), cpus: self.start };
        let before = self.before(now).unwrap_or(&start);
        for stage in &mut snapshot.stages {
            let (at, totals) = before
                .totals
                .get(&stage.name)
                .map_or((0.0, Totals::default()), |totals| (before.at, *totals));
            stage.rate = Rate::between(&totals, &stage.totals, now - at);
        }
        let spent = cpus.zip(before.cpus).and_then(|(now, before)| now.since(&before));
        let has_items = snapshot.stages.iter().any(|stage| !stage.is_service());
        snapshot.bottleneck = has_items.then(|| super::find_bottleneck(snapshot, &before.times, spent));
        if self.looks.back().is_none_or(|last| now - last.at >= MIN_INTERVAL_SECONDS) {
            self.looks.push_back(Sample::of(snapshot, cpus));
        }
    }

    /// The look that the rates of a snapshot of that time are measured from; `None`: the start of the run.
    fn before(&self, now: f64) -> Option<&Sample> {
        let is_apart = |sample: &&Sample| {
            now - sample.at >= MIN_INTERVAL_SECONDS && now - sample.at <= 6.0 * WINDOW_SECONDS
        };
        self.looks.front().filter(is_apart)
    }

    /// How the workers of each stage spent the time over which the rates of `snapshot` were measured, and the CPUs.
    pub(crate) fn recent(&self, snapshot: &Snapshot) -> (BTreeMap<String, Times>, Option<Cpus>) {
        let before = self.before(snapshot.uptime);
        let spent = |stage: &super::StageStatus| {
            let earlier =
                before.and_then(|before| before.times.get(&stage.name)).copied().unwrap_or_default();
            (stage.name.clone(), stage.times.since(&earlier))
        };
        let earlier = before.map_or(self.start, |before| before.cpus);
        let now = self.cpus.and_then(|(_, cpus)| cpus);
        let cpus = now.zip(earlier).and_then(|(now, earlier)| now.since(&earlier));
        (snapshot.stages.iter().map(spent).collect(), cpus)
    }
}

impl Sample {
    fn of(snapshot: &Snapshot, cpus: Option<CpuTicks>) -> Sample {
        let stages = || snapshot.stages.iter();
        Sample {
            at: snapshot.uptime,
            totals: stages().map(|stage| (stage.name.clone(), stage.totals)).collect(),
            times: stages().map(|stage| (stage.name.clone(), stage.times)).collect(),
            cpus,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_difference_of_two_looks_and_never_negative() {
        let totals = |taken, done, emitted| Totals { taken, done, emitted, ..Totals::default() };
        let rate = Rate::between(&totals(10, 10, 100), &totals(30, 18, 50), 4.0);
        assert_eq!(rate, Rate { taken: 5.0, done: 2.0, emitted: 0.0, over: 4.0 });
    }

    #[test]
    fn the_bottleneck_is_that_of_the_time_since_an_earlier_look() {
        use crate::status::fixture::{snapshot, stage};
        let mut samples = Samples::new(None);
        let look = |uptime, first, second| {
            let stages = vec![stage("a", "", "q", first), stage("b", "q", "r", second)];
            Snapshot { uptime, stages, ..snapshot() }
        };
        let mut first = look(10.0, [1.0, 0.0, 0.0], [0.2, 0.8, 0.0]);
        samples.rate(&mut first, || None);
        assert_eq!(first.bottleneck.unwrap().stage.as_deref(), Some("a"));
        let mut later = look(20.0, [1.1, 0.0, 0.9], [1.2, 0.8, 0.0]);
        samples.rate(&mut later, || None);
        assert_eq!(later.bottleneck.unwrap().stage.as_deref(), Some("b"));
    }

    #[test]
    fn looks_in_quick_succession_share_one_look_at_the_cpus() {
        use crate::status::fixture::snapshot;
        let mut samples = Samples::new(None);
        let mut asked = Vec::new();
        for uptime in [1.0, 1.05, 1.09, 1.11, 1.12, 3.0] {
            let mut look = Snapshot { uptime, ..snapshot() };
            samples.rate(&mut look, || {
                asked.push(uptime);
                None
            });
        }
        assert_eq!(asked, [1.0, 1.11, 3.0]);
    }
}
