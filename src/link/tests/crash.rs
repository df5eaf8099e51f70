//! Exhaustive crash injection: the link dies before each of its stores, and is released. What the next one finds is what was before a
//! transaction or what is after it, and the ledgers add up.

use super::*;
use crate::broker::Verdict;
use crate::broker::link::{LineId, Remains};
use crate::queue::inject::{self, Killed};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a link finds.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    held: Vec<Vec<Sequence>>,
    waiting: Vec<Vec<(Sequence, u32)>>,
    commits: Vec<u64>,
    token: Option<Vec<u8>>,
}

fn find(machine: &mut Machine) -> Found {
    let mut link = machine.link();
    let Remains { held, commits } = link.remains().unwrap();
    let token = link.token(LineId(0)).unwrap();
    drop(link);
    machine.release(LINK);
    Found {
        held: held.into_iter().map(|(_, held)| held).collect(),
        waiting: [JOBS, MORE].map(|queue| in_any_order(machine.waiting(queue))).to_vec(),
        commits: commits[0].iter().map(|(number, _)| *number).collect(),
        token,
    }
}

/// A broker's queue promises none.
fn in_any_order(mut items: Vec<(Sequence, u32)>) -> Vec<(Sequence, u32)> {
    items.sort_unstable();
    items
}

/// True if it was killed before it ended.
fn killed(at: u64, work: impl FnOnce()) -> bool {
    inject::arm(at);
    let result = catch_unwind(AssertUnwindSafe(work));
    inject::arm(u64::MAX);
    result.is_err_and(|panic| panic.is::<Killed>() || std::panic::resume_unwind(panic))
}

/// Items of two queues, some of which have failed or are delayed, and commits that end others.
fn set_up() -> Machine {
    let mut machine = Machine::new();
    let (mut link, mut worker) = (machine.link(), machine.worker());
    link.store(JOBS, &leases(1..=6)).unwrap();
    link.store(MORE, &leases(11..=13)).unwrap();
    for (jobs, more) in [(&[1_u64, 2][..], &[11_u64][..]), (&[3], &[])] {
        take(&mut worker, QUEUES[0].1, jobs.len());
        if !more.is_empty() {
            take(&mut worker, QUEUES[1].1, more.len());
        }
        commit_all(&mut worker, &commit(jobs, more));
    }
    take(&mut worker, QUEUES[0].1, 1);
    worker.give_back_all().unwrap();
    drop((link, worker));
    machine.release(LINK);
    machine.release(WORKER);
    machine
}

/// The link does `act`, and dies at each store. Each of the states in between that `allowed` has is seen, and no other.
fn die_everywhere(name: &str, act: impl Fn(&mut LinkArena), parts: &[&dyn Fn(&mut LinkArena)]) {
    let mut machine = set_up();
    let mut allowed = vec![find(&mut machine)];
    for part in parts {
        let mut machine = set_up();
        let mut link = machine.link();
        part(&mut link);
        drop(link);
        machine.release(LINK);
        allowed.push(find(&mut machine));
    }
    let mut seen = vec![0; allowed.len()];
    for at in 0.. {
        let mut machine = set_up();
        let mut link = machine.link();
        let died = killed(at, || act(&mut link));
        link.die();
        drop(link);
        // The one that releases it dies as well, somewhere else each time.
        killed(at % 40, || machine.release(LINK));
        machine.admin.die();
        machine.admin = QueueAdmin::open(machine.arena.clone()).unwrap();
        machine.release(LINK);
        machine.admin.audit().unwrap_or_else(|wrong| panic!("{name}, killed at store {at}: {wrong}"));
        let found = find(&mut machine);
        let state = allowed.iter().position(|state| *state == found);
        seen[state.unwrap_or_else(|| panic!("{name}, killed at store {at}: {found:?}"))] += 1;
        if !died {
            assert!(at > 30, "{name}: only {at} stores");
            break;
        }
    }
    assert!(seen.iter().all(|&seen| seen > 0), "{name}: {seen:?}");
}

#[test]
fn items_and_their_sequences_come_in_together() {
    let store = |link: &mut LinkArena| link.store(JOBS, &leases(20..=26)).unwrap();
    die_everywhere("store", store, &[&store]);
}

#[test]
fn commits_and_the_sequences_that_they_end_go_together() {
    let end = |n: usize| move |link: &mut LinkArena| link.end(LineId(0), 1, &vec![Verdict::Done; n]).unwrap();
    die_everywhere("end of one", end(1), &[&end(1)]);
    die_everywhere("end of both", end(2), &[&end(2)]);
}

#[test]
fn what_another_machine_has_goes_together_with_its_sequences() {
    let drop = |link: &mut LinkArena| link.drop_unbegun(JOBS, &sequences([4, 6, 2])).unwrap();
    die_everywhere("drop", drop, &[&drop]);
}

#[test]
fn a_position_of_the_broker_takes_the_place_of_a_token() {
    let put = |link: &mut LinkArena| link.put_token(LineId(0), b"a position that is no word").unwrap();
    die_everywhere("token", put, &[&put]);
}

#[test]
fn what_is_withdrawn_goes_together_with_its_sequences() {
    let withdraw = |link: &mut LinkArena| assert_eq!(link.withdraw(JOBS).unwrap().len(), 3);
    die_everywhere("withdraw", withdraw, &[&withdraw]);
}
