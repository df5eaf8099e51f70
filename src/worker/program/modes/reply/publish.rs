//! Whole answers become outputs, and their items end.

use super::ReplyLoop;
use crate::stage::Outlet;
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::io::answers::Run;
use crate::worker::program::spill;

use crate::worker::context::{LiveSettings, WorkerContext};
use crate::worker::failed::{self, Reason};
use crate::worker::outlet::ToQueues;
use crate::worker::program::io::outputs::Part;
use crate::worker::stop::Stop;

impl ReplyLoop<'_> {
    /// Publishes what is answered and ends the leases.
    pub(crate) fn publish(&mut self, live: &LiveSettings) -> Result<(), Stop> {
        // Nothing that waits for room is an item's fault.
        self.worker.queues.rest();
        let done = self.answers.len();
        while let Some(run) = self.answers.first() {
            let answers = match run {
                Run::Failure(error) => {
                    fail(self.worker, error, self.stderr.take_kept(), live)?;
                    1
                }
                Run::Good { answers, outputs } => {
                    match self.answers.single(answers) {
                        Some(counts) if !self.worker.outputs.is_empty() => {
                            publish_singles(self.worker, counts, outputs)?;
                        }
                        _ => spill::publish(self.worker, outputs, answers)?,
                    }
                    answers
                }
            };
            self.answers.drop_first(answers);
            self.starts.drain(..answers.min(self.starts.len()));
        }
        (self.fruitless, self.arms_at) = (None, None);
        self.stderr.forget();
        self.worker.recycling.count(done);
        if live.is_single() {
            self.rest.after_item(live);
        }
        self.begin();
        Ok(())
    }
}

/// The program says that the oldest item has failed.
fn fail(
    worker: &mut WorkerContext,
    error: ProgramError,
    stderr: Vec<String>,
    live: &LiveSettings,
) -> Result<(), Stop> {
    worker.item_log.forget();
    let failed = FailedAttempt { error, stderr };
    let reason = Reason { text: failed.to_string(), cause: failed.error.cause(), stderr: &failed.stderr };
    failed::fail_with(worker, 0, reason, live)
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
