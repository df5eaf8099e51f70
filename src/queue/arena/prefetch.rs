//! Telling the processor which lines of a block will be needed next.
//!
//! Blocks go to and fro between processors, and lie in no order: so without a hint each small item costs the time of a
//! fetch from the other processor's cache, one after the other. With it several are under way at once.

use super::layout::BlockAt;
use super::memory::Memory;

/// How far ahead of the item at hand.
pub(crate) const PREFETCH_ITEMS: usize = 8;
/// Longer items are read in order, which the processor notices by itself.
const MAX_BYTES: usize = 256;
const LINE_BYTES: usize = 64;

impl Memory {
    /// The first bytes of a block will be read soon. A hint: any place is allowed.
    #[inline]
    pub(crate) fn will_read(&self, block: BlockAt, len: usize) {
        lines(block, len).for_each(|at| hint::read(self.address(at)));
    }

    /// The first bytes of a block will be written soon. A hint: any place is allowed.
    #[inline]
    pub(crate) fn will_write(&self, block: BlockAt, len: usize) {
        lines(block, len).for_each(|at| hint::write(self.address(at)));
    }
}

#[inline]
fn lines(block: BlockAt, len: usize) -> impl Iterator<Item = usize> {
    (0..len.min(MAX_BYTES)).step_by(LINE_BYTES).map(move |i| block.offset().wrapping_add(i))
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod hint {
    use std::arch::asm;

    #[inline]
    pub(super) fn read(at: *const u8) {
        // SAFETY: a hint touches nothing that can be seen, and faults nowhere.
        unsafe { asm!("prefetcht0 [{}]", in(reg) at, options(nostack, preserves_flags)) };
    }

    #[inline]
    pub(super) fn write(at: *const u8) {
        // SAFETY: as above; where the instruction is not known it is a no-op.
        unsafe { asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags)) };
    }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
mod hint {
    use std::arch::asm;

    #[inline]
    pub fn read(at: *const u8) {
        // SAFETY: a hint touches nothing that can be seen, and faults nowhere.
        unsafe { asm!("prfm pldl1keep, [{}]", in(reg) at, options(nostack, preserves_flags)) };
    }

    #[inline]
    pub fn write(at: *const u8) {
        // SAFETY: as above.
        unsafe { asm!("prfm pstl1keep, [{}]", in(reg) at, options(nostack, preserves_flags)) };
    }
}

// Miri knows no machine code.
#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod hint {
    pub fn read(_at: *const u8) {}
    pub fn write(_at: *const u8) {}
}
