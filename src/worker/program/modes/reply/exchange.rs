//! Bytes between the worker and the program, and what they mean.

use super::replies::{Replies, begin};
use crate::queue::{Ending, Waiting};
use crate::stage::Outlet;
use crate::worker::context::WorkerContext;
use crate::worker::dead_letters;
use crate::worker::outlet::StageOutlet;
use crate::worker::program::conversation::{Effect, Event, Outcome, Phase};
use crate::worker::program::io::answers::{Answered, output_of};
use crate::worker::program::io::outputs::OutputSlice;
use crate::worker::program::io::session::{TurnRequest, WriteBuffers};
use crate::worker::program::pause::After;
use crate::worker::program::run::ProgramRun;
use crate::worker::program::spill;
use crate::worker::stop::Stop;
use std::time::Instant;

const UNASKED: &str = "the program wrote an item that it was not asked for: with mode = \"reply\" each item gets one \
                       answer, in order, and all else belongs to standard error";

impl Replies<'_> {
    /// Writes, reads, and publishes what is answered.
    pub(super) fn exchange(
        &mut self,
        run: &mut ProgramRun<'_>,
        look_at: Option<Instant>,
    ) -> Result<(), Stop> {
        let since = run.conversation.busy_since();
        let is_open = run.conversation.is_open();
        let silent = self.trial.silence_deadline(since);
        let turn = run.turn(
            self.waits_for(run),
            TurnRequest {
                out: WriteBuffers::from(self.feed.rest()),
                into: Some(&mut self.answers.decoder),
                until: [self.pause.until(), look_at, silent].into_iter().flatten().min().filter(|_| is_open),
                wake_fd: self.waker.fd().filter(|_| is_open),
            },
        )?;
        self.feed.note_written(turn.written);
        if self.feed.has_slack() {
            self.feed.shrink();
        }
        let is_last = match (&run.conversation.phase, run.conversation.outcome()) {
            (Phase::Finishing { .. }, _) => true,
            (_, Some(Outcome::Unasked { finished })) => *finished,
            (_, None) if run.conversation.is_open() => false,
            _ => {
                self.answers.decoder.forget(usize::MAX);
                return Ok(());
            }
        };
        if !is_last {
            self.read_answers(run, since)?;
        } else if self.says_more()? {
            return Err(Stop(Ending::Failed(UNASKED.to_owned())));
        }
        Ok(())
    }

    fn read_answers(&mut self, run: &mut ProgramRun<'_>, since: Option<Instant>) -> Result<(), Stop> {
        let max_bytes = run.worker.queues.max_bytes(&run.worker.outputs)?;
        let output = output_of(&run.session, self.spec);
        let read = self.answers.read(run.worker.queues.len(), output, max_bytes);
        if self.answers.wants_numbers() {
            self.feed.begin_numbers();
        }
        if self.answers.len() > 0 {
            self.publish(run, since)?;
        }
        if let Err(error) = read {
            run.apply(Event::Failed(error));
        } else if run.worker.queues.is_empty() && self.says_more()? {
            return Err(Stop(Ending::Failed(UNASKED.to_owned())));
        } else {
            if !run.session.gives_output() && run.session.exit().is_none() {
                run.apply(Event::OutputClosed);
            }
            // Also of a program that has closed its output: its deadline would stay in the past.
            self.trial.report_silence(run.worker.queues.len(), run.conversation.busy_since());
        }
        Ok(())
    }

    /// Publishes what is answered and ends the leases. `since`: when the oldest of them began.
    fn publish(&mut self, run: &mut ProgramRun<'_>, since: Option<Instant>) -> Result<(), Stop> {
        let live = run.worker.live;
        if !run.apply(Event::Done).contains(&Effect::Acknowledge) {
            return Ok(());
        }
        let done = self.answers.len();
        let took = since.map(|since| since.elapsed());
        // Answers that are read in later turns after the program's end say nothing about its pace.
        if let Some(took) = took {
            self.window.learn(done, took);
        }
        run.worker.queues.note_items(done, took.unwrap_or_default());
        // Nothing that waits for room is an item's fault.
        run.worker.queues.rest();
        while let Some(answered) = self.answers.first(run.worker.queues.publishable()) {
            let answers = match answered {
                Answered::Failure(error) => {
                    run.worker.item_log.forget();
                    let failed = self.spec.failed(error, run.stderr.take_last_lines());
                    dead_letters::fail_with(run.worker, 0, failed.failure, failed.reason())?;
                    1
                }
                Answered::Good { answers, outputs } => {
                    match self.answers.single(answers) {
                        Some(counts) => {
                            publish_singles(run.worker, counts, outputs)?;
                        }
                        None => spill::publish(run.worker, outputs, answers)?,
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
            self.pause.begin(After::Item, &run.worker.live);
        }
        begin(run);
        Ok(())
    }

    /// With nothing on its way: whether the program has said anything that is no greeting.
    fn says_more(&mut self) -> Result<bool, Stop> {
        let says = self.answers.is_unasked();
        if self.answers.wants_numbers() {
            self.feed.begin_numbers();
        }
        says.map_err(|error| Stop(Ending::Failed(format!("the program failed: {error}"))))
    }

    /// What a turn waits for, if it isn't the program. With an item on its way the program is at work.
    fn waits_for(&self, run: &ProgramRun<'_>) -> Option<Waiting> {
        match run.conversation.phase {
            Phase::Finishing { .. } => Some(Waiting::Starved),
            _ if run.conversation.is_open() && run.worker.queues.is_empty() => {
                Some(self.idles_for(&run.worker.live))
            }
            _ => None,
        }
    }
}

/// One output each, or none: every lease ends with its own, so they may go out in parts.
fn publish_singles(
    worker: &mut WorkerContext,
    counts: impl Iterator<Item = usize>,
    outputs: OutputSlice<'_>,
) -> Result<(), Stop> {
    let (mut outputs, mut answers) = (outputs.iter(), 0);
    for (i, count) in counts.enumerate() {
        let mut outlet = StageOutlet::new(worker, Some(i));
        outputs.by_ref().take(count).try_for_each(|output| outlet.put(output))?;
        answers = i + 1;
    }
    worker.commit(answers)
}
