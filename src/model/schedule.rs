//! `schedule`: the moments at which a program is started, as cron writes them.
//!
//! When the clock is put forward or back, times of day behave as in Debian's cron: a time that is skipped comes right after the
//! jump, and one that comes twice counts the first time. A pattern with a `*` in its hours, minutes or seconds follows the clock.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// A timer may be early by less than this: a run that ends at once must not be started again for the same moment.
const EARLY: Duration = Duration::from_millis(50);

/// A good pattern: five fields, or six with seconds first. In local time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule(String);

impl Schedule {
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let schedule = Schedule(text.trim().to_owned());
        schedule.cron()?;
        match schedule.next(SystemTime::now()) {
            Some(_) => Ok(schedule),
            None => Err("there is never such a day".to_owned()),
        }
    }

    fn cron(&self) -> Result<Cron, String> {
        read(&self.0).ok_or_else(|| fault(&self.0))
    }

    /// The first moment after this one.
    pub fn next(&self, after: SystemTime) -> Option<SystemTime> {
        self.next_in(TimeZone::system(), after)
    }

    fn next_in(&self, zone: TimeZone, after: SystemTime) -> Option<SystemTime> {
        let after = Timestamp::try_from(after + EARLY).ok()?.to_zoned(zone);
        let cron = self.cron().ok()?;
        let mut next = cron.find_next_occurrence(&after, false).ok()?;
        if has_times_of_day(&cron) {
            while is_second_time(&next) {
                next = cron.find_next_occurrence(&next, false).ok()?;
            }
            if let Some(jump) = jump_over_a_time(&cron, &after, &next) {
                return Some(SystemTime::from(jump));
            }
        }
        Some(SystemTime::from(next.timestamp()))
    }
}

fn read(pattern: &str) -> Option<Cron> {
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser.parse(pattern).ok()
}

/// The fields with what each takes.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day", "1 to 31, or L for the last one"),
    ("month", "1 to 12, or JAN to DEC"),
    ("weekday", "0 to 7, or SUN to SAT (0 and 7 are Sunday)"),
];

/// What is wrong with a bad pattern, in words of our own: those of the parser are about its options.
fn fault(pattern: &str) -> String {
    if pattern.starts_with('@') {
        return "after the @ stands hourly, daily, weekly, monthly or yearly".to_owned();
    }
    let fields: Vec<&str> = pattern.split_whitespace().collect();
    let names = match fields.len() {
        5 => &FIELDS[1..],
        6 => &FIELDS[..],
        number => {
            return format!(
                "it has five fields (minute, hour, day, month, weekday), or six with seconds first, not {number}"
            );
        }
    };
    let is_bad = |at: usize| {
        let alone: Vec<&str> = (0..fields.len()).map(|n| if n == at { fields[n] } else { "*" }).collect();
        read(&alone.join(" ")).is_none()
    };
    let at = (0..fields.len()).find(|at| is_bad(*at)).unwrap_or(0);
    let (name, range) = names[at];
    format!(
        "the {name} `{}` can't be read: {range}; `*` is each, 1,2 a list, 1-5 a range, */5 each fifth",
        fields[at].escape_debug()
    )
}

/// Whether it names its times one by one. `croner` says so of one time only, not of a list.
fn has_times_of_day(cron: &Cron) -> bool {
    let pattern = &cron.pattern;
    ![&pattern.seconds, &pattern.minutes, &pattern.hours].iter().any(|field| field.from_wildcard)
}

/// Whether the clock has shown this time before.
fn is_second_time(moment: &Zoned) -> bool {
    let offset = moment.time_zone().to_ambiguous_timestamp(moment.datetime()).offset();
    matches!(offset, AmbiguousOffset::Fold { after, .. } if after == moment.offset())
}

/// The first jump of the clock between two moments, the last included, over a time of the pattern.
fn jump_over_a_time(cron: &Cron, after: &Zoned, upto: &Zoned) -> Option<Timestamp> {
    let zone = after.time_zone();
    let changes = zone.following(after.timestamp()).map(|change| (change.timestamp(), change.offset()));
    changes.take_while(|(at, _)| *at <= upto.timestamp()).find_map(|(at, offset)| {
        let before = zone.to_offset(at - jiff::SignedDuration::from_nanos(1));
        // What the clock would have shown, and what it shows: as times of a zone without changes.
        let (skipped, shown) = (before.to_datetime(at), offset.to_datetime(at));
        let first = skipped.to_zoned(TimeZone::UTC).ok()?;
        let time = cron.find_next_occurrence(&first, true).ok().filter(|_| skipped < shown)?;
        (time.datetime() < shown).then_some(at)
    })
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds_to_next(pattern: &str, at: SystemTime) -> u64 {
        let next = Schedule::parse(pattern).unwrap().next(at).unwrap();
        next.duration_since(at).unwrap().as_secs()
    }

    #[test]
    fn five_fields_or_six_with_seconds_first() {
        // A whole minute, in every zone.
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(seconds_to_next("* * * * *", at), 60);
        assert_eq!(seconds_to_next("*/10 * * * * *", at + Duration::from_secs(3)), 7);
        assert!(seconds_to_next("30 4 * * MON", at) <= 8 * 86_400);
    }

    #[test]
    fn a_timer_that_is_a_little_early_does_not_start_a_run_twice() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) - Duration::from_millis(20);
        assert_eq!(seconds_to_next("* * * * *", at), 60);
    }

    /// As their rules are written in the tz database: on March 29 the hour from 2 to 3 is left out, on October 25 it comes twice.
    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    /// On March 8 the hour from 2 to 3 is left out, on November 1 that from 1 to 2 comes twice.
    const NEW_YORK: &str = "EST5EDT,M3.2.0,M11.1.0";

    /// The next starts after a moment, in the time of a zone.
    fn starts(zone: &str, pattern: &str, after: &str, number: usize) -> Vec<String> {
        let zone = TimeZone::posix(zone).unwrap();
        let schedule = Schedule::parse(pattern).unwrap();
        let mut at = SystemTime::from(after.parse::<Timestamp>().unwrap());
        let starts = (0..number).map(|_| {
            at = schedule.next_in(zone.clone(), at).unwrap();
            let local = Timestamp::try_from(at).unwrap().to_zoned(zone.clone());
            local.strftime("%m-%d %H:%M %:z").to_string()
        });
        starts.collect()
    }

    #[test]
    fn a_time_that_the_clock_skips_comes_once_when_it_has_jumped() {
        for (zone, pattern, after, expected) in [
            (BERLIN, "30 2 * * *", "2026-03-28T12:00:00Z", ["03-29 03:00 +02:00", "03-30 02:30 +02:00"]),
            (BERLIN, "0,30 2 * * *", "2026-03-28T12:00:00Z", ["03-29 03:00 +02:00", "03-30 02:00 +02:00"]),
            (BERLIN, "0 0-4 * * *", "2026-03-29T00:30:00Z", ["03-29 03:00 +02:00", "03-29 04:00 +02:00"]),
            (BERLIN, "0,30 2 * * *", "2026-03-29T01:00:00Z", ["03-30 02:00 +02:00", "03-30 02:30 +02:00"]),
            (BERLIN, "30 2,3 * * *", "2026-03-28T12:00:00Z", ["03-29 03:00 +02:00", "03-29 03:30 +02:00"]),
            (BERLIN, "30 2 * * SUN", "2026-03-28T12:00:00Z", ["03-29 03:00 +02:00", "04-05 02:30 +02:00"]),
            (NEW_YORK, "30 2 * * *", "2026-03-07T12:00:00Z", ["03-08 03:00 -04:00", "03-09 02:30 -04:00"]),
            (NEW_YORK, "15 30 2 * * *", "2026-03-07T12:00:00Z", ["03-08 03:00 -04:00", "03-09 02:30 -04:00"]),
        ] {
            assert_eq!(starts(zone, pattern, after, 2), expected, "{pattern}");
        }
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_comes_once_the_first_time() {
        for (zone, pattern, after, expected) in [
            (BERLIN, "30 2 * * *", "2026-10-24T12:00:00Z", ["10-25 02:30 +02:00", "10-26 02:30 +01:00"]),
            // From within the hour that comes again.
            (BERLIN, "30 2 * * *", "2026-10-25T01:10:00Z", ["10-26 02:30 +01:00", "10-27 02:30 +01:00"]),
            (NEW_YORK, "0 1 * * *", "2026-10-31T12:00:00Z", ["11-01 01:00 -04:00", "11-02 01:00 -05:00"]),
            (NEW_YORK, "0 2 * * *", "2026-10-31T12:00:00Z", ["11-01 02:00 -05:00", "11-02 02:00 -05:00"]),
            (BERLIN, "0,30 2 * * *", "2026-10-25T00:10:00Z", ["10-25 02:30 +02:00", "10-26 02:00 +01:00"]),
            (NEW_YORK, "30 0-2 * * *", "2026-11-01T05:00:00Z", ["11-01 01:30 -04:00", "11-01 02:30 -05:00"]),
        ] {
            assert_eq!(starts(zone, pattern, after, 2), expected, "{pattern}");
        }
    }

    #[test]
    fn what_comes_every_few_minutes_or_hours_follows_the_clock_when_it_is_changed() {
        for (zone, after) in [
            (BERLIN, "2026-03-29T00:25:00Z"),
            (BERLIN, "2026-10-24T23:25:00Z"),
            (NEW_YORK, "2026-03-08T06:25:00Z"),
            (NEW_YORK, "2026-11-01T05:25:00Z"),
        ] {
            let minutes: Vec<String> =
                starts(zone, "*/30 * * * *", after, 6).iter().map(|at| at[9..11].to_owned()).collect();
            assert_eq!(minutes, ["30", "00", "30", "00", "30", "00"]);
            assert_eq!(
                starts(zone, "*/30 * * * *", after, 6)
                    .iter()
                    .collect::<std::collections::BTreeSet<_>>()
                    .len(),
                6
            );
        }
        // Of the skipped hour nothing is made up for; the doubled one has its times twice.
        let spring = starts(BERLIN, "*/30 2 * * *", "2026-03-28T12:00:00Z", 1);
        assert_eq!(spring, ["03-30 02:00 +02:00"]);
        let autumn = starts(BERLIN, "*/30 2 * * *", "2026-10-24T12:00:00Z", 5);
        let twice = ["10-25 02:00 +02:00", "10-25 02:30 +02:00", "10-25 02:00 +01:00", "10-25 02:30 +01:00"];
        assert_eq!(autumn[..4], twice);
        let hours = starts(NEW_YORK, "0 */2 * * *", "2026-03-08T04:30:00Z", 2);
        assert_eq!(hours, ["03-08 00:00 -05:00", "03-08 04:00 -04:00"]);
    }

    #[test]
    fn a_fault_names_the_field_and_what_it_takes() {
        for (pattern, said) in [
            (
                "* * * *",
                "it has five fields (minute, hour, day, month, weekday), or six with seconds first, not 4",
            ),
            ("every day", "it has five fields (minute, "),
            ("61 * * * *", "the minute `61` can't be read: 0 to 59; "),
            ("0 25 * * *", "the hour `25` can't be read: 0 to 23; "),
            ("0 0 5 * * FOO", "the weekday `FOO` can't be read: 0 to 7, or SUN to SAT"),
            ("0 0 * JANUARY *", "the month `JANUARY` can't be read: 1 to 12, or JAN to DEC"),
            ("*/0 * * * *", "the minute `*/0` can't be read"),
            ("0 5-1 * * *", "the hour `5-1` can't be read"),
            ("@dayly", "after the @ stands hourly, daily, "),
            ("0 0 30 2 *", "there is never such a day"),
        ] {
            let fault = Schedule::parse(pattern).unwrap_err();
            assert!(fault.starts_with(said), "{pattern}: {fault}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for pattern in ["", "* * * *", "61 * * * *", "* * * * * * *", "every day", "0 0 30 2 *"] {
            assert!(Schedule::parse(pattern).is_err(), "{pattern}");
        }
    }
}
