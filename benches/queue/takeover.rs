//! How long the others are held up when the owner of the lock is killed in the middle of a transaction.

use crate::ours::{BACK, Q, arena, worker};
use mprun::queue::{QueueAdmin, QueueId, SlotId, Tuning, Wait, WorkerHandle};
use std::io::{Read, Write, pipe};
use std::time::{Duration, Instant};

/// The victim gets so far before it is killed, at most.
const RUN: Duration = Duration::from_micros(200);
/// After a kill that met it outside of the lock nothing is to be seen.
const SEEN_BY: Duration = Duration::from_millis(20);

/// So many takeovers from a victim that has touched so many bytes: from the kill to the survivor's next finished
/// operation.
pub fn times(takeovers: usize, bytes: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    while times.len() < takeovers {
        times.extend(one(bytes));
    }
    times.sort_unstable();
    times
}

/// `None`: it did not have the lock.
fn one(bytes: usize) -> Option<Duration> {
    let (arena, mut admin) = arena(10);
    (0..2).for_each(|slot| admin.open_slot(SlotId(slot), &Tuning::default()).unwrap());
    let (mut ready_out, mut ready_in) = pipe().unwrap();
    // SAFETY: this process has one thread; the child works until it is killed.
    let victim = unsafe { libc::fork() };
    if victim == 0 {
        let ballast = vec![1u8; bytes];
        let mut worker = worker(&arena, 0);
        ready_in.write_all(&[std::hint::black_box(&ballast)[bytes / 2]]).unwrap();
        loop {
            pass_one(&mut worker, Q);
        }
    }
    ready_out.read_exact(&mut [0]).unwrap();
    let mut worker = worker(&arena, 1);
    let until = Instant::now() + RUN.mul_f64(fastrand::f64());
    while Instant::now() < until {
        pass_one(&mut worker, BACK);
    }
    let took = kill(&mut worker, victim, &admin);
    let mut status = 0;
    // SAFETY: waits for a child of ours.
    unsafe { libc::waitpid(victim, &mut status, 0) };
    took
}

fn kill(worker: &mut WorkerHandle, victim: i32, admin: &QueueAdmin) -> Option<Duration> {
    let begin = Instant::now();
    // SAFETY: a plain call on a child of ours that nobody has waited for.
    unsafe { libc::kill(victim, libc::SIGKILL) };
    while begin.elapsed() < SEEN_BY {
        pass_one(worker, BACK);
        if admin.takeovers() > 0 {
            return Some(begin.elapsed());
        }
    }
    None
}

fn pass_one(worker: &mut WorkerHandle, q: QueueId) {
    worker.put(&[q], b"item", None).unwrap();
    worker.commit(0, Wait::Forever).unwrap();
    worker.take(&[q], 1, Wait::No).unwrap();
    worker.commit(1, Wait::No).unwrap();
}
