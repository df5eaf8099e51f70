//! One run of a pipeline: its machines, queues, lines, positions and claims.

use super::blobs::{Blobs, ItemRef, Source};
use super::queue::StoredQueue;
use super::request::{Action, Answer, Who};
use super::reserved::Room;
use crate::broker::{Forgotten, Progress, QueueSettings, RunOrder, SharedQueue, WriterState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What others may want to know of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker::jetstream) enum News {
    Items(SharedQueue),
    /// An item has left the queue, which has `len` now.
    Room {
        queue: SharedQueue,
        len: u64,
    },
    /// The queue was sealed, or a stage is free: whoever waits or not.
    Change(SharedQueue),
}

/// One step of a run, and what it changes beside the run.
pub(super) struct Step<'a> {
    pub blobs: &'a mut Blobs,
    pub news: &'a mut Vec<News>,
    pub source: Source<'a>,
    pub now: u64,
    /// What may grow.
    pub room: Room,
}

impl Step<'_> {
    /// Of the lengths of a queue the least says all: who waits for room waits for some length.
    pub(super) fn tell(&mut self, news: News) {
        if let News::Room { queue: shorter, len: now } = news {
            let before = self.news.iter_mut().find_map(|news| match news {
                News::Room { queue, len } if *queue == shorter => Some(len),
                _ => None,
            });
            match before {
                Some(len) => *len = now.min(*len),
                None => self.news.push(news),
            }
        } else if !self.news.contains(&news) {
            self.news.push(news);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) enum Standing {
    Present,
    Left,
    Struck,
}

/// What a machine shows of itself, until that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct Shown {
    pub text: ItemRef,
    pub until: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct Machine {
    pub life: String,
    pub standing: Standing,
    pub shown: Option<Shown>,
    /// Of this life.
    pub order: Option<RunOrder>,
    /// What its file says of the queues. They change once those of all machines in the run say the same.
    declared: Vec<QueueSettings>,
    ack_wait: u64,
}

/// What a run says to a machine that joins.
pub(super) enum Admission {
    /// `is_back`: it was in the run before, and has not left: others don't join a run that has ended.
    In { is_back: bool },
    /// This life was struck off.
    Struck,
    /// Its file would drop what is put into this queue, and the run keeps it, or the other way round.
    Differs(SharedQueue),
}

/// What was judged of a line: the number of the last commit, and the verdicts from the first number of its request on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    pub last: u64,
    pub first: u64,
    pub verdicts: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    until: u64,
    who: Who,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::broker::jetstream) struct Run {
    /// Milliseconds since 1970.
    pub begun: u64,
    /// Seconds since 1970.
    pub ended: Option<u64>,
    /// Dead letters of earlier runs: it has no sources.
    pub works_off: bool,
    pub machines: BTreeMap<String, Machine>,
    pub queues: Vec<StoredQueue>,
    /// By MACHINE:LIFE/STAGE.
    pub(super) lines: BTreeMap<String, Line>,
    pub(super) positions: BTreeMap<String, Vec<u8>>,
    claims: BTreeMap<String, Claim>,
    pub watched_until: u64,
    /// The life that has asked for another run.
    pub(super) begun_by: Option<Who>,
    /// The longest of its machines.
    ack_wait: u64,
}

impl Run {
    pub(super) fn new(now: u64, begun_by: Option<Who>) -> Run {
        Run {
            begun: now,
            ended: None,
            works_off: false,
            machines: BTreeMap::new(),
            queues: Vec::new(),
            lines: BTreeMap::new(),
            positions: BTreeMap::new(),
            claims: BTreeMap::new(),
            watched_until: 0,
            begun_by,
            ack_wait: 0,
        }
    }

    /// One for dead letters of earlier runs. A queue that only sources write is sealed from its beginning.
    pub(super) fn working_off(now: u64, queues: &[QueueSettings], sealed: &[bool]) -> Run {
        let mut run = Run { works_off: true, ..Run::new(now, None) };
        run.queues = queues.iter().map(StoredQueue::new).collect();
        for (queue, is_sealed) in run.queues.iter_mut().zip(sealed) {
            queue.is_sealed = *is_sealed;
        }
        run
    }

    /// It works off letters, and no machine has joined it: then no queue has ended.
    pub(super) fn is_unjoined(&self) -> bool {
        self.works_off && self.machines.is_empty()
    }

    pub(in crate::broker::jetstream) fn queue(&self, queue: SharedQueue) -> Option<&StoredQueue> {
        self.queues.get(usize::from(queue.0))
    }

    pub(super) fn queue_mut(&mut self, queue: SharedQueue) -> Option<&mut StoredQueue> {
        self.queues.get_mut(usize::from(queue.0))
    }

    /// The last life of the machine that joined, and it is there still.
    pub(in crate::broker::jetstream) fn is_present(&self, who: &Who) -> bool {
        let machine = self.machines.get(&who.machine);
        machine.is_some_and(|known| known.standing == Standing::Present && known.life == who.life)
    }

    /// Whether the machine is in the run, in whichever life.
    pub(super) fn has(&self, machine: &str) -> bool {
        self.machines.get(machine).is_some_and(|known| known.standing == Standing::Present)
    }

    /// The other machines in the run.
    fn others<'a>(&'a self, machine: &'a str) -> impl Iterator<Item = &'a Machine> {
        let is_other = move |(name, other): &(&String, &Machine)| {
            *name != machine && other.standing == Standing::Present
        };
        self.machines.iter().filter(is_other).map(|(_, other)| other)
    }

    fn all_declare(&self, machine: &str, place: usize, settings: &QueueSettings) -> bool {
        self.others(machine).all(|other| other.declared.get(place) == Some(settings))
    }

    /// The first queue where the file of a new life would drop what is put, and the run keeps it, or the other way round.
    fn differing(&self, machine: &str, queues: &[QueueSettings]) -> Option<SharedQueue> {
        let differs = |(place, (declared, queue)): &(u16, (&QueueSettings, &StoredQueue))| {
            declared.when_full != queue.settings.when_full
                && !self.all_declare(machine, usize::from(*place), declared)
        };
        let mut all = (0..).zip(queues.iter().zip(&self.queues));
        all.find(differs).map(|(place, _)| SharedQueue(place))
    }

    /// As they count in the run.
    pub(super) fn settings(&self, queues: &[QueueSettings]) -> Vec<QueueSettings> {
        let setting = |(place, queue): (usize, &QueueSettings)| {
            self.queues.get(place).map_or_else(|| queue.clone(), |known| known.settings.clone())
        };
        queues.iter().enumerate().map(setting).collect()
    }

    /// A machine has one life, the last that joined. One that was struck off does not come back.
    pub(super) fn join(
        &mut self,
        who: &Who,
        queues: &[QueueSettings],
        ack_wait: u64,
        step: &mut Step<'_>,
    ) -> Admission {
        let known = self.machines.get(&who.machine);
        if known.is_some_and(|known| known.standing == Standing::Struck && known.life == who.life) {
            return Admission::Struck;
        }
        let is_back = known.is_some_and(|known| known.standing == Standing::Present);
        if self.ended.is_some() && !is_back {
            return Admission::In { is_back };
        }
        let is_known = is_back && known.is_some_and(|known| known.life == who.life);
        if let Some(queue) = self.differing(&who.machine, queues).filter(|_| !is_known) {
            return Admission::Differs(queue);
        }
        let before = known.filter(|known| known.life != who.life).map(|known| known.life.clone());
        for (place, settings) in queues.iter().enumerate() {
            let counts = self.all_declare(&who.machine, place, settings);
            match self.queues.get_mut(place) {
                Some(queue) if counts && queue.settings != *settings => {
                    queue.settings = settings.clone();
                    let len = if queue.has_waiting() { queue.len() } else { 0 };
                    step.tell(News::Room { queue: SharedQueue(place as u16), len });
                }
                Some(_) => {}
                None => self.queues.push(StoredQueue::new(settings)),
            }
        }
        let longest = self.others(&who.machine).map(|other| other.ack_wait).max();
        self.ack_wait = ack_wait.max(longest.unwrap_or(0));
        if let Some(life) = before {
            self.release(&Who { machine: who.machine.clone(), life }, step);
        }
        let known = self.machines.get(&who.machine);
        let shown = known.and_then(|known| known.shown);
        let order = known.filter(|known| known.life == who.life).and_then(|known| known.order);
        let machine = Machine {
            life: who.life.clone(),
            standing: Standing::Present,
            shown,
            order,
            declared: queues.to_vec(),
            ack_wait,
        };
        self.machines.insert(who.machine.clone(), machine);
        Admission::In { is_back }
    }

    /// What a life holds goes back; how many items of each queue.
    fn release(&mut self, who: &Who, step: &mut Step<'_>) -> Vec<u64> {
        let mut released = Vec::new();
        let (of_machine, of_life) = (format!("{}/", who.machine), format!(":{}", who.life));
        for (queue, place) in self.queues.iter_mut().zip(0..) {
            queue
                .writers
                .retain(|writer, _| !(writer.starts_with(&of_machine) && writer.ends_with(&of_life)));
            let items = queue.release_all(who, step.now);
            if items > 0 {
                step.tell(News::Items(SharedQueue(place)));
            }
            released.push(items);
        }
        released
    }

    fn free_claims(&mut self, machine: &str, step: &mut Step<'_>) {
        let before = self.claims.len();
        self.claims.retain(|_, claim| claim.who.machine != machine);
        if self.claims.len() < before {
            self.tell_all(step);
        }
    }

    fn tell_all(&self, step: &mut Step<'_>) {
        (0..self.queues.len() as u16).for_each(|place| step.tell(News::Change(SharedQueue(place))));
    }

    /// All but commits.
    pub(super) fn act(&mut self, who: &Who, action: &Action, step: &mut Step<'_>) -> Answer {
        self.do_act(who, action, step).unwrap_or(Answer::Nothing)
    }

    /// `None`: it names a queue that is not there.
    fn do_act(&mut self, who: &Who, action: &Action, step: &mut Step<'_>) -> Option<Answer> {
        let now = step.now;
        Some(match action {
            Action::Commit { .. } => Answer::Nothing,
            Action::Take { .. } | Action::Claim { .. } | Action::Show { .. } if !self.is_present(who) => {
                Answer::Superseded
            }
            Action::Take { queue: name, n, looks_for_expired, max_deliveries } => {
                let expired_after = looks_for_expired.then_some(self.ack_wait);
                let queue = self.queue_mut(*name)?;
                let (taken, has_letters) = queue.take(who, *n as usize, expired_after, *max_deliveries, now);
                let is_empty = !taken.is_empty() && !queue.has_waiting();
                if is_empty || has_letters {
                    let len = if is_empty { 0 } else { queue.len() };
                    step.tell(News::Room { queue: *name, len });
                }
                Answer::Taken(taken)
            }
            Action::Extend { queue, leases } => {
                Answer::Lost(self.queue_mut(*queue)?.extend(leases, who, now))
            }
            Action::GiveBack { queue, leases } => {
                if self.queue_mut(*queue)?.give_back(leases, who, now) {
                    step.tell(News::Items(*queue));
                }
                Answer::Done
            }
            Action::Register { queue, place } => Answer::Registered(self.queue_mut(*queue)?.register(place)),
            Action::Seal { queue, before } => {
                if self.may_be_sealed(*queue, before) {
                    self.queue_mut(*queue)?.is_sealed = true;
                    step.tell(News::Change(*queue));
                }
                Answer::Progress(self.progress(*queue)?)
            }
            Action::Finish => Answer::Finished(self.finish(now)),
            Action::Claim { place, time } => Answer::Claimed(self.claim(who, place, *time, now)),
            Action::Resign { place } => {
                if self.claims.get(place).is_some_and(|claim| claim.who == *who) {
                    self.claims.remove(place);
                    self.tell_all(step);
                }
                Answer::Done
            }
            Action::Show { text, time } => {
                self.show(who, text.map(|text| step.source.item(text)), now + time, step);
                Answer::Done
            }
            Action::Leave => {
                self.leave(who, step);
                Answer::Done
            }
        })
    }

    /// All its writers have marked their ends, and all queues before it are finished. One without a writer and without a queue
    /// before it is open: its writers have yet to come.
    pub(in crate::broker::jetstream) fn may_be_sealed(
        &self,
        queue: SharedQueue,
        before: &[SharedQueue],
    ) -> bool {
        let Some(queue) = self.queue(queue).filter(|queue| !queue.is_sealed) else { return false };
        let is_finished = |before: &SharedQueue| self.queue(*before).is_some_and(StoredQueue::is_finished);
        let have_ended = queue.writers.values().all(|writer| *writer != WriterState::Open);
        have_ended && before.iter().all(is_finished) && !(queue.writers.is_empty() && before.is_empty())
    }

    pub(in crate::broker::jetstream) fn progress(&self, queue: SharedQueue) -> Option<Progress> {
        let queue = self.queue(queue)?;
        if !queue.is_sealed {
            return Some(Progress::Open);
        }
        Some(match (queue.is_finished(), queue.has_waiting()) {
            (true, _) => Progress::Finished,
            (false, false) => Progress::Leased,
            (false, true) => Progress::Sealed,
        })
    }

    pub(in crate::broker::jetstream) fn may_finish(&self) -> bool {
        self.queues.iter().all(StoredQueue::is_finished)
    }

    fn finish(&mut self, now: u64) -> bool {
        let may = self.may_finish();
        if may {
            self.ended.get_or_insert(now / 1000);
        }
        may
    }

    pub(in crate::broker::jetstream) fn position(&self, place: &str) -> &[u8] {
        self.positions.get(place).map_or(&[], Vec::as_slice)
    }

    /// Whether the stage is another machine's.
    pub(in crate::broker::jetstream) fn is_elsewhere(&self, machine: &str, place: &str, now: u64) -> bool {
        let claim = self.claims.get(place);
        claim.is_some_and(|claim| claim.who.machine != machine && claim.until > now)
    }

    /// No two machines have a claim at one time. It keeps machines from working in vain: that nothing happens twice is the step's
    /// to see to.
    fn claim(&mut self, who: &Who, place: &str, time: u64, now: u64) -> Option<Vec<u8>> {
        if time > 0 {
            if self.is_elsewhere(&who.machine, place, now) {
                return None;
            }
            self.claims.insert(place.to_owned(), Claim { until: now + time, who: who.clone() });
        }
        Some(self.position(place).to_vec())
    }

    fn show(&mut self, who: &Who, text: Option<ItemRef>, until: u64, step: &mut Step<'_>) {
        for (name, machine) in &mut self.machines {
            let is_own = *name == who.machine;
            let is_over = machine.shown.is_some_and(|shown| shown.until <= step.now) && !is_own;
            if is_over || is_own && text.is_some() {
                machine.shown.take().into_iter().for_each(|shown| step.blobs.release_item(shown.text));
            }
            if let (true, Some(text)) = (is_own, text) {
                step.blobs.add(text);
                machine.shown = Some(Shown { text, until });
            } else if let (true, Some(shown)) = (is_own, &mut machine.shown) {
                shown.until = until;
            }
        }
    }

    fn leave(&mut self, who: &Who, step: &mut Step<'_>) {
        if !self.is_present(who) {
            return;
        }
        self.release(who, step);
        self.free_claims(&who.machine, step);
        if let Some(machine) = self.machines.get_mut(&who.machine) {
            machine.standing = Standing::Left;
        }
    }

    /// All machines that are there are told the same; how many there are.
    pub(super) fn order(&mut self, order: RunOrder) -> u64 {
        let present = self.machines.values_mut().filter(|machine| machine.standing == Standing::Present);
        present.map(|machine| machine.order = Some(order)).count() as u64
    }

    /// How long ago the machine has shown itself, if it is there.
    pub(in crate::broker::jetstream) fn shown_before(
        &self,
        machine: &str,
        shown_for: u64,
        now: u64,
    ) -> Option<u64> {
        let known = self.machines.get(machine).filter(|known| known.standing == Standing::Present)?;
        let left = known.shown?.until.checked_sub(now).filter(|left| *left > 0)?;
        Some(shown_for.saturating_sub(left))
    }

    /// A machine that is gone for good is struck off, unless it has shown itself lately. A queue keeps a writer that was struck off:
    /// one without any would wait for its writers.
    pub(super) fn forget(
        &mut self,
        machine: &str,
        shown_for: u64,
        silent_after: u64,
        step: &mut Step<'_>,
    ) -> Forgotten {
        if let Some(age) = self.shown_before(machine, shown_for, step.now).filter(|age| *age < silent_after) {
            return Forgotten::Alive(std::time::Duration::from_millis(age));
        }
        let Some(known) = self.machines.get_mut(machine) else { return Forgotten::Unknown };
        known.standing = Standing::Struck;
        let who = Who { machine: machine.to_owned(), life: known.life.clone() };
        let released = self.release(&who, step);
        self.free_claims(machine, step);
        let names = self.queues.iter().map(|queue| queue.settings.name.clone());
        let items = names.zip(released).filter(|(_, items)| *items > 0).collect();
        let mut writers = Vec::new();
        for queue in &mut self.queues {
            for (place, state) in &mut queue.writers {
                let stage = place.strip_prefix(machine).and_then(|rest| rest.strip_prefix('/'));
                if let (Some(stage), WriterState::Open) = (stage, *state) {
                    *state = WriterState::Struck;
                    writers.push((queue.settings.name.clone(), stage.to_owned()));
                }
            }
        }
        Forgotten::Struck { items, writers }
    }

    /// Nothing of it is needed any more.
    pub(super) fn forget_all(self, blobs: &mut Blobs) {
        self.queues.into_iter().for_each(|queue| queue.forget_items(blobs));
        let shown = self.machines.into_values().filter_map(|machine| machine.shown);
        shown.for_each(|shown| blobs.release_item(shown.text));
    }
}
