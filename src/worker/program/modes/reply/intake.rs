//! Items for the program: as many as it will soon answer.

use super::replies::{Intake, Replies};
use crate::config::pipeline::Reply;
use crate::queue::{Taken, Wait};
use crate::worker::context::WorkerContext;
use crate::worker::dead_letters;
use crate::worker::program::error::{FailedAttempt, ProgramError};
use crate::worker::program::io::waker;
use crate::worker::program::pause::After;
use crate::worker::program::spill;
use crate::worker::stop::Stop;
use std::time::Instant;

/// What follows a look at the input.
pub(super) enum Look {
    /// Look again then, though nothing tells of an item.
    At(Option<Instant>),
    /// The input has ended and everything is answered.
    Through,
}

impl Replies<'_> {
    /// Leases items, as many as the program will soon answer. `may_take`: there is a program that reads, or will be.
    pub(super) fn take(&mut self, worker: &mut WorkerContext, may_take: bool) -> Result<Look, Stop> {
        let live = worker.live;
        self.pause.update(&worker.live);
        let window = if live.is_single() { 1 } else { self.window.size() };
        let known = worker.queues.len();
        match self.intake {
            Intake::Ended if known == 0 => return Ok(Look::Through),
            Intake::AwaitsAnswers if known == 0 => self.intake = Intake::Open,
            Intake::Open | Intake::HeldOff { .. } | Intake::AwaitsAnswers | Intake::Ended => {}
        }
        let is_stopped = self.pause.is_on() || live.must_finish() || live.must_pause() || !may_take;
        let is_closed = matches!(self.intake, Intake::Ended | Intake::AwaitsAnswers);
        if is_stopped || is_closed || known >= window || self.waker.is_armed() {
            return Ok(Look::At(None));
        }
        if known == 0 {
            spill::drain(worker)?;
        } else if let Intake::HeldOff { until } = self.intake
            && until > Instant::now()
        {
            return Ok(Look::At(Some(until)));
        }
        let most = (window - known).min(worker.recycling.items_left()).max(1);
        let most = self.trial.with_another(most, known);
        let admitted = worker.try_admit(most);
        let look = self.take_admitted(worker, admitted, known);
        let begun = worker.queues.len().saturating_sub(known);
        worker.give_admitted_back(admitted.map_or(0, |admitted| admitted.saturating_sub(begun)));
        look
    }

    /// Leases as many items as the stage's rate admits, beside the `known` ones. With none admitted it only sees whether
    /// one waits, or the input has ended.
    fn take_admitted(
        &mut self,
        worker: &mut WorkerContext,
        admitted: Result<usize, Instant>,
        known: usize,
    ) -> Result<Look, Stop> {
        let waits = admitted.is_ok() && known == 0 && worker.live.pause_when_empty().is_none();
        let wait = if waits { waker::queue_wait() } else { Wait::No };
        let taken = worker.queues.take(&worker.inputs, admitted.unwrap_or(0), wait)?;
        match (taken, admitted) {
            (Taken::Empty, Err(at)) if worker.has_waiting() => {
                self.pause.begin_by_rate(at, &worker.live);
                Ok(Look::At(Some(at)))
            }
            (taken, _) => self.took(worker, taken, known),
        }
    }

    fn took(&mut self, worker: &mut WorkerContext, taken: Taken, known: usize) -> Result<Look, Stop> {
        match taken {
            Taken::Items { before, after } => {
                self.intake = Intake::Open;
                let is_short = self.sort_out(worker, known, (before, after))?;
                Ok(Look::At(is_short.then(Instant::now)))
            }
            Taken::Ended if known == 0 => Ok(Look::Through),
            Taken::Ended => {
                self.intake = Intake::Ended;
                Ok(Look::At(None))
            }
            Taken::Ordered => Ok(Look::At(Some(Instant::now()))),
            Taken::Empty => Ok(Look::At(self.found_none(worker, known))),
        }
    }

    fn found_none(&mut self, worker: &WorkerContext, known: usize) -> Option<Instant> {
        let live = worker.live;
        match live.pause_when_empty() {
            Some(pause) if known == 0 => {
                worker.item_log.empty(&worker.spec.inputs, Some(pause));
                self.pause.begin(After::Empty, &worker.live);
            }
            _ if known > 0 && self.intake == Intake::Open => {
                let until = Instant::now() + waker::QUEUE_WAIT;
                self.intake = Intake::HeldOff { until };
                return Some(until);
            }
            _ => {
                self.intake = Intake::Open;
                self.waker.arm(&worker.queues);
            }
        }
        None
    }

    /// What is to go alone, or not now, goes back; the rest is for the program. Returns whether there may be another
    /// item, though nothing will tell of it.
    fn sort_out(
        &mut self,
        worker: &mut WorkerContext,
        known: usize,
        (before, after): (u64, u64),
    ) -> Result<bool, Stop> {
        if self.set_batch_apart(worker, known)? {
            return Ok(known == 0);
        }
        let charged = self.trial.sort_out_held(worker, known)?;
        let emptied = self.set_failed_apart(worker, known)?;
        worker.log_taken(known, before, after)?;
        let refused = self.frame(worker, known)?;
        Ok(charged || emptied || refused)
    }

    /// If outputs that wait for room are among the new leases, those go back for now; with nothing else on its way
    /// they are published.
    fn set_batch_apart(&mut self, worker: &mut WorkerContext, known: usize) -> Result<bool, Stop> {
        for i in known..worker.queues.len() {
            if !spill::is_batch(worker, i)? {
                continue;
            }
            worker.queues.give_back_from(known)?;
            if known == 0 {
                spill::drain(worker)?;
            } else {
                self.intake = Intake::AwaitsAnswers;
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// An item that has failed before goes alone, so that its death is no other item's. A program that tells of
    /// failures needs no such care. Returns whether no new lease is left.
    fn set_failed_apart(&mut self, worker: &mut WorkerContext, known: usize) -> Result<bool, Stop> {
        for i in (known..worker.queues.len()).filter(|_| self.answers.reply() != Reply::Protocol) {
            if worker.queues.item(i)?.attempt > 1 {
                // Alone, or behind those that were before it.
                worker.queues.give_back_from(i.max(1))?;
                self.intake = Intake::AwaitsAnswers;
                return Ok(worker.queues.len() == known);
            }
        }
        Ok(false)
    }

    /// Makes the new leases bytes for the program. Returns whether one could not be.
    fn frame(&mut self, worker: &mut WorkerContext, known: usize) -> Result<bool, Stop> {
        let (mut i, mut refused) = (known, false);
        while i < worker.queues.len() {
            let start = self.feed.framed();
            let lease = worker.queues.item(i)?;
            let framed = match self.answers.reply() {
                Reply::Protocol => self.feed.push_numbered(lease.bytes, lease.attempt),
                Reply::One | Reply::UntilEmpty => self.feed.push(lease.bytes),
            };
            if let Err(why) = framed {
                let failed = FailedAttempt::charged(ProgramError::NotEncodable(why), Vec::new());
                dead_letters::fail_with(worker, i, failed.failure, failed.reason())?;
                refused = true;
                continue;
            }
            self.has_had_item = true;
            self.starts.push_back(start);
            i += 1;
        }
        Ok(refused)
    }
}
