//! `healthcheck`: what is run, how often, and how many failures are too many.

use super::variables::expanded;
use super::yaml::Value;
use crate::cli::toml_text::{command, table, text};

/// What a check is made of.
pub(super) const KNOWN: [&str; 6] = ["test", "disable", "interval", "timeout", "retries", "start_period"];

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
    let words = words.iter().map(|word| expanded(word)).collect::<Result<Vec<_>, _>>()?;
    Ok(command(words.iter().map(String::as_str)))
}

/// As `health`: a check for as long as the service lives.
pub(super) fn health(value: &Value) -> Option<Result<String, String>> {
    let mut pairs = match check(value)? {
        Ok(pairs) => pairs,
        Err(why) => return Some(Err(why)),
    };
    let known = [("interval", "every"), ("timeout", "timeout")];
    for (name, key) in known {
        match value.get(name).and_then(Value::text).filter(|time| !is_default(time)).map(expanded).transpose()
        {
            Ok(time) => pairs.extend(time.map(|time| (key, text(&time)))),
            Err(why) => return Some(Err(why)),
        }
    }
    let failures =
        value.get("retries").and_then(Value::text).filter(|retries| *retries != "0").map(|number| {
            match expanded(number) {
                Ok(number) if number.parse::<u32>().is_err() => text(&number),
                Ok(number) => number,
                Err(_) => number.to_owned(),
            }
        });
    pairs.extend(failures.map(|number| ("failures", number)));
    Some(Ok(table(pairs)))
}

/// Zero stands for what is the default.
fn is_default(time: &str) -> bool {
    time.trim_end_matches(char::is_alphabetic) == "0"
}

/// As `ready`: others wait for it once.
pub(super) fn ready(value: &Value) -> Option<Result<String, String>> {
    let mut pairs = match check(value)? {
        Ok(pairs) => pairs,
        Err(why) => return Some(Err(why)),
    };
    match start_period(value).map(expanded).transpose() {
        Ok(time) => pairs.extend(time.map(|time| ("timeout", text(&time)))),
        Err(why) => return Some(Err(why)),
    }
    Some(Ok(table(pairs)))
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
        assert!(some.contains("failures = 10") && some.contains("every = \"0.5s\""), "{some}");
        for test in ["[curl, -f, x]", "[CMD-SHELL]"] {
            let why = of(&format!("{{test: {test}}}")).unwrap().unwrap_err();
            assert!(why.starts_with("its test begins with"), "{why}");
        }
        assert_eq!(of("{test: [CMD, 'true'], disable: true}"), None);
        assert_eq!(start_period(&yaml::parse("{start_period: 0.5s}").unwrap()), Some("0.5s"));
        assert_eq!(start_period(&yaml::parse("{start_period: 0s}").unwrap()), None);
    }
}
