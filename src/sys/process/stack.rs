//! The stack of a child between clone and exec.

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

/// The child makes a few system calls; an unoptimised build uses more than an optimised one.
const SIZE: NonZeroUsize = NonZeroUsize::new(128 * 1024).unwrap();
/// Below the stack: what runs over it dies at once instead of writing elsewhere.
const GUARD: usize = 16 * 1024;

/// Memory of its own, so that nothing else can be hit.
pub(super) struct Stack(NonNull<c_void>);

impl Stack {
    pub(super) fn new() -> io::Result<Stack> {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_STACK | MapFlags::MAP_NORESERVE;
        // SAFETY: a fresh mapping, at an address of the kernel's choice.
        let base =
            unsafe { mmap_anonymous(None, SIZE, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, flags) }?;
        let stack = Stack(base);
        // SAFETY: the start of our own mapping, which nothing uses yet.
        unsafe { mprotect(base, GUARD, ProtFlags::PROT_NONE) }?;
        Ok(stack)
    }

    /// Where a stack that grows downwards begins.
    pub(super) fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping.
        unsafe { self.0.as_ptr().byte_add(SIZE.get()) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping; no child runs on it, since each start waits until its child has left it.
        let _ = unsafe { munmap(self.0, SIZE.get()) };
    }
}
