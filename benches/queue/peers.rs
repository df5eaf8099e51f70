//! What people use instead, measured in the same run.

use crate::process::{Start, race};
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::time::{Duration, Instant};

/// crossbeam-channel between threads: no processes, no leases, nothing survives a crash.
pub fn crossbeam(capacity: usize, items: u64, threads: u64) -> Duration {
    let (sender, receiver) = crossbeam_channel::bounded::<u64>(capacity);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, receiver) = (sender.clone(), receiver.clone());
            scope.spawn(move || (0..items / threads).for_each(|i| sender.send(i).unwrap()));
            scope.spawn(move || std::hint::black_box(receiver.iter().fold(0, u64::wrapping_add)));
        }
        drop(sender);
    });
    begin.elapsed()
}

/// A pipe between two processes, one write and one read for each item.
pub fn pipe_items(items: u64, size: usize) -> Duration {
    let (mut reader, mut writer) = pipe().unwrap();
    let (mut input, mut output) = (vec![0u8; size], vec![7u8; size]);
    let reads: Box<dyn FnOnce(Start)> = Box::new(move |mut start| {
        start.wait();
        (0..items).for_each(|_| reader.read_exact(&mut input).unwrap());
    });
    let writes: Box<dyn FnOnce(Start)> = Box::new(move |mut start| {
        start.wait();
        for i in 0..items {
            output[0] = i as u8;
            writer.write_all(&output).unwrap();
        }
    });
    race(vec![reads, writes], 2, || {})
}

pub fn pipe_ping_pong(rounds: usize, pause: Duration) -> Vec<Duration> {
    let (there_out, there_in) = pipe().unwrap();
    let (back_out, back_in) = pipe().unwrap();
    let hop = |mut from: &PipeReader, mut to: &PipeWriter| {
        let mut word = [0; 8];
        from.read_exact(&mut word).unwrap();
        to.write_all(&word).unwrap();
    };
    // SAFETY: this process has one thread; the child works and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        (0..rounds).for_each(|_| hop(&there_out, &back_in));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        std::thread::sleep(pause);
        let begin = Instant::now();
        (&there_in).write_all(&[1; 8]).unwrap();
        (&back_out).read_exact(&mut [0; 8]).unwrap();
        times.push(begin.elapsed());
    }
    crate::process::wait(child);
    times
}

/// So many copies of an item through a few buffers, as a queue would hold them; `times` copies for each item.
pub fn memcpys(items: u64, size: usize, times: usize) -> Duration {
    let (mut source, mut target) = (vec![7u8; size], vec![0u8; size]);
    let mut between = vec![vec![0u8; size]; 16];
    let begin = Instant::now();
    for i in 0..items {
        let buffer = &mut between[i as usize % 16];
        source[0] = i as u8;
        buffer.copy_from_slice(&source);
        if times == 2 {
            target.copy_from_slice(buffer);
        }
        std::hint::black_box((&buffer, &target));
    }
    begin.elapsed()
}

/// One item an operation, as its interface has it.
pub const MULTIPROCESSING: &str = "
import multiprocessing as m, time
def work(q, n):
    for i in range(n): q.put(i)
q = m.Queue(1024)
n = 30000
p = m.Process(target=work, args=(q, n))
t = time.time()
p.start()
for _ in range(n): q.get()
print(n / (time.time() - t))
p.join()
";

/// Batches of 256, as ours.
pub const FASTER_FIFO: &str = "
import multiprocessing as m, time
from faster_fifo import Queue
def work(q, n):
    for i in range(0, n, 256): q.put_many(list(range(i, i + 256)))
q = Queue(1 << 20)
n = 256 * 800
p = m.Process(target=work, args=(q, n))
t = time.time()
p.start()
got = 0
while got < n: got += len(q.get_many(max_messages_to_get=256))
print(n / (time.time() - t))
p.join()
";

/// Items per second of a queue of Python's, if there is a Python that has it. `PYTHON` names another than `python3`.
pub fn python(script: &str) -> Option<f64> {
    let python = std::env::var_os("PYTHON").unwrap_or("python3".into());
    let output = std::process::Command::new(python).args(["-c", script]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
