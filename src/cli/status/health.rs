//! Is it well? Pure.

use crate::exit;
use crate::numbers::time;
use crate::status::{ConfigState, Fate, Snapshot, WorkerState};

/// What is wrong with a pipeline.
#[derive(Debug, PartialEq, Eq)]
pub struct Health {
    /// Each in a line.
    pub faults: Vec<String>,
    /// Items that became dead letters.
    pub dead: u64,
    /// What was too long to become an item.
    pub too_long: u64,
}

impl Health {
    /// Well or not, for a script.
    pub fn code(&self) -> u8 {
        match (self.faults.is_empty(), self.dead + self.too_long) {
            (false, _) => exit::FAILED,
            (true, 0) => exit::DONE,
            (true, _) => exit::DEAD_LETTERS,
        }
    }

    /// The same for people.
    pub fn text(&self, snapshot: &Snapshot) -> String {
        let mut lines: Vec<String> =
            self.faults.iter().map(|fault| format!("{}: {fault}", snapshot.pipeline)).collect();
        if self.dead > 0 {
            let file = &snapshot.dead_letter_file;
            lines.push(format!("{}: {} dead letters, in {file}", snapshot.pipeline, self.dead));
        }
        if self.too_long > 0 {
            let file = &snapshot.dead_letter_file;
            lines.push(format!(
                "{}: {} dead letters of what was too long for an item, in {file}",
                snapshot.pipeline, self.too_long
            ));
        }
        if lines.is_empty() {
            lines.push(format!("{}: ok", snapshot.pipeline));
        }
        lines.join("\n") + "\n"
    }
}

/// Looks for whatever is not as it should be.
pub fn of(snapshot: &Snapshot) -> Health {
    let mut faults = Vec::new();
    if let (ConfigState::Refused, Some(refusal)) = (snapshot.config.state, &snapshot.config.refusal) {
        let first = refusal.text.lines().next().unwrap_or_default();
        faults.push(format!("the changed file is not used: {first}"));
    }
    for stage in &snapshot.stages {
        if stage.fate == Fate::GaveUp {
            faults.push(format!("the stage {} gave up", stage.name));
        }
        faults.extend(stage.kills().map(|kills| format!("the stage {} was {kills}", stage.name)));
        for worker in &stage.workers {
            let name = format!("{}[{}]", stage.name, worker.index);
            match worker.state {
                WorkerState::Resting => {
                    let until = worker.until.map_or(String::new(), |until| format!(" in {}", time(until)));
                    faults.push(format!("{name} failed, and starts again{until}"));
                }
                WorkerState::Failed if stage.fate != Fate::GaveUp => faults.push(format!("{name} failed")),
                WorkerState::Failed
                | WorkerState::Due
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
    let unsound = snapshot.queues.iter().filter(|queue| queue.unaccounted() != 0);
    faults.extend(unsound.map(|queue| format!("the ledger of queue {} does not add up", queue.name)));
    Health { faults, dead: snapshot.dead_letters, too_long: snapshot.totals.too_long }
}
