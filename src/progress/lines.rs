//! A reading as text, and when the next line is due.

use super::estimate::Reading;
use crate::numbers;
use std::time::Duration;

/// Lines come at these seconds, then every minute.
const FIRST_SECONDS: [u64; 7] = [1, 2, 5, 10, 20, 30, 60];
const LATER_INTERVAL_SECONDS: u64 = 60;

/// How long after the start the next line is due, if the last was due `before`.
pub(super) fn next(before: Duration) -> Duration {
    let before = before.as_secs();
    let early = FIRST_SECONDS.into_iter().find(|due| *due > before);
    Duration::from_secs(
        early.unwrap_or_else(|| (before / LATER_INTERVAL_SECONDS + 1) * LATER_INTERVAL_SECONDS),
    )
}

/// All stages on one line.
pub(super) fn line(readings: &[Reading]) -> String {
    let each: Vec<String> = readings
        .iter()
        .map(|reading| match reading.share {
            Some(share) => {
                format!("{} {:.0} % ({})", reading.name, (share * 100.0).floor(), figures(reading))
            }
            None => format!("{} ({})", reading.name, figures(reading)),
        })
        .collect();
    format!("progress: {}", each.join(", "))
}

/// Items, their rate, and the time left.
pub(super) fn figures(reading: &Reading) -> String {
    let items = numbers::counted(reading.items, "item");
    let mut text = format!("{items}, {}/s", numbers::rate(reading.rate));
    match reading.left {
        _ if reading.is_done => text = format!("{items}, done"),
        Some(left) if reading.share.is_none_or(|share| share < 1.0) && left.is_finite() && left < 1e7 => {
            text += &format!(", {} left", numbers::time(left.ceil()));
        }
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_often_at_first_and_then_every_minute() {
        let mut due = vec![Duration::ZERO];
        for _ in 0..10 {
            due.push(next(due[due.len() - 1]));
        }
        let seconds: Vec<u64> = due.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [0, 1, 2, 5, 10, 20, 30, 60, 120, 180, 240]);
    }

    #[test]
    fn a_line_says_what_is_known_and_no_more() {
        let reading = |share, left| {
            let is_done = share == Some(1.0);
            Reading {
                name: "a".into(),
                items: 42,
                total: None,
                failed: 0,
                rate: 12_345.0,
                share,
                left,
                is_done,
            }
        };
        assert_eq!(
            line(&[reading(Some(0.429), Some(61.2)), reading(None, None), reading(Some(1.0), Some(0.0))]),
            "progress: a 42 % (42 items, 12.3k/s, 1m 2s left), a (42 items, 12.3k/s), a 100 % (42 items, done)"
        );
    }
}
