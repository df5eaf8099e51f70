//! Sizes in bytes, with the usual units.

use serde_json::{Value, json};

use super::{Element, or_variable, reject, wrong_kind};
use crate::config::diagnostic::{Report, quote};
use crate::config::document::{Content, Node};

/// A number of bytes, from 1 to `MOST`.
pub(crate) struct Size<const MOST: u64>;

/// Units and their bytes, the binary ones first and the greatest of each first.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl<const MOST: u64> Element for Size<MOST> {
    type Output = u64;

    fn read(node: &Node, report: &mut Report) -> Option<u64> {
        match bytes(node) {
            Ok(bytes) if (1..=u128::from(MOST)).contains(&bytes) => {
                // It fits: MOST is a u64.
                return u64::try_from(bytes).ok();
            }
            Ok(0) => report.push(reject::<Self>(node, "a size of no bytes at all")),
            Ok(bytes) => report.push(reject::<Self>(node, format!("{} is too much", given(node, bytes)))),
            Err(Fault::Kind) => report.push(wrong_kind::<Self>(node, "a size")),
            Err(Fault::Text(title, meant)) => report.push(reject::<Self>(node, title).did_you_mean(meant)),
        }
        None
    }

    fn accepted() -> String {
        format!(
            r#"a size such as "64KiB" or "16MiB", up to {} (units: B KB MB GB TB KiB MiB GiB TiB)"#,
            show(MOST)
        )
    }

    fn schema() -> Value {
        let pattern = r"^\s*[0-9]+\s*(B|kB|[KMGT]B|[KMGT]iB)\s*$|\$\{";
        let text = json!({ "type": "string", "pattern": pattern, "examples": ["64KiB", "16MiB"] });
        or_variable(json!({ "anyOf": [text, { "type": "integer", "minimum": 1, "maximum": MOST }] }))
    }

    fn written(bytes: &u64) -> Value {
        show(*bytes).into()
    }
}

/// The size as the user gave it.
fn given(node: &Node, bytes: u128) -> String {
    node.text().map_or_else(|| format!("{bytes} bytes"), quote)
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Kind,
    /// What is wrong with the text, and what is probably meant.
    Text(String, Option<String>),
}

fn bytes(node: &Node) -> Result<u128, Fault> {
    match (&node.content, node.integer()) {
        (_, Some(number)) => {
            u128::try_from(number).map_err(|_| Fault::Text("a size can't be negative".into(), None))
        }
        (Content::Text { text, .. }, None) => parse(text),
        _ => Err(Fault::Kind),
    }
}

fn parse(text: &str) -> Result<u128, Fault> {
    let trimmed = text.trim();
    let digits = trimmed.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start();
    let bad = |title: &str, meant| Err(Fault::Text(format!("{} {title}", quote(text)), meant));
    if number.is_empty() {
        let title = if unit.starts_with('-') { "is negative, which no size can be" } else { "is no size" };
        return bad(title, None);
    }
    if unit.is_empty() {
        return bad("has no unit", Some(format!("\"{number}B\"")));
    }
    if unit.starts_with(['.', ',']) {
        return bad("has a fraction: use a smaller unit", None);
    }
    let unit = if unit == "kB" { "KB" } else { unit };
    match UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, size)) => Ok(number.parse::<u128>().unwrap_or(u128::MAX).saturating_mul(u128::from(*size))),
        None => bad("has an unknown unit", usual_unit(unit).map(|unit| format!("\"{number}{unit}\""))),
    }
}

/// The unit that people mean by a letter, a long word or the wrong case.
fn usual_unit(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    let letter = match word.as_str() {
        "byte" | "bytes" => "b",
        "k" | "ki" => "kib",
        "m" | "mi" | "meg" | "megs" => "mib",
        "g" | "gi" | "gig" | "gigs" => "gib",
        other => other,
    };
    UNITS.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(letter))
}

/// A size as it would be written in a file, exactly.
pub(crate) fn show(bytes: u64) -> String {
    let fitting =
        UNITS.iter().filter(|(_, size)| bytes >= *size).find(|(_, size)| bytes.is_multiple_of(*size));
    let (unit, size) = fitting.unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn units_are_powers_of_ten_or_two() {
        for (text, bytes) in
            [("64KiB", 65_536), ("16 MiB", 16 << 20), ("3KB", 3_000), ("3kB", 3_000), ("7B", 7)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_bad_unit_suggests_a_good_one() {
        for (text, wanted) in
            [("64", "\"64B\""), ("64k", "\"64KiB\""), ("1 gib", "\"1GiB\""), ("5 bytes", "\"5B\"")]
        {
            let Err(Fault::Text(_, meant)) = parse(text) else { panic!("{text} was accepted") };
            assert_eq!(meant.as_deref(), Some(wanted));
        }
        for text in ["", "-5KiB", "1.5MiB", "much", "12 parsecs"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_need_no_unit_if_they_are_a_number() {
        accepts::<Size<1024>>(&["1024", "\"1KiB\"", "\"1B\""]);
        refuses::<Size<1024>>(&[
            ("1025", "1025 bytes is too much"),
            ("\"2KiB\"", "\"2KiB\" is too much"),
            ("0", "no bytes at all"),
            ("-1", "can't be negative"),
            ("true", "expected a size"),
            ("1.5", "expected a size"),
        ]);
    }

    #[test]
    fn a_shown_size_reads_back() {
        for bytes in [1, 999, 1_000, 1_024, 64 << 20, 1_500_000, u64::MAX] {
            assert_eq!(parse(&show(bytes)), Ok(u128::from(bytes)));
        }
        assert_eq!((show(16 << 20), show(3_000)), ("16MiB".into(), "3KB".into()));
    }
}
