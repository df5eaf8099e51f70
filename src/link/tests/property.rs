//! Any order of what the link and a worker do, with deaths of either in between, beside a model in plain sets.

use super::*;
use crate::broker::Verdict;
use crate::broker::link::LineId;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug)]
enum Step {
    Store(u64),
    Drop(u64),
    Withdraw,
    End(usize),
    LinkDies,
    Take(usize),
    Commit,
    GiveBack,
    WorkerDies,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_u64..6).prop_map(Step::Store),
        1 => any::<u64>().prop_map(Step::Drop),
        1 => Just(Step::Withdraw),
        4 => (1_usize..4).prop_map(Step::End),
        1 => Just(Step::LinkDies),
        4 => (1_usize..5).prop_map(Step::Take),
        4 => Just(Step::Commit),
        1 => Just(Step::GiveBack),
        1 => Just(Step::WorkerDies),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Where each item of the machine is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Waits,
    Leased,
    Committed,
}

#[derive(Default)]
struct Model {
    held: BTreeMap<Sequence, Place>,
    commits: VecDeque<Vec<Sequence>>,
    /// What is another machine's goes on here as if it were held.
    lost: Vec<Sequence>,
    first: u64,
    named: u64,
}

struct Bench {
    machine: Machine,
    link: LinkArena,
    worker: WorkerHandle,
    model: Model,
}

impl Bench {
    fn leased(&self) -> Vec<Sequence> {
        (0..self.worker.len()).map(|i| mark_of(&self.worker, i).0).collect()
    }

    fn move_all(&mut self, of: &[Sequence], to: Place) {
        of.iter().for_each(|sequence| {
            if let Some(place) = self.model.held.get_mut(sequence) {
                *place = to;
            }
        });
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Store(n) => {
                let new = self.model.named + 1..=self.model.named + n;
                self.model.named += n;
                self.link.store(JOBS, &leases(new.clone())).unwrap();
                self.model.held.extend(sequences(new).into_iter().map(|sequence| (sequence, Place::Waits)));
            }
            Step::Drop(mask) => self.drop_some(mask),
            Step::Withdraw => {
                let gone: Vec<Sequence> =
                    self.link.withdraw(JOBS).unwrap().into_iter().map(|(sequence, _)| sequence).collect();
                let waits =
                    |(sequence, place): (&Sequence, &Place)| (*place == Place::Waits).then_some(*sequence);
                let waiting: Vec<Sequence> = self.model.held.iter().filter_map(waits).collect();
                assert!(waiting.iter().all(|sequence| gone.contains(sequence)), "{waiting:?} {gone:?}");
                self.model.held.retain(|_, place| *place != Place::Waits);
                self.model.lost.retain(|lost| !gone.contains(lost));
            }
            Step::End(n) => {
                let n = n.min(self.model.commits.len());
                let verdicts = vec![Verdict::Done; n];
                self.link.end(LineId(0), self.model.first + 1, &verdicts).unwrap();
                self.model.first += n as u64;
                for ended in self.model.commits.drain(..n).flatten() {
                    self.model.held.remove(&ended);
                }
            }
            Step::LinkDies => {
                self.link.die();
                self.machine.release(LINK);
                self.link = self.machine.link();
            }
            Step::Take(n) => {
                self.worker.take(&[QUEUES[0].1], n, Wait::No).unwrap();
                let leased = self.leased();
                self.move_all(&leased, Place::Leased);
            }
            Step::Commit => {
                let leased = self.leased();
                let numbers: Vec<u64> = leased.iter().map(|sequence| sequence.0).collect();
                commit_all(&mut self.worker, &commit(&numbers, &[]));
                self.move_all(&leased, Place::Committed);
                self.model.commits.push_back(leased);
            }
            Step::GiveBack | Step::WorkerDies => {
                let leased = self.leased();
                self.move_all(&leased, Place::Waits);
                if matches!(step, Step::GiveBack) {
                    return self.worker.give_back_all().unwrap();
                }
                self.worker.die();
                self.machine.release(WORKER);
                self.worker = self.machine.worker();
            }
        }
    }

    fn drop_some(&mut self, mask: u64) {
        let not_committed = |(_, place): &(&Sequence, &Place)| **place != Place::Committed;
        let held = self.model.held.iter().filter(not_committed);
        let gone: Vec<(Sequence, Place)> = held
            .enumerate()
            .filter(|(i, _)| mask >> (i % 64) & 1 == 1)
            .map(|(_, (&sequence, &place))| (sequence, place))
            .collect();
        let sequences: Vec<Sequence> = gone.iter().map(|(sequence, _)| *sequence).collect();
        self.link.drop_unbegun(JOBS, &sequences).unwrap();
        self.model.held.retain(|sequence, _| !sequences.contains(sequence));
        self.model
            .lost
            .extend(gone.iter().filter(|(_, place)| *place == Place::Leased).map(|(sequence, _)| sequence));
    }

    fn check(&mut self) {
        let remains = self.link.remains().unwrap();
        let held: Vec<Sequence> = self.model.held.keys().copied().collect();
        assert_eq!(remains.held[0].1, held);
        self.machine.admin.audit().unwrap();
        let commits = self.link.commits(LineId(0), self.model.first + 1, self.model.first + 999).unwrap();
        let ends: Vec<Vec<Sequence>> =
            commits.iter().map(|commit| commit.ends.iter().map(|end| end.sequence).collect()).collect();
        assert_eq!(VecDeque::from(ends), self.model.commits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_the_machine_has_is_what_was_stored_and_is_not_over(steps in steps()) {
        let mut machine = Machine::new();
        let (link, worker) = (machine.link(), machine.worker());
        let mut bench = Bench { machine, link, worker, model: Model::default() };
        for step in &steps {
            bench.step(step);
            bench.check();
        }
        // In the end each item of the machine waits, but for those that a commit waits for.
        bench.step(&Step::WorkerDies);
        bench.check();
        let waiting = bench.machine.waiting(JOBS);
        let known: Vec<Sequence> =
            waiting.iter().map(|(sequence, _)| *sequence).filter(|one| !bench.model.lost.contains(one)).collect();
        let waits = bench.model.held.iter().filter(|(_, place)| **place == Place::Waits);
        let mut expected: Vec<Sequence> = waits.map(|(&sequence, _)| sequence).collect();
        let mut known = known;
        known.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(known, expected);
    }
}
