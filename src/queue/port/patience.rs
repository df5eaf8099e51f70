//! How long to look at a queue before going to sleep on it: longer while looking has helped lately.
//!
//! A partner that is at work on another core answers within a microsecond, where falling asleep and being woken takes
//! ten times as long. A partner that sleeps, or waits for this very core, never answers while we look.
//!
//! A look is a wait, too. The clock would cost as much as a short one: so one in a few is measured, and counts for all.

use super::super::inject;
use std::time::{Duration, Instant};

/// Some 5 us.
const LONG: u32 = if cfg!(test) { 20 } else { 100 };
/// Less than 1 us.
const SHORT: u32 = 10;
/// So many looks in vain until it looks only shortly.
const CREDIT: u8 = 8;
/// One in so many looks is long even so: times change.
const PROBE: u8 = 16;
/// One in so many of two who keep waking each other is as long as a wake-up takes, some 30 us: if the other is back by
/// then, both are awake together and stay so.
const REACH: u8 = 64;
const REACHING: u32 = if cfg!(test) { 40 } else { 800 };

/// One in so many looks is measured. No divisor in common with `PROBE`, whose looks are the long ones.
const MEASURED: u8 = 13;
/// A look that seems to last longer was interrupted.
const LONGEST: Duration = Duration::from_micros(40);

pub(super) struct Patience {
    credit: u8,
    looks: u8,
    unmeasured: u8,
    spent: Duration,
}

impl Patience {
    pub fn new() -> Patience {
        Patience { credit: CREDIT, looks: 0, unmeasured: 0, spent: Duration::ZERO }
    }

    /// Looks until `there` or until it is enough; true if it came to be.
    #[inline]
    pub fn look(&mut self, mut there: impl FnMut() -> bool) -> bool {
        if there() {
            return true; // nothing was learnt about waiting
        }
        self.unmeasured += 1;
        if self.unmeasured < MEASURED {
            return self.look_on(there);
        }
        self.unmeasured = 0;
        let start = Instant::now();
        let came = self.look_on(there);
        self.spent += start.elapsed().min(LONGEST) * u32::from(MEASURED);
        came
    }

    /// What looking has taken since the last call, as far as can be told from the looks that were measured.
    #[inline]
    pub fn take_spent(&mut self) -> Option<Duration> {
        (!self.spent.is_zero()).then(|| std::mem::take(&mut self.spent))
    }

    fn look_on(&mut self, mut there: impl FnMut() -> bool) -> bool {
        self.looks = self.looks.wrapping_add(1);
        let long = self.credit > 0 || self.looks.is_multiple_of(PROBE);
        let spins = match self.looks.is_multiple_of(REACH) {
            true if self.credit == 0 => REACHING,
            _ if long => LONG,
            _ => SHORT,
        };
        for _ in 0..spins {
            inject::spin();
            if there() {
                self.credit = CREDIT;
                return true;
            }
        }
        self.credit = self.credit.saturating_sub(1);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks_in_vain(patience: &mut Patience) -> u32 {
        let mut n = 0;
        patience.look(|| {
            n += 1;
            false
        });
        n
    }

    #[test]
    fn looks_shortly_where_looking_never_helps_and_long_again_when_it_does() {
        let mut patience = Patience::new();
        let spent: u32 = (0..1000).map(|_| looks_in_vain(&mut patience)).sum();
        assert!(spent < 15_000, "{spent}");
        assert_eq!(looks_in_vain(&mut patience), SHORT + 1);
        let mut n = 0;
        patience.look(|| {
            n += 1;
            n > 5
        });
        assert_eq!(looks_in_vain(&mut patience), LONG + 1);
    }
}
