//! Keys of a stage to the supervisor's rules and the worker's tuning.

use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::keys::{BackoffKeys, StageKeys};
use crate::config::pipeline::{Backoff, GiveUp, Recycle, Rules, Tuning};
use crate::logs::LogFile;

pub fn rules(keys: &StageKeys, report: &mut Report) -> Rules {
    let give_up = &keys.give_up.value;
    Rules {
        restart: keys.restart.value,
        backoff: backoff(&keys.backoff.value, report),
        give_up: GiveUp {
            // It fits: the element allows no more than a million.
            restarts: u32::try_from(give_up.restarts.value.0).unwrap_or(u32::MAX),
            within: give_up.within.value.0,
        },
        on_give_up: keys.on_give_up.value,
        stop_timeout: keys.stop_timeout.value.0,
    }
}

/// Where only one of the two delays is given, the default of the other gives way.
fn backoff(keys: &BackoffKeys, report: &mut Report) -> Backoff {
    let (mut initial, mut max) = (keys.initial.value.0, keys.max.value.0);
    if initial > max {
        match (&keys.initial.at, &keys.max.at) {
            (Some(first), Some(most)) => report.push(
                Diagnostic::error("the first delay is longer than the longest")
                    .at(&first.value)
                    .also(&most.value, "the longest"),
            ),
            (Some(_), None) => max = initial,
            (None, _) => initial = max,
        }
    }
    Backoff { initial, max, reset_after: keys.reset_after.value.0 }
}

pub fn tuning(keys: &StageKeys) -> Tuning {
    Tuning {
        sleep: keys.sleep.value.0,
        sleep_when_full: keys.sleep_when_full.value.map(|period| period.0),
        sleep_when_empty: keys.sleep_when_empty.value.map(|period| period.0),
        log_items: keys.log_items.value,
        // It fits: the element allows no more than a million.
        attempts: u32::try_from(keys.attempts.value.0).unwrap_or(u32::MAX),
        item_timeout: keys.item_timeout.value.map(|period| period.0),
    }
}

pub fn recycle(keys: &StageKeys) -> Recycle {
    let keys = &keys.recycle.value;
    Recycle {
        items: keys.items.value.map(|count| count.0),
        memory: keys.memory.value.map(|size| size.0),
        age: keys.age.value.map(|period| period.0),
    }
}

/// `log_file`: a file needs a name, or nothing else about it makes sense.
pub fn log_file(stage: &str, keys: &StageKeys, report: &mut Report) -> Option<LogFile> {
    let (at, keys) = (&keys.log_file.at, &keys.log_file.value);
    let Some(path) = &keys.path.value else {
        if let Some(at) = at.as_ref().filter(|_| !keys.strays.may_be("path")) {
            let fault = Diagnostic::error("`log_file` has no `path`").at(&at.value);
            report.push(fault.help("such as `log_file = { path = \"logs/{stage}.log\" }`"));
        }
        return None;
    };
    Some(LogFile {
        path: path.0.replace("{stage}", stage).into(),
        max_size: keys.max_size.value.0,
        max_age: keys.max_age.value.map(|period| period.0),
        // It fits: the element allows no more than a thousand.
        keep: u32::try_from(keys.keep.value.0).unwrap_or(u32::MAX),
    })
}
