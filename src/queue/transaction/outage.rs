//! Whether a stage is *failing*: different items fail one after the other, so it is not they that are at fault. Pure: the
//! words of the stage and of the item are loaded before and stored after, in the transaction that delays or ends the item
//! (`failing.rs`).
//!
//! An *epoch* of a stage lasts from one success to the next. An item notes in which epoch it has failed last, and how many
//! attempts it was charged in it. What becomes of these is known once the epoch is over:
//!
//! | the epoch ended with | its charges |
//! |---|---|
//! | a success, and the stage was not failing | stand: others succeed, so the item is known to be bad |
//! | a success of a fresh item, and the stage was failing | stand, for the same reason |
//! | a success of an item that had failed, and the stage was failing | are given back: it was an outage |
//! | the end of the run | stand; but nothing is known of an item that has failed in this epoch only |
//!
//! While the stage is failing nothing is charged. A last charge makes a dead letter only of an item that is known to be bad
//! (it fails once more after the success of another), or when nothing else can be tried: no more will come, and all that is
//! there has failed.
//!
//! *Not now* charges nothing, so no letter ever ends it. Where no more will come and all that is there says so, the stage is
//! failing however few they are, and whatever is known of them.
//!
//! A program that says *not now* knows an outage when it sees one. So while a stage is failing for that, any other failure of an
//! item is an *answer*: it is charged as if the stage were not failing. Many answers of different items, and none done, are a
//! new outage: a program that has broken meanwhile makes no letters of all that waits.

/// Failures of different items that make a stage failing.
const MANY: u64 = 5;
/// Probes before their delay begins to grow.
const QUICK_PROBES: u64 = 10;
/// Epochs whose charges were given back that are remembered: outages are rare, and an item is delayed for a bounded time.
pub(crate) const FORGIVEN: usize = 4;

/// What the workers of a stage share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct StageFailures {
    /// Counts the successes after failures; never 0.
    pub epoch: u64,
    /// The first of this run.
    pub first_epoch: u64,
    /// Items that have failed in this epoch, are there still, and are not known to be bad.
    pub failed: u32,
    /// Items whose last word in this epoch was "not now", and that are there still.
    pub put_off: u32,
    /// Those of them that are not known to be bad: they are among `failed` as well.
    pub fresh_put_off: u32,
    /// Failures in this epoch. Only after one a success is news.
    pub tries: u32,
    /// Since when it is failing, in milliseconds since 1970; 0: it is not.
    pub since: u64,
    /// Which slot probes, + 1; 0: nobody yet.
    pub prober: u64,
    pub next_probe: u64,
    pub probes: u64,
    pub forgiven: [u64; FORGIVEN],
}

/// What an item knows of its failures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ItemFailures {
    /// The epoch of its last failure; 0: none.
    pub failed_in: u64,
    /// Attempts charged in that epoch.
    pub charged: u32,
    /// Its last failure in that epoch was "not now".
    pub is_put_off: bool,
    /// Another item has succeeded since its first failure.
    pub is_known_bad: bool,
}

/// What a failure costs its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    Attempt,
    /// Others may be at fault.
    Nothing,
    /// It says itself that it can't be done now.
    NotNow,
}

/// The rest that decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub attempts: u32,
    pub charge: Charge,
    /// `when_failing = "dead-letter"`: each item is charged as if it were the only one.
    pub charges_always: bool,
    /// Items of the stage's inputs that are not done: waiting, delayed and leased, this one included.
    pub present: u64,
    /// No more will come; of a shared queue: no more but what other machines may give back.
    pub has_ended: bool,
    pub now: u64,
    pub probes: ProbeDelay,
}

/// How long to wait for the next probe: some times the first delay, so that a run of bad items is soon through, and then
/// doubling up to the longest. After a long wait several come at once: one for each second, so that more bad items in a row
/// are through in as many seconds, and an outage costs no more than that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbeDelay {
    pub first: u64,
    pub longest: u64,
}

impl ProbeDelay {
    fn after(self, probes: u64) -> u64 {
        let Some(mut left) = probes.checked_sub(QUICK_PROBES) else { return self.first.min(self.longest) };
        let mut delay = self.first;
        loop {
            delay = delay.saturating_mul(2).min(self.longest);
            let at_once = (delay / 1000).max(1);
            if delay == self.longest {
                left %= at_once;
            }
            match left.checked_sub(at_once) {
                Some(more) => left = more,
                None => return if left == 0 { delay } else { 0 },
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Delayed.
    Again,
    /// The same; and the stage is failing from now on.
    BeginsToFail,
    /// Its letter is to be written.
    Dead,
}

impl StageFailures {
    /// An item failed; returns its failed attempts from now on.
    pub(crate) fn failed(&mut self, item: &mut ItemFailures, failures: u32, terms: &Terms) -> (u32, Verdict) {
        let mut failures = self.settled(item, failures);
        let may_be_answer = terms.charge == Charge::Attempt && self.put_off > 0;
        if item.failed_in != self.epoch {
            self.failed += u32::from(!item.is_known_bad);
            item.is_put_off = false;
        }
        item.failed_in = self.epoch;
        self.tries = self.tries.saturating_add(1);
        self.note_put_off(item, terms.charge);
        if terms.charges_always {
            self.since = 0;
            let is_charged = terms.charge == Charge::Attempt;
            failures += u32::from(is_charged);
            return (failures, verdict(is_charged && failures >= terms.attempts));
        }
        // While more may come, all that there are will do, if they are two at least.
        let many = if terms.has_ended { MANY } else { terms.present.clamp(2, MANY) };
        if self.since != 0 {
            self.next_probe = terms.now + terms.probes.after(self.probes);
            if !may_be_answer || self.answered() >= many {
                return (failures, Verdict::Again);
            }
            let is_among_few = terms.present < MANY;
            if self.put_off == 0 {
                self.since = 0;
            }
            return self.charged(item, failures, terms, is_among_few);
        }
        let is_tried = u64::from(self.put_off) >= terms.present && u64::from(self.tries) >= MANY;
        if u64::from(self.failed) >= many || terms.has_ended && is_tried {
            failures -= item.charged.min(failures);
            item.charged = 0;
            (self.since, self.probes) = (terms.now.max(1), 0);
            self.next_probe = terms.now + terms.probes.after(0);
            return (failures, Verdict::BeginsToFail);
        }
        if terms.charge != Charge::Attempt {
            return (failures, Verdict::Again);
        }
        self.charged(item, failures, terms, true)
    }

    /// An attempt of the item is used up. `may_be_last`: if nothing else can be tried, the last one makes a letter.
    fn charged(
        &self,
        item: &mut ItemFailures,
        failures: u32,
        terms: &Terms,
        may_be_last: bool,
    ) -> (u32, Verdict) {
        item.charged += 1;
        let failures = failures + 1;
        let is_last_hope = may_be_last && terms.has_ended && self.all_failed() >= terms.present;
        (failures, verdict(failures >= terms.attempts && (item.is_known_bad || is_last_hope)))
    }

    /// Items that are not known to be bad, and whose last word in this epoch was another than "not now".
    fn answered(&self) -> u64 {
        u64::from(self.failed.saturating_sub(self.fresh_put_off))
    }

    /// No more will come, and too few are left to tell an outage from bad items.
    pub(crate) fn has_failed_all(&self, terms: &Terms) -> bool {
        let is_all = self.all_failed() >= terms.present && u64::from(self.put_off) < terms.present;
        terms.has_ended && terms.present < MANY && is_all
    }

    /// Items that have failed in this epoch: all but those that are known to be bad and are charged, which become letters.
    fn all_failed(&self) -> u64 {
        u64::from(self.failed) + u64::from(self.put_off) - u64::from(self.fresh_put_off.min(self.put_off))
    }

    /// Whether the item's last word is "not now". While the stage is failing, a failure that may be another's is no word of it.
    fn note_put_off(&mut self, item: &mut ItemFailures, charge: Charge) {
        let is_put_off = charge == Charge::NotNow;
        if item.is_put_off == is_put_off || self.since != 0 && charge == Charge::Nothing {
            return;
        }
        self.forget_put_off(item);
        item.is_put_off = is_put_off;
        self.put_off += u32::from(is_put_off);
        self.fresh_put_off += u32::from(is_put_off && !item.is_known_bad);
    }

    fn forget_put_off(&mut self, item: &ItemFailures) {
        self.put_off -= u32::from(item.is_put_off).min(self.put_off);
        self.fresh_put_off -= u32::from(item.is_put_off && !item.is_known_bad).min(self.fresh_put_off);
    }

    /// An item was done, which had failed or not; true if the stage was failing: then all its workers are to be woken.
    pub(crate) fn succeeded(&mut self, item: &ItemFailures) -> bool {
        if self.tries == 0 {
            return false;
        }
        let was_failing = self.since != 0;
        if was_failing && item.failed_in == self.epoch {
            self.forgiven.rotate_right(1);
            self.forgiven[0] = self.epoch;
        }
        let Self { epoch, first_epoch, forgiven, .. } = *self;
        *self = Self { epoch: epoch + 1, first_epoch, forgiven, ..Self::default() };
        was_failing
    }

    /// An item has ended as a dead letter.
    pub(crate) fn died(&mut self, item: &ItemFailures) {
        if item.failed_in == self.epoch {
            self.failed -= u32::from(!item.is_known_bad).min(self.failed);
            self.forget_put_off(item);
            // It was the last one for which the stage was failing. If it is so for others as well, the next failure tells.
            if item.is_put_off && self.put_off == 0 && self.answered() < MANY {
                self.since = 0;
            }
        }
    }

    /// Its failed attempts, as the epochs since its last failure have left them.
    pub(crate) fn settled(&self, item: &mut ItemFailures, failures: u32) -> u32 {
        if item.failed_in == 0 || item.failed_in == self.epoch {
            return failures;
        }
        let charged = std::mem::take(&mut item.charged);
        if item.failed_in < self.first_epoch {
            return failures;
        }
        if self.forgiven.contains(&item.failed_in) {
            return failures - charged.min(failures);
        }
        item.is_known_bad = true;
        failures
    }
}

fn verdict(is_dead: bool) -> Verdict {
    if is_dead { Verdict::Dead } else { Verdict::Again }
}

/// What a worker may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Gate {
    Open,
    /// One item: of those that have failed, or a fresh one.
    Probe {
        fresh: bool,
    },
    /// Nothing, until then; `None`: until it is woken.
    Shut {
        until: Option<u64>,
    },
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// Its slot, + 1.
    pub slot: u64,
    /// It holds no item.
    pub is_idle: bool,
    /// It has the stage's token, without which no other worker takes an item.
    pub has_token: bool,
}

impl StageFailures {
    /// `longest`: no probe is due later than that from now, whatever the clock or the settings were when it was put off.
    pub(crate) fn gate(&mut self, asker: Asker, now: u64, longest: u64) -> Gate {
        if self.since == 0 {
            return Gate::Open;
        }
        self.next_probe = self.next_probe.min(now.saturating_add(longest));
        if asker.is_idle && (self.prober == 0 || asker.has_token) {
            self.prober = asker.slot;
        }
        if self.prober != asker.slot || !asker.is_idle {
            return Gate::Shut { until: None };
        }
        match self.next_probe > now {
            true => Gate::Shut { until: Some(self.next_probe) },
            false => Gate::Probe { fresh: self.probes.is_multiple_of(2) },
        }
    }

    /// An item was taken by way of trial.
    pub(crate) fn probed(&mut self, now: u64, delay: ProbeDelay) {
        self.probes += 1;
        self.next_probe = now + delay.after(self.probes);
    }
}

#[cfg(test)]
mod tests;
