//! The last words of a run: how it ended, what each stage did, where each item is.

use super::action::Outcome;
use super::reason::spoken;
use crate::exit;
use crate::queue::QueueCounts;
use std::path::PathBuf;
use std::time::Duration;

/// What is known once everything has stopped.
#[derive(Debug)]
pub struct Closing {
    /// The ledger of each queue.
    pub queues: Vec<(String, QueueCounts)>,
    /// Dead letters of queues that were removed during the run.
    pub dead_before: u64,
    /// Where they are.
    pub dead_letters: PathBuf,
}

impl Closing {
    /// Items that never went through.
    pub fn dead(&self) -> u64 {
        self.dead_before + self.queues.iter().map(|(_, counts)| counts.dead).sum::<u64>()
    }

    /// What the run ends with.
    pub fn exit_code(&self, outcome: &Outcome) -> u8 {
        match (outcome.failed, self.dead()) {
            (true, _) => exit::FAILED,
            (false, 0) => exit::DONE,
            (false, _) => exit::DEAD_LETTERS,
        }
    }

    /// The lines of the summary, the verdict first.
    pub fn lines(&self, name: &str, outcome: &Outcome, took: Duration) -> Vec<String> {
        let verdict = match &outcome.stopped {
            None if outcome.failed => "ended, not all of it well,".to_owned(),
            None => "done".to_owned(),
            Some(cause) => format!("stopped ({cause})"),
        };
        let mut lines = vec![format!("{name}: {verdict} after {}", spoken(took))];
        for stage in &outcome.stages {
            let restarts = count(stage.restarts, "restart");
            lines.push(format!(
                "  stage {}: {} taken, {} emitted, {restarts}",
                stage.name, stage.taken, stage.emitted
            ));
        }
        lines.extend(self.queues.iter().map(|(name, counts)| queue_line(name, counts)));
        lines
    }

    /// The line about dead letters, if there are any.
    pub fn warning(&self) -> Option<String> {
        let dead = self.dead();
        let path = self.dead_letters.display();
        (dead > 0).then(|| format!("{}, in {path}", count(dead, "dead letter")))
    }
}

fn queue_line(name: &str, counts: &QueueCounts) -> String {
    let mut line = format!("  queue {name}: {} put, {} done", counts.put, counts.done);
    let rest = [
        (counts.dropped, "dropped"),
        (counts.dead, "dead"),
        (counts.waiting + counts.leased, "left waiting"),
    ];
    for (items, what) in rest.into_iter().filter(|(items, _)| *items > 0) {
        line.push_str(&format!(", {items} {what}"));
    }
    line
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
