//! A machine of the model: an arena, which outlives its link, with workers that take and commit; a link; and a cable.

use super::model::{A, Answer, B, Broker, Commit, Consumer, Request};
use crate::broker::link::{Effect, Event, LineId, Link, Remains, Role};
use crate::broker::{Sequence, SharedQueue, Woken};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

pub(super) const ACK_WAIT: Duration = Duration::from_secs(30);
const PLACES: usize = 2;

/// Line 0 passes items from A to B, line 1 ends those of B.
#[derive(Default)]
pub(super) struct Arena {
    held: [BTreeMap<Sequence, u32>; 2],
    waiting: [VecDeque<(Sequence, u32)>; 2],
    working: Vec<(SharedQueue, Sequence, u32)>,
    commits: [VecDeque<Commit>; 2],
    numbers: [u64; 2],
}

impl Arena {
    fn remains(&self) -> Remains {
        let held = [A, B].map(|queue| {
            let sequences = self.held[usize::from(queue.0)].keys().copied().collect();
            (queue, sequences)
        });
        let commits = self
            .commits
            .iter()
            .map(|commits| commits.iter().map(|commit| (commit.number, vec![commit.end])).collect());
        Remains { held: held.to_vec(), commits: commits.collect() }
    }

    fn places(&self, queue: SharedQueue) -> usize {
        PLACES.saturating_sub(self.held[usize::from(queue.0)].len())
    }

    fn is_empty(&self) -> bool {
        self.working.is_empty() && self.waiting.iter().all(VecDeque::is_empty)
    }

    /// A worker begins an item, or ends the one it has.
    fn work(&mut self, begins: bool, queue: SharedQueue) -> Option<Event> {
        let line = usize::from(queue.0);
        if begins {
            let (sequence, item) = self.waiting[line].pop_front()?;
            self.working.push((queue, sequence, item));
            return None;
        }
        let found = self.working.iter().position(|(of, _, _)| *of == queue)?;
        let (_, sequence, item) = self.working.remove(found);
        self.numbers[line] += 1;
        let commit = Commit {
            number: self.numbers[line],
            end: (queue, sequence),
            output: (queue == A).then_some(item),
        };
        let event =
            Event::Queued { line: LineId(line), number: commit.number, ends: vec![(queue, sequence)] };
        self.commits[line].push_back(commit);
        Some(event)
    }
}

fn roles() -> [Role; 2] {
    [A, B].map(|queue| Role { reads: vec![queue], ..Role::default() })
}

pub(super) struct Machine {
    pub(super) consumer: Consumer,
    pub(super) arena: Arena,
    link: Link,
    /// What the link is about to do.
    effects: VecDeque<Effect>,
    events: VecDeque<Event>,
    /// Items of answers that are not stored yet.
    answered: BTreeMap<(SharedQueue, Sequence), u32>,
    pub(super) requests: VecDeque<Request>,
    pub(super) is_over: bool,
}

impl Machine {
    pub(super) fn new(consumer: Consumer, arena: Arena, now: Instant) -> Machine {
        let link = Link::new(&arena.remains(), &roles(), ACK_WAIT, now);
        let room = [A, B].map(|queue| Event::Room { queue, places: arena.places(queue) });
        Machine {
            consumer,
            arena,
            link,
            effects: VecDeque::new(),
            events: room.into_iter().collect(),
            answered: BTreeMap::new(),
            requests: VecDeque::new(),
            is_over: false,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.link.deadline()
    }

    pub(super) fn happens(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// The broker has answered.
    pub(super) fn answered(&mut self, answer: Answer) {
        let event = match answer {
            Answer::Joined => Event::Joined,
            Answer::Held { queue, sequences } => Event::Held { queue, sequences },
            Answer::Taken { queue, asked, items } => {
                self.answered.extend(items.iter().map(|&(sequence, item)| ((queue, sequence), item)));
                let sequences = items.into_iter().map(|(sequence, _)| sequence).collect();
                Event::Taken { queue, asked, sequences }
            }
            Answer::Extended { queue, lost } => Event::Extended { queue, lost },
            Answer::Given => return,
            Answer::Judged { line, first, judged } => Event::Judged { line: LineId(line), first, judged },
            Answer::Left => Event::Left,
        };
        self.events.push_back(event);
    }

    /// One step of the link: an effect that is due, else an event. False: there is none.
    pub(super) fn step(&mut self, now: Instant) -> bool {
        if let Some(effect) = self.effects.pop_front() {
            self.perform(effect);
            return true;
        }
        let Some(event) = self.events.pop_front() else { return false };
        self.effects.extend(self.link.handle(event, now));
        true
    }

    pub(super) fn work(&mut self, begins: bool, queue: SharedQueue) -> bool {
        let before = self.arena.working.len();
        let event = self.arena.work(begins, queue);
        self.events.extend(event);
        self.arena.working.len() != before
    }

    pub(super) fn is_idle(&self) -> bool {
        self.effects.is_empty() && self.events.is_empty() && self.requests.is_empty() && self.arena.is_empty()
    }

    pub(super) fn woken(&mut self) {
        for queue in [A, B] {
            self.events.extend([Event::Woken(Woken::Items(queue)), Event::Woken(Woken::Room(queue))]);
        }
    }

    fn perform(&mut self, effect: Effect) {
        let request = match effect {
            Effect::Join => Request::Join,
            Effect::AskHeld { queue } => Request::AskHeld { queue },
            Effect::Take { queue, n, look_for_expired } => Request::Take { queue, n, look_for_expired },
            Effect::Extend { queue, sequences } => Request::Extend { queue, sequences },
            Effect::GiveBack { queue, leases } => Request::GiveBack { queue, leases },
            Effect::Leave => Request::Leave,
            Effect::Commit { line, first, last } => {
                let commits = self.arena.commits[line.0].iter();
                let asked = commits.filter(|commit| (first..=last).contains(&commit.number));
                Request::Commit { line: line.0, commits: asked.cloned().collect() }
            }
            other => return self.change_arena(other),
        };
        self.requests.push_back(request);
    }

    fn change_arena(&mut self, effect: Effect) {
        match effect {
            Effect::Store { queue, sequences } => {
                let n = usize::from(queue.0);
                for sequence in sequences {
                    let item = self.answered[&(queue, sequence)];
                    self.arena.held[n].insert(sequence, item);
                    self.arena.waiting[n].push_back((sequence, item));
                }
            }
            Effect::Drop { queue, sequences } => {
                let n = usize::from(queue.0);
                self.arena.waiting[n].retain(|(sequence, _)| !sequences.contains(sequence));
                self.arena.held[n].retain(|sequence, _| !sequences.contains(sequence));
                self.report_room(queue);
            }
            Effect::Withdraw { queue } => {
                let n = usize::from(queue.0);
                let leases: Vec<_> =
                    self.arena.waiting[n].drain(..).map(|(sequence, _)| (sequence, 0)).collect();
                self.arena.held[n].retain(|sequence, _| leases.iter().all(|(gone, _)| gone != sequence));
                self.events.push_back(Event::Withdrawn { queue, leases });
            }
            Effect::End { line, first, verdicts } => {
                for (commit, _) in self.arena.commits[line.0].drain(..verdicts.len()).zip(&verdicts) {
                    let (queue, sequence) = commit.end;
                    self.arena.held[usize::from(queue.0)].remove(&sequence);
                }
                assert!(self.arena.commits[line.0].front().is_none_or(|commit| commit.number > first));
                [A, B].into_iter().for_each(|queue| self.report_room(queue));
            }
            Effect::Exit(why) => {
                assert_eq!(why, None);
                self.is_over = true;
            }
            _ => {}
        }
    }

    fn report_room(&mut self, queue: SharedQueue) {
        self.events.push_back(Event::Room { queue, places: self.arena.places(queue) });
    }
}

/// The broker does the oldest request of a machine.
pub(super) fn deliver(machine: &mut Machine, broker: &mut Broker) -> bool {
    let Some(request) = machine.requests.pop_front() else { return false };
    let answer = broker.ask(machine.consumer, &request);
    machine.answered(answer);
    true
}
