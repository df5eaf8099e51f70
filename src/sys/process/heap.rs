//! The heap of this process, which a child that is forked has no use for. A fork that copies it makes this process copy each
//! page of it that it writes to next: a fifth of the processor time of a service's start (`docs/design/decisions.md`).

use nix::sys::mman::{MmapAdvise, madvise};
use std::ffi::c_void;
use std::fs;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::OnceLock;

/// Around the calling thread's own block of libc nothing is left out: a libc that is linked statically has it in the heap,
/// with errno, which the child writes to.
const THREAD_BLOCK: usize = 64 * 1024;
const PAGE: usize = 4096;

/// Acts while the heap is left out of forks. No other thread of this process forks meanwhile.
pub(super) fn left_out<T>(act: impl FnOnce() -> T) -> T {
    let heap = Heap::now();
    let advise = |advice| heap.as_ref().map(|heap| heap.advise(advice));
    advise(MmapAdvise::MADV_DONTFORK);
    let result = act();
    advise(MmapAdvise::MADV_DOFORK);
    result
}

struct Heap {
    start: NonNull<c_void>,
    bytes: NonZeroUsize,
}

impl Heap {
    /// `None`: nothing is known of it, or it holds what the child needs.
    fn now() -> Option<Heap> {
        static START: OnceLock<Option<usize>> = OnceLock::new();
        let first = (*START.get_or_init(start))?;
        // SAFETY: asks where the heap ends; neither call changes anything.
        let (end, thread) = unsafe { (libc::sbrk(0) as usize, libc::pthread_self() as usize) };
        let block = thread.saturating_sub(THREAD_BLOCK)..thread.saturating_add(THREAD_BLOCK);
        let first = if block.end > first && block.start < end { block.end } else { first };
        let first = first.next_multiple_of(PAGE);
        let bytes = NonZeroUsize::new((end & !(PAGE - 1)).checked_sub(first)?)?;
        Some(Heap { start: NonNull::new(first as *mut c_void)?, bytes })
    }

    /// Where it can't be had the heap is copied, as ever.
    fn advise(&self, advice: MmapAdvise) {
        // SAFETY: neither advice changes anything in this process. The child reads and writes none of it: what it needs is
        // on its stack's mapping, and its errno is outside.
        let _ = unsafe { madvise(self.start, self.bytes.get(), advice) };
    }
}

/// Where it begins: `start_brk`, the 47th field of `/proc/self/stat`, which is the 45th behind the name.
fn start() -> Option<usize> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(44)?.parse().ok().filter(|start| *start > 0)
}
