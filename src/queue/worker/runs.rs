//! Which staged outputs go where, in few words: mostly hundreds that follow each other go to the same queue.

use crate::queue::QueueId;
use std::ops::Range;

/// Outputs that follow each other.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The one queue that all of them go to; `None`: each goes to more than one.
    queue: Option<QueueId>,
    len: usize,
}

/// All outputs, in their order.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    /// One output more.
    #[inline]
    pub(super) fn push(&mut self, queue: Option<QueueId>) {
        match self.0.last_mut() {
            Some(run) if run.queue == queue => run.len += 1,
            Some(_) | None => self.0.push(Run { queue, len: 1 }),
        }
    }

    /// Forgets all but the first outputs.
    pub(super) fn truncate(&mut self, mut outputs: usize) {
        self.0.retain_mut(|run| {
            run.len = run.len.min(outputs);
            outputs -= run.len;
            run.len > 0
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The runs that these outputs are in, with those of them that are in it.
    pub(super) fn of(&self, outputs: Range<usize>) -> impl Iterator<Item = (Option<QueueId>, Range<usize>)> {
        let mut end = 0;
        self.0.iter().filter_map(move |run| {
            let start = end;
            end += run.len;
            let part = start.max(outputs.start)..end.min(outputs.end);
            (!part.is_empty()).then_some((run.queue, part))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_found_again_by_their_place() {
        let (a, b) = (Some(QueueId(1)), Some(QueueId(2)));
        let mut runs = Runs::default();
        [a, a, a, b, None, None, a].into_iter().for_each(|queue| runs.push(queue));
        let of = |runs: &Runs, outputs| runs.of(outputs).collect::<Vec<_>>();
        assert_eq!(of(&runs, 0..7), [(a, 0..3), (b, 3..4), (None, 4..6), (a, 6..7)]);
        assert_eq!(of(&runs, 2..5), [(a, 2..3), (b, 3..4), (None, 4..5)]);
        assert_eq!(of(&runs, 3..3), []);
        runs.truncate(5);
        runs.push(None);
        assert_eq!(of(&runs, 0..9), [(a, 0..3), (b, 3..4), (None, 4..6)]);
        runs.truncate(3);
        runs.push(a);
        assert_eq!(of(&runs, 0..9), [(a, 0..4)]);
    }
}
