//! What an earlier run has left in the queues' memory, and what this one makes of it. Pure.
//!
//! A queue is found again by its label. Ordinary queues go by their names; one that the file does not name any more is
//! removed as at a reload: if it holds items it is retained, with a warning. The positions of stages (tokens) and
//! finished outputs that wait for room (spill queues) go by the stage's name; those of a stage that is not in the file stay
//! as they are until it is again.

use crate::config::Pipeline;
use crate::queue::QueueId;
use std::fmt;

/// What a queue is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// One of the file, by its name.
    Queue(String),
    /// The token of a stage: its position or state, and the `use` that it belongs to.
    Token {
        /// The stage's name.
        stage: String,
        /// What the stage is.
        uses: String,
    },
    /// Finished outputs of a stage that wait for room.
    Spill(String),
    /// Finished outputs of a stage that wait for those of the items before them in this queue.
    Window {
        /// The stage's name.
        stage: String,
        /// The queue's name.
        input: String,
    },
    /// The commits of a stage for a broker.
    Line(String),
    /// Which items of a broker's queue this machine has.
    Held(String),
    /// The token of standard output, where that is a file: all stages that print share it.
    Print,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Queue(name) => write!(f, "queue {name}"),
            Label::Token { stage, uses } => write!(f, "token {stage} {uses}"),
            Label::Spill(stage) => write!(f, "outbox {stage}"),
            Label::Window { stage, input } => write!(f, "window {stage} {input}"),
            Label::Line(stage) => write!(f, "line {stage}"),
            Label::Held(queue) => write!(f, "held {queue}"),
            Label::Print => f.write_str("print stdout"),
        }
    }
}

impl Label {
    /// What `Display` has written.
    pub(crate) fn parse(text: &str) -> Option<Label> {
        let (kind, name) = text.split_once(' ')?;
        match (kind, name.split_once(' ')) {
            ("queue", None) => Some(Label::Queue(name.to_owned())),
            ("print", None) if name == "stdout" => Some(Label::Print),
            ("line", None) => Some(Label::Line(name.to_owned())),
            ("held", None) => Some(Label::Held(name.to_owned())),
            ("outbox", None) => Some(Label::Spill(name.to_owned())),
            ("token", Some((stage, uses))) => {
                Some(Label::Token { stage: stage.to_owned(), uses: uses.to_owned() })
            }
            ("window", Some((stage, input))) => {
                Some(Label::Window { stage: stage.to_owned(), input: input.to_owned() })
            }
            _ => None,
        }
    }

    /// Whether it is about finished outputs, which are items of a stage that may have no input left.
    pub(crate) fn holds_outputs(&self) -> bool {
        matches!(self, Label::Spill(_) | Label::Window { .. })
    }
}

/// A queue that an earlier run has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredQueue {
    pub queue: QueueId,
    /// What it is for.
    pub label: Label,
    pub items: u64,
    /// It had no writer any more.
    pub ended: bool,
    /// It had no reader any more.
    pub closed: bool,
    /// A token that says that its stage has come to its end.
    pub through: bool,
}

/// The tokens of stages that came to their end only because the run was stopped: what they read is to go on, so they
/// are not through after all.
pub(crate) fn not_through(pipeline: &Pipeline, recovered: &[RecoveredQueue]) -> Vec<QueueId> {
    let graph = Graph { pipeline, recovered };
    tokens_through(recovered, |stage| graph.may_get_more(stage, 0))
}

/// The tokens of all stages of a pipeline that say that their stage has come to its end: it gets items all the same.
pub(crate) fn tokens_of(pipeline: &Pipeline, recovered: &[RecoveredQueue]) -> Vec<QueueId> {
    tokens_through(recovered, |stage| pipeline.stages.iter().any(|known| known.name == *stage))
}

fn tokens_through(recovered: &[RecoveredQueue], of_stage: impl Fn(&str) -> bool) -> Vec<QueueId> {
    let is_meant = |queue: &&RecoveredQueue| match &queue.label {
        Label::Token { stage, .. } => queue.through && of_stage(stage),
        Label::Queue(_)
        | Label::Spill(_)
        | Label::Window { .. }
        | Label::Line(_)
        | Label::Held(_)
        | Label::Print => false,
    };
    recovered.iter().filter(is_meant).map(|queue| queue.queue).collect()
}

struct Graph<'a> {
    pipeline: &'a Pipeline,
    recovered: &'a [RecoveredQueue],
}

impl Graph<'_> {
    /// Whether there may be more to take for a stage: of a source that there is not.
    fn may_get_more(&self, stage: &str, depth: usize) -> bool {
        let Some(spec) = self.pipeline.stages.iter().find(|spec| spec.name == stage) else { return false };
        let holds = |name: &String| {
            let label = Label::Queue(name.clone());
            self.recovered.iter().any(|queue| queue.items > 0 && queue.label == label)
        };
        spec.work.inputs.iter().any(|queue| holds(queue) || self.may_be_written(queue, depth))
    }

    fn may_be_written(&self, queue: &str, depth: usize) -> bool {
        // A ring of stages never comes to an end by itself.
        let is_ring = depth > self.pipeline.stages.len();
        let mut writers =
            self.pipeline.stages.iter().filter(|spec| spec.work.outputs.iter().any(|q| q == queue));
        is_ring || writers.any(|spec| self.may_write(&spec.name, spec.work.inputs.is_empty(), depth))
    }

    fn may_write(&self, stage: &str, is_source: bool, depth: usize) -> bool {
        let of_stage = |recovered: &&RecoveredQueue| match &recovered.label {
            Label::Token { stage: of, .. } | Label::Spill(of) | Label::Window { stage: of, .. } => {
                of == stage
            }
            Label::Queue(_) | Label::Line(_) | Label::Held(_) | Label::Print => false,
        };
        let mut own = self.recovered.iter().filter(of_stage);
        let waits = own.clone().any(|recovered| recovered.items > 0 && recovered.label.holds_outputs());
        // A source without a position starts anew.
        waits
            || if is_source {
                !own.any(|recovered| recovered.through)
            } else {
                self.may_get_more(stage, depth + 1)
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::fixture::{pipeline, stage};

    fn recovered(queue: u16, label: &str, items: u64, through: bool) -> RecoveredQueue {
        let label = Label::parse(label).unwrap();
        RecoveredQueue { queue: QueueId(queue), label, items, ended: false, closed: false, through }
    }

    #[test]
    fn labels_are_read_as_they_were_written() {
        for text in ["queue a", "token read lines", "outbox each", "line each", "held a", "print stdout"] {
            assert_eq!(Label::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "queue", "queue a b", "token a", "outbox a b", "print a", "thing a"] {
            assert_eq!(Label::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_sum_goes_on_if_its_source_does_and_is_through_if_that_is() {
        let run = pipeline(vec![
            stage("count", &[], &["a"]),
            stage("pass", &["a"], &["b"]),
            stage("sum", &["b"], &[]),
        ]);
        let left = |count: bool, in_a: u64| {
            [
                recovered(0, "queue a", in_a, false),
                recovered(1, "queue b", 0, false),
                recovered(2, "token count count", 1, count),
                recovered(3, "token sum sum", 1, true),
            ]
        };
        assert_eq!(not_through(&run, &left(false, 0)), [QueueId(3)]);
        assert_eq!(not_through(&run, &left(true, 0)), []);
        assert_eq!(not_through(&run, &left(true, 1)), [QueueId(3)]);
    }

    #[test]
    fn a_source_without_a_position_starts_anew_and_a_waiting_output_is_work() {
        let run = pipeline(vec![stage("tick", &[], &["a"]), stage("sum", &["a"], &[])]);
        let sum = recovered(3, "token sum sum", 1, true);
        assert_eq!(not_through(&run, &[recovered(0, "queue a", 0, false), sum.clone()]), [QueueId(3)]);
        let run = pipeline(vec![
            stage("read", &[], &["a"]),
            stage("each", &["a"], &["b"]),
            stage("sum", &["b"], &[]),
        ]);
        let through = recovered(2, "token read lines", 1, true);
        let spill = |items| recovered(4, "outbox each", items, false);
        assert_eq!(not_through(&run, &[through.clone(), sum.clone(), spill(1)]), [QueueId(3)]);
        assert_eq!(not_through(&run, &[through, sum, spill(0)]), []);
    }

    #[test]
    fn stages_in_a_ring_may_always_get_more() {
        let run = pipeline(vec![stage("sum", &["b"], &["a"]), stage("back", &["a"], &["b"])]);
        assert_eq!(not_through(&run, &[recovered(3, "token sum sum", 1, true)]), [QueueId(3)]);
    }
}
