//! How long to spin on a queue before going to sleep on it: longer while spinning has helped lately.
//!
//! A partner that is at work on another core answers within a microsecond, where falling asleep and being woken takes
//! ten times as long. A partner that sleeps, or waits for this very core, never answers while we spin.
//!
//! A spin is a wait, too. The clock would cost as much as a short one: so one in a few is measured, and counts for all.

use crate::queue::transaction::backoff::Backoff;
use std::time::{Duration, Instant};

/// Pauses of a usual spin, some 5 us in all.
const SPIN_PAUSES: u32 = if cfg!(test) { 20 } else { 200 };
/// Spins in vain in a row, before it mostly stops spinning.
const MAX_FAILED_SPINS: u8 = 8;
/// Now and then it spins even so, as times change: as long as a wake-up takes, some 30 us. Two workers that keep waking
/// each other are then both awake together, and stay so.
const LONG_SPIN_PAUSES: u32 = if cfg!(test) { 40 } else { 1200 };
/// The first of these comes after 16 waits without, the next after twice as many: where no partner ever answers, as on a
/// machine with one processor, they soon cost nothing.
const FIRST_INTERVAL: u16 = 16;
const MAX_INTERVAL: u16 = 1024;

/// One spin in 13 is measured. An odd number: the long spins come after powers of two.
const MEASURED_ONE_IN: u8 = 13;
/// A spin that seems to last longer was interrupted.
const MAX_SPIN: Duration = Duration::from_micros(40);

pub(super) struct SpinBudget {
    failures_left: u8,
    /// Waits left until the next long spin, and how many there were before it.
    until: u16,
    interval: u16,
    unmeasured: u8,
    spent: Duration,
}

impl SpinBudget {
    pub(super) fn new() -> SpinBudget {
        SpinBudget {
            failures_left: MAX_FAILED_SPINS,
            until: FIRST_INTERVAL,
            interval: FIRST_INTERVAL,
            unmeasured: 0,
            spent: Duration::ZERO,
        }
    }

    /// Spins until `there`, as long as the budget allows; true if it came to be meanwhile.
    #[inline]
    pub(super) fn spin_until(&mut self, mut there: impl FnMut() -> bool) -> bool {
        if there() {
            return false; // nothing was learnt about waiting
        }
        self.unmeasured += 1;
        if self.unmeasured < MEASURED_ONE_IN {
            return self.spin(there);
        }
        self.unmeasured = 0;
        let start = Instant::now();
        let came = self.spin(there);
        self.spent += start.elapsed().min(MAX_SPIN) * u32::from(MEASURED_ONE_IN);
        came
    }

    /// What spinning has taken since the last call, as far as can be told from the spins that were measured.
    #[inline]
    pub(super) fn take_spent(&mut self) -> Option<Duration> {
        (!self.spent.is_zero()).then(|| std::mem::take(&mut self.spent))
    }

    fn spin(&mut self, mut there: impl FnMut() -> bool) -> bool {
        let mut backoff = Backoff::new(self.pauses());
        while backoff.pause() {
            if there() {
                (self.failures_left, self.until, self.interval) =
                    (MAX_FAILED_SPINS, FIRST_INTERVAL, FIRST_INTERVAL);
                return true;
            }
        }
        self.failures_left = self.failures_left.saturating_sub(1);
        false
    }

    fn pauses(&mut self) -> u32 {
        if self.failures_left > 0 {
            return SPIN_PAUSES;
        }
        self.until -= 1;
        if self.until > 0 {
            return 0;
        }
        self.interval = (self.interval * 2).min(MAX_INTERVAL);
        self.until = self.interval;
        LONG_SPIN_PAUSES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks_in_vain(budget: &mut SpinBudget) -> u32 {
        let mut n = 0;
        budget.spin_until(|| {
            n += 1;
            false
        });
        n
    }

    fn checks_in(pauses: u32) -> u32 {
        let mut backoff = Backoff::new(pauses);
        (0..).take_while(|_| backoff.pause()).count() as u32
    }

    #[test]
    fn spins_ever_more_rarely_where_it_never_helps_and_each_time_again_when_it_does() {
        let (long, long_spin) = (checks_in(SPIN_PAUSES), checks_in(LONG_SPIN_PAUSES));
        let mut budget = SpinBudget::new();
        let checks: Vec<u32> = (0..10_000).map(|_| checks_in_vain(&mut budget) - 1).collect();
        assert_eq!(checks[..usize::from(MAX_FAILED_SPINS)], [long; MAX_FAILED_SPINS as usize]);
        let rare: Vec<usize> = (0..checks.len()).filter(|&i| checks[i] == long_spin).collect();
        assert_eq!(rare[..4], [8 + 15, 8 + 15 + 32, 8 + 15 + 32 + 64, 8 + 15 + 32 + 64 + 128]);
        assert_eq!(rare[rare.len() - 1] - rare[rare.len() - 2], usize::from(MAX_INTERVAL));
        let mut comes_at_the_sixth_check = || {
            let mut n = 0;
            budget.spin_until(|| {
                n += 1;
                n == 6
            })
        };
        while !comes_at_the_sixth_check() {}
        assert_eq!(checks_in_vain(&mut budget), long + 1);
    }
}
