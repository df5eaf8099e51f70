//! What processes and stages did.

use crate::queue::{ItemTimes, Phase, SlotReport, WorkTimes};
use crate::status::{self, Glimpse, Progress};

/// What a process did in its life, from its slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessWork {
    /// It got as far as building its stage.
    pub ready: bool,
    /// Items it leased.
    pub taken: u64,
    /// Leases it ended well.
    pub done: u64,
    /// Items it published.
    pub emitted: u64,
    /// Items it gave up as dead letters.
    pub dead: u64,
    /// How far the source was that it ran.
    pub progress: Option<Progress>,
    /// How it spent its time.
    pub times: WorkTimes,
    /// How long its items took.
    pub item_times: ItemTimes,
    /// Which try it was of the item that it had begun, and not ended; 0: it had begun none.
    pub attempt: u32,
    /// The item that it had begun, and not ended.
    pub item: Option<Box<Glimpse>>,
    /// What it or its program has said at last, if it failed; oldest first.
    pub last_stderr: Vec<String>,
    /// Another worker of its stage has done something.
    pub stage_has_worked: bool,
}

impl From<SlotReport> for ProcessWork {
    fn from(report: SlotReport) -> ProcessWork {
        let SlotReport { phase, ending: _, taken, done, emitted, dead, progress, times, item_times } = report;
        let progress = progress.map(|(done, total)| Progress { done, total });
        let ready = phase != Phase::Starting;
        ProcessWork { ready, taken, done, emitted, dead, progress, times, item_times, ..Default::default() }
    }
}

impl ProcessWork {
    /// Whether it has brought anything about.
    pub fn has_worked(&self) -> bool {
        self.done + self.emitted > 0
    }
}

/// What a stage did in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StageTotals {
    pub name: String,
    /// It has no input: what its workers lease is only its position.
    pub is_source: bool,
    /// Items its workers leased.
    pub taken: u64,
    /// Leases they ended well.
    pub done: u64,
    /// Items they published.
    pub emitted: u64,
    /// Items that they gave up as dead letters.
    pub dead: u64,
    /// What was too long to become an item.
    #[serde(default)]
    pub too_long: u64,
    /// Restarts after a failure, or because of `restart = "always"`.
    pub restarts: u64,
    /// How far it came, if it is a source that knows.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// How its workers spent their time.
    pub times: WorkTimes,
    /// How long its items took.
    pub item_times: ItemTimes,
}

impl StageTotals {
    /// Adds what one of its processes did.
    pub fn add(&mut self, work: &ProcessWork) {
        self.taken += work.taken;
        self.done += work.done;
        self.emitted += work.emitted;
        self.dead += work.dead;
        self.progress = Progress::further(self.progress, work.progress);
        self.times += work.times;
        self.item_times += work.item_times;
    }

    /// As the status shows it.
    pub fn shown(&self) -> status::Totals {
        let StageTotals { taken, done, emitted, dead, too_long, .. } = *self;
        status::Totals { taken, done, emitted, dead, too_long }
    }
}
