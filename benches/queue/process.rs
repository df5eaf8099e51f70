//! Children that start together, and the time from then until they have ended.

use std::io::{Read, Write, pipe};
use std::time::{Duration, Instant};

/// Forks one child for each job; each sets itself up, waits for the start, works. The time is from the start until
/// all of the first `counted` have ended; then `then` is called, and the rest are waited for.
pub fn race(jobs: Vec<Box<dyn FnOnce(Start)>>, counted: usize, then: impl FnOnce()) -> Duration {
    let n = jobs.len();
    let (ready_out, ready_in) = pipe().unwrap();
    let (start_out, mut start_in) = pipe().unwrap();
    let mut children = Vec::new();
    for job in jobs {
        let start = Start { ready: ready_in.try_clone().unwrap(), go: start_out.try_clone().unwrap() };
        // SAFETY: this process has one thread; the child works and exits.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(start)));
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(result.is_err())) };
        }
        children.push(pid);
    }
    let mut ready = ready_out;
    ready.read_exact(&mut vec![0; n]).unwrap();
    let begin = Instant::now();
    start_in.write_all(&vec![1; n]).unwrap();
    children[..counted].iter().for_each(|&child| wait(child));
    then();
    children[counted..].iter().for_each(|&child| wait(child));
    begin.elapsed()
}

/// Keeps this process, and all it starts, on the processor it is on.
pub fn on_one_processor(work: impl FnOnce()) {
    // SAFETY: plain calls; the sets are ours, and as long as they say.
    unsafe {
        let mut all: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&all), &mut all), 0);
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu() as usize, &mut one);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&one), &one), 0);
        work();
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&all), &all), 0);
    }
}

pub fn wait(child: i32) {
    let mut status = 0;
    // SAFETY: waits for a child of ours.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0, "a child failed");
}

/// The starting line.
pub struct Start {
    ready: std::io::PipeWriter,
    go: std::io::PipeReader,
}

impl Start {
    pub fn wait(&mut self) {
        self.ready.write_all(&[1]).unwrap();
        self.go.read_exact(&mut [0]).unwrap();
    }
}
