//! What the service manager is told.

use super::performer::Performer;
use crate::queue::QueueId;
use crate::service::Message;
use log::{Level, log};
use std::collections::BTreeMap;
use std::time::Instant;

/// So many queues get a word in the line for the service manager; people see all of them elsewhere.
const MAX_QUEUES_SHOWN: usize = 6;
/// A rate over less says nothing.
const MIN_RATE_SECONDS: f64 = 0.5;

/// What the queues had done when the last line was told.
#[derive(Debug, Default)]
pub(super) struct RateSample {
    at: Option<Instant>,
    done: BTreeMap<QueueId, u64>,
}

impl Performer<'_> {
    pub(super) fn notify(&mut self, messages: &[Message]) {
        if let Err(error) = self.manager.tell(messages) {
            log!(target: "mprun", Level::Warn, "failed to tell the service manager {messages:?}: {error}");
        }
    }

    pub(super) fn status(&mut self, head: &str) {
        let now = Instant::now();
        let names: Vec<(QueueId, String)> =
            self.names.iter().map(|(queue, name)| (*queue, name.clone())).collect();
        let mut done = BTreeMap::new();
        let mut words = Vec::new();
        let seconds = self.rates.at.map(|at| now.saturating_duration_since(at).as_secs_f64());
        let is_soon = seconds.is_some_and(|seconds| seconds < MIN_RATE_SECONDS);
        let seconds = seconds.filter(|_| !is_soon);
        for (queue, name) in names {
            let counts = self.admin.counts(queue);
            let Some(counts) = self.unless_damaged(counts) else { return };
            done.insert(queue, counts.done);
            let before = self.rates.done.get(&queue).copied().zip(seconds);
            let rate = before.map(|(before, seconds)| counts.done.saturating_sub(before) as f64 / seconds);
            words.push(word(&name, rate, counts.waiting));
        }
        if !is_soon {
            self.rates = RateSample { at: Some(now), done };
        }
        self.notify(&[Message::Status(line(head, &words))]);
    }
}

fn word(name: &str, rate: Option<f64>, waiting: u64) -> String {
    let rate = rate.map(|rate| match rate {
        slow if slow < 10.0 => format!(" {slow:.1}/s"),
        rate => format!(" {rate:.0}/s"),
    });
    format!("{name}{} ({waiting} waiting)", rate.unwrap_or_default())
}

fn line(head: &str, words: &[String]) -> String {
    let rates = words.iter().take(MAX_QUEUES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match words.len() {
        0 => head.to_owned(),
        some if some <= MAX_QUEUES_SHOWN => format!("{head}; {rates}"),
        many => format!("{head}; {rates}, and {} more queues", many - MAX_QUEUES_SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_a_rate_for_each_queue_once_there_is_one() {
        assert_eq!(word("lines", None, 0), "lines (0 waiting)");
        let words = [word("lines", Some(1234.4), 7), word("slow", Some(0.2), 0)];
        assert_eq!(line("2 stages", &words), "2 stages; lines 1234/s (7 waiting), slow 0.2/s (0 waiting)");
        assert_eq!(line("1 stage", &[]), "1 stage");
        let many: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        assert_eq!(line("h", &many), "h; 0, 1, 2, 3, 4, 5, and 3 more queues");
    }
}
