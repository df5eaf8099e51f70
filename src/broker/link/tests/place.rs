//! A source that works on one machine at a time: links at a broker of the model, whose requests happen late, twice or not at all, while
//! claims expire, machines stand still, and links and machines die. What it emits is there once, without a gap.

use super::machine::ACK_WAIT;
use crate::broker::link::{Effect, Event, LineId, Link, Note, Remains, Role};
use crate::broker::{Full, Judged, Machines, SharedQueue, Verdict};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

const LINE: LineId = LineId(0);
const LAST: u32 = 30;

/// From where to where the source goes: what is between is what it emits.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    number: u64,
    from: u32,
    to: u32,
}

#[derive(Clone, Debug)]
enum Request {
    Claim,
    Resign,
    Commit(Vec<Step>),
}

#[derive(Default)]
struct Broker {
    position: u32,
    emitted: Vec<u32>,
    holder: Option<u32>,
    /// Of each life: the last number, the first of its request, the verdicts from there on.
    lines: BTreeMap<u32, (u64, u64, Vec<Verdict>)>,
}

impl Broker {
    fn ask(&mut self, life: u32, request: &Request) -> Option<Event> {
        match request {
            Request::Claim => {
                let is_ours = *self.holder.get_or_insert(life) == life;
                Some(Event::Claimed { line: LINE, is_ours })
            }
            Request::Resign => {
                self.holder.take_if(|holder| *holder == life);
                None
            }
            Request::Commit(steps) => Some(self.commit(life, steps)),
        }
    }

    fn commit(&mut self, life: u32, steps: &[Step]) -> Event {
        let first = steps[0].number;
        let (last, known_from, known) = self.lines.remove(&life).unwrap_or((0, 1, Vec::new()));
        let mut judged = Judged { before: last, ..Judged::default() };
        for step in steps {
            let before = step.number.checked_sub(known_from).and_then(|n| known.get(n as usize));
            judged.verdicts.push(match before {
                _ if step.number > last && step.from != self.position => Verdict::Refused,
                _ if step.number > last => {
                    self.emitted.extend(step.from..step.to);
                    self.position = step.to;
                    Verdict::Done
                }
                before => before.copied().unwrap_or(Verdict::Done),
            });
        }
        let new_last = last.max(first + steps.len() as u64 - 1);
        let record = if new_last > last {
            (new_last, first, judged.verdicts.clone())
        } else {
            (last, known_from, known)
        };
        self.lines.insert(life, record);
        Event::Judged { line: LINE, first, judged }
    }
}

/// What outlives a link: the arena, and the supervisor with its workers.
#[derive(Default)]
struct Machine {
    life: u32,
    token: u32,
    steps: VecDeque<Step>,
    number: u64,
    is_here: bool,
    /// A worker is there, or one that was to end may still commit.
    works: bool,
}

struct Running {
    machine: Machine,
    link: Link,
    events: VecDeque<Event>,
    requests: VecDeque<Request>,
    /// The position of a claim's answer.
    answered: u32,
}

impl Running {
    fn new(machine: Machine, now: Instant) -> Running {
        let commits = vec![machine.steps.iter().map(|step| (step.number, Vec::new())).collect()];
        let role = Role { position_of: Some(Machines::One), is_here: machine.is_here, ..Role::default() };
        let link = Link::new(&Remains { held: Vec::new(), commits }, &[role], ACK_WAIT, now);
        let mut events = VecDeque::from([Event::Tick]);
        if !machine.is_here && !machine.works {
            events.push_back(Event::Stopped { line: LINE });
        }
        Running { machine, link, events, requests: VecDeque::new(), answered: 0 }
    }

    fn step(&mut self, now: Instant) -> bool {
        let Some(event) = self.events.pop_front() else { return false };
        for effect in self.link.handle(event, now) {
            self.perform(effect);
        }
        true
    }

    fn perform(&mut self, effect: Effect) {
        let Machine { token, steps, is_here, works, .. } = &mut self.machine;
        match effect {
            Effect::Join => self.events.push_back(Event::Joined),
            Effect::Claim { .. } => self.requests.push_back(Request::Claim),
            Effect::Resign { .. } => self.requests.push_back(Request::Resign),
            Effect::PutToken { .. } => {
                assert!(!*works, "under a worker's hands");
                *token = self.answered;
            }
            Effect::Commit { first, last, .. } => {
                let asked = steps.iter().filter(|step| (first..=last).contains(&step.number));
                self.requests.push_back(Request::Commit(asked.copied().collect()));
            }
            Effect::End { verdicts, .. } => drop(steps.drain(..verdicts.len())),
            Effect::Say(Note::Here { .. }) => (*is_here, *works) = (true, true),
            Effect::Say(Note::Elsewhere { .. }) => *is_here = false,
            Effect::Say(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn work(&mut self) {
        let Machine { token, number, steps, works, is_here, .. } = &mut self.machine;
        if !*works {
            return;
        }
        if *token < LAST {
            let from = *token;
            (*token, *number) = ((from + 1 + from % 2).min(LAST), *number + 1);
            steps.push_back(Step { number: *number, from, to: *token });
            self.events.push_back(Event::Queued { line: LINE, number: *number, ends: Vec::new() });
        }
        if !*is_here {
            *works = false;
            self.events.push_back(Event::Stopped { line: LINE });
        }
    }
}

struct World {
    broker: Broker,
    machines: Vec<Running>,
    late: Vec<(u32, Request)>,
    dice: fastrand::Rng,
    now: Instant,
    lives: u32,
}

impl World {
    fn answer(&mut self, which: usize) {
        let running = &mut self.machines[which];
        let Some(request) = running.requests.pop_front() else { return };
        if let Some(event) = self.broker.ask(running.machine.life, &request) {
            running.answered = self.broker.position;
            running.events.push_back(event);
        }
    }

    /// What a connection had under way happens, or does not, or later.
    fn cut(&mut self, which: usize) {
        let running = &mut self.machines[which];
        for request in running.requests.drain(..) {
            match self.dice.u8(..3) {
                0 => drop(self.broker.ask(running.machine.life, &request)),
                1 => self.late.push((running.machine.life, request)),
                _ => {}
            }
        }
        running.events.clear();
    }

    fn strike(&mut self) {
        let which = self.dice.usize(..self.machines.len());
        match self.dice.u8(..5) {
            0 => {
                self.cut(which);
                let running = &mut self.machines[which];
                // What the arena and the supervisor say is no part of the connection.
                let known: Vec<Step> = running.machine.steps.iter().copied().collect();
                let queued =
                    |step: &Step| Event::Queued { line: LINE, number: step.number, ends: Vec::new() };
                running.events.extend(known.iter().map(queued));
                if !running.machine.works {
                    running.events.push_back(Event::Stopped { line: LINE });
                }
                running.events.push_back(Event::Broken { jitter: 1.0 });
            }
            1 => {
                self.cut(which);
                let machine = std::mem::take(&mut self.machines[which].machine);
                self.machines[which] = Running::new(machine, self.now);
            }
            2 => {
                self.cut(which);
                self.lives += 1;
                let machine = Machine { life: self.lives, ..Machine::default() };
                self.machines[which] = Running::new(machine, self.now);
            }
            3 => self.broker.holder = None,
            _ if self.late.is_empty() => {}
            _ => {
                let (life, request) = self.late.swap_remove(self.dice.usize(..self.late.len()));
                self.broker.ask(life, &request);
            }
        }
    }

    fn step(&mut self) {
        let which = self.dice.usize(..self.machines.len());
        match self.dice.u8(..4) {
            0 => self.machines[which].work(),
            1 => self.answer(which),
            2 => drop(self.machines[which].step(self.now)),
            _ if self.dice.u8(..20) == 0 => {
                let next = self.machines.iter().filter_map(|running| running.link.deadline()).min();
                self.now = self.now.max(next.unwrap_or(self.now)) + Duration::from_millis(1);
                self.machines.iter_mut().for_each(|running| running.events.push_back(Event::Tick));
                // A claim that was late may be that of a life which is over.
                self.broker.holder.take_if(|_| self.dice.u8(..4) == 0);
            }
            _ => {}
        }
    }
}

#[test]
fn what_a_source_emits_is_there_once_whatever_becomes_of_its_machines() {
    let (mut moves, mut refusals) = (0, 0);
    for seed in 0..400 {
        let now = Instant::now();
        let machines = (0..3).map(|life| Running::new(Machine { life, ..Machine::default() }, now)).collect();
        let dice = fastrand::Rng::with_seed(seed);
        let mut world = World { broker: Broker::default(), machines, late: Vec::new(), dice, now, lives: 2 };
        let (mut steps, mut strikes) = (0, 0);
        while world.broker.position < LAST {
            if strikes < 40 && world.dice.u8(..30) == 0 {
                strikes += 1;
                let before = world.broker.holder;
                world.strike();
                moves += usize::from(before != world.broker.holder);
            }
            world.step();
            steps += 1;
            assert!(steps < 100_000, "seed {seed} hangs at {}", world.broker.position);
        }
        assert_eq!(world.broker.emitted, (0..LAST).collect::<Vec<_>>(), "seed {seed}");
        let verdicts = world.broker.lines.values().flat_map(|(_, _, verdicts)| verdicts);
        refusals += verdicts.filter(|verdict| **verdict == Verdict::Refused).count();
    }
    assert!(moves > 200 && refusals > 50, "it was no storm: {moves} moves, {refusals} refusals");
}

/// Its supervisor has taken the end back as it heard that, and waits to hear of the stage again.
#[test]
fn a_stage_that_is_elsewhere_comes_back_though_an_end_that_it_has_said_before_counts() {
    let now = Instant::now();
    let role = Role { position_of: Some(Machines::One), is_here: true, ..Role::default() };
    let remains = Remains { commits: vec![vec![(1, Vec::new())]], ..Remains::default() };
    let mut link = Link::new(&remains, &[role], ACK_WAIT, now);
    let mut all = |event| link.handle(event, now);
    assert_eq!(all(Event::Tick), [Effect::Join]);
    let begins = all(Event::Joined);
    assert!(begins.contains(&Effect::Claim { line: LINE }), "{begins:?}");
    assert!(begins.contains(&Effect::Commit { line: LINE, first: 1, last: 1 }), "{begins:?}");
    let moved = all(Event::Claimed { line: LINE, is_ours: false });
    assert_eq!(moved, [Effect::Say(Note::Elsewhere { line: LINE })]);
    let judged = Judged { verdicts: vec![Verdict::Done], ..Judged::default() };
    all(Event::Judged { line: LINE, first: 1, judged });
    assert_eq!(all(Event::LineEnded { line: LINE }), []);
    assert_eq!(all(Event::Stopped { line: LINE }), [Effect::Claim { line: LINE }]);
}

/// A source with one commit that finds no room, whose machine is to leave: whether it does.
fn leaves(role: &Role, order: Event) -> bool {
    let now = Instant::now();
    let commits = vec![vec![(1, Vec::new())]];
    let mut link =
        Link::new(&Remains { held: Vec::new(), commits }, std::slice::from_ref(role), ACK_WAIT, now);
    let judged = Judged { full: Some(Full::Queue(SharedQueue(0))), ..Judged::default() };
    let mut effects = Vec::new();
    for event in [Event::Tick, Event::Joined, Event::Judged { line: LINE, first: 1, judged }, order] {
        effects.extend(link.handle(event, now));
    }
    assert!(effects.contains(&Effect::Commit { line: LINE, first: 1, last: 1 }), "{effects:?}");
    effects.contains(&Effect::Leave)
}

#[test]
fn a_stop_waits_for_no_room_for_what_a_source_emits_again() {
    let source = Role { position_of: Some(Machines::All), is_here: true, is_source: true, ..Role::default() };
    assert!(leaves(&source, Event::Stop));
    assert!(!leaves(&source, Event::Finish), "it has come to its end: the rest is still to go there");
    let without_a_position = Role { position_of: None, ..source.clone() };
    assert!(!leaves(&without_a_position, Event::Stop), "nothing would emit it again");
    let of_local_items = Role { is_source: false, ..source };
    assert!(!leaves(&of_local_items, Event::Stop), "its items have ended on this machine");
}

/// What the arena says is looked at with the next answer anyway.
#[test]
fn while_a_request_is_under_way_nothing_is_waited_for_in_the_arena() {
    let now = Instant::now();
    let mut link = Link::new(
        &Remains { commits: vec![Vec::new()], ..Remains::default() },
        &[Role::default()],
        ACK_WAIT,
        now,
    );
    assert!(link.waits_for_arena(), "away, it is to see what it has for the broker");
    link.handle(Event::Tick, now);
    link.handle(Event::Joined, now);
    assert!(link.waits_for_arena());
    link.handle(Event::Queued { line: LINE, number: 1, ends: Vec::new() }, now);
    assert!(!link.waits_for_arena());
    let judged = Judged { verdicts: vec![Verdict::Done], ..Judged::default() };
    link.handle(Event::Judged { line: LINE, first: 1, judged }, now);
    assert!(link.waits_for_arena());
}
