//! Bytes between the worker and the program, and what they mean.

use super::replies::Replies;
use crate::queue::{Ending, Waiting};
use crate::worker::context::LiveSettings;
use crate::worker::program::conversation::{Event, Outcome, Phase};
use crate::worker::program::io::answers::output_of;
use crate::worker::program::io::session::{Out, Wish};
use crate::worker::program::run::ProgramRun;
use crate::worker::stop::Stop;
use std::time::Instant;

const UNASKED: &str = "the program wrote an item that it was not asked for: with mode = \"reply\" each item gets one \
                       answer, in order, and all else belongs to standard error";

impl Replies<'_> {
    /// Writes, reads, and publishes what is answered.
    pub(super) fn exchange(
        &mut self,
        run: &mut ProgramRun<'_>,
        live: &LiveSettings,
        look_at: Option<Instant>,
    ) -> Result<(), Stop> {
        let since = run.conversation.busy_since();
        let is_open = run.conversation.is_open();
        let silent = self.trial.silence_deadline(since);
        let turn = run.turn(
            live,
            self.waits_for(run, live),
            Wish {
                out: Out::from(self.feed.rest()),
                into: Some(&mut self.answers.decoder),
                until: [self.pause.until(), look_at, silent].into_iter().flatten().min().filter(|_| is_open),
                bell: self.waker.bell().filter(|_| is_open),
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
            self.read_answers(run, live, since)?;
        } else if self.says_more()? {
            return Err(Stop(Ending::Failed(UNASKED.to_owned())));
        }
        Ok(())
    }

    fn read_answers(
        &mut self,
        run: &mut ProgramRun<'_>,
        live: &LiveSettings,
        since: Option<Instant>,
    ) -> Result<(), Stop> {
        let max_bytes = run.worker.queues.max_bytes(&run.worker.outputs)?;
        let output = output_of(&run.session, self.spec);
        let read = self.answers.read(run.worker.queues.len(), output, max_bytes);
        if self.answers.wants_numbers() {
            self.feed.begin_numbers();
        }
        if self.answers.len() > 0 {
            self.publish(run, live, since)?;
        }
        if let Err(error) = read {
            run.apply(Event::Failed(error));
        } else if run.worker.queues.is_empty() && self.says_more()? {
            return Err(Stop(Ending::Failed(UNASKED.to_owned())));
        } else if !run.session.gives_output() && run.session.exit().is_none() {
            run.apply(Event::OutputClosed);
        } else {
            self.trial.report_silence(run.worker.queues.len(), run.conversation.busy_since());
        }
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
    fn waits_for(&self, run: &ProgramRun<'_>, live: &LiveSettings) -> Option<Waiting> {
        match run.conversation.phase {
            Phase::Finishing { .. } => Some(Waiting::Starved),
            _ if run.conversation.is_open() && run.worker.queues.is_empty() => Some(self.idles_for(live)),
            _ => None,
        }
    }
}
