//! The stack of a child between clone and exec, and room for what it reads.

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::io;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};

/// The child makes a few system calls; an unoptimised build uses more than an optimised one.
const SIZE: usize = 128 * 1024;
/// Below the stack: what runs over it dies at once instead of writing elsewhere.
const GUARD: usize = 16 * 1024;

/// Memory of its own, so that nothing else can be hit.
pub(super) struct Stack {
    base: NonNull<c_void>,
    size: NonZeroUsize,
    /// Bytes of its room that hold something.
    used: Cell<usize>,
}

impl Stack {
    pub(super) fn new() -> io::Result<Stack> {
        Stack::with_room(0)
    }

    /// With room for `bytes` bytes of copies above it.
    pub(super) fn with_room(bytes: usize) -> io::Result<Stack> {
        let size = NonZeroUsize::MIN.saturating_add(SIZE.saturating_add(bytes) - 1);
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_STACK | MapFlags::MAP_NORESERVE;
        // SAFETY: a fresh mapping, at an address of the kernel's choice.
        let base =
            unsafe { mmap_anonymous(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) }?;
        let stack = Stack { base, size, used: Cell::new(0) };
        // SAFETY: the start of our own mapping, which nothing uses yet.
        unsafe { mprotect(base, GUARD, ProtFlags::PROT_NONE) }?;
        Ok(stack)
    }

    /// Where a stack that grows downwards begins.
    pub(super) fn top(&self) -> *mut c_void {
        // SAFETY: inside the mapping, or one past its end.
        unsafe { self.base.as_ptr().byte_add(SIZE) }
    }

    /// The most bytes of room that a copy of `bytes` bytes takes: they may have to be aligned.
    pub(super) const fn room_of(bytes: usize) -> usize {
        bytes + align_of::<u128>()
    }

    /// A copy, in its room.
    ///
    /// # Panics
    /// If there is no more room.
    pub(super) fn slice<T: Copy>(&self, values: &[T]) -> &[T] {
        let used = self.used.get();
        // SAFETY: inside the mapping, or one past its end: so far its room is used.
        let next: *mut u8 = unsafe { self.top().cast::<u8>().add(used) };
        let gap = next.align_offset(align_of::<T>());
        let used = used.saturating_add(gap).saturating_add(size_of_val(values));
        assert!(used <= self.size.get() - SIZE, "there is no room for {} values", values.len());
        self.used.set(used);
        // SAFETY: it is inside the mapping, aligned, and nothing else is ever placed there.
        unsafe {
            let place = next.add(gap).cast::<T>();
            ptr::copy_nonoverlapping(values.as_ptr(), place, values.len());
            std::slice::from_raw_parts(place, values.len())
        }
    }

    pub(super) fn c_str(&self, string: &CStr) -> &CStr {
        CStr::from_bytes_with_nul(self.slice(string.to_bytes_with_nul())).unwrap_or_default()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping; no child that shares this memory runs on it, since each such start waits until its child
        // has left it.
        let _ = unsafe { munmap(self.base, self.size.get()) };
    }
}
