//! Programs that have never answered anything: mostly not the items' fault, but a program that can't work at all.
//!
//! An item that was with such a program is delayed uncharged, and the next program gets another one. If that is answered
//! programs can work, so the first item is charged after all. If programs in a row answer nothing this worker ends, with
//! the last stderr line of the last one; at the first start of the stage the run ends with it. An item that is the only
//! one has the attempts that the pipeline file gives it.
//!
//! | killed … | left behind | what follows |
//! |---|---|---|
//! | with a suspect | it is in its queue as it was; the suspicion is forgotten | the next worker begins anew |
//! | between two leases and the return of the suspect | both are this worker's | both go back uncharged |

use crate::exit;
use crate::numbers::counted;
use crate::queue::{Ending, QueueId};
use crate::worker::context::WorkerContext;
use crate::worker::dead_letters;
use crate::worker::program::error::FailedAttempt;
use crate::worker::stop::Stop;
use std::time::{Duration, Instant};

/// This many programs in a row that answer nothing end the worker.
const FAILURE_LIMIT: u32 = 3;
/// A program that takes longer for its first answer is reported: it looks like a stage that simply hangs.
const SILENCE_REPORT: Duration = Duration::from_secs(5);

const SILENCE_ADVICE: &str = "if it isn't still at work on it, it holds its answers back, or waits for more input before it \
    begins: let it flush after each answer (python3 -u, sed -u, grep --line-buffered, fflush() in awk, mawk -W \
    interactive, or `stdbuf -oL` before it), or use mode = \"stream\", or mode = \"each\" with `batch`";

/// What is known of this worker's programs, and the item that was with the last one that answered nothing.
#[derive(Default)]
pub(super) struct Trial {
    verdict: Verdict,
    held: Option<HeldCharge>,
}

enum Verdict {
    Unproven {
        /// Programs in a row that answered nothing.
        failures: u32,
        /// How often an item was charged because it was the only one.
        charged_alone: u32,
        is_silence_reported: bool,
    },
    /// One has answered.
    Proven,
}

impl Default for Verdict {
    fn default() -> Verdict {
        Verdict::Unproven { failures: 0, charged_alone: 0, is_silence_reported: false }
    }
}

/// An item that may have ended its program, which had not answered anything.
struct HeldCharge {
    queue: QueueId,
    id: u64,
    failed: FailedAttempt,
}

impl Trial {
    pub(super) fn is_unproven(&self) -> bool {
        matches!(self.verdict, Verdict::Unproven { .. })
    }

    pub(super) fn prove(&mut self) {
        self.verdict = Verdict::Proven;
    }

    /// When silence is reported; `since`: when the program got its oldest item.
    pub(super) fn silence_deadline(&self, since: Option<Instant>) -> Option<Instant> {
        match self.verdict {
            Verdict::Unproven { is_silence_reported: false, .. } => since.map(|since| since + SILENCE_REPORT),
            Verdict::Unproven { .. } | Verdict::Proven => None,
        }
    }

    /// Reports silence once, when it is time.
    pub(super) fn report_silence(&mut self, items: usize, since: Option<Instant>) {
        if self.silence_deadline(since).is_none_or(|at| at > Instant::now()) {
            return;
        }
        if let Verdict::Unproven { is_silence_reported, .. } = &mut self.verdict {
            *is_silence_reported = true;
        }
        let has = if items == 1 { "has" } else { "have" };
        let passed = SILENCE_REPORT.as_secs();
        log::warn!(
            "{} that its program got {passed}s ago {has} no answer yet: {SILENCE_ADVICE}",
            counted(items as u64, "item")
        );
    }

    /// The program has failed before it had answered anything, with the only lease in its hands.
    pub(super) fn hold_charge(
        &mut self,
        worker: &mut WorkerContext,
        failed: FailedAttempt,
    ) -> Result<(), Stop> {
        let lease = worker.queues.item(0)?;
        let (queue, id, why) = (lease.queue, lease.id, failed.to_string());
        // Nobody knows yet whether it is the item; but if it is another one each time, the stage is failing.
        worker.queues.fail(0, false, &worker.live.tuning, &why)?;
        self.held = Some(HeldCharge { queue, id, failed });
        self.count_failure(worker, "answered anything", &why)
    }

    pub(super) fn count_failure(
        &mut self,
        worker: &mut WorkerContext,
        before: &str,
        why: &str,
    ) -> Result<(), Stop> {
        let text = format!("the program failed before it had {before}: {why}");
        let Verdict::Unproven { failures, .. } = &mut self.verdict else {
            return Err(Stop(Ending::Failed(text)));
        };
        if worker.exit_code == Some(exit::PROGRAM_KILLED) {
            return Err(Stop(Ending::Failed(text)));
        }
        *failures += 1;
        if *failures < FAILURE_LIMIT {
            log::debug!("{text}");
            return Ok(());
        }
        worker.exit_code = Some(exit::CANNOT_START);
        let text = format!("{FAILURE_LIMIT} programs in a row failed before they had {before}: {why}");
        Err(Stop(Ending::Failed(text)))
    }

    /// How many items to ask for: beside a suspect there should be another.
    pub(super) fn with_another(&self, most: usize, known: usize) -> usize {
        if self.held.is_some() && self.is_unproven() && known == 0 { most.max(2) } else { most }
    }

    /// If the suspect is among the new leases: it is charged if another one was answered, or if there is no other;
    /// else it goes back for now. With a program that is not proven yet one item remains. Returns whether it was
    /// charged.
    pub(super) fn sort_out_held(&mut self, worker: &mut WorkerContext, known: usize) -> Result<bool, Stop> {
        let Some(held) = self.held.take() else { return Ok(false) };
        let is_held = |i| worker.queues.item(i).map(|lease| (lease.queue, lease.id) == (held.queue, held.id));
        let mut found = None;
        for i in known..worker.queues.len() {
            if is_held(i)? {
                found = Some(i);
                break;
            }
        }
        let has_another = worker.queues.len() > 1;
        let charged = found.filter(|_| !(self.is_unproven() && has_another));
        if let Some(i) = charged {
            self.charge(worker, i, &held.failed)?;
        } else {
            if let Some(i) = found {
                worker.queues.give_back(i, false)?;
            }
            self.held = Some(held);
        }
        if self.is_unproven() {
            worker.queues.give_back_from(known + 1)?;
        }
        Ok(charged.is_some())
    }

    fn charge(&mut self, worker: &mut WorkerContext, i: usize, failed: &FailedAttempt) -> Result<(), Stop> {
        let live = worker.live;
        dead_letters::fail_with(worker, i, failed.failure, failed.reason())?;
        let Verdict::Unproven { failures, charged_alone, .. } = &mut self.verdict else { return Ok(()) };
        // An item that is the only one says nothing about the programs, unless it is one after the other.
        *failures = failures.saturating_sub(1);
        *charged_alone += 1;
        if *charged_alone > live.tuning.attempts {
            let text = format!(
                "{charged_alone} programs in a row failed before they had answered anything: {failed}"
            );
            return Err(Stop(Ending::Failed(text)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_reported_once() {
        let mut trial = Trial::default();
        let since = Instant::now();
        assert_eq!(trial.silence_deadline(None), None);
        assert_eq!(trial.silence_deadline(Some(since)), Some(since + SILENCE_REPORT));
        trial.report_silence(1, Some(since));
        assert!(trial.silence_deadline(Some(since)).is_some());
        trial.report_silence(1, since.checked_sub(SILENCE_REPORT));
        assert_eq!(trial.silence_deadline(Some(since)), None);
    }
}
