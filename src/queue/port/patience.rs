//! How long to look at a queue before going to sleep on it: longer while looking has helped lately.
//!
//! A partner that is at work on another core answers within a microsecond, where falling asleep and being woken takes
//! ten times as long. A partner that sleeps, or waits for this very core, never answers while we look.
//!
//! A look is a wait, too. The clock would cost as much as a short one: so one in a few is measured, and counts for all.

use super::super::backoff::Backoff;
use std::time::{Duration, Instant};

/// Pauses, some 5 us in all.
const LONG: u32 = if cfg!(test) { 20 } else { 200 };
/// So many looks in vain until it looks no more.
const CREDIT: u8 = 8;
/// Now and then it does even so, as times change: as long as a wake-up takes, some 30 us. Two who keep waking each other
/// are then both awake together, and stay so.
const REACHING: u32 = if cfg!(test) { 40 } else { 1200 };
/// The first of these comes after so many others, the next after twice as many: where nobody ever answers, as on a
/// machine with one processor, they soon cost nothing.
const SOON: u16 = 16;
const LATE: u16 = 1024;

/// One in so many looks is measured. An odd number: the long looks come after powers of two.
const MEASURED: u8 = 13;
/// A look that seems to last longer was interrupted.
const LONGEST: Duration = Duration::from_micros(40);

pub(super) struct Patience {
    credit: u8,
    /// Looks left until the next long one, and how many there were before it.
    until: u16,
    interval: u16,
    unmeasured: u8,
    spent: Duration,
}

impl Patience {
    pub fn new() -> Patience {
        Patience { credit: CREDIT, until: SOON, interval: SOON, unmeasured: 0, spent: Duration::ZERO }
    }

    /// Looks until `there` or until it is enough; true if it came to be meanwhile.
    #[inline]
    pub fn look(&mut self, mut there: impl FnMut() -> bool) -> bool {
        if there() {
            return false; // nothing was learnt about waiting
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
        let mut backoff = Backoff::new(self.pauses());
        while backoff.pause() {
            if there() {
                (self.credit, self.until, self.interval) = (CREDIT, SOON, SOON);
                return true;
            }
        }
        self.credit = self.credit.saturating_sub(1);
        false
    }

    fn pauses(&mut self) -> u32 {
        if self.credit > 0 {
            return LONG;
        }
        self.until -= 1;
        if self.until > 0 {
            return 0;
        }
        self.interval = (self.interval * 2).min(LATE);
        self.until = self.interval;
        REACHING
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

    fn looks_in(pauses: u32) -> u32 {
        let mut backoff = Backoff::new(pauses);
        (0..).take_while(|_| backoff.pause()).count() as u32
    }

    #[test]
    fn looks_ever_more_rarely_where_it_never_helps_and_each_time_again_when_it_does() {
        let (long, reaching) = (looks_in(LONG), looks_in(REACHING));
        let mut patience = Patience::new();
        let looks: Vec<u32> = (0..10_000).map(|_| looks_in_vain(&mut patience) - 1).collect();
        assert_eq!(looks[..usize::from(CREDIT)], [long; CREDIT as usize]);
        let rare: Vec<usize> = (0..looks.len()).filter(|&i| looks[i] == reaching).collect();
        assert_eq!(rare[..4], [8 + 15, 8 + 15 + 32, 8 + 15 + 32 + 64, 8 + 15 + 32 + 64 + 128]);
        assert_eq!(rare[rare.len() - 1] - rare[rare.len() - 2], usize::from(LATE));
        let mut comes_at_the_sixth_look = || {
            let mut n = 0;
            patience.look(|| {
                n += 1;
                n == 6
            })
        };
        while !comes_at_the_sixth_look() {}
        assert_eq!(looks_in_vain(&mut patience), long + 1);
    }
}
