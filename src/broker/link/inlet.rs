//! A shared queue that this machine reads: what it holds of it, and when it takes more.

use super::event::{Effect, Note};
use crate::broker::{Sequence, SharedQueue};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Leases begin anew after this part of their time, so that two requests may get lost.
const EXTENDED_IN: u32 = 3;
/// Nothing tells of a lease that expires: it is looked for this often in the time that one lasts.
const LOOKED_FOR_IN: u32 = 4;

/// A request that is under way, or whose time has yet to come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Due {
    At(Instant),
    UnderWay,
}

/// Sequences in order, each once: what comes is mostly younger than all that is there. True: with a commit that waits for its verdict.
struct Held(Vec<(Sequence, bool)>);

impl Held {
    fn of(all: impl Iterator<Item = (Sequence, bool)>) -> Held {
        let mut held = Held(all.collect());
        held.set_in_order();
        held
    }

    fn set_in_order(&mut self) {
        if !self.0.is_sorted_by(|before, behind| before.0 < behind.0) {
            self.0.sort_by_key(|(sequence, _)| *sequence);
            self.0.dedup_by_key(|(sequence, _)| *sequence);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, sequence: Sequence) -> Option<usize> {
        self.0.binary_search_by_key(&sequence, |(sequence, _)| *sequence).ok()
    }

    /// Whether it has a commit, if it is held.
    fn get(&self, sequence: Sequence) -> Option<bool> {
        self.find(sequence).map(|at| self.0[at].1)
    }

    fn sequences(&self) -> impl Iterator<Item = Sequence> {
        self.0.iter().map(|(sequence, _)| *sequence)
    }

    fn add(&mut self, new: impl Iterator<Item = Sequence>) {
        self.0.extend(new.map(|sequence| (sequence, false)));
        self.set_in_order();
    }

    fn commits(&mut self, sequence: Sequence) {
        if let Some(at) = self.find(sequence) {
            self.0[at].1 = true;
        }
    }

    fn remove(&mut self, gone: impl Iterator<Item = Sequence>) {
        let mut gone: Vec<Sequence> = gone.collect();
        gone.sort_unstable();
        if !gone.is_empty() {
            self.0.retain(|(sequence, _)| gone.binary_search(sequence).is_err());
        }
    }
}

pub(super) struct Inlet {
    pub(super) queue: SharedQueue,
    ack_wait: Duration,
    /// What lies in the arena; true: with a commit that waits for its verdict, so what it leaves the broker by is no loss.
    held: Held,
    /// The broker was asked on this connection what it has for this machine.
    is_asked: bool,
    /// It has answered; until then nothing is taken.
    is_reconciled: bool,
    places: usize,
    /// The last answer was as long as it could be, or a message came since.
    has_more: bool,
    is_taking: bool,
    /// The last request looked for leases that have expired.
    is_look: bool,
    /// When leases that have expired are looked for next; `None`: at once.
    look: Option<Instant>,
    extension: Option<Due>,
    /// False: no stage here may work on it. It takes no more, and gives back what comes.
    is_open: bool,
}

impl Inlet {
    pub(super) fn new(
        queue: SharedQueue,
        ack_wait: Duration,
        held: impl Iterator<Item = (Sequence, bool)>,
    ) -> Inlet {
        Inlet {
            queue,
            ack_wait,
            held: Held::of(held),
            is_asked: false,
            is_reconciled: false,
            places: 0,
            has_more: true,
            is_taking: false,
            is_look: false,
            look: None,
            extension: None,
            is_open: true,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && !self.is_taking
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let extension = match self.extension {
            Some(Due::At(at)) => Some(at),
            Some(Due::UnderWay) | None => None,
        };
        let look =
            self.look.filter(|_| self.is_reconciled && self.is_open && !self.is_taking && self.places > 0);
        extension.into_iter().chain(look).min()
    }

    pub(super) fn broken(&mut self) {
        (self.is_asked, self.is_reconciled) = (false, false);
        (self.is_taking, self.has_more) = (false, true);
        (self.look, self.extension) = (None, None);
    }

    /// A commit was refused: leases that it was to end may be this machine's still.
    pub(super) fn doubt(&mut self) {
        (self.is_asked, self.is_reconciled) = (false, false);
    }

    /// Leases that the arena knows nothing of go back: the answer that brought them got lost.
    pub(super) fn held(&mut self, sequences: &[Sequence], out: &mut Vec<Effect>) {
        if self.is_reconciled || !self.is_asked {
            return;
        }
        self.is_reconciled = true;
        let theirs: BTreeSet<Sequence> = sequences.iter().copied().collect();
        let unknown = theirs.iter().filter(|sequence| self.held.get(**sequence).is_none());
        let leases: Vec<_> = unknown.map(|&sequence| (sequence, 0)).collect();
        if !leases.is_empty() {
            out.push(Effect::GiveBack { queue: self.queue, leases });
        }
        let lost: Vec<_> = self.held.sequences().filter(|sequence| !theirs.contains(sequence)).collect();
        self.lose(&lost, out);
    }

    pub(super) fn room(&mut self, places: usize) {
        self.places = places;
    }

    pub(super) fn woken(&mut self) {
        self.has_more = true;
    }

    pub(super) fn taken(
        &mut self,
        asked: usize,
        sequences: &[Sequence],
        now: Instant,
        out: &mut Vec<Effect>,
    ) {
        self.is_taking = false;
        // A message that came while the request was under way counts.
        self.has_more |= sequences.len() >= asked;
        if self.is_look && sequences.len() >= asked {
            self.look = None; // a machine that is gone may have had more
        }
        // An item that has come twice, because its lease had expired and was taken again, is there once.
        let new: Vec<Sequence> =
            sequences.iter().filter(|sequence| self.held.get(**sequence).is_none()).copied().collect();
        if new.is_empty() {
            return;
        }
        if !self.is_open {
            let leases = new.into_iter().map(|sequence| (sequence, 0)).collect();
            out.push(Effect::GiveBack { queue: self.queue, leases });
            return;
        }
        self.places = self.places.saturating_sub(new.len());
        self.held.add(new.iter().copied());
        self.extension.get_or_insert(Due::At(now + self.ack_wait / EXTENDED_IN));
        out.push(Effect::Store { queue: self.queue, sequences: new });
    }

    pub(super) fn extended(&mut self, lost: &[Sequence], out: &mut Vec<Effect>) {
        if self.extension == Some(Due::UnderWay) {
            self.extension = None;
        }
        self.lose(lost, out);
    }

    /// What has a commit waits for its verdict: the commit may be what ended the lease.
    fn lose(&mut self, sequences: &[Sequence], out: &mut Vec<Effect>) {
        let is_lost = |sequence: &&Sequence| self.held.get(**sequence) == Some(false);
        let lost: Vec<Sequence> = sequences.iter().filter(is_lost).copied().collect();
        if lost.is_empty() {
            return;
        }
        self.held.remove(lost.iter().copied());
        out.push(Effect::Say(Note::Lost { queue: self.queue, items: lost.len() }));
        out.push(Effect::Drop { queue: self.queue, sequences: lost });
    }

    pub(super) fn withdrawn(&mut self, leases: Vec<(Sequence, u32)>, out: &mut Vec<Effect>) {
        self.held.remove(leases.iter().map(|(sequence, _)| *sequence));
        if !leases.is_empty() {
            out.push(Effect::GiveBack { queue: self.queue, leases });
        }
    }

    /// What no worker has begun goes back, or may come again.
    pub(super) fn set_open(&mut self, is_open: bool, out: &mut Vec<Effect>) {
        if self.is_open == is_open {
            return;
        }
        self.is_open = is_open;
        out.push(match is_open {
            true => Effect::Open { queue: self.queue },
            false => Effect::Withdraw { queue: self.queue },
        });
    }

    pub(super) fn committed(&mut self, sequence: Sequence) {
        self.held.commits(sequence);
    }

    pub(super) fn ended(&mut self, sequences: impl Iterator<Item = Sequence>) {
        self.held.remove(sequences);
    }

    /// Whether room in the arena would lead to a request: while one is under way, or there is room that nothing fills, it would not.
    pub(super) fn waits_for_room(&self) -> bool {
        self.is_open && !self.is_taking && self.places == 0
    }

    pub(super) fn go_on(&mut self, now: Instant, out: &mut Vec<Effect>) {
        // An answer to a request of items comes first: it would be taken for what the arena knows nothing of.
        if !self.is_asked && !self.is_taking {
            self.is_asked = true;
            out.push(Effect::AskHeld { queue: self.queue });
        }
        if !self.is_reconciled {
            return;
        }
        self.extend(now, out);
        self.take(now, out);
    }

    fn extend(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.held.is_empty() {
            self.extension = None;
            return;
        }
        match self.extension {
            None => self.extension = Some(Due::At(now + self.ack_wait / EXTENDED_IN)),
            Some(Due::At(at)) if at <= now => {
                self.extension = Some(Due::UnderWay);
                let sequences = self.held.sequences().collect();
                out.push(Effect::Extend { queue: self.queue, sequences });
            }
            Some(Due::At(_) | Due::UnderWay) => {}
        }
    }

    fn take(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let looks = self.look.is_none_or(|at| at <= now);
        if !self.is_open || self.is_taking || self.places == 0 || !(self.has_more || looks) {
            return;
        }
        self.is_look = looks;
        if looks {
            self.look = Some(now + self.ack_wait / LOOKED_FOR_IN);
        }
        (self.is_taking, self.has_more) = (true, false);
        out.push(Effect::Take { queue: self.queue, n: self.places, look_for_expired: looks });
    }
}
