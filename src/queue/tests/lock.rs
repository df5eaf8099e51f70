//! The lock's owner killed or stopped, in real processes.

use super::*;
use std::time::{Duration, Instant};
use transaction::session::Session;

/// A child that takes the lock, does `next`, and stays inside.
fn child_inside_the_lock(arena: &Arena, next: fn()) -> i32 {
    let fd = arena.fd().try_clone_to_owned().unwrap();
    // SAFETY: the child only maps the memory and takes the lock; it never returns into the harness.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let mut session = Session::open(Arena::attach(fd).unwrap(), layout::JOURNAL).unwrap();
        let _inside = session.begin().unwrap();
        next();
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    pid
}

fn wait_for_owner(admin: &QueueAdmin, pid: i32) {
    let start = Instant::now();
    while admin.lock_owner() != Some(pid as u32) {
        assert!(start.elapsed() < Duration::from_secs(10), "the child never took the lock");
        std::thread::yield_now();
    }
}

fn reap(pid: i32) {
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

#[test]
fn the_lock_of_a_killed_process_passes_on_without_help_however_large_it_was() {
    let (arena, admin) = arena(10);
    let child = child_inside_the_lock(&arena, || {
        let large = std::hint::black_box(vec![1u8; 256 << 20]);
        std::mem::forget(large);
    });
    wait_for_owner(&admin, child);
    std::thread::sleep(Duration::from_millis(200)); // until it has touched all of it
    let other = arena.clone();
    let waiter = std::thread::spawn(move || {
        let mut session = Session::open(other, layout::JOURNAL).unwrap();
        let _inside = session.begin().unwrap();
        Instant::now()
    });
    std::thread::sleep(Duration::from_millis(5));
    let killed = Instant::now();
    // SAFETY: kills the child made above; it has not been waited for.
    unsafe { libc::kill(child, libc::SIGKILL) };
    let took = waiter.join().unwrap() - killed;
    reap(child);
    println!("taken over after {took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_process_that_was_stopped_inside_the_lock_is_ended_by_whoever_waits() {
    let (arena, mut admin) = arena(10);
    let child = child_inside_the_lock(&arena, || {
        // SAFETY: stops this very process.
        unsafe { libc::raise(libc::SIGSTOP) };
    });
    wait_for_owner(&admin, child);
    let start = Instant::now();
    admin.counts(A).unwrap();
    println!("went on after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(10));
    reap(child);
}
