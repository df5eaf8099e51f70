//! `schedule`: the moments at which a program is started, as cron writes them.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
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
            None => Err("there is no such moment".to_owned()),
        }
    }

    fn cron(&self) -> Result<Cron, String> {
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let parsed = parser.parse(&self.0);
        parsed.map_err(|error| error.to_string().to_lowercase().trim_end_matches('.').to_owned())
    }

    /// The first moment after this one.
    pub fn next(&self, after: SystemTime) -> Option<SystemTime> {
        self.next_in(TimeZone::system(), after)
    }

    fn next_in(&self, zone: TimeZone, after: SystemTime) -> Option<SystemTime> {
        let after = Timestamp::try_from(after + EARLY).ok()?.to_zoned(zone);
        let next = self.cron().ok()?.find_next_occurrence(&after, false).ok()?;
        Some(SystemTime::from(next.timestamp()))
    }
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

    /// The next starts after a moment, in central Europe.
    fn starts(pattern: &str, after: &str, number: usize) -> Vec<String> {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let schedule = Schedule::parse(pattern).unwrap();
        let mut at = SystemTime::from(after.parse::<Timestamp>().unwrap());
        let starts = (0..number).map(|_| {
            at = schedule.next_in(zone.clone(), at).unwrap();
            Timestamp::try_from(at).unwrap().to_string()
        });
        starts.collect()
    }

    #[test]
    fn a_time_of_day_comes_once_a_day_also_when_the_clock_is_changed() {
        // On March 29 the hour from 2 to 3 is left out, on October 25 it comes twice.
        let spring = starts("30 2 * * *", "2026-03-28T12:00:00Z", 2);
        assert_eq!(spring, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        let autumn = starts("30 2 * * *", "2026-10-24T12:00:00Z", 2);
        assert_eq!(autumn, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    }

    #[test]
    fn what_comes_every_few_minutes_does_so_also_when_the_clock_is_changed() {
        for after in ["2026-03-29T00:25:00Z", "2026-10-24T23:25:00Z"] {
            let starts = starts("*/30 * * * *", after, 8);
            let times = starts.iter().map(|at| at.parse::<Timestamp>().unwrap().as_second());
            let times: Vec<i64> = times.collect();
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1800), "{starts:?}");
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for pattern in ["", "* * * *", "61 * * * *", "* * * * * * *", "every day", "0 0 30 2 *"] {
            assert!(Schedule::parse(pattern).is_err(), "{pattern}");
        }
    }
}
