//! Crash injection: with the feature `inject` (and in unit tests) every store to queue memory is a place to die.

#[cfg(any(test, feature = "inject"))]
mod armed {
    use std::cell::Cell;

    thread_local! {
        static STEPS_LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
        static FOR_REAL: Cell<bool> = const { Cell::new(false) };
    }

    /// What a simulated death unwinds with.
    pub struct Killed;

    /// The calling thread dies at its n-th store from now; `u64::MAX`: never.
    pub fn arm(steps: u64) {
        STEPS_LEFT.set(steps);
    }

    /// From now on to die means a real SIGKILL of this process, not an unwinding.
    pub fn for_real() {
        FOR_REAL.set(true);
    }

    pub(in crate::queue) fn step() {
        #[cfg(test)]
        super::super::explored::step();
        let left = STEPS_LEFT.get();
        if left == u64::MAX {
            return;
        }
        if left == 0 {
            if FOR_REAL.get() {
                // SAFETY: kills this very process; nothing after it runs.
                unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            }
            std::panic::resume_unwind(Box::new(Killed));
        }
        STEPS_LEFT.set(left - 1);
    }
}

/// Before a load of a word that is used without the lock: the model checker may run another thread here.
#[inline(always)]
pub(in crate::queue) fn yield_point() {
    #[cfg(test)]
    super::explored::yield_point();
}

/// One pause of a spinning thread.
#[inline(always)]
pub(in crate::queue) fn spin() {
    #[cfg(test)]
    super::explored::spin();
    std::hint::spin_loop();
}

#[cfg(any(test, feature = "inject"))]
pub(in crate::queue) use armed::step;
#[cfg(any(test, feature = "inject"))]
pub use armed::{Killed, arm, for_real};

#[cfg(not(any(test, feature = "inject")))]
#[inline(always)]
pub(in crate::queue) fn step() {}
