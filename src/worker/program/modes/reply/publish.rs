//! Whole answers become outputs, and their items end.

use super::replies::{Replies, begin};
use crate::stage::Outlet;
use crate::worker::context::{LiveSettings, WorkerContext};
use crate::worker::dead_letters;
use crate::worker::outlet::StageOutlet;
use crate::worker::program::conversation::{Effect, Event};
use crate::worker::program::error::FailedAttempt;
use crate::worker::program::io::answers::Run;
use crate::worker::program::io::outputs::Part;
use crate::worker::program::pause::After;
use crate::worker::program::run::ProgramRun;
use crate::worker::program::spill;
use crate::worker::stop::Stop;
use std::time::Instant;

impl Replies<'_> {
    /// Publishes what is answered and ends the leases. `since`: when the oldest of them began.
    pub(super) fn publish(
        &mut self,
        run: &mut ProgramRun<'_>,
        live: &LiveSettings,
        since: Option<Instant>,
    ) -> Result<(), Stop> {
        if !run.apply(Event::Done).contains(&Effect::Acknowledge) {
            return Ok(());
        }
        let done = self.answers.len();
        let took = since.map_or_else(Default::default, |since| since.elapsed());
        self.window.learn(done, took);
        run.worker.queues.note_items(done, took);
        // Nothing that waits for room is an item's fault.
        run.worker.queues.rest();
        while let Some(answered) = self.answers.first() {
            let answers = match answered {
                Run::Failure(error) => {
                    run.worker.item_log.forget();
                    let failed = FailedAttempt { error, stderr: run.stderr.take_kept() };
                    dead_letters::fail_with(run.worker, 0, failed.reason(), live)?;
                    1
                }
                Run::Good { answers, outputs } => {
                    match self.answers.single(answers) {
                        Some(counts) if !run.worker.outputs.is_empty() => {
                            publish_singles(run.worker, counts, outputs)?;
                        }
                        _ => spill::publish(run.worker, outputs, answers)?,
                    }
                    answers
                }
            };
            self.answers.drop_first(answers);
            self.starts.drain(..answers.min(self.starts.len()));
        }
        self.trial.prove();
        self.intake.answered();
        run.stderr.forget();
        run.worker.recycling.count(done);
        if live.is_single() {
            self.pause.begin(After::Item, live);
        }
        begin(run);
        Ok(())
    }
}

/// One output each, or none: every lease ends with its own, so they may go out in parts.
fn publish_singles(
    worker: &mut WorkerContext,
    counts: impl Iterator<Item = usize>,
    outputs: Part<'_>,
) -> Result<(), Stop> {
    let (mut outputs, mut answers) = (outputs.iter(), 0);
    for (i, count) in counts.enumerate() {
        let mut outlet = StageOutlet::new(worker, Some(i));
        outputs.by_ref().take(count).try_for_each(|output| outlet.put(output))?;
        answers = i + 1;
    }
    worker.commit(answers)
}
