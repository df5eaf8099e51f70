//! A program that has had all its input, and does not end: nothing more can be asked of it, so its time is no work, the
//! log tells of it, and a stop that comes then does not wait for it.
//!
//! | killed … | left behind | what follows |
//! |---|---|---|
//! | the worker, while its program lingers | a program without a worker | it dies with the worker (`PR_SET_PDEATHSIG`); no item is leased |
//! | the program, while it lingers | no item is on its way | reply: as if it had ended; stream: as any program that fails |

use std::time::{Duration, Instant};

/// A program may take so long to end before somebody should hear of it.
const LONG: Duration = Duration::from_secs(5);
/// A program that has moved no byte for so long does not hear that its input has ended.
const QUIET: Duration = Duration::from_secs(1);

/// Watches one program for it, and tells it once.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    /// Since when nothing has moved, with its input at an end.
    since: Option<Instant>,
    is_told: bool,
}

impl Lingering {
    /// It has had all its input by then, or has moved something later.
    pub fn note(&mut self, moment: Instant) {
        self.since = Some(self.since.map_or(moment, |since| since.max(moment)));
    }

    /// Whether a stop need not wait for it.
    pub fn is_quiet(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= QUIET)
    }

    /// When to look again. `stops`: a stop waits for it.
    pub fn deadline(&self, stops: bool) -> Option<Instant> {
        let since = self.since?;
        let tells = (!self.is_told).then_some(since + LONG);
        let quiet = stops.then_some(since + QUIET);
        [tells, quiet].into_iter().flatten().min()
    }

    /// Tells of it when it is time. `then`: what follows.
    pub fn look(&mut self, program: u32, then: &str) {
        if !self.is_told && self.since.is_some_and(|since| since.elapsed() >= LONG) {
            self.is_told = true;
            let passed = LONG.as_secs();
            log::warn!(
                "has had all its input, waits for its program (process {program}) to end: it has done nothing for {passed}s{then}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_lingers_from_the_end_of_its_input_or_its_last_move() {
        let now = Instant::now();
        let ago = |secs| now.checked_sub(Duration::from_secs(secs)).unwrap();
        let mut lingering = Lingering::default();
        assert!(!lingering.is_quiet() && lingering.deadline(true).is_none());
        lingering.note(ago(100));
        assert!(lingering.is_quiet());
        lingering.note(now);
        lingering.note(ago(50));
        assert!(!lingering.is_quiet());
        assert_eq!(
            (lingering.deadline(false), lingering.deadline(true)),
            (Some(now + LONG), Some(now + QUIET))
        );
        lingering.look(1, "");
        assert!(!lingering.is_told);
        lingering.since = Some(ago(5));
        lingering.look(1, "");
        assert!(lingering.is_told && lingering.deadline(false).is_none());
    }
}
