//! Whole answers become outputs, and their items end.

use super::ReplyLoop;
use super::answers::Run;
use crate::stage::Outlet;
use crate::worker::command::defeat::{Defeat, Trouble};
use crate::worker::command::outbox;
use crate::worker::command::outputs::Part;
use crate::worker::context::{Pace, WorkerContext};
use crate::worker::failed::{self, Reason};
use crate::worker::outlet::ToQueues;
use crate::worker::stop::Stop;

impl ReplyLoop<'_> {
    /// Publishes what is answered and ends the leases.
    pub(super) fn publish(&mut self, pace: &Pace) -> Result<(), Stop> {
        // Nothing that waits for room is an item's fault.
        self.worker.queues.rest();
        let done = self.answers.len();
        while let Some(run) = self.answers.first() {
            let answers = match run {
                Run::Failure(trouble) => {
                    fail(self.worker, trouble, self.errors.take_kept(), pace)?;
                    1
                }
                Run::Good { answers, outputs } => {
                    match self.answers.single(answers) {
                        Some(counts) if !self.worker.outputs.is_empty() => {
                            publish_singles(self.worker, counts, outputs)?;
                        }
                        _ => outbox::publish(self.worker, outputs, answers)?,
                    }
                    answers
                }
            };
            self.answers.drop_first(answers);
            self.starts.drain(..answers.min(self.starts.len()));
        }
        (self.fruitless, self.arms_at) = (None, None);
        self.errors.forget();
        self.worker.recycling.count(done);
        if pace.is_single() {
            self.rest.after_item(pace);
        }
        self.begin();
        Ok(())
    }
}

/// The program says that the oldest item has failed.
fn fail(worker: &mut WorkerContext, trouble: Trouble, stderr: Vec<String>, pace: &Pace) -> Result<(), Stop> {
    worker.item_log.forget();
    let defeat = Defeat { trouble, stderr };
    let reason = Reason { text: defeat.to_string(), cause: defeat.trouble.cause(), stderr: &defeat.stderr };
    failed::settle_for(worker, 0, reason, pace)
}

/// One output each, or none: every lease ends with its own, so they may go out in parts.
fn publish_singles(
    worker: &mut WorkerContext,
    counts: impl Iterator<Item = usize>,
    outputs: Part<'_>,
) -> Result<(), Stop> {
    let (mut outputs, mut answers) = (outputs.iter(), 0);
    for (i, count) in counts.enumerate() {
        let mut outlet = ToQueues::new(worker, Some(i));
        outputs.by_ref().take(count).try_for_each(|output| outlet.put(output))?;
        answers = i + 1;
    }
    worker.commit(answers)
}
