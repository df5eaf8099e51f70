//! What is measured of the queue.

use crate::process::{Start, race};
use mprun::queue::{
    Arena, Committed, Limits, QueueAdmin, QueueId, SlotId, Taken, Tuning, Wait, WhenFull, WorkerHandle,
};
use std::time::Duration;

pub const Q: QueueId = QueueId(0);
pub const BACK: QueueId = QueueId(1);

/// A queue between processes.
#[derive(Clone, Copy)]
pub struct Shape {
    pub writers: u16,
    pub readers: u16,
    pub items: u64,
    pub size: usize,
    pub batch: usize,
    pub capacity: u64,
    /// Written and read in place: no copy in, none out.
    pub in_place: bool,
}

pub fn arena(capacity: u64) -> (Arena, QueueAdmin) {
    let arena = Arena::create().unwrap();
    let mut admin = QueueAdmin::open(arena.clone()).unwrap();
    let limits = Limits { capacity, max_bytes: 1 << 28, max_item: 1 << 24, when_full: WhenFull::Block };
    [Q, BACK].iter().for_each(|&q| admin.set_queue(q, &limits).unwrap());
    (arena, admin)
}

pub fn worker(arena: &Arena, slot: u16) -> WorkerHandle {
    let worker =
        WorkerHandle::open(Arena::attach(arena.fd().try_clone_to_owned().unwrap()).unwrap(), SlotId(slot))
            .unwrap();
    worker.order();
    worker
}

/// Time for all items to pass.
pub fn pass(shape: Shape) -> Duration {
    let (arena, mut admin) = arena(shape.capacity);
    let mut jobs: Vec<Box<dyn FnOnce(Start)>> = Vec::new();
    for slot in 0..shape.writers + shape.readers {
        admin.open_slot(SlotId(slot), &Tuning::default()).unwrap();
        let arena = arena.clone();
        jobs.push(Box::new(move |start| {
            let mut worker = worker(&arena, slot);
            if slot < shape.writers {
                write(&mut worker, shape, start)
            } else {
                read(&mut worker, shape, start)
            }
        }));
    }
    race(jobs, shape.writers as usize, || admin.set_ended(Q, true).unwrap())
}

fn write(worker: &mut WorkerHandle, shape: Shape, mut start: Start) {
    let mut source = vec![7u8; shape.size];
    start.wait();
    let mut left = shape.items / u64::from(shape.writers);
    while left > 0 {
        let n = left.min(shape.batch as u64);
        for i in 0..n {
            source[..8].copy_from_slice(&(left - i).to_le_bytes());
            if shape.in_place {
                worker.put_with(&[Q], shape.size, None, |bytes| bytes.fill(i as u8)).unwrap();
            } else {
                worker.put(&[Q], &source, None).unwrap();
            }
        }
        assert!(matches!(worker.commit(0, Wait::Forever).unwrap(), Committed::Done { .. }));
        left -= n;
    }
    worker.settle().unwrap();
}

fn read(worker: &mut WorkerHandle, shape: Shape, mut start: Start) {
    let mut copy = vec![0u8; shape.size];
    let mut sum = 0u64;
    start.wait();
    loop {
        match worker.take(&[Q], shape.batch, Wait::Forever).unwrap() {
            Taken::Items { .. } => {}
            Taken::Ended => break,
            Taken::Empty | Taken::Ordered => {
                worker.order();
            }
        }
        for i in 0..worker.len() {
            let bytes = worker.item(i).unwrap().bytes;
            if !shape.in_place {
                copy.copy_from_slice(bytes);
            }
            sum = sum.wrapping_add(u64::from(bytes[0]));
        }
        worker.commit(worker.len(), Wait::No).unwrap();
    }
    std::hint::black_box((sum, &copy));
}

/// One item there and one back, so many times; `pause`: long enough for the other side to fall asleep.
pub fn ping_pong(rounds: usize, pause: Duration) -> Vec<Duration> {
    let (arena, mut admin) = arena(10);
    (0..2).for_each(|slot| admin.open_slot(SlotId(slot), &Tuning::default()).unwrap());
    // SAFETY: this process has one thread; the child works and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut worker = worker(&arena, 1);
        for _ in 0..rounds {
            echo(&mut worker, Q, BACK);
        }
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(0) };
    }
    let mut worker = worker(&arena, 0);
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        std::thread::sleep(pause);
        let begin = std::time::Instant::now();
        worker.put(&[Q], b"ping", None).unwrap();
        worker.commit(0, Wait::Forever).unwrap();
        while !matches!(worker.take(&[BACK], 1, Wait::Forever).unwrap(), Taken::Items { .. }) {
            worker.order();
        }
        times.push(begin.elapsed());
        worker.commit(1, Wait::No).unwrap();
    }
    crate::process::wait(child);
    times
}

fn echo(worker: &mut WorkerHandle, from: QueueId, to: QueueId) {
    while !matches!(worker.take(&[from], 1, Wait::Forever).unwrap(), Taken::Items { .. }) {
        worker.order();
    }
    worker.put(&[to], b"pong", Some(0)).unwrap();
    worker.commit(1, Wait::Forever).unwrap();
}

fn touched(arena: &Arena) -> u64 {
    let file = std::fs::File::from(arena.fd().try_clone_to_owned().unwrap());
    std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512
}

/// Bytes of memory: ten items in a queue of a million; at the height of a burst of 256 MiB; after it.
pub fn memory() -> [u64; 3] {
    let (arena, mut admin) = arena(1_000_000);
    (0..2).for_each(|slot| admin.open_slot(SlotId(slot), &Tuning::default()).unwrap());
    let (mut writer, mut reader) = (worker(&arena, 0), worker(&arena, 1));
    let put = |writer: &mut WorkerHandle, n: usize, size: usize| {
        for _ in 0..n {
            writer.put(&[Q], &vec![1; size], None).unwrap();
            writer.commit(0, Wait::Forever).unwrap();
        }
        writer.settle().unwrap();
    };
    put(&mut writer, 10, 100);
    let small = touched(&arena);
    put(&mut writer, 2000, 100_000);
    let height = touched(&arena);
    let soon = || Wait::Until(std::time::Instant::now() + Duration::from_millis(5));
    reader.order();
    while !matches!(reader.take(&[Q], 16, soon()).unwrap(), Taken::Empty) {
        reader.commit(16, Wait::No).unwrap();
    }
    [small, height, touched(&arena)]
}

/// How long the release of a worker with 512 leases takes, beside a million waiting items.
pub fn recovery() -> Duration {
    let (arena, mut admin) = arena(1_000_000);
    (0..2).for_each(|slot| admin.open_slot(SlotId(slot), &Tuning::default()).unwrap());
    let mut writer = worker(&arena, 0);
    for i in 0..1_000_000u64 {
        writer.put(&[Q], &i.to_le_bytes(), None).unwrap();
        if i % 500 == 499 {
            writer.commit(0, Wait::No).unwrap();
        }
    }
    let mut victim = worker(&arena, 1);
    victim.take(&[Q], 512, Wait::No).unwrap();
    drop(victim);
    let begin = std::time::Instant::now();
    admin.release(SlotId(1), mprun::queue::FailureAttribution::Begun, 3, &mut |_| Ok(())).unwrap();
    begin.elapsed()
}

/// Processor time of one item, put and taken by one thread in batches: what no other load on the machine changes much.
pub fn processor_time(items: u64, size: usize, batch: usize) -> Duration {
    let (arena, mut admin) = arena(1024);
    (0..2).for_each(|slot| admin.open_slot(SlotId(slot), &Tuning::default()).unwrap());
    let (mut writer, mut reader) = (worker(&arena, 0), worker(&arena, 1));
    let source = vec![7; size];
    let begin = thread_time();
    for _ in 0..items / batch as u64 {
        for _ in 0..batch {
            writer.put(&[Q], &source, None).unwrap();
        }
        writer.commit(0, Wait::Forever).unwrap();
        reader.take(&[Q], batch, Wait::Forever).unwrap();
        let sum: u64 = (0..reader.len()).map(|i| u64::from(reader.item(i).unwrap().bytes[0])).sum();
        std::hint::black_box(sum);
        reader.commit(batch, Wait::No).unwrap();
    }
    (thread_time() - begin) / u32::try_from(items).unwrap_or(u32::MAX)
}

fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
