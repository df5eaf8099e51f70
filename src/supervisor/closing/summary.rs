//! The summary of a run: how it ended, what each stage did, where each item is.

use crate::exit;
use crate::model::{DeadLetterCounts, HaltOf};
pub(crate) use crate::numbers::counted as count;
use crate::queue::QueueCounts;
use crate::supervisor::machine::effect::Outcome;
use crate::supervisor::machine::reason::{StopCause, spoken};
use crate::supervisor::machine::totals::StageTotals;
use std::path::PathBuf;
use std::time::Duration;

/// What is known once everything has stopped.
#[derive(Debug)]
pub(crate) struct Closing {
    /// The ledger of each queue.
    pub queues: Vec<(String, QueueCounts)>,
    /// Items that no stage has worked off, and that are in no broker.
    pub left: u64,
    /// Commits that the broker has not taken.
    pub unsent: u64,
    /// Dead letters of queues that were removed during the run.
    pub dead_before: u64,
    /// Those that kept queues counted before this run began, where it only works off what is left: they are what it tries
    /// again.
    pub dead_at_start: u64,
    /// Those of shared queues: their letters lie in the broker.
    pub dead_shared: u64,
    /// Letters that the broker holds, of all machines; `None`: unknown.
    pub letters_in_broker: Option<u64>,
    /// What was too long to become an item.
    pub too_long: u64,
    /// Lines that may be twice in a file.
    pub repeated: u64,
    /// Where they are.
    pub dead_letters: PathBuf,
    /// Letters of this run in that file, and those dropped to make room; `None`: unknown.
    pub letters_in_file: Option<u64>,
}

impl Closing {
    /// Dead letters that are there still: neither put back nor dropped by hand.
    pub(crate) fn dead(&self) -> DeadLetterCounts {
        let here = self.dead_here();
        DeadLetterCounts { items: here.items + self.dead_in_broker(), ..here }
    }

    /// Those on this machine.
    fn dead_here(&self) -> DeadLetterCounts {
        let counted = self.dead_before + self.queues.iter().map(|(_, counts)| counts.dead).sum::<u64>();
        let items = counted.saturating_sub(self.dead_at_start).saturating_sub(self.dead_shared);
        let written = DeadLetterCounts { items, too_long: self.too_long };
        self.letters_in_file.map_or(written, |in_file| written.among(in_file))
    }

    /// Those in the broker.
    fn dead_in_broker(&self) -> u64 {
        self.dead_shared.min(self.letters_in_broker.unwrap_or(u64::MAX))
    }

    /// What the run ends with.
    pub(crate) fn exit_code(&self, outcome: &Outcome) -> u8 {
        if let Some(StopCause::NoBroker { is_usage: true, .. }) = outcome.stopped {
            return exit::USAGE;
        }
        match (outcome.failed, self.dead().all()) {
            (true, _) => exit::FAILED,
            // What has failed on the way there is what was expected.
            (false, _) if outcome.halted_by(HaltOf::Success) => exit::DONE,
            (false, 0) => exit::DONE,
            (false, _) => exit::DEAD_LETTERS,
        }
    }

    /// The lines of the summary, the verdict first.
    pub(crate) fn lines(&self, name: &str, outcome: &Outcome, took: Duration) -> Vec<String> {
        let verdict = match &outcome.stopped {
            None if outcome.failed => "ended, not all of it well,".to_owned(),
            None => "done".to_owned(),
            Some(cause) => format!("stopped ({cause})"),
        };
        let mut lines = vec![format!("{name}: {verdict} after {}", spoken(took))];
        for stage in &outcome.stages {
            lines.push(self.stage_line(stage));
        }
        lines.extend(self.queues.iter().map(|(name, counts)| queue_line(name, counts)));
        lines
    }

    fn stage_line(&self, stage: &StageTotals) -> String {
        if stage.is_service {
            return format!("  service {}: {}", stage.name, count(stage.restarts, "restart"));
        }
        let done = if stage.is_source { String::new() } else { format!("{} done, ", stage.counts.done) };
        let dead =
            if stage.counts.dead == 0 { String::new() } else { format!("{} dead, ", stage.counts.dead) };
        let too_long = if stage.counts.too_long == 0 {
            String::new()
        } else {
            format!("{} too long, ", stage.counts.too_long)
        };
        let repeated = match stage.counts.repeated {
            0 => String::new(),
            lines => format!("{} perhaps twice, ", count(lines, "line")),
        };
        let lost = match stage.counts.perhaps_lost {
            0 => String::new(),
            items => format!("about {} perhaps lost, ", count(items, "item")),
        };
        let restarts = count(stage.restarts, "restart");
        let emitted = stage.counts.emitted;
        format!("  stage {}: {done}{dead}{too_long}{repeated}{lost}{emitted} emitted, {restarts}", stage.name)
    }

    /// What becomes of the items that a run leaves which was stopped. That queues are kept over a stop goes without saying, and what
    /// failed has said it itself.
    pub(crate) fn left_text(&self, outcome: &Outcome, keeps: bool) -> Option<String> {
        let items = count(self.left, "item");
        let (stay, are) = if self.left == 1 { ("stays", "is") } else { ("stay", "are") };
        let has_items = self.left > 0;
        match outcome.stopped.as_ref()? {
            StopCause::Halted { .. } => has_items.then(|| format!("not tried, of what had come: {items}")),
            cause if keeps => {
                let is_news = matches!(cause, StopCause::Failing { .. }) || has_items && outcome.is_drain();
                is_news.then(|| format!("{items} {stay} in the queues: the next run continues with them"))
            }
            cause => {
                let is_asked_for =
                    matches!(cause, StopCause::Signal(_) | StopCause::Requested(_) | StopCause::TerminalGone);
                let is_news = matches!(cause, StopCause::Failing { .. }) || is_asked_for && has_items;
                is_news.then(|| format!("{items} {are} lost with the queues, which were kept in memory only"))
            }
        }
    }

    /// What becomes of the commits that the broker has not taken.
    pub(crate) fn unsent_text(&self, keeps: bool) -> Option<String> {
        let then = match keeps {
            true => "the next run brings them there",
            false => {
                "what they took from its queues stays there, a source continues before them, and what they took from \
                 this machine's queues is lost"
            }
        };
        let commits = count(self.unsent, "commit");
        (self.unsent > 0).then(|| format!("the broker has not taken {commits}: {then}"))
    }

    /// The line about dead letters, if there are any.
    pub(crate) fn warning(&self) -> Option<String> {
        let here = dead_letters(self.dead_here());
        let here = here.map(|dead| match self.dead_letters.as_os_str().is_empty() {
            true => format!("{dead}, not kept"),
            false => format!("{dead}, in {}", self.dead_letters.display()),
        });
        let there = dead_letters(DeadLetterCounts { items: self.dead_in_broker(), too_long: 0 })
            .map(|dead| format!("{dead} in the broker, which `mprun dead list --shared FILE` shows"));
        match (here, there) {
            (Some(here), Some(there)) => Some(format!("{here}, and {there}")),
            (here, there) => here.or(there),
        }
    }
}

/// How many letters there are of each kind, if there are any.
pub(crate) fn dead_letters(counts: DeadLetterCounts) -> Option<String> {
    let DeadLetterCounts { items, too_long } = counts;
    match (items, too_long) {
        (0, 0) => None,
        (_, 0) => Some(count(items, "dead letter")),
        (0, _) => Some(format!("{} of what was too long for an item", count(too_long, "dead letter"))),
        (_, _) => {
            Some(format!("{}, and {too_long} of what was too long for an item", count(items, "dead letter")))
        }
    }
}

fn queue_line(name: &str, counts: &QueueCounts) -> String {
    let mut line = format!("  queue {name}: {} put, {} done", counts.put, counts.done);
    let rest = [
        (counts.dropped, "dropped"),
        (counts.dead, "dead"),
        (counts.waiting + counts.leased, "left waiting"),
        (counts.delayed, "left for a later try"),
    ];
    for (items, what) in rest.into_iter().filter(|(items, _)| *items > 0) {
        line.push_str(&format!(", {items} {what}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Totals;

    fn closing() -> Closing {
        let counts = QueueCounts { put: 12, done: 9, dead: 1, waiting: 1, leased: 1, ..Default::default() };
        Closing {
            queues: vec![("q".into(), counts)],
            left: 2,
            unsent: 0,
            dead_before: 1,
            dead_at_start: 0,
            dead_shared: 0,
            letters_in_broker: None,
            too_long: 0,
            repeated: 0,
            dead_letters: "/s/dead.jsonl".into(),
            letters_in_file: None,
        }
    }

    fn outcome(stopped: Option<StopCause>, failed: bool) -> Outcome {
        let totals = |name: &str, is_source| StageTotals {
            name: name.into(),
            is_source,
            counts: Totals {
                taken: 16,
                done: 14,
                emitted: 15,
                dead: u64::from(!is_source),
                too_long: 0,
                repeated: 0,
                perhaps_lost: 0,
            },
            restarts: 1,
            ..StageTotals::default()
        };
        let retains_items = false;
        Outcome { stopped, failed, retains_items, stages: vec![totals("count", true), totals("show", false)] }
    }

    #[test]
    fn the_summary_tells_how_it_ended_and_where_every_item_is() {
        let outcome = outcome(Some(StopCause::Signal("SIGTERM")), false);
        assert_eq!(
            closing().lines("name", &outcome, Duration::from_millis(1500)),
            [
                "name: stopped (SIGTERM) after 1s 500ms",
                "  stage count: 15 emitted, 1 restart",
                "  stage show: 14 done, 1 dead, 15 emitted, 1 restart",
                "  queue q: 12 put, 9 done, 1 dead, 2 left waiting",
            ]
        );
        assert_eq!(closing().warning().as_deref(), Some("2 dead letters, in /s/dead.jsonl"));
    }

    #[test]
    fn what_the_broker_has_not_taken_is_no_item_that_is_lost() {
        let closing = Closing { left: 0, unsent: 202, ..closing() };
        let signal = outcome(Some(StopCause::Signal("SIGTERM")), false);
        assert_eq!(closing.left_text(&signal, false), None);
        let text = closing.unsent_text(false).unwrap();
        assert!(text.starts_with("the broker has not taken 202 commits: what they took from its"), "{text}");
        assert!(closing.unsent_text(true).unwrap().ends_with("the next run brings them there"));
        let lost = Closing { left: 2, unsent: 0, ..closing };
        assert!(lost.left_text(&signal, false).unwrap().starts_with("2 items are lost"));
        assert_eq!(lost.unsent_text(false), None);
    }

    #[test]
    fn what_was_too_long_is_told_apart_and_counts_for_the_exit_code() {
        let closing = Closing { dead_shared: 1, ..closing() };
        let there = "1 dead letter in the broker, which `mprun dead list --shared FILE` shows";
        assert_eq!(closing.warning().unwrap(), format!("1 dead letter, in /s/dead.jsonl, and {there}"));
        assert_eq!(
            Closing { dead_shared: 2, ..closing }.warning().unwrap(),
            there.replace("1 dead letter", "2 dead letters")
        );
        let closing = Closing { queues: Vec::new(), dead_before: 0, too_long: 2, ..self::closing() };
        let warning = "2 dead letters of what was too long for an item, in /s/dead.jsonl";
        assert_eq!(closing.warning().unwrap(), warning);
        assert_eq!(closing.exit_code(&outcome(None, false)), exit::DEAD_LETTERS);
        let both = DeadLetterCounts { items: 1, too_long: 2 };
        assert_eq!(dead_letters(both).unwrap(), "1 dead letter, and 2 of what was too long for an item");
    }

    #[test]
    fn letters_that_are_not_there_any_more_count_neither_in_words_nor_for_the_exit_code() {
        let gone = Closing { letters_in_file: Some(0), ..closing() };
        assert_eq!((gone.exit_code(&outcome(None, false)), gone.warning()), (exit::DONE, None));
        let one = Closing { letters_in_file: Some(1), ..closing() };
        assert_eq!(one.warning().as_deref(), Some("1 dead letter, in /s/dead.jsonl"));
        assert_eq!(one.exit_code(&outcome(None, false)), exit::DEAD_LETTERS);
        let in_broker = Closing { dead_shared: 1, ..gone };
        assert_eq!(in_broker.exit_code(&outcome(None, false)), exit::DEAD_LETTERS);
        let dropped = Closing { letters_in_broker: Some(0), ..in_broker };
        assert_eq!((dropped.exit_code(&outcome(None, false)), dropped.warning()), (exit::DONE, None));
    }

    #[test]
    fn a_halt_says_what_was_not_tried_if_anything_was_not() {
        let halted = outcome(
            Some(StopCause::Halted { stage: "show".into(), halt: "soon,fail=1".parse().unwrap() }),
            false,
        );
        assert_eq!(
            closing().left_text(&halted, false).as_deref(),
            Some("not tried, of what had come: 2 items")
        );
        let none = Closing { left: 0, ..closing() };
        assert_eq!(none.left_text(&halted, false), None);
    }

    #[test]
    fn a_failure_outweighs_dead_letters_in_the_exit_code() {
        assert_eq!(closing().exit_code(&outcome(None, true)), exit::FAILED);
        assert_eq!(closing().exit_code(&outcome(None, false)), exit::DEAD_LETTERS);
        let clean = Closing { queues: Vec::new(), dead_before: 0, ..closing() };
        assert_eq!((clean.exit_code(&outcome(None, false)), clean.warning()), (exit::DONE, None));
    }
}
