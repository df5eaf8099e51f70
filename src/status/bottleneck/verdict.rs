//! What was found to limit a pipeline, as a view shows it.

use crate::numbers::counted;
use serde::{Deserialize, Serialize};

/// What limits a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bottleneck {
    /// What kind of limit.
    pub limit: Limit,
    /// The stage that it is, or through which it is seen.
    pub stage: Option<String>,
    /// The share of its time, 0 ..= 1, for which the limit holds.
    pub share: f64,
    /// The stage that would be the limit next, and how many times as much as now it could do.
    pub next: Option<Next>,
    /// The share by which one process more in the stage would raise the throughput; 0: not at all.
    pub one_more: f64,
    /// Why one process more gives nothing.
    pub no_more_because: Option<NoMore>,
    /// All of it in words.
    pub text: String,
}

impl Bottleneck {
    /// A stage of all machines that none of them works at. `items`: those that wait for it.
    pub(crate) fn missing(stage: &str, items: u64) -> Bottleneck {
        let wait = if items == 1 { "waits" } else { "wait" };
        Bottleneck {
            limit: Limit::Missing,
            stage: Some(stage.to_owned()),
            share: 1.0,
            next: None,
            one_more: 0.0,
            no_more_because: None,
            text: format!(
                "{stage} is the bottleneck: no machine that is heard of runs it, and {} {wait} for it.",
                counted(items, "item")
            ),
        }
    }
}

/// What kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Limit {
    /// The work of a stage.
    Work,
    /// The pauses that the file asks of a stage.
    Pauses,
    /// The rate that the file sets for a stage.
    Rate,
    /// What a source reads comes no faster.
    Input,
    /// The reader of standard output, or the disk that a stage waits for.
    Output,
    /// A stage that is failing, though items wait for it.
    Failing,
    /// A stage that no machine runs which is heard of, though items wait for it.
    Missing,
    /// There is less to do than could be done.
    Nothing,
    /// The pipeline was told to pause, to drain, or has not worked yet.
    Unknown,
}

/// The stage that would be the limit next.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Next {
    /// Its name.
    pub stage: String,
    /// How many times as much as now it could do.
    pub times_as_much: f64,
}

/// Why one process more gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NoMore {
    /// Only one process at a time can go on: the stage has one position.
    OnePosition,
    /// A program without an input would only run a second time.
    OwnProgram,
    /// All CPUs are busy, so it would have none to compute on.
    CpusBusy,
    /// Another stage is at its limit, too.
    NextIsNear,
}
