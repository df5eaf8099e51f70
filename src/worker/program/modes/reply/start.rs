//! Programs that have never answered anything: mostly not the items' fault, but a program that can't work at all.
//!
//! An item that was with such a program goes back unblamed, and the next program gets another one. If that is answered
//! programs can work, so the first item is charged after all. If programs in a row answer nothing this worker ends, with
//! the last words of the last one; at the first start of the stage the run ends with it. An item that is the only one has
//! the attempts that the pipeline file gives it.
//!
//! | killed … | left behind | what follows |
//! |---|---|---|
//! | with an item in doubt | it is in its queue as it was; the doubt is forgotten | the next worker begins anew |
//! | between two leases and the return of the one in doubt | both are this worker's | both go back unblamed |

use super::ReplyLoop;
use super::blame::reason;
use crate::exit;
use crate::queue::{Ending, QueueId};
use crate::worker::context::LiveSettings;
use crate::worker::failed;
use crate::worker::program::error::FailedAttempt;
use crate::worker::stop::Stop;

/// So many programs in a row that answer nothing are enough.
const ENOUGH: u32 = 3;

/// An item that may have ended its program, which had not answered anything.
pub(crate) struct Doubt {
    queue: QueueId,
    id: u64,
    failed: FailedAttempt,
}

impl ReplyLoop<'_> {
    /// The program has failed before it had read anything.
    pub(crate) fn failed_to_start(
        &mut self,
        failed: &FailedAttempt,
        has_ended_well: bool,
    ) -> Result<(), Stop> {
        let advice = match has_ended_well {
            true => ": with mode = \"reply\" it should go on until its input ends",
            false => "",
        };
        self.count_fruitless("read any item", &format!("{failed}{advice}"))
    }

    /// The program has failed before it had answered anything, with the only lease in its hands.
    pub(crate) fn doubt(&mut self, failed: FailedAttempt) -> Result<(), Stop> {
        let lease = self.worker.queues.item(0)?;
        let (queue, id) = (lease.queue, lease.id);
        self.worker.queues.give_back(0, false)?;
        self.window.clear(1);
        let why = failed.to_string();
        self.doubt = Some(Doubt { queue, id, failed });
        self.count_fruitless("answered anything", &why)
    }

    fn count_fruitless(&mut self, before: &str, why: &str) -> Result<(), Stop> {
        let text = format!("the program failed before it had {before}: {why}");
        let may_count = !self.is_killed_externally();
        let Some(fruitless) = self.fruitless.as_mut().filter(|_| may_count) else {
            return Err(Stop(Ending::Failed(text)));
        };
        *fruitless += 1;
        if *fruitless < ENOUGH {
            log::debug!("{text}");
            return Ok(());
        }
        self.worker.exit_code = Some(exit::CANNOT_START);
        let text = format!("{ENOUGH} programs in a row failed before they had {before}: {why}");
        Err(Stop(Ending::Failed(text)))
    }

    /// How many items to ask for, instead of so many: beside one in doubt there should be another.
    pub(crate) fn with_another(&self, most: usize) -> usize {
        let is_unproven = self.fruitless.is_some() && self.in_flight() == 0;
        if self.doubt.is_some() && is_unproven { most.max(2) } else { most }
    }

    /// If the item in doubt is among the new leases: it is charged if another one was answered, or if there is no other;
    /// else it goes back for now. With a program that is not proven yet one item remains.
    pub(crate) fn set_doubted_apart(&mut self, known: usize, live: &LiveSettings) -> Result<(), Stop> {
        let Some(Doubt { queue, id, .. }) = self.doubt else { return Ok(()) };
        let is_unproven = self.fruitless.is_some();
        for i in known..self.in_flight() {
            let lease = self.worker.queues.item(i)?;
            if (lease.queue, lease.id) != (queue, id) {
                continue;
            }
            match is_unproven && self.in_flight() > 1 {
                true => self.worker.queues.give_back(i, false)?,
                false => self.charge(i, live)?,
            }
            break;
        }
        if is_unproven {
            self.worker.queues.give_back_from(known + 1)?;
        }
        Ok(())
    }

    fn charge(&mut self, i: usize, live: &LiveSettings) -> Result<(), Stop> {
        let Some(Doubt { failed, .. }) = self.doubt.take() else { return Ok(()) };
        failed::fail_with(self.worker, i, reason(&failed), live)?;
        self.looks_again = true;
        let Some(fruitless) = &mut self.fruitless else { return Ok(()) };
        // An item that is the only one says nothing about the programs, unless it is one after the other.
        *fruitless = fruitless.saturating_sub(1);
        self.charged_alone += 1;
        if self.charged_alone > live.tuning.attempts {
            let text = format!(
                "{} programs in a row failed before they had answered anything: {failed}",
                self.charged_alone
            );
            return Err(Stop(Ending::Failed(text)));
        }
        Ok(())
    }
}
