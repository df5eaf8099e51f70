//! Rates of the last ten minutes, as far as a client listened.

use crate::status::Snapshot;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// Between two points, in seconds.
const INTERVAL: f64 = 5.0;
/// Ten minutes of them.
const MAX_POINTS: usize = 120;

/// One point for each stage, a while apart.
#[derive(Debug, Default, Serialize)]
pub(super) struct History {
    points: VecDeque<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    /// Seconds since the start of the run.
    at: f64,
    /// Items done and emitted a second, by stage.
    stages: BTreeMap<String, [f64; 2]>,
}

impl History {
    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        let at = snapshot.uptime;
        if self.points.back().is_some_and(|last| at - last.at < INTERVAL) {
            return;
        }
        let stages = snapshot.stages.iter().filter(|stage| !stage.is_service());
        let tenths = |rate: f64| (rate * 10.0).round() / 10.0;
        let rates =
            stages.map(|stage| (stage.name.clone(), [tenths(stage.rate.done), tenths(stage.rate.emitted)]));
        self.points.push_back(Point { at, stages: rates.collect() });
        let oldest = at - INTERVAL * MAX_POINTS as f64;
        while self.points.front().is_some_and(|first| first.at < oldest) {
            self.points.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture::snapshot;

    #[test]
    fn ten_minutes_are_kept_and_no_more() {
        let mut history = History::default();
        for second in 0..3000 {
            history.note(&Snapshot { uptime: f64::from(second), ..snapshot() });
        }
        assert_eq!((history.points.len(), history.points[0].at), (121, 2395.0));
    }
}
