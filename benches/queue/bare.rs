//! What the machine itself allows: the same copies between two processes, through plain shared memory and with nothing but
//! two counters, while both spin. No queue between two processes can be faster; this one can do nothing else.

use crate::process::{Start, race};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

/// Buffers in use, as a queue with as many batches under way would have.
const BUFFERS: usize = 64;

struct Shared {
    at: *mut u8,
    size: usize,
}

impl Shared {
    /// Two counters in lines of their own, then the buffers. Stays mapped until the process ends.
    fn new(size: usize) -> Shared {
        let (protect, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the kernel's choice; the result is checked.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096 + BUFFERS * size, protect, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED);
        Shared { at: at.cast(), size }
    }

    fn counter(&self, which: usize) -> &AtomicU64 {
        // SAFETY: inside the mapping, aligned, and only used as an atomic.
        unsafe { &*self.at.add(which * 128).cast::<AtomicU64>() }
    }

    fn buffer(&mut self, i: u64) -> &mut [u8] {
        let offset = 4096 + i as usize % BUFFERS * self.size;
        // SAFETY: inside the mapping; the two counters say whose the buffer is.
        unsafe { std::slice::from_raw_parts_mut(self.at.add(offset), self.size) }
    }

    fn wait(&self, which: usize, beyond: u64) {
        for spins in 1u32.. {
            if self.counter(which).load(Acquire) > beyond {
                return;
            }
            match spins % 1000 {
                0 => std::thread::yield_now(),
                _ => std::hint::spin_loop(),
            }
        }
    }
}

/// Time for all items to pass.
pub fn pass(items: u64, size: usize, in_place: bool) -> Duration {
    let shared = Shared::new(size);
    let at = shared.at as usize;
    let mine = move || Shared { at: at as *mut u8, size };
    let reads: Box<dyn FnOnce(Start)> = Box::new(move |mut start| {
        let (mut shared, mut copy, mut sum) = (mine(), vec![0; size], 0u64);
        start.wait();
        for i in 0..items {
            shared.wait(0, i);
            let bytes = shared.buffer(i);
            if !in_place {
                copy.copy_from_slice(bytes);
            }
            sum += u64::from(bytes[0]);
            shared.counter(1).store(i + 1, Release);
        }
        std::hint::black_box((sum, &copy));
    });
    let writes: Box<dyn FnOnce(Start)> = Box::new(move |mut start| {
        let (mut shared, source) = (mine(), vec![7; size]);
        start.wait();
        for i in 0..items {
            if i >= BUFFERS as u64 {
                shared.wait(1, i - BUFFERS as u64);
            }
            match in_place {
                true => shared.buffer(i).fill(i as u8),
                false => shared.buffer(i).copy_from_slice(&source),
            }
            shared.counter(0).store(i + 1, Release);
        }
    });
    race(vec![reads, writes], 2, || {})
}
