//! How long a failed item waits for its next attempt.

use super::Retry;
use std::time::Duration;

impl Retry {
    /// After this many failures of the item, 1 or more. The jitter depends on the item and the attempt only: between the half
    /// and all of it, so that items which failed together do not come back together.
    pub(crate) fn delay(self, failures: u32, item: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let longest = self.delay.saturating_mul(1 << doublings).min(self.max);
        longest / 2 + (longest / 2).mul_f64(share(item, failures))
    }
}

/// Between 0 and 1, as if by chance.
fn share(item: u64, failures: u32) -> f64 {
    // The finalizer of SplitMix64.
    let mut word = item.wrapping_add(u64::from(failures).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (word >> 40) as f64 / f64::from(1 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry { delay: Duration::from_millis(200), max: Duration::from_secs(30) };

    #[test]
    fn a_delay_doubles_up_to_the_longest_and_is_never_less_than_half_of_that() {
        for (failures, most) in [(1, 200), (2, 400), (5, 3200), (9, 30_000), (u32::MAX, 30_000)] {
            let delays: Vec<u128> = (0..200).map(|item| RETRY.delay(failures, item).as_millis()).collect();
            assert!(delays.iter().all(|delay| (most / 2..=most).contains(delay)), "{failures}: {delays:?}");
            let (least, greatest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
            assert!(greatest - least > most / 3, "{failures}: {least} to {greatest}");
        }
        assert_eq!(RETRY.delay(3, 7), RETRY.delay(3, 7));
        assert_eq!(Retry::default().delay(3, 7), Duration::ZERO);
    }
}
