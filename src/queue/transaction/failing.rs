//! `when_failing`: the words of a stage and of its items that say whether it is failing; what they mean, see `outage.rs`.
//!
//! Nothing here changes a word that is not one of the transaction of its caller: an item that fails is counted in the
//! step that delays it, a success in the step that ends its lease, a trial in the step that leases its item.
//!
//! The word of an item, `entry::FAILURES`, is one: the epoch of its last failure (43 bits), the attempts charged in it (7),
//! whether the last failure was "not now", whether the item is known to be bad, and the number of the stage that this is
//! about (12). Epochs begin at the time in milliseconds at which the stage's place was opened: so no word of an earlier run
//! looks like one of this.
//!
//! # Crash table
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | writing its last words | a part of them, or none | the next failure |
//! | before the commit of a failure | the item is leased still | release: it fails then |
//! | after it, before the supervisor is told | a stage that is failing | the supervisor looks at the stages of the dead |
//! | as the one that probes | a prober that is no more | release: there is none, and all are woken |
//! | after the success that ends it, before all are woken | workers asleep that may take | release: wakes them |
//! | the supervisor in `open_stage` | epochs that begin at 0 | the next start: opens it again |

use super::delayed::SHORTEST_DELAY;
use super::delayed::{Delay, clock};
use super::holdings::{End, EndedQueues, EntryPart};
use super::outage::{Asker, Charge, Gate, ItemFailures, ProbeDelay, StageFailures, Terms, Verdict};
use super::{counts, delayed, returned, tx::Tx};
use crate::model::{Retry, Tuning, WhenFailing};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{
    EntryAt, EventAt, QueueAt, SlotAt, Stage, StageAt, descriptor, entry, queue, slot, stage,
};
use crate::queue::arena::{descriptor::Meta, memory::Memory, place::Field, slot_queues, tuning};
use std::time::Duration;

/// The longest delay between probes is at least this.
const LEAST_LONGEST_PROBE_DELAY: Duration = Duration::from_secs(1);

const STAGE_BITS: u32 = 12;
const KNOWN_BAD: u64 = 1 << STAGE_BITS;
const PUT_OFF: u64 = 1 << (STAGE_BITS + 1);
const CHARGED: u32 = STAGE_BITS + 2;
const MAX_CHARGED: u64 = 0x7f;
const EPOCH: u32 = CHARGED + 7;
/// Two counts in one word: of `stage::FAILED` how many items are put off above how many have failed, of `stage::TOUCHED` how many
/// of those put off are fresh above the tries.
const UPPER: u32 = 32;

/// A worker's stage, as far as it is known: who fails, and in whose words that is counted.
pub(crate) struct Place {
    slot: SlotAt,
    stage: StageAt,
    /// Where its items come from: others (a token, spilled outputs) are no items of the stage.
    inputs: Vec<QueueAt>,
}

/// What became of an item that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Failed {
    /// Its failed attempts from now on.
    pub failures: u32,
    pub verdict: Verdict,
    /// Its word from now on.
    pub record: u64,
    pub is_failing: bool,
    /// The stage was failing until then: its workers are to be woken.
    pub has_recovered: bool,
    /// It waits for a verdict: others must pass it, whatever `retry` says, for that is how one comes.
    pub lets_pass: bool,
}

impl Failed {
    /// How long the item waits. `put_off`: how often it was, without a failure.
    pub(crate) fn delay(&self, retry: Retry, put_off: u32, item: u64) -> Option<Delay> {
        let delay = Delay::new(retry, self.failures.max(1), put_off, item);
        if !self.lets_pass {
            return delay;
        }
        let least = Delay { time: SHORTEST_DELAY, most: delayed::longest(retry), put_off };
        Some(delay.filter(|delay| delay.time >= SHORTEST_DELAY).unwrap_or(least))
    }
}

impl Place {
    pub(crate) fn of(memory: &Memory, slot: SlotAt) -> Option<Place> {
        let stage = StageAt::named_by(memory.load(slot + slot::STAGE))?;
        Some(Place { slot, stage, inputs: slot_queues::inputs(memory, slot) })
    }

    /// Whether an item has failed since the last success: one load, for nobody pays more while all goes well.
    #[inline]
    pub(crate) fn is_touched(&self, memory: &Memory) -> bool {
        memory.load(self.stage + stage::TOUCHED) != 0
    }

    pub(crate) fn event(&self) -> EventAt {
        self.stage + stage::MAY_TAKE
    }

    pub(crate) fn is_input(&self, queue: QueueAt) -> bool {
        self.inputs.contains(&queue)
    }

    /// The item of this entry has failed: the stage's words change with the transaction, unless it is a dead letter: then
    /// nothing changes before that is written.
    pub(crate) fn failed(&self, tx: &mut Tx<'_>, at: EntryAt, charge: Charge, tuning: &Tuning) -> Failed {
        let before = load(tx, self.stage);
        let (mut after, mut item) = (before, self.item(tx, at));
        let terms = self.terms(tx, charge, tuning);
        let (failures, verdict) = after.failed(&mut item, tx.memory.meta(at).failures(), &terms);
        if verdict != Verdict::Dead {
            save(tx, self.stage, &before, &after);
            tx.set(self.stage + stage::LAST_SLOT, u64::from(self.slot.id().0) + 1);
        }
        let is_failing = after.since != 0;
        let lets_pass = is_failing || charge != Charge::Attempt || failures >= tuning.attempts;
        let has_recovered = before.since != 0 && !is_failing;
        Failed { failures, verdict, record: record(self.stage, item), is_failing, has_recovered, lets_pass }
    }

    /// Whether the item has not failed yet since the last success.
    pub(crate) fn is_another(&self, tx: &Tx<'_>, at: EntryAt) -> bool {
        self.item(tx, at).failed_in != load(tx, self.stage).epoch
    }

    /// Leases end; before [`holdings::end`](super::holdings::end).
    pub(crate) fn ended(&self, tx: &mut Tx<'_>, parts: &[EntryPart], how: End, ended: &mut EndedQueues) {
        match how {
            End::Done if self.done(tx, parts) => ended.recovered = Some(self.event()),
            End::Done => {}
            End::Dead => {
                for part in parts {
                    if self.died(tx, self.slot.entry(part.entry)) {
                        ended.recovered = Some(self.event());
                    }
                }
            }
        }
    }

    /// The leases are done; true: the stage was failing until now.
    fn done(&self, tx: &mut Tx<'_>, parts: &[EntryPart]) -> bool {
        let is_item = |part: &&EntryPart| {
            QueueAt::of(tx.memory.meta(self.slot.entry(part.entry)).queue())
                .is_ok_and(|queue| self.is_input(queue))
        };
        let before = load(tx, self.stage);
        let records = parts.iter().filter(is_item).map(|part| self.item(tx, self.slot.entry(part.entry)));
        // A fresh one says more than one that had failed.
        let Some(item) = records.reduce(|a, b| if b.failed_in == before.epoch { a } else { b }) else {
            return false;
        };
        let mut after = before;
        let was_failing = after.succeeded(&item);
        save(tx, self.stage, &before, &after);
        was_failing
    }

    /// The lease of this entry ends as a dead letter; true: the stage was failing until now.
    fn died(&self, tx: &mut Tx<'_>, at: EntryAt) -> bool {
        let before = load(tx, self.stage);
        let mut after = before;
        after.died(&self.item(tx, at));
        save(tx, self.stage, &before, &after);
        before.since != 0 && after.since == 0
    }

    /// What the worker may take now.
    pub(crate) fn gate(
        &self,
        tx: &mut Tx<'_>,
        is_idle: bool,
        has_token: bool,
        ended: &mut EndedQueues,
    ) -> Gate {
        let before = load(tx, self.stage);
        let (mut after, mut longest) = (before, 0);
        if before.since != 0 {
            let terms = self.terms(tx, Charge::Nothing, &tuning::load(tx.memory, self.slot));
            longest = terms.probes.longest;
            // It may have been set to something else when this began.
            if terms.charges_always || before.has_failed_all(&terms) {
                after.since = 0;
                ended.recovered = Some(self.event());
            }
        }
        let asker = Asker { slot: u64::from(self.slot.id().0) + 1, is_idle, has_token };
        let gate = after.gate(asker, clock::now(), longest);
        save(tx, self.stage, &before, &after);
        gate
    }

    /// It has taken an item by way of trial.
    pub(crate) fn probed(&self, tx: &mut Tx<'_>) {
        let before = load(tx, self.stage);
        let mut after = before;
        after.probed(clock::now(), probe_delay(&tuning::load(tx.memory, self.slot)));
        save(tx, self.stage, &before, &after);
    }

    /// The worker probes no more; true if it has.
    pub(crate) fn leave(&self, tx: &mut Tx<'_>) -> bool {
        let is_prober = tx.get(self.stage + stage::PROBER) == u64::from(self.slot.id().0) + 1;
        if is_prober {
            tx.set(self.stage + stage::PROBER, 0);
        }
        is_prober
    }

    fn terms(&self, tx: &Tx<'_>, charge: Charge, tuning: &Tuning) -> Terms {
        let present = self
            .inputs
            .iter()
            .map(|&queue| counts::queued(tx, queue).wrapping_add(counts::leased(tx, queue)));
        let has_ended =
            |&queue: &QueueAt| tx.get(queue + queue::FLAGS) & (queue::ENDED | queue::ALL_LEASED) != 0;
        Terms {
            attempts: tuning.attempts,
            charge,
            charges_always: tuning.when_failing == WhenFailing::DeadLetter,
            present: present.fold(0, u64::wrapping_add),
            has_ended: self.inputs.iter().all(has_ended),
            now: clock::now(),
            probes: probe_delay(tuning),
        }
    }

    fn item(&self, tx: &Tx<'_>, at: EntryAt) -> ItemFailures {
        let word = tx.memory.load(at + entry::FAILURES);
        // Of another stage that reads the queue, too: that is no word about this one.
        if word & (KNOWN_BAD - 1) != self.stage.number() {
            return ItemFailures::default();
        }
        item_failures(word)
    }
}

/// What outlives the run of an item: its record, if it is known to be bad, and its failed attempts. The epochs that have ended
/// decide both; the epoch under way decides nothing.
pub(crate) fn left(tx: &Tx<'_>, at: EntryAt) -> (u64, u32) {
    let (word, failures) = (tx.memory.load(at + entry::FAILURES), tx.memory.meta(at).failures());
    let Some(stage) = StageAt::named_by((word & (KNOWN_BAD - 1)) + 1).filter(|_| word >> EPOCH != 0) else {
        return (known_bad(word), failures);
    };
    let mut item = item_failures(word);
    let failures = load(tx, stage).settled(&mut item, failures);
    (known_bad(record(stage, item)), failures)
}

/// The same, for the next run over this memory: no worker is attached. Killed between the two stores, attempts are charged
/// still that an outage has cost; killed before both, the next recovery does it.
pub(crate) fn leave_all(tx: &Tx<'_>, queue: QueueAt) -> Result<(), Fault> {
    let returned = (0..returned::len(tx, queue)?).map(|i| queue.returned(i));
    let delayed = delayed::entries(tx, queue)?.into_iter().map(|(at, _)| at);
    for at in returned.chain(delayed).filter(|&at| tx.memory.load(at + entry::FAILURES) >> EPOCH != 0) {
        let (word, failures) = left(tx, at);
        tx.memory.store(at + entry::FAILURES, word);
        let meta = tx.memory.meta(at).failed(failures.into());
        tx.memory.store(at + entry::DESCRIPTOR + descriptor::META, meta.0);
    }
    Ok(())
}

/// The part of a record that outlives the run; images have it, too.
pub(crate) fn known_bad(word: u64) -> u64 {
    if word & KNOWN_BAD != 0 { word & (KNOWN_BAD | (KNOWN_BAD - 1)) } else { 0 }
}

fn item_failures(word: u64) -> ItemFailures {
    ItemFailures {
        failed_in: word >> EPOCH,
        charged: (word >> CHARGED & MAX_CHARGED) as u32,
        is_put_off: word & PUT_OFF != 0,
        is_known_bad: word & KNOWN_BAD != 0,
    }
}

fn record(stage: StageAt, item: ItemFailures) -> u64 {
    let charged = u64::from(item.charged).min(MAX_CHARGED) << CHARGED;
    let bit = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
    let bits = bit(item.is_put_off, PUT_OFF) | bit(item.is_known_bad, KNOWN_BAD);
    item.failed_in << EPOCH | charged | bits | stage.number()
}

/// What is delayed in a queue keeps no new item out of it while only failures of its stage are known: else no verdict could
/// ever come. Whether there is more room now. `is_touched`: something has failed, and nothing was done since.
pub(crate) fn make_room(tx: &mut Tx<'_>, queue: QueueAt, is_touched: bool) -> bool {
    let extra = tx.get(queue + queue::EXTRA_ROOM);
    if !is_touched {
        if extra != 0 {
            tx.set(queue + queue::EXTRA_ROOM, 0);
        }
        return false;
    }
    let delayed = counts::delayed(tx, queue);
    if delayed == 0 || counts::waiting(tx, queue) > 0 || delayed < counts::capacity(tx, queue) {
        return false;
    }
    tx.set(queue + queue::EXTRA_ROOM, delayed + 1 - tx.get(queue + queue::CAPACITY));
    true
}

/// An item of a worker whose stage has no place has failed: it is charged as if it were the only one.
pub(crate) fn failed_alone(meta: Meta, charge: Charge, tuning: &Tuning) -> Failed {
    let is_charged = charge == Charge::Attempt;
    let failures = meta.failures() + u32::from(is_charged);
    let is_dead = is_charged && failures >= tuning.attempts;
    let verdict = if is_dead { Verdict::Dead } else { Verdict::Again };
    Failed { failures, verdict, record: 0, is_failing: false, has_recovered: false, lets_pass: false }
}

fn probe_delay(tuning: &Tuning) -> ProbeDelay {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    ProbeDelay {
        first: millis(tuning.retry.delay.max(SHORTEST_DELAY)),
        longest: millis(tuning.retry.max.max(LEAST_LONGEST_PROBE_DELAY)),
    }
}

fn load(tx: &Tx<'_>, stage: StageAt) -> StageFailures {
    let get = |field| tx.get(stage + field);
    StageFailures {
        epoch: get(stage::EPOCH).max(1),
        first_epoch: get(stage::FIRST_EPOCH),
        failed: get(stage::FAILED) as u32,
        put_off: (get(stage::FAILED) >> UPPER) as u32,
        tries: get(stage::TOUCHED) as u32,
        fresh_put_off: (get(stage::TOUCHED) >> UPPER) as u32,
        since: get(stage::SINCE),
        prober: get(stage::PROBER),
        next_probe: get(stage::NEXT_PROBE),
        probes: get(stage::PROBES),
        forgiven: stage::FORGIVEN.map(get),
    }
}

/// Collects the words that the transaction changes.
fn save(tx: &mut Tx<'_>, stage: StageAt, before: &StageFailures, after: &StageFailures) {
    words(before).zip(words(after)).filter(|(old, new)| old != new).for_each(|(_, (field, value))| {
        tx.set(stage + field, value);
    });
}

fn words(of: &StageFailures) -> impl Iterator<Item = (Field<Stage>, u64)> {
    let StageFailures {
        epoch,
        first_epoch: _,
        failed,
        put_off,
        fresh_put_off,
        tries,
        since,
        prober,
        next_probe,
        probes,
        forgiven,
    } = *of;
    [
        (stage::EPOCH, epoch),
        (stage::FAILED, u64::from(failed) | u64::from(put_off) << UPPER),
        (stage::TOUCHED, u64::from(tries) | u64::from(fresh_put_off) << UPPER),
        (stage::SINCE, since),
        (stage::PROBER, prober),
        (stage::NEXT_PROBE, next_probe),
        (stage::PROBES, probes),
    ]
    .into_iter()
    .chain(stage::FORGIVEN.into_iter().zip(forgiven))
}

/// A stage's place is made ready: nothing has failed, and no epoch was before.
pub(crate) fn open(memory: &Memory, stage: StageAt) {
    let epoch = clock::now() & (u64::MAX >> EPOCH);
    memory.store(stage + stage::FIRST_EPOCH, epoch);
    memory.store(stage + stage::EPOCH, epoch);
}

/// How many items have failed in this epoch and are not known to be bad: as the stage counts them, and as the items of this
/// queue say. Nothing may be leased.
#[cfg(test)]
pub(in crate::queue) fn counted(
    tx: &Tx<'_>,
    stage: crate::queue::StageId,
    queue: crate::queue::QueueId,
) -> Result<(u64, u64), crate::queue::Fault> {
    let (stage, queue) = (StageAt::of(stage)?, QueueAt::of(queue)?);
    let place = Place { slot: SlotAt::of(crate::queue::SlotId(0))?, stage, inputs: Vec::new() };
    let of = load(tx, stage);
    let has_failed = |at: &EntryAt| {
        let item = place.item(tx, *at);
        item.failed_in == of.epoch && !item.is_known_bad
    };
    let returned = (0..returned::len(tx, queue)?).map(|i| queue.returned(i)).filter(has_failed).count();
    let delayed = delayed::entries(tx, queue)?.into_iter().map(|(at, _)| at).filter(has_failed).count();
    Ok((of.failed.into(), (returned + delayed) as u64))
}
