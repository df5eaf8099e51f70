//! What processes and stages did.

use crate::model::Totals;
use crate::queue::{ItemTimes, Phase, SlotReport, WorkTimes};
use crate::status::{Glimpse, Progress};

/// What a process did in its life, from its slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessWork {
    /// It got as far as building its stage.
    pub ready: bool,
    /// What became of its items.
    pub counts: Totals,
    /// How far the source was that it ran.
    pub progress: Option<Progress>,
    /// How it spent its time.
    pub times: WorkTimes,
    /// How long its items took.
    pub item_times: ItemTimes,
    /// Which try it was of the item that it had begun, and not ended; 0: it had begun none.
    pub attempt: u32,
    /// That item is tried again even if that was the last attempt: it may not be at fault.
    pub has_hope: bool,
    /// That item has not failed before, since one of the stage was done.
    pub with_another: bool,
    /// The item that it had begun, and not ended.
    pub item: Option<Box<Glimpse>>,
    /// What it or its program has said at last, if it failed; oldest first.
    pub last_stderr: Vec<String>,
    /// The names of the processes that a service's program has left behind at its end.
    pub left_behind: Vec<String>,
    /// Another worker of its stage has done something.
    pub stage_has_worked: bool,
}

impl From<SlotReport> for ProcessWork {
    fn from(report: SlotReport) -> ProcessWork {
        let SlotReport { phase, ending: _, obstacle: _, handed_over: _, counts, progress, times, item_times } =
            report;
        let progress = progress.map(|(done, total)| Progress { done, total });
        let ready = phase != Phase::Starting;
        ProcessWork { ready, counts, progress, times, item_times, ..Default::default() }
    }
}

impl ProcessWork {
    /// What a worker did that has ended: only now may be lost what its program had in hand.
    pub(crate) fn of_ended(report: SlotReport) -> ProcessWork {
        let perhaps_lost = report.handed_over;
        let work = ProcessWork::from(report);
        ProcessWork { counts: Totals { perhaps_lost, ..work.counts }, ..work }
    }

    /// Whether it has brought anything about.
    pub(crate) fn has_worked(&self) -> bool {
        self.counts.has_effect()
    }
}

/// What a stage did in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct StageTotals {
    pub name: String,
    /// It has no input: what its workers lease is only its position.
    pub is_source: bool,
    /// It is a program with neither input nor output.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_service: bool,
    /// What became of the items of its workers.
    #[serde(flatten)]
    pub counts: Totals,
    /// Restarts after a failure, or because of `restart = "always"`.
    pub restarts: u64,
    /// Health checks that have failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed_checks: u64,
    /// How far it came, if it is a source that knows.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// How its workers spent their time.
    pub times: WorkTimes,
    /// How long its items took.
    pub item_times: ItemTimes,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StageTotals {
    /// Adds what one of its processes did.
    pub(crate) fn add(&mut self, work: &ProcessWork) {
        self.counts += work.counts;
        self.progress = Progress::further(self.progress, work.progress);
        self.times += work.times;
        self.item_times += work.item_times;
    }
}
