//! `random`: random whole numbers.

use super::position::{restore_number, save_number};
use crate::stage::{Context, Emitter, Failure, Next, Persistence, Progress, Settings, Source};
use std::io::Write;

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Random, Failure> + use<> {
    with.about("Emits random whole numbers.");
    let min: i64 = with.key("min", "The smallest number.").or(0);
    let max: i64 = with.key("max", "The largest number.").required();
    let seed =
        with.key("seed", "The same seed gives the same numbers. Without it they differ from run to run.");
    let seed: Option<u64> = seed.optional();
    let times: Option<u64> = with.key("times", "How many numbers it emits; without it, endless.").optional();
    if with.is_good() && min > max {
        with.fault("max", format!("`max` ({max}) is less than `min` ({min})"), None);
    }
    if seed.is_some() || times.is_some() {
        with.remember(Persistence::State);
    }
    with.ends(times.is_some());
    move |_| Ok(Random { min, max, seed, times, rng: fastrand::Rng::new(), position: 0, text: Vec::new() })
}

/// See [`build`].
pub(super) struct Random {
    min: i64,
    max: i64,
    seed: Option<u64>,
    times: Option<u64>,
    rng: fastrand::Rng,
    /// Numbers emitted so far.
    position: u64,
    text: Vec<u8>,
}

impl Source for Random {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if self.times == Some(self.position) {
            return Ok(Next::End);
        }
        let number = match self.seed {
            Some(seed) => seeded(seed, self.position, self.min, self.max),
            None => self.rng.i64(self.min..=self.max),
        };
        self.text.clear();
        write!(self.text, "{number}")?;
        out.emit(&self.text)?;
        self.position += 1;
        Ok(Next::More)
    }

    fn progress(&self) -> Option<Progress> {
        Some(Progress { done: self.position, total: self.times? })
    }

    fn save(&self, state: &mut Vec<u8>) {
        save_number(self.position, state);
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.position = restore_number(state)?;
        Ok(())
    }
}

/// The number at a position, from nothing but the seed: it is the same whichever worker comes to it.
fn seeded(seed: u64, position: u64, min: i64, max: i64) -> i64 {
    // Two rounds of mixing: neighbours in either of them must not give related streams.
    let base = fastrand::Rng::with_seed(seed).u64(..);
    fastrand::Rng::with_seed(base.wrapping_add(position)).i64(min..=max)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{collect, open_source};
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers =
            |seed: u64| collect(&mut open_source("random", json!({"max": 1000, "seed": seed, "times": 50})));
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert_eq!(numbers(7).len(), 50);
    }

    #[test]
    fn a_seeded_source_goes_on_where_another_left_off() {
        let with = json!({"max": 1000, "seed": 3, "times": 20});
        let whole = collect(&mut open_source("random", with.clone()));
        let (mut first, mut second) = (open_source("random", with.clone()), open_source("random", with));
        let mut seen = Vec::new();
        for _ in 0..8 {
            first.next(&mut Emitter::new(&mut seen)).unwrap();
        }
        let mut state = Vec::new();
        first.save(&mut state);
        second.restore(&state).unwrap();
        seen.extend(collect(&mut second).into_iter().map(String::into_bytes));
        assert_eq!(seen.len(), 20);
        assert!(seen.iter().zip(whole).all(|(a, b)| a == b.as_bytes()));
    }

    #[test]
    fn numbers_cover_their_range_evenly() {
        let mut counts = [0u32; 11];
        for position in 0..110_000 {
            counts[(seeded(1, position, -5, 5) + 5) as usize] += 1;
        }
        // 10,000 expected each, standard deviation 95: five of them.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 480), "{counts:?}");
    }

    #[test]
    fn the_widest_range_is_allowed() {
        let with = json!({"min": i64::MIN, "max": i64::MAX, "times": 3, "seed": 1});
        assert_eq!(collect(&mut open_source("random", with)).len(), 3);
    }
}
