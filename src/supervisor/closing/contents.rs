//! What a report says.

use super::summary::Closing;
use crate::queue::QueueCounts;
use crate::status::{Histogram, Times};
use crate::supervisor::machine::effect::Outcome;
use crate::supervisor::machine::totals::StageTotals;
use serde::ser::{Error, SerializeSeq};
use serde::{Serialize, Serializer};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// When a run was, and what it was of.
pub(crate) struct Frame<'a> {
    pub pipeline: &'a str,
    pub file: &'a Path,
    pub started: SystemTime,
    pub took: Duration,
}

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub pipeline: String,
    pub file: String,
    pub version: &'static str,
    /// `done`, `stopped` or `failed`.
    pub outcome: &'static str,
    /// Why it was stopped.
    pub cause: Option<String>,
    pub exit_code: u8,
    pub started: String,
    pub ended: String,
    pub seconds: f64,
    #[serde(serialize_with = "without_empty_columns")]
    pub stages: Vec<StageReport>,
    pub queues: Vec<QueueReport>,
    /// Whether every item of every queue is accounted for.
    pub adds_up: bool,
    /// Dead letters that are there still.
    pub dead_letters: u64,
    /// The same of what was too long to become an item.
    pub too_long: u64,
    pub repeated: u64,
    pub dead_letter_file: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct StageReport {
    pub name: String,
    /// It is a program with neither input nor output: nothing about items is said of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub service: bool,
    /// Items leased; one that went back and was leased again counts twice. Null for a source, which takes none.
    pub taken: Option<u64>,
    /// Leases that ended well: over all readers of a queue as many as the queue's ledger says. Null for a source.
    pub done: Option<u64>,
    /// Items that became dead letters.
    pub dead: u64,
    /// What was too long to become an item.
    pub too_long: u64,
    pub repeated: u64,
    /// Items, at most, that killed programs with `mode = "stream"` had in hand.
    pub perhaps_lost: u64,
    pub emitted: u64,
    pub restarts: u64,
    /// How its workers spent their time, in seconds.
    pub seconds: Times,
    pub item_seconds: Histogram,
    pub mean_item_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct QueueReport {
    pub name: String,
    pub put: u64,
    pub done: u64,
    pub waiting: u64,
    pub delayed: u64,
    pub leased: u64,
    pub dropped: u64,
    pub dead: u64,
    pub adds_up: bool,
}

impl Report {
    pub(crate) fn new(frame: &Frame<'_>, outcome: &Outcome, closing: &Closing) -> Report {
        let time = |time| humantime::format_rfc3339_millis(time).to_string();
        let dead = closing.dead();
        let queues: Vec<QueueReport> =
            closing.queues.iter().map(|(name, counts)| queue(name, counts)).collect();
        Report {
            pipeline: frame.pipeline.to_owned(),
            file: frame.file.display().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            outcome: match (outcome.failed, &outcome.stopped) {
                (true, _) => "failed",
                (false, Some(_)) => "stopped",
                (false, None) => "done",
            },
            cause: outcome.stopped.as_ref().map(ToString::to_string),
            exit_code: closing.exit_code(outcome),
            started: time(frame.started),
            ended: time(frame.started + frame.took),
            seconds: frame.took.as_secs_f64(),
            stages: outcome.stages.iter().map(stage).collect(),
            adds_up: queues.iter().all(|queue| queue.adds_up),
            queues,
            dead_letters: dead.items,
            too_long: dead.too_long,
            repeated: closing.repeated,
            dead_letter_file: closing.dead_letters.display().to_string(),
        }
    }
}

/// What is about items: a service has none.
const ABOUT_ITEMS: [&str; 10] = [
    "taken",
    "done",
    "dead",
    "too_long",
    "repeated",
    "perhaps_lost",
    "emitted",
    "seconds",
    "item_seconds",
    "mean_item_seconds",
];

fn without_empty_columns<S: Serializer>(stages: &[StageReport], to: S) -> Result<S::Ok, S::Error> {
    let mut written = to.serialize_seq(Some(stages.len()))?;
    for stage in stages {
        let mut value = serde_json::to_value(stage).map_err(S::Error::custom)?;
        match value.as_object_mut().filter(|_| stage.service) {
            Some(fields) => {
                ABOUT_ITEMS.iter().for_each(|name| drop(fields.remove(*name)));
                written.serialize_element(&value)?;
            }
            None => written.serialize_element(stage)?,
        }
    }
    written.end()
}

fn stage(totals: &StageTotals) -> StageReport {
    StageReport {
        name: totals.name.clone(),
        service: totals.is_service,
        taken: (!totals.is_source).then_some(totals.counts.taken),
        done: (!totals.is_source).then_some(totals.counts.done),
        dead: totals.counts.dead,
        too_long: totals.counts.too_long,
        repeated: totals.counts.repeated,
        perhaps_lost: totals.counts.perhaps_lost,
        emitted: totals.counts.emitted,
        restarts: totals.restarts,
        seconds: totals.times.into(),
        item_seconds: totals.item_times.into(),
        mean_item_seconds: totals.item_times.mean().map(|mean| mean.as_secs_f64()),
    }
}

fn queue(name: &str, counts: &QueueCounts) -> QueueReport {
    let QueueCounts { put, waiting, delayed, leased, done, dropped, dead, .. } = *counts;
    let adds_up =
        [done, waiting, delayed, leased, dropped, dead].iter().map(|&n| u128::from(n)).sum::<u128>();
    QueueReport {
        name: name.to_owned(),
        put,
        done,
        waiting,
        delayed,
        leased,
        dropped,
        dead,
        adds_up: adds_up == put.into(),
    }
}
