//! Durations: a unit is required, since `10` alone says none.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Element, reject, wrong_kind};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::{Content, Node};

/// A duration, zero included.
pub(crate) struct Pause;

/// A duration longer than zero: where zero would mean a busy loop, or no time at all.
pub(crate) struct Period;

const DAY: u64 = 24 * 3600;
/// Ten years: more is a slip, and clocks overflow somewhere beyond.
const MAX_DURATION: Duration = Duration::from_secs(3660 * DAY);

/// Units and their nanoseconds, the longest first.
const UNITS: [(&str, u128); 8] = [
    ("w", 7 * DAY as u128 * 1_000_000_000),
    ("d", DAY as u128 * 1_000_000_000),
    ("h", 3600 * 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Element for Pause {
    type Output = Duration;

    fn read(node: &Node, report: &mut Report) -> Option<Duration> {
        read::<Self>(node, report)
    }

    fn accepted() -> String {
        r#"a duration such as "250ms", "10s" or "1m30s" (units: ns us ms s m h d w)"#.into()
    }

    fn schema() -> Value {
        let pattern = r"^\s*([0-9]+\s*(ns|us|µs|ms|s|m|h|d|w)\s*)+$|\$\{";
        json!({ "type": "string", "pattern": pattern, "examples": ["250ms", "10s", "1m30s"] })
    }

    fn written(duration: &Duration) -> Value {
        show(*duration).into()
    }
}

impl Element for Period {
    type Output = Duration;

    fn read(node: &Node, report: &mut Report) -> Option<Duration> {
        let duration = read::<Self>(node, report)?;
        if duration.is_zero() {
            report.push(reject::<Self>(node, "this duration can't be zero"));
            return None;
        }
        Some(duration)
    }

    fn accepted() -> String {
        r#"a duration longer than zero, such as "250ms" or "1m30s" (units: ns us ms s m h d w)"#.into()
    }

    fn schema() -> Value {
        Pause::schema()
    }

    fn written(duration: &Duration) -> Value {
        show(*duration).into()
    }
}

fn read<T: Element>(node: &Node, report: &mut Report) -> Option<Duration> {
    let Some(text) = node.text() else {
        let meant = match &node.content {
            Content::Integer(number @ 0..=1_000_000_000) => Some(format!("\"{number}s\"")),
            Content::Float(number) if (0.0..1e6).contains(number) => {
                Some(format!("\"{}ms\"", (number * 1000.0).round()))
            }
            _ => None,
        };
        report.push(wrong_kind::<T>(node, "a duration in quotes").did_you_mean(meant));
        return None;
    };
    match parse(text) {
        Ok(duration) => Some(duration),
        Err(fault) => {
            let meant = fault.meant(text);
            report.push(reject::<T>(node, fault.title(text)).did_you_mean(meant));
            None
        }
    }
}

/// What can be wrong with the text of a duration.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Empty,
    Negative,
    NoNumber,
    NoUnit,
    Fraction,
    UnknownUnit(String),
    TooLong,
}

impl Fault {
    fn title(&self, text: &str) -> String {
        let text = quote(text);
        match self {
            Fault::Empty => "an empty string is no duration".into(),
            Fault::Negative => format!("{text}: a duration can't be negative"),
            Fault::NoNumber => format!("{text} is no duration"),
            Fault::NoUnit => format!("{text} has no unit"),
            Fault::Fraction => format!("{text} has a fraction: use a smaller unit"),
            Fault::UnknownUnit(unit) => format!("{text}: there is no unit {}", quote(unit)),
            Fault::TooLong => format!("{text} is longer than ten years"),
        }
    }

    fn meant(&self, text: &str) -> Option<String> {
        match self {
            Fault::NoUnit if text.trim().parse::<u32>().is_ok() => Some(format!("\"{}s\"", text.trim())),
            Fault::UnknownUnit(unit) => {
                let short = usual_unit(unit)?;
                Some(format!("\"{}\"", text.trim().replace(unit.as_str(), short).replace(' ', "")))
            }
            Fault::Fraction => {
                let seconds: f64 = text.trim().strip_suffix('s')?.parse().ok()?;
                (seconds > 0.0 && seconds < 1e6).then(|| format!("\"{}ms\"", (seconds * 1000.0).round()))
            }
            _ => None,
        }
    }
}

/// The unit that people mean by a longer word.
fn usual_unit(word: &str) -> Option<&'static str> {
    Some(match word.to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" | "s" => "s",
        "min" | "mins" | "minute" | "minutes" | "m" => "m",
        "hr" | "hrs" | "hour" | "hours" | "h" => "h",
        "msec" | "msecs" | "milli" | "millis" | "millisecond" | "milliseconds" | "ms" => "ms",
        "usec" | "micros" | "microsecond" | "microseconds" => "us",
        "nsec" | "nanos" | "nanosecond" | "nanoseconds" => "ns",
        "day" | "days" | "d" => "d",
        "week" | "weeks" | "w" => "w",
        _ => return None,
    })
}

/// Reads numbers with units, one after another, and adds them up.
fn parse(text: &str) -> Result<Duration, Fault> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(Fault::Empty);
    }
    if rest.starts_with('-') {
        return Err(Fault::Negative);
    }
    let mut nanos = 0u128;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|letter: char| !letter.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        nanos = nanos.saturating_add(part(number, unit, after)?);
        rest = after.trim_start();
    }
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => Err(Fault::TooLong),
    }
}

/// The nanoseconds of one number and its unit.
fn part(number: &str, unit: &str, after: &str) -> Result<u128, Fault> {
    if number.is_empty() {
        return Err(Fault::NoNumber);
    }
    if unit.is_empty() {
        return Err(if after.starts_with(['.', ',']) { Fault::Fraction } else { Fault::NoUnit });
    }
    let unit = if unit == "µs" || unit == "μs" { "us" } else { unit };
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, nanos) = known.ok_or_else(|| Fault::UnknownUnit(unit.to_owned()))?;
    let number: u128 = number.parse().map_err(|_| Fault::TooLong)?;
    Ok(number.saturating_mul(*nanos))
}

/// A duration as it would be written in a file: `1m30s`.
pub(crate) fn show(duration: Duration) -> String {
    let mut nanos = duration.as_nanos();
    let mut text = String::new();
    for (unit, size) in UNITS.iter().filter(|(unit, _)| *unit != "w") {
        let number = nanos / size;
        nanos %= size;
        if number > 0 {
            text += &format!("{number}{unit}");
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn durations_add_up() {
        for (text, millis) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("1m30s", 90_000),
            (" 1h 5 m ", 3_900_000),
            ("0s", 0),
            ("2d", 172_800_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("3µs"), Ok(Duration::from_micros(3)));
    }

    #[test]
    fn every_fault_is_told_apart() {
        let unknown = |unit: &str| Fault::UnknownUnit(unit.into());
        for (text, fault) in [
            ("", Fault::Empty),
            ("-5s", Fault::Negative),
            ("soon", Fault::NoNumber),
            ("10", Fault::NoUnit),
            ("1m30", Fault::NoUnit),
            ("1.5s", Fault::Fraction),
            ("10sec", unknown("sec")),
            ("10 parsecs", unknown("parsecs")),
            ("10S", unknown("S")),
            ("600w", Fault::TooLong),
            ("99999999999999999999999999999999999999999999s", Fault::TooLong),
        ] {
            assert_eq!(parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn the_suggestion_is_a_duration() {
        for (text, meant) in
            [("10", "\"10s\""), ("10 seconds", "\"10s\""), ("1.5s", "\"1500ms\""), ("5 Min", "\"5m\"")]
        {
            assert_eq!(parse(text).unwrap_err().meant(text).as_deref(), Some(meant));
        }
    }

    #[test]
    fn zero_is_a_pause_but_no_period() {
        accepts::<Pause>(&["\"0s\"", "\"1m 30s\""]);
        accepts::<Period>(&["\"1ns\"", "\"10d\""]);
        refuses::<Period>(&[
            ("\"0ms\"", "can't be zero"),
            ("5", "did you mean \"5s\"?"),
            ("0.5", "did you mean \"500ms\"?"),
        ]);
    }

    #[test]
    fn a_shown_duration_reads_back() {
        for nanos in [0, 1, 999, 1_000_001, 90_000_000_000, 8 * DAY * 1_000_000_000 + 5] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse(&show(duration)), Ok(duration));
        }
    }
}
