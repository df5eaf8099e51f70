//! Items a second: nobody measures while nobody looks, so a rate is the difference between two looks.

use super::{Snapshot, Totals};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// A rate is taken over about so many seconds, where there were looks that far back.
const WINDOW: f64 = 10.0;
/// Looks nearer to each other than this many seconds say nothing.
const APART: f64 = 0.5;

/// Items a second, over a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// Items leased a second.
    pub taken: f64,
    /// Items published a second.
    pub emitted: f64,
    /// The seconds over which this was measured: since an earlier look, else since the start of the run.
    pub over: f64,
}

impl Rate {
    /// What was done between two looks, `seconds` apart. A counter that went back was another stage's.
    pub fn between(before: &Totals, after: &Totals, seconds: f64) -> Rate {
        let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds.max(1e-3);
        Rate {
            taken: each(before.taken, after.taken),
            emitted: each(before.emitted, after.emitted),
            over: seconds,
        }
    }
}

/// Earlier looks, as few as are needed.
#[derive(Clone, Debug, Default)]
pub struct Samples(VecDeque<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    /// Seconds since the start of the run.
    at: f64,
    stages: BTreeMap<String, Totals>,
}

impl Samples {
    /// Fills in the rates of `snapshot`, and remembers it for the next one.
    pub fn rate(&mut self, snapshot: &mut Snapshot) {
        let now = snapshot.uptime;
        // The newest of those that are old enough stays: so there always is one about a window ago.
        while self.0.get(1).is_some_and(|next| now - next.at >= WINDOW) {
            self.0.pop_front();
        }
        let before =
            self.0.front().filter(|sample| now - sample.at >= APART && now - sample.at <= 6.0 * WINDOW);
        for stage in &mut snapshot.stages {
            let sample = before.and_then(|sample| Some((sample.at, sample.stages.get(&stage.name)?)));
            let (at, totals) = sample.unwrap_or((0.0, &Totals { taken: 0, done: 0, emitted: 0, dead: 0 }));
            stage.rate = Rate::between(totals, &stage.totals, now - at);
        }
        if self.0.back().is_none_or(|last| now - last.at >= APART) {
            let stages = snapshot.stages.iter().map(|stage| (stage.name.clone(), stage.totals));
            self.0.push_back(Sample { at: now, stages: stages.collect() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_difference_of_two_looks_and_never_negative() {
        let totals = |taken, emitted| Totals { taken, emitted, ..Totals::default() };
        let rate = Rate::between(&totals(10, 100), &totals(30, 50), 4.0);
        assert_eq!(rate, Rate { taken: 5.0, emitted: 0.0, over: 4.0 });
    }
}
