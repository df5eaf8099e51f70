//! Forked workers, and a supervisor that kills, stops, settles and replaces them.

use crate::load::{self, A, B, POSITION, Role, SINKS, SUMS};
use mprun::queue::{
    Arena, FailureAttribution, Limits, Order, QueueAdmin, QueueId, SlotId, Tuning, WhenFull, WorkerHandle,
};
use std::time::{Duration, Instant};

const ROLES: [Role; 7] =
    [Role::Producer, Role::Producer, Role::Mover, Role::Mover, Role::Mover, Role::Sink(0), Role::Sink(1)];
/// Far more than any item needs: nothing becomes a dead letter in the storm.
const ATTEMPTS: u32 = 1000;
/// The longest that the end may take: longer means that somebody sleeps for ever.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A child process that runs `work` and exits 0, or 101 if it panicked.
pub fn fork(work: impl FnOnce()) -> i32 {
    // SAFETY: the child runs only code of this test, which takes no lock that another thread may have held at the
    // fork (glibc makes malloc safe), and never returns into the test harness.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // SAFETY: ends the child without the harness's own exit handlers.
        unsafe { libc::_exit(if result.is_ok() { 0 } else { 101 }) };
    }
    pid
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: a plain kill of a child that has not been waited for.
    unsafe { libc::kill(pid, signal) };
}

/// The status of a child that has ended.
pub fn wait(pid: i32, flags: i32) -> Option<(i32, i32)> {
    let mut status = 0;
    // SAFETY: fills the int it is given.
    let ended = unsafe { libc::waitpid(pid, &mut status, flags) };
    (ended > 0).then_some((ended, status))
}

/// Dies with its parent.
pub fn die_with(parent: i32) {
    // SAFETY: plain system calls.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != parent {
            libc::_exit(1);
        }
    }
}

fn attach(arena: &Arena) -> Arena {
    Arena::attach(arena.fd().try_clone_to_owned().unwrap()).unwrap()
}

/// Creates the queues and seeds the tokens.
pub fn set_up(arena: &Arena, capacity: u64) {
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    let limits = Limits { capacity, max_bytes: 3 << 20, max_item: 1 << 18, when_full: WhenFull::Block };
    for q in
        [A, B].into_iter().chain((0..=SINKS).map(|n| if n == 0 { POSITION } else { QueueId(SUMS + n - 1) }))
    {
        admin.set_queue(q, &limits).unwrap();
    }
    admin.seed(POSITION, &0u64.to_le_bytes()).unwrap();
    (0..SINKS).for_each(|n| admin.seed(QueueId(SUMS + n), b"").unwrap());
}

pub struct Crew {
    arena: Arena,
    admin: QueueAdmin,
    workers: Vec<Option<i32>>,
    dice: fastrand::Rng,
    pub deaths: u64,
}

impl Crew {
    /// Settles whatever an earlier supervisor left, and starts everybody.
    pub fn start(arena: &Arena, seed: u64) -> Crew {
        let arena = attach(arena);
        let admin = QueueAdmin::open(arena.clone()).unwrap();
        let (workers, dice) = (vec![None; ROLES.len()], fastrand::Rng::with_seed(seed));
        let mut crew = Crew { arena, admin, workers, dice, deaths: 0 };
        for slot in 0..ROLES.len() {
            crew.release(slot);
            crew.start_worker(slot);
        }
        crew
    }

    fn release(&mut self, slot: usize) {
        let released = self
            .admin
            .release(SlotId(slot as u16), FailureAttribution::Begun, ATTEMPTS, &mut |_| Ok(()))
            .unwrap();
        assert_eq!(released.dead, 0);
    }

    fn start_worker(&mut self, slot: usize) {
        let id = SlotId(slot as u16);
        self.admin.open_slot(id, &Tuning::default()).unwrap();
        let (arena, parent, fate) = (self.arena.clone(), std::process::id() as i32, self.dice.u64(50..4000));
        self.workers[slot] = Some(fork(move || {
            die_with(parent);
            let mut worker = WorkerHandle::open(attach(&arena), id).unwrap();
            kill_self_at_store(fate);
            load::work(&mut worker, ROLES[slot]);
        }));
    }

    /// Settles those that have died, and replaces them while `hiring`; those that ended well stay away.
    fn tend(&mut self, hiring: bool) {
        for slot in 0..ROLES.len() {
            let Some(pid) = self.workers[slot] else { continue };
            let Some((_, status)) = wait(pid, libc::WNOHANG) else { continue };
            assert!(!libc::WIFEXITED(status) || libc::WEXITSTATUS(status) == 0, "worker {slot} failed");
            self.workers[slot] = None;
            self.release(slot);
            if libc::WIFSIGNALED(status) {
                self.deaths += 1;
                if hiring {
                    self.start_worker(slot);
                }
            }
        }
    }

    /// Kills somebody every 100 to 500 microseconds, and now and then stops somebody instead.
    pub fn storm(&mut self, until: Instant) {
        while Instant::now() < until {
            std::thread::sleep(Duration::from_micros(self.dice.u64(100..500)));
            let victim = self.dice.usize(0..ROLES.len());
            let Some(pid) = self.workers[victim] else { continue };
            if self.dice.u8(0..50) == 0 {
                kill(pid, libc::SIGSTOP);
                self.admin.set_stopped(1).unwrap();
                std::thread::sleep(Duration::from_millis(3));
                kill(pid, libc::SIGCONT);
                self.admin.set_stopped(0).unwrap();
            } else {
                kill(pid, libc::SIGKILL);
            }
            self.tend(true);
        }
    }

    /// Producers are ordered to finish; then the end runs down the queues. No process is killed any more, but by itself.
    pub fn finish(mut self) -> u64 {
        self.admin.order_all(&[SlotId(0), SlotId(1)], Order::Finish).unwrap();
        let start = Instant::now();
        while self.workers.iter().any(Option::is_some) {
            let gone = |range: std::ops::Range<usize>| self.workers[range].iter().all(Option::is_none);
            let (a_ended, b_ended) = (gone(0..2), gone(0..5));
            self.admin.set_ended(A, a_ended).unwrap();
            self.admin.set_ended(B, b_ended).unwrap();
            self.tend_at_the_end();
            std::thread::sleep(Duration::from_millis(1));
            if start.elapsed() > TIMEOUT {
                let counts = [POSITION, A, B].map(|q| self.admin.counts(q).unwrap());
                panic!("the end does not come: workers {:?}, queues {counts:#?}", self.workers);
            }
        }
        self.deaths
    }

    fn tend_at_the_end(&mut self) {
        let producers = [self.workers[0], self.workers[1]];
        self.tend(true);
        for (slot, before) in producers.into_iter().enumerate() {
            if self.workers[slot] != before && self.workers[slot].is_some() {
                self.admin.order(SlotId(slot as u16), Order::Finish).unwrap();
            }
        }
    }
}

/// With the feature `inject` every worker also dies at a store of its own choice, mostly inside the lock.
#[cfg(feature = "inject")]
fn kill_self_at_store(fate: u64) {
    mprun::queue::inject::for_real();
    mprun::queue::inject::arm(fate);
}

#[cfg(not(feature = "inject"))]
fn kill_self_at_store(_fate: u64) {}
