//! Telling the processor which lines of a block will be needed next.
//!
//! Blocks go to and fro between processors, and lie in no order: so without a hint each small item costs the time of a
//! fetch from the other processor's cache, one after the other. With it several are under way at once.

use super::memory::Memory;

/// So many items ahead of the one at hand.
pub(super) const ITEMS: usize = 8;
/// Longer items are read in order, which the processor notices by itself.
const MOST: usize = 256;
const LINE: usize = 64;

impl Memory {
    /// The first bytes of a block will be read soon. A hint: any offset is allowed.
    #[inline]
    pub fn will_read(&self, offset: u64, len: usize) {
        lines(offset, len).for_each(|at| hint::read(self.address(at)));
    }

    /// The first bytes of a block will be written soon. A hint: any offset is allowed.
    #[inline]
    pub fn will_write(&self, offset: u64, len: usize) {
        lines(offset, len).for_each(|at| hint::write(self.address(at)));
    }
}

#[inline]
fn lines(offset: u64, len: usize) -> impl Iterator<Item = usize> {
    (0..len.min(MOST)).step_by(LINE).map(move |i| (offset as usize).wrapping_add(i))
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod hint {
    use std::arch::asm;

    #[inline]
    pub fn read(at: *const u8) {
        // SAFETY: a hint touches nothing that can be seen, and faults nowhere.
        unsafe { asm!("prefetcht0 [{}]", in(reg) at, options(nostack, preserves_flags)) };
    }

    #[inline]
    pub fn write(at: *const u8) {
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
