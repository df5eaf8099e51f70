//! Is it well? Pure.

use super::dead;
use crate::exit;
use crate::numbers::{counted, time};
use crate::status::{BrokerStatus, CheckState, CheckStatus, ConfigState, Fate, Snapshot, WorkerState};
use serde::Serialize;

/// What is wrong with a pipeline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// Each in a line.
    pub faults: Vec<String>,
    /// Dead letters that are there still.
    pub dead: u64,
    /// What was too long to become an item.
    pub too_long: u64,
}

/// What `status --check --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct HealthReport<'a> {
    pipeline: &'a str,
    /// Nothing is wrong, and nothing is dead: the exit code is 0.
    ok: bool,
    faults: &'a [String],
    dead_letters: u64,
    dead_letter_file: &'a str,
}

impl Health {
    /// Well or not, for a script.
    pub(super) fn code(&self) -> u8 {
        match (self.faults.is_empty(), self.dead + self.too_long) {
            (false, _) => exit::FAILED,
            (true, 0) => exit::DONE,
            (true, _) => exit::DEAD_LETTERS,
        }
    }

    /// The same with words, for a script.
    pub(super) fn report<'a>(&'a self, snapshot: &'a Snapshot) -> HealthReport<'a> {
        HealthReport {
            pipeline: &snapshot.pipeline,
            ok: self.code() == exit::DONE,
            faults: &self.faults,
            dead_letters: self.dead,
            dead_letter_file: &snapshot.dead_letter_file,
        }
    }

    /// The same for people.
    pub(super) fn text(&self, snapshot: &Snapshot) -> String {
        let mut lines: Vec<String> =
            self.faults.iter().map(|fault| format!("{}: {fault}", snapshot.pipeline)).collect();
        if self.dead > 0 {
            let letters = counted(self.dead, "dead letter");
            lines.push(format!("{}: {letters}, {}", snapshot.pipeline, dead::place(snapshot)));
        }
        if self.too_long > 0 {
            let file = &snapshot.dead_letter_file;
            lines.push(format!(
                "{}: {} of what was too long for an item, in {file}",
                snapshot.pipeline,
                counted(self.too_long, "dead letter")
            ));
        }
        if lines.is_empty() {
            lines.push(format!("{}: ok", snapshot.pipeline));
        }
        lines.join("\n") + "\n"
    }
}

/// Looks for whatever is not as it should be.
pub(super) fn of(snapshot: &Snapshot) -> Health {
    let mut faults = Vec::new();
    if let (ConfigState::Refused, Some(refusal)) = (snapshot.config.state, &snapshot.config.refusal) {
        let first = refusal.text.lines().next().unwrap_or_default();
        faults.push(format!("the changed file is not used: {first}"));
    }
    for stage in &snapshot.stages {
        if stage.fate == Fate::GaveUp {
            faults.push(format!("the stage {} gave up", stage.name));
        }
        faults.extend(stage.failure().map(|failure| format!("the stage {} is {failure}", stage.name)));
        faults.extend(stage.kills().map(|kills| format!("the stage {} was {kills}", stage.name)));
        for worker in &stage.workers {
            let name = format!("{}[{}]", stage.name, worker.index);
            let is_fault = |check: &&CheckStatus| {
                matches!(check.state, CheckState::Starting | CheckState::Unhealthy)
                    && stage.fate == Fate::Wanted
            };
            let says = worker.check.as_ref().filter(is_fault).and_then(CheckStatus::says);
            faults.extend(says.map(|says| format!("{name} {says}")));
            faults.extend(worker.obstacle.as_ref().map(|why| format!("{name} waits: {why}")));
            match worker.state {
                WorkerState::Resting if worker.has_finished => {}
                WorkerState::Resting => {
                    let until = worker.until.map_or(String::new(), |until| format!(" in {}", time(until)));
                    faults.push(format!("{name} failed, and starts again{until}"));
                }
                WorkerState::Failed if stage.fate != Fate::GaveUp => faults.push(format!("{name} failed")),
                WorkerState::Over if worker.lost_reader => {
                    faults.push(format!("{name} has ended: the reader of its output is gone"));
                }
                WorkerState::Failed
                | WorkerState::Due
                | WorkerState::Scheduled
                | WorkerState::Starting
                | WorkerState::Working
                | WorkerState::InputEnded
                | WorkerState::Paused
                | WorkerState::Finishing
                | WorkerState::Terminating
                | WorkerState::Killed
                | WorkerState::Over => {}
            }
        }
    }
    faults.extend(snapshot.letters.faults());
    faults.extend(snapshot.unsaved());
    faults.extend(snapshot.broker.as_ref().and_then(BrokerStatus::fault));
    let unsound = snapshot.queues.iter().filter(|queue| queue.unaccounted() != 0);
    faults.extend(unsound.map(|queue| format!("the ledger of queue {} does not add up", queue.name)));
    let left = snapshot.letters_left();
    Health { faults, dead: left.items, too_long: left.too_long }
}
