//! Rates: a number of items in a unit of time.

use serde_json::{Value, json};

use super::{Element, read_text, reject};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::{Content, Node};
use crate::config::pipeline::{Rate, RateUnit};

/// `rate`: a whole number and a unit, such as `"100/s"`.
pub(crate) struct RateText;

impl Element for RateText {
    type Output = Rate;

    fn read(node: &Node, report: &mut Report) -> Option<Rate> {
        if let Content::Integer(number @ 1..=1_000_000) = node.content {
            let fault = reject::<Self>(node, "a rate has a unit");
            report.push(fault.did_you_mean(Some(format!("\"{number}/s\""))));
            return None;
        }
        if let Some(meant) = node.text().and_then(meant) {
            let fault =
                reject::<Self>(node, format!("{} is no rate", quote(node.text().unwrap_or_default())));
            report.push(fault.did_you_mean(Some(meant)));
            return None;
        }
        read_text::<Self>(node, report, "a rate in quotes", parse)
    }

    fn accepted() -> String {
        r#"a whole number of items and a unit, at most a million a second, such as "100/s", "30/m" or "5000/h""#
            .into()
    }

    fn schema() -> Value {
        let pattern = r"^\s*[0-9]{1,10}\s*/\s*[smh]\s*$|\$\{";
        json!({ "type": "string", "pattern": pattern, "examples": ["100/s", "30/m", "5000/h"] })
    }

    fn written(rate: &Rate) -> Value {
        rate.to_string().into()
    }
}

fn parse(text: &str) -> Result<Rate, String> {
    let (items, unit) = text.split_once('/').ok_or_else(|| format!("{} has no unit", quote(text)))?;
    let per = RateUnit::ALL.into_iter().find(|(letter, _)| unit.trim().chars().eq([*letter]));
    let (_, per) = per.ok_or_else(|| format!("{}: there is no unit {}", quote(text), quote(unit.trim())))?;
    let items = items.trim();
    if items.is_empty() || !items.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{}: {} is no whole number", quote(text), quote(items)));
    }
    match items.parse() {
        Ok(0) => Err("a rate of 0 would let nothing through: to hold a stage, use `mprun pause`".to_owned()),
        Ok(items) if items <= per.most() => Ok(Rate { items, per }),
        _ => Err(format!("{} is more than a million a second", quote(text))),
    }
}

/// The rate that is probably meant: one with a unit in words, or with none.
fn meant(text: &str) -> Option<String> {
    let (items, unit) = text.split_once('/').unwrap_or((text, "s"));
    let unit = unit.trim();
    let unit = match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" | "1s" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" | "1m" => "m",
        "h" | "hr" | "hour" | "hours" | "1h" => "h",
        _ => return None,
    };
    let meant = format!("{}/{unit}", items.trim().replace('_', ""));
    (parse(text).is_err() && parse(&meant).is_ok()).then(|| format!("\"{meant}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, read, refuses};
    use std::time::Duration;

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        accepts::<RateText>(&["\"100/s\"", "\"1/h\"", "\" 30 / m \"", "\"1000000/s\"", "\"3600000000/h\""]);
        refuses::<RateText>(&[
            ("100", "did you mean \"100/s\"?"),
            ("\"100\"", "did you mean \"100/s\"?"),
            ("\"100/sec\"", "did you mean \"100/s\"?"),
            ("\"30/Minute\"", "did you mean \"30/m\"?"),
            ("\"1_000/s\"", "did you mean \"1000/s\"?"),
            ("\"0/s\"", "let nothing through"),
            ("\"1000001/s\"", "\"1000001/s\" is more than a million a second"),
            ("\"60000001/m\"", "more than a million a second"),
            ("\"99999999999999999999/h\"", "more than a million a second"),
            ("\"0.5/s\"", "\"0.5\" is no whole number"),
            ("\"-1/s\"", "no whole number"),
            ("\"/s\"", "no whole number"),
            ("\"5/d\"", "there is no unit \"d\""),
            ("\"fast\"", "no unit"),
            ("1.5", "expected a rate in quotes"),
            ("0", "expected a rate in quotes"),
        ]);
    }

    #[test]
    fn a_rate_is_shown_as_it_was_written() {
        let interval = |toml| read::<RateText>(toml).unwrap().interval();
        assert_eq!(interval("\"100/s\""), Duration::from_millis(10));
        assert_eq!(interval("\"30/m\""), Duration::from_secs(2));
        assert_eq!(interval("\"1/h\""), Duration::from_secs(3600));
        assert_eq!(interval("\"3000000/h\""), Duration::from_micros(1200));
        assert_eq!(RateText::shown(&read::<RateText>("\"30 / m\"").unwrap()), "30/m");
    }
}
