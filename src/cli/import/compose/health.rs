//! `healthcheck`: what is run, how often, and how many failures are too many.

use std::time::Duration;

use super::variables::expanded;
use super::yaml::Value;
use crate::cli::toml_text::{command, table, text, unnumbered};

/// What Docker takes where the file says nothing.
const INTERVAL: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;

/// What a check is made of.
pub(super) const KNOWN: [&str; 7] =
    ["test", "disable", "interval", "timeout", "retries", "start_period", "start_interval"];

/// A check that a stage could have; `None`: there is none, or it is off.
pub(super) fn check(value: &Value) -> Option<Result<Vec<(&'static str, String)>, String>> {
    let is_off = value.get("disable").and_then(Value::text) == Some("true");
    let test = value.get("test").filter(|_| !is_off)?;
    let run = match (test, test.texts().as_slice()) {
        (_, ["NONE", ..]) | (_, []) => return None,
        (Value::List(_), ["CMD-SHELL", line]) | (Value::Text(_), [line]) => {
            expanded(line).map(|line| text(&line))
        }
        (_, ["CMD", words @ ..]) => list(words),
        (Value::List(_), [first, ..]) => {
            Err(format!("its test begins with {first}, not with CMD or CMD-SHELL"))
        }
        (_, words) => list(words),
    };
    Some(run.map(|run| vec![("command", run)]))
}

fn list(words: &[&str]) -> Result<String, String> {
    let unnumbered = |word: &&str| expanded(word).map(|word| unnumbered(&word));
    let words = words.iter().map(unnumbered).collect::<Result<Vec<_>, _>>()?;
    Ok(command(words.iter().map(String::as_str)))
}

/// As `health`: a check for as long as the service lives.
pub(super) fn health(value: &Value) -> Option<Result<String, String>> {
    let mut pairs = match check(value)? {
        Ok(pairs) => pairs,
        Err(why) => return Some(Err(why)),
    };
    // Of these two only the first has another default here.
    let known = [("interval", "every", Some(INTERVAL)), ("timeout", "timeout", None)];
    // An empty text is neither a time nor a number: a variable must be set.
    let filled = |text: &str| expanded(text).map(|text| text.replace(":-}", "}"));
    for (name, key, default) in known {
        match setting(value, name)
            .filter(|time| !is_no_time(time))
            .map(|time| filled(&as_ours(time)))
            .transpose()
        {
            Ok(time) => pairs.extend(time.or(default.map(shown)).map(|time| (key, text(&time)))),
            Err(why) => return Some(Err(why)),
        }
    }
    let failures = value.get("retries").and_then(Value::text).filter(|retries| *retries != "0").map(
        |number| match filled(number) {
            Ok(number) if number.parse::<u32>().is_err() => text(&number),
            Ok(number) => number,
            Err(_) => number.to_owned(),
        },
    );
    pairs.extend(failures.map(|number| ("failures", number)));
    Some(Ok(table(pairs)))
}

/// What of these times is none.
pub(super) fn bad_times(value: &Value) -> Vec<String> {
    let bad = |name: &&str| setting(value, name).is_some_and(is_no_time);
    let all = ["interval", "timeout"].into_iter().filter(bad);
    all.map(|name| format!("{name}: {}", setting(value, name).unwrap_or_default())).collect()
}

fn is_no_time(text: &str) -> bool {
    !text.contains('$') && humantime(text).is_none()
}

/// Here only a time of one unit has a fraction.
fn as_ours(time: &str) -> String {
    let units =
        time.split(|letter: char| letter.is_ascii_digit() || letter == '.').filter(|unit| !unit.is_empty());
    match humantime(time) {
        Some(duration) if time.contains('.') && units.count() > 1 => shown(duration),
        Some(_) | None => time.to_owned(),
    }
}

/// Zero stands for what is the default.
fn is_default(time: &str) -> bool {
    time.trim_end_matches(char::is_alphabetic) == "0"
}

/// As `ready`: others wait for it once. There a container is unhealthy after `retries` failed checks in a row, and those in
/// its `start_period` do not count: it has that long to become ready.
pub(super) fn ready(value: &Value) -> Option<Result<String, String>> {
    let mut pairs = match check(value)? {
        Ok(pairs) => pairs,
        Err(why) => return Some(Err(why)),
    };
    match value.get("start_interval").and_then(Value::text).map(expanded).transpose() {
        Ok(every) => pairs.extend(every.map(|every| ("every", text(&every)))),
        Err(why) => return Some(Err(why)),
    }
    pairs.push(("timeout", text(&shown(time_to_be_ready(value)))));
    Some(Ok(table(pairs)))
}

fn shown(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

/// How long it may take until it is unhealthy there. What a variable says is not known before a run: Docker's default then.
fn time_to_be_ready(value: &Value) -> Duration {
    let time = |name: &str, or: Duration| setting(value, name).and_then(humantime).unwrap_or(or);
    let retries = setting(value, "retries").and_then(|number| number.parse().ok()).unwrap_or(RETRIES);
    time("start_period", Duration::ZERO).saturating_add(time("interval", INTERVAL).saturating_mul(retries))
}

/// The settings that [`ready`] could not reckon with.
pub(super) fn unknown_times(value: &Value) -> Vec<String> {
    let is_known = |name: &str, text: &str| match name {
        "retries" => text.parse::<u32>().is_ok(),
        _ => humantime(text).is_some(),
    };
    let all = ["start_period", "interval", "retries"];
    let unknown = |name: &str| {
        setting(value, name).filter(|text| !is_known(name, text)).map(|text| format!("{name}: {text}"))
    };
    all.into_iter().filter_map(unknown).collect()
}

fn setting<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::text).filter(|text| !is_default(text))
}

/// A sequence of numbers with units, such as `1m30s`.
fn humantime(text: &str) -> Option<Duration> {
    let (mut all, mut rest) = (Duration::ZERO, text.trim());
    while !rest.is_empty() {
        let unit_at = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let end = rest[unit_at..]
            .find(|letter: char| letter.is_ascii_digit())
            .map_or(rest.len(), |end| unit_at + end);
        let second = match &rest[unit_at..end] {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = rest[..unit_at].parse().ok()?;
        all = all.checked_add(Duration::try_from_secs_f64(number * second).ok()?)?;
        rest = &rest[end..];
    }
    Some(all)
}

/// Until then failed checks count for nothing.
pub(super) fn start_period(value: &Value) -> Option<&str> {
    value.get("start_period").and_then(Value::text).filter(|time| !is_default(time))
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn of(text: &str) -> Option<Result<String, String>> {
        health(&yaml::parse(text).unwrap())
    }

    #[test]
    fn zero_is_the_default_and_a_test_says_how_it_is_run() {
        let zeros = of("{test: [CMD, 'true'], retries: 0, interval: 0s, timeout: '0'}").unwrap().unwrap();
        assert_eq!(zeros, of("{test: [CMD, 'true']}").unwrap().unwrap());
        let some = of("{test: [CMD, 'true'], retries: 10, interval: 0.5s}").unwrap().unwrap();
        let unset = of("{test: x, interval: $A, retries: '${B}'}").unwrap().unwrap();
        assert_eq!(unset, "{ command = \"x\", every = \"${A}\", failures = \"${B}\" }");
        assert!(some.contains("failures = 10") && some.contains("every = \"0.5s\""), "{some}");
        let mixed = of("{test: x, interval: 1m0.5s, timeout: 5x}").unwrap().unwrap();
        assert_eq!(mixed, "{ command = \"x\", every = \"60500ms\" }");
        let bare = of("{test: x}").unwrap().unwrap();
        assert_eq!(bare, "{ command = \"x\", every = \"30s\" }");
        assert_eq!(
            bad_times(&yaml::parse("{test: x, interval: 1m0.5s, timeout: 5x}").unwrap()),
            ["timeout: 5x"]
        );
        for test in ["[curl, -f, x]", "[CMD-SHELL]"] {
            let why = of(&format!("{{test: {test}}}")).unwrap().unwrap_err();
            assert!(why.starts_with("its test begins with"), "{why}");
        }
        assert_eq!(of("{test: [CMD, 'true'], disable: true}"), None);
        assert_eq!(start_period(&yaml::parse("{start_period: 0.5s}").unwrap()), Some("0.5s"));
        assert_eq!(start_period(&yaml::parse("{start_period: 0s}").unwrap()), None);
    }

    #[test]
    fn a_service_is_ready_in_time_if_docker_would_not_call_it_unhealthy() {
        for (check, timeout) in [
            ("", "90s"),
            (", start_period: 5s, interval: 10s, retries: 5", "55s"),
            (", start_period: 1m30s, interval: 0.5s, retries: 3", "91500ms"),
        ] {
            let said = ready(&yaml::parse(&format!("{{test: x{check}}}")).unwrap()).unwrap().unwrap();
            assert!(said.contains(&format!("timeout = \"{timeout}\"")), "{said}");
        }
        for check in ["interval: $X", "interval: 5x", "retries: '${N}'", "start_period: 1y"] {
            let value = yaml::parse(&format!("{{test: x, {check}}}")).unwrap();
            assert_eq!(unknown_times(&value), [check.replace('\'', "")]);
            assert!(ready(&value).unwrap().unwrap().contains("timeout = \"90s\""), "{check}");
        }
        let every = ready(&yaml::parse("{test: x, start_interval: 2s}").unwrap()).unwrap().unwrap();
        assert!(every.contains("every = \"2s\""), "{every}");
    }
}
