//! Links and machines that die between any two of their steps, and a broker that does what was asked late, twice or not at all:
//! every item is ended once in each queue.

use super::machine::{Arena, Machine, deliver};
use super::model::{A, B, Broker, Consumer, Request};
use crate::broker::link::Event;
use std::time::{Duration, Instant};

const ITEMS: u32 = 6;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The link dies, and another comes. What it had sent happens, or not, or later.
    LinkDies(Cable),
    /// The connection breaks under the link.
    Breaks(Cable),
    /// The machine dies with its arena, and comes back as another life.
    MachineDies,
    /// Every lease expires, as if all machines had been stopped for long.
    LeasesExpire,
    /// The broker does a request once more, and answers once more.
    Twice,
}

/// What becomes of the requests that a cut cable has swallowed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cable {
    Never,
    NowWithoutAnswer,
    Late,
}

const FAULTS: [Fault; 9] = [
    Fault::LinkDies(Cable::Never),
    Fault::LinkDies(Cable::NowWithoutAnswer),
    Fault::LinkDies(Cable::Late),
    Fault::Breaks(Cable::Never),
    Fault::Breaks(Cable::NowWithoutAnswer),
    Fault::Breaks(Cable::Late),
    Fault::MachineDies,
    Fault::LeasesExpire,
    Fault::Twice,
];

struct World {
    broker: Broker,
    machines: Vec<Machine>,
    /// Requests of connections that are gone, which the broker has yet to read.
    late: Vec<(Consumer, Request)>,
    now: Instant,
    lives: Consumer,
    dice: fastrand::Rng,
    steps: usize,
}

impl World {
    fn new(machines: usize, seed: u64) -> World {
        let now = Instant::now();
        let mut broker = Broker::default();
        (0..ITEMS).for_each(|item| broker.put(A, item));
        World {
            broker,
            machines: (0..machines).map(|n| Machine::new(n as Consumer, Arena::default(), now)).collect(),
            late: Vec::new(),
            now,
            lives: machines as Consumer,
            dice: fastrand::Rng::with_seed(seed),
            steps: 0,
        }
    }

    /// One step of something that can take one.
    fn step(&mut self) {
        self.steps += 1;
        let which = self.dice.usize(..self.machines.len());
        let queue = if self.dice.bool() { A } else { B };
        let (broker, machine) = (&mut self.broker, &mut self.machines[which]);
        let was_done = match self.dice.u8(..6) {
            0 | 1 => machine.step(self.now),
            2 => deliver(machine, broker),
            3 => machine.work(true, queue),
            4 => machine.work(false, queue),
            _ => self.one_comes_late(),
        };
        if std::mem::take(&mut self.broker.has_news) {
            self.machines.iter_mut().for_each(Machine::woken);
        }
        if !was_done {
            self.time_passes();
        }
    }

    fn one_comes_late(&mut self) -> bool {
        if self.late.is_empty() || self.dice.u8(..8) > 0 {
            return false;
        }
        let (consumer, request) = self.late.remove(self.dice.usize(..self.late.len()));
        self.broker.ask(consumer, &request);
        true
    }

    /// Once no machine has anything to do, the next deadline comes.
    fn time_passes(&mut self) {
        if !self.machines.iter().all(Machine::is_idle) {
            return;
        }
        if let Some(next) = self.machines.iter().filter_map(Machine::deadline).min() {
            self.now = self.now.max(next) + Duration::from_millis(1);
            self.machines.iter_mut().for_each(|machine| machine.happens(Event::Tick));
            self.broker.expire_all();
        }
    }

    fn cut(&mut self, which: usize, cable: Cable) {
        let machine = &mut self.machines[which];
        for request in machine.requests.drain(..) {
            match cable {
                Cable::Never => {}
                Cable::NowWithoutAnswer => drop(self.broker.ask(machine.consumer, &request)),
                Cable::Late => self.late.push((machine.consumer, request)),
            }
        }
    }

    fn strike(&mut self, fault: Fault) {
        let which = self.dice.usize(..self.machines.len());
        match fault {
            Fault::LinkDies(cable) => {
                self.cut(which, cable);
                let (consumer, arena) =
                    (self.machines[which].consumer, std::mem::take(&mut self.machines[which].arena));
                self.machines[which] = Machine::new(consumer, arena, self.now);
            }
            Fault::Breaks(cable) => {
                self.cut(which, cable);
                self.machines[which].happens(Event::Broken { jitter: 0.5 + self.dice.f64() / 2.0 });
            }
            Fault::MachineDies => {
                self.cut(which, Cable::Late);
                self.broker.supersede(self.machines[which].consumer);
                self.machines[which] = Machine::new(self.lives, Arena::default(), self.now);
                self.lives += 1;
            }
            Fault::LeasesExpire => self.broker.expire_all(),
            Fault::Twice => {
                let machine = &mut self.machines[which];
                if let Some(request) = machine.requests.front() {
                    let answer = self.broker.ask(machine.consumer, request);
                    machine.answered(answer);
                }
            }
        }
    }

    /// Runs to the end; `fault` says what strikes before which step.
    fn run(mut self, mut fault: impl FnMut(usize, &mut fastrand::Rng) -> Option<Fault>) -> World {
        while !self.broker.is_empty() {
            if let Some(fault) = fault(self.steps, &mut self.dice.clone()) {
                self.strike(fault);
            }
            self.step();
            assert!(self.steps < 200_000, "it hangs: {:?}", self.broker.ended);
        }
        let all: Vec<u32> = (0..ITEMS).collect();
        for ended in &mut self.broker.ended {
            ended.sort_unstable();
            assert_eq!(*ended, all);
        }
        self
    }
}

#[test]
fn whatever_strikes_once_between_any_two_steps_every_item_is_ended_once() {
    for seed in 0..3 {
        let steps = World::new(2, seed).run(|_, _| None).steps;
        assert!(steps > 100, "{steps}");
        for (fault, at) in FAULTS.iter().flat_map(|fault| (0..steps).map(move |at| (*fault, at))) {
            World::new(2, seed).run(|step, _| (step == at).then_some(fault));
        }
    }
}

#[test]
fn whatever_strikes_again_and_again_every_item_is_ended_once() {
    for seed in 0..3000 {
        let machines = 1 + seed as usize % 4;
        let mut left = 40;
        World::new(machines, seed).run(|step, dice| {
            let strikes = left > 0 && (step as u64 * 7 + seed).is_multiple_of(11);
            left -= i32::from(strikes);
            strikes.then(|| FAULTS[(dice.usize(..) ^ step) % FAULTS.len()])
        });
    }
}

#[test]
fn a_machine_that_finishes_leaves_with_nothing_held() {
    for seed in 0..500 {
        let mut world = World::new(2, seed);
        let when = world.dice.usize(..150);
        for _ in 0..when {
            world.step();
        }
        world.machines[0].happens(Event::Finish);
        let mut world = world.run(|_, _| None);
        while !world.machines[0].is_over {
            world.step();
            assert!(world.steps < 200_000, "it does not leave");
        }
    }
}
