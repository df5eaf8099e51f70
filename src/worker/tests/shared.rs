//! Stages between queues of a broker: each loop through the one path of commits.

use super::*;
use crate::broker::{Commit, MARK_LEN, Sequence, SharedQueue};
use crate::stage::{Emitter, Failure, Item, Next};
use std::collections::BTreeSet;

const LINE: QueueId = QueueId(3);

fn bench(shared: &[QueueId]) -> Bench {
    let mut bench = Bench::new();
    bench.admin.set_queue(LINE, &limits(10_000)).unwrap();
    let queues = shared.iter().map(|&queue| (queue, SharedQueue(queue.0))).collect();
    bench.shared = Some(SharedQueues { line: LINE, queues, token: None });
    bench
}

impl Bench {
    fn marked_input(&mut self, items: impl Iterator<Item = u64>) {
        let mark = |n: u64| [&Sequence(n, 0).to_mark()[..], format!("item {n}").as_bytes()].concat();
        self.admin.open_slot(READER, &Tuning::default()).unwrap();
        let mut queues = WorkerHandle::open(self.arena.clone(), READER).unwrap();
        for n in items {
            queues.put(&[IN], &mark(n), None).unwrap();
            queues.commit(0, Wait::No).unwrap();
        }
        queues.give_back_all().unwrap();
        self.admin.set_ended(IN, true).unwrap();
    }

    fn commits(&mut self) -> Vec<Commit> {
        self.admin.open_slot(READER, &Tuning::default()).unwrap();
        let mut queues = WorkerHandle::open(self.arena.clone(), READER).unwrap();
        let mut commits = Vec::new();
        let note = |id, bytes: &[u8]| {
            commits.push(Commit::decode(id + 1, &bytes.to_vec().into()).unwrap());
            true
        };
        queues.look(LINE, 0, usize::MAX, note).unwrap();
        commits
    }
}

/// Says each item twice; one of them it can't do.
struct Twice;

impl Stage for Twice {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        if item.bytes() == b"item 7" {
            return Err(Failure::new("seven"));
        }
        (0..2).try_for_each(|_| out.emit(item.bytes()))
    }
}

#[test]
fn each_item_ends_in_one_commit_with_its_outputs_whenever_its_worker_dies() {
    let (mut deaths, mut at) = (0, 0);
    loop {
        let mut bench = bench(&[IN, OUT]);
        bench.tuning.attempts = 2;
        bench.marked_input(1..=12);
        bench.dies_at = Some(at);
        let mut lives = 0;
        while bench.run_stage(Twice, Persistence::Nothing) != Some(Ending::InputEnded) {
            lives += 1;
            assert!(lives < 5);
        }
        let (mut ended, mut outputs, mut dead) = (BTreeSet::new(), Vec::new(), Vec::new());
        for commit in bench.commits() {
            let own: Vec<Vec<u8>> = commit.outputs.into_iter().map(|output| output.item.to_vec()).collect();
            let done = commit.ends.iter().filter(|end| end.dead.is_none());
            let expected: Vec<Vec<u8>> = done
                .flat_map(|end| [0, 1].map(|_| format!("item {}", end.sequence.0).into_bytes()))
                .collect();
            assert_eq!(own, expected, "killed at store {at}");
            outputs.extend(own);
            for end in commit.ends {
                assert!(ended.insert(end.sequence.0), "{} ends twice, killed at store {at}", end.sequence.0);
                dead.extend(end.dead);
            }
        }
        // Killed in its last attempt it is the supervisor that writes the letter.
        let by_worker = |n: &u64| *n != 7 || bench.dead.is_empty();
        let expected: BTreeSet<u64> = (1..=12).filter(by_worker).collect();
        assert_eq!((ended, outputs.len()), (expected, 22), "killed at store {at}");
        match &dead[..] {
            [(why, 2)] => assert_eq!(why, "seven"),
            [] => assert_eq!(bench.dead.len(), 1),
            _ => panic!("killed at store {at}: {dead:?}"),
        }
        bench.check();
        if lives == 0 {
            break;
        }
        (deaths, at) = (deaths + 1, at + 3);
    }
    assert!(deaths > 50, "{deaths}");
}

/// Numbers, with a position.
struct Numbers(u64);

impl Source for Numbers {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if self.0 == 30 {
            return Ok(Next::End);
        }
        self.0 += 1;
        out.emit(self.0.to_string().as_bytes())?;
        Ok(Next::More)
    }

    fn save(&self, state: &mut Vec<u8>) {
        state.extend(self.0.to_le_bytes());
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.0 = u64::from_le_bytes(state.try_into().map_err(|_| Failure::fatal("no number"))?);
        Ok(())
    }
}

#[test]
fn what_a_source_says_is_in_the_line_once_whenever_it_dies() {
    for at in 0.. {
        let mut bench = bench(&[OUT]);
        bench.dies_at = Some(at);
        let mut lives = 0;
        while bench.run_source(Numbers(0), Persistence::State) != Some(Ending::Finished) {
            lives += 1;
            assert!(lives < 5);
        }
        let said = bench.commits().into_iter().flat_map(|commit| commit.outputs);
        let said: Vec<String> = said.map(|output| String::from_utf8(output.item.to_vec()).unwrap()).collect();
        assert_eq!(said, (1..=30).map(|n| n.to_string()).collect::<Vec<_>>(), "killed at store {at}");
        bench.check();
        if lives == 0 {
            assert!(at > 50, "{at}");
            break;
        }
    }
}

/// The steps of a stage's commits follow each other, and each has what was done on its way.
#[test]
fn a_position_moves_in_the_broker_as_it_does_here_whenever_its_worker_dies() {
    for at in 0.. {
        let mut bench = bench(&[OUT]);
        bench.shared.as_mut().unwrap().token = Some(TOKEN);
        bench.dies_at = Some(at);
        let mut lives = 0;
        while bench.run_source(Numbers(0), Persistence::State) != Some(Ending::Finished) {
            lives += 1;
            assert!(lives < 5);
        }
        let (mut position, mut said) = (Vec::new(), 0_u64);
        for commit in bench.commits() {
            let step = commit.step.unwrap();
            assert_eq!(step.from, position, "killed at store {at}");
            said += commit.outputs.len() as u64;
            assert_eq!(step.to[1..], said.to_le_bytes(), "killed at store {at}");
            position = step.to;
        }
        assert_eq!((position[0], said), (1, 30), "it says its end, killed at store {at}");
        if lives == 0 {
            assert!(at > 50, "{at}");
            break;
        }
    }
}

#[test]
fn an_item_of_no_bytes_is_one() {
    let mut bench = bench(&[IN]);
    bench.has_output = false;
    let mut queues = {
        bench.admin.open_slot(READER, &Tuning::default()).unwrap();
        WorkerHandle::open(bench.arena.clone(), READER).unwrap()
    };
    queues.put(&[IN], &[1; MARK_LEN], None).unwrap();
    queues.commit(0, Wait::No).unwrap();
    queues.give_back_all().unwrap();
    let mut worker = bench.worker();
    worker.queues.take(&[IN], 1, Wait::No).unwrap();
    assert_eq!(worker.queues.item(0).unwrap().bytes, b"");
    worker.queues.give_back_all().unwrap();
}
