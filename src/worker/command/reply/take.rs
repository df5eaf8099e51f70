//! Items for the program: as many as it will soon answer.

use super::ReplyLoop;
use crate::config::pipeline::Reply;
use crate::queue::{Taken, Wait};
use crate::worker::command::defeat::Trouble;
use crate::worker::command::outbox;
use crate::worker::command::waker;
use crate::worker::context::Pace;
use crate::worker::failed::{self, Reason};
use crate::worker::stop::Stop;
use std::time::Instant;

/// What follows a look at the input.
pub(super) enum Flow {
    GoOn,
    /// The input has ended and everything is answered.
    Through,
}

impl ReplyLoop<'_> {
    pub(super) fn is_resting(&self) -> bool {
        self.rest.until().is_some()
    }

    /// Leases items, as many as the program will soon answer. `may_take`: there is a program that reads, or will be.
    pub(super) fn take(&mut self, pace: &Pace, may_take: bool) -> Result<Flow, Stop> {
        self.rest.look(pace);
        let window = if pace.is_single() { 1 } else { self.window.size() };
        let known = self.in_flight();
        self.suspect_waits &= known > 0;
        let can_take = known < window && !self.ended && !self.suspect_waits && !self.waker.is_armed();
        let rests = self.is_resting() || pace.must_finish || pace.must_pause;
        self.holds_off = false;
        if !can_take || rests || !may_take {
            return Ok(if self.ended && known == 0 { Flow::Through } else { Flow::GoOn });
        }
        if known == 0 {
            outbox::work_off(self.worker)?;
        } else if self.arms_at.is_some_and(|at| at > Instant::now()) {
            self.holds_off = true;
            return Ok(Flow::GoOn);
        }
        let most = self.with_another((window - known).min(self.worker.recycling.items_left()).max(1));
        let naps = known == 0 && pace.when_empty().is_none();
        match self.worker.queues.take(&self.inputs, most, if naps { waker::nap() } else { Wait::No })? {
            Taken::Items { before, after } => {
                self.arms_at = None;
                if self.set_bundle_apart(known)? {
                    self.looks_again = known == 0;
                    return Ok(Flow::GoOn);
                }
                self.set_doubted_apart(known, pace)?;
                self.set_suspect_apart(known)?;
                super::super::log_taken_from(self.worker, known, before, after)?;
                self.frame(known, pace)?;
            }
            Taken::Ended if known == 0 => return Ok(Flow::Through),
            Taken::Ended => self.ended = true,
            Taken::Ordered => self.looks_again = true,
            Taken::Empty => match pace.when_empty() {
                Some(pause) if known == 0 => {
                    self.worker.item_log.empty(&self.worker.spec.inputs, Some(pause));
                    self.rest.while_empty(pace);
                }
                _ if known > 0 && self.arms_at.is_none() => {
                    (self.arms_at, self.holds_off) = (Some(Instant::now() + waker::NAP), true);
                }
                _ => {
                    self.arms_at = None;
                    self.waker.arm(&self.worker.queues);
                }
            },
        }
        Ok(Flow::GoOn)
    }

    /// If outputs that wait for room are among the new leases, those go back for now; with nothing else on its way
    /// they are published.
    fn set_bundle_apart(&mut self, known: usize) -> Result<bool, Stop> {
        for i in known..self.in_flight() {
            if !outbox::is_bundle(self.worker, i)? {
                continue;
            }
            self.worker.queues.give_back_from(known)?;
            if known == 0 {
                outbox::work_off(self.worker)?;
            } else {
                // When all is answered there is time for it.
                self.suspect_waits = true;
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// An item that has failed before goes alone, so that its death is nobody else's. A program that tells of failures
    /// needs no such care.
    fn set_suspect_apart(&mut self, known: usize) -> Result<(), Stop> {
        if self.reply == Reply::Protocol {
            return Ok(());
        }
        for i in known..self.in_flight() {
            if self.worker.queues.item(i)?.attempt > 1 {
                // Alone, or behind those that were before it.
                self.worker.queues.give_back_from(i.max(1))?;
                self.suspect_waits = true;
                self.looks_again |= self.in_flight() == known;
                break;
            }
        }
        Ok(())
    }

    /// Makes the new leases bytes for the program.
    fn frame(&mut self, known: usize, pace: &Pace) -> Result<(), Stop> {
        let mut i = known;
        while i < self.in_flight() {
            let start = self.feed.framed();
            let lease = self.worker.queues.item(i)?;
            let framed = match self.reply {
                Reply::Protocol => self.feed.push_told(lease.bytes, lease.attempt),
                Reply::One | Reply::UntilEmpty => self.feed.push(lease.bytes),
            };
            match framed {
                Ok(()) => {
                    self.has_had_item = true;
                    self.starts.push_back(start);
                    i += 1;
                }
                Err(why) => {
                    let trouble = Trouble::NotEncodable(why);
                    let reason = Reason { text: trouble.to_string(), cause: trouble.cause(), stderr: &[] };
                    failed::settle_for(self.worker, i, reason, pace)?;
                    self.looks_again = true;
                }
            }
        }
        match known {
            0 if i > 0 => self.begin(),
            // No longer alone.
            1 if i > 1 => self.worker.queues.rest(),
            _ => {}
        }
        Ok(())
    }
}
