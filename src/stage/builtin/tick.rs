//! `tick`: the time, at equal intervals.

use super::position::{restore_number, save_number};
use crate::stage::{Context, Emitter, Failure, Next, Persistence, Settings, Source};
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Tick, Failure> + use<> {
    with.about(
        "Emits the time at equal intervals, first at once; ticks for which no worker was ready are skipped.",
    );
    let every = with.key("every", "The time from one tick to the next.");
    let is_positive = |every: &Duration| match every.is_zero() {
        true => Err("must be longer than nothing".to_owned()),
        false => Ok(()),
    };
    let every: Duration = every.check(is_positive).required();
    with.remember(Persistence::State);
    move |_| Ok(Tick { every, due: None })
}

/// See [`build`].
pub(super) struct Tick {
    every: Duration,
    /// The next tick, on the machine's monotonic clock (which all processes share).
    due: Option<Duration>,
}

impl Source for Tick {
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        let due = self.due.unwrap_or(now);
        if now < due {
            return Ok(Next::Wait(Some(Instant::now() + (due - now))));
        }
        out.emit(humantime::format_rfc3339_millis(SystemTime::now()).to_string())?;
        self.due = Some(after(due, self.every, now));
        Ok(Next::More)
    }

    fn save(&self, state: &mut Vec<u8>) {
        save_number(self.due.map_or(0, |due| due.as_nanos() as u64), state);
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        self.due = Some(Duration::from_nanos(restore_number(state)?));
        Ok(())
    }
}

/// The first tick after now, on the beat of the last one.
fn after(due: Duration, every: Duration, now: Duration) -> Duration {
    let late = now.saturating_sub(due).as_nanos() / every.as_nanos();
    due + every.saturating_mul(u32::try_from(late + 1).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_ticks_are_left_out_and_the_beat_is_kept() {
        let s = Duration::from_secs;
        assert_eq!(after(s(10), s(5), s(10)), s(15));
        assert_eq!(after(s(10), s(5), s(14)), s(15));
        assert_eq!(after(s(10), s(5), s(15)), s(20));
        assert_eq!(after(s(10), s(5), s(1001)), s(1005));
    }
}
