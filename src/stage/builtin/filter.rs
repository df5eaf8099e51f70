//! `filter`: lets some items through.

use crate::item::Shown;
use crate::stage::{Context, Emitter, Failure, Item, Setting, Settings, Stage};
use memchr::memmem;
use regex::bytes::Regex;
use serde_json::{Value, json};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Filter, Failure> + use<> {
    with.about("Passes the items that meet all of its conditions.");
    let keep: Option<Parity> = with.key("keep", "Only even, or only odd whole numbers.").optional();
    let matches: Option<Regex> =
        with.key("matches", "Only items in which this regular expression is found.").optional();
    let contains: Option<String> = with.key("contains", "Only items that contain this text.").optional();
    let invert = with.key("invert", "Passes the items that don't meet them instead.").or(false);
    if with.is_good() && keep.is_none() && matches.is_none() && contains.is_none() {
        let help = "write `keep = \"even\"`, `matches = REGEX` or `contains = TEXT`".to_owned();
        with.fault("keep", "`filter` needs a condition", Some(help));
    }
    let contains = contains.map(|text| memmem::Finder::new(&text).into_owned());
    move |_| Ok(Filter { keep, matches, contains, invert })
}

/// See [`build`].
pub(super) struct Filter {
    keep: Option<Parity>,
    matches: Option<Regex>,
    contains: Option<memmem::Finder<'static>>,
    invert: bool,
}

impl Filter {
    fn meets_all(&self, bytes: &[u8]) -> Result<bool, Failure> {
        if let Some(keep) = self.keep
            && parity(bytes)? != keep
        {
            return Ok(false);
        }
        Ok(self.matches.as_ref().is_none_or(|regex| regex.is_match(bytes))
            && self.contains.as_ref().is_none_or(|finder| finder.find(bytes).is_some()))
    }
}

impl Stage for Filter {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        if self.meets_all(item.bytes())? != self.invert {
            out.emit(item.bytes())?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parity {
    Even,
    Odd,
}

impl Setting for Parity {
    fn schema() -> Value {
        json!({"enum": ["even", "odd"]})
    }
    fn parse(written: &Value) -> Result<Self, String> {
        match written.as_str() {
            Some("even") => Ok(Parity::Even),
            Some("odd") => Ok(Parity::Odd),
            _ => Err(format!("takes \"even\" or \"odd\", not {written}")),
        }
    }
    fn show(&self) -> Value {
        json!(if *self == Parity::Even { "even" } else { "odd" })
    }
    fn placeholder() -> Self {
        Parity::Even
    }
}

/// Whether a whole number of any length is even: its last digit tells.
fn parity(bytes: &[u8]) -> Result<Parity, Failure> {
    let number = bytes.trim_ascii();
    let digits = number.strip_prefix(b"-").or(number.strip_prefix(b"+")).unwrap_or(number);
    match digits {
        [.., last] if digits.iter().all(u8::is_ascii_digit) => {
            Ok(if last % 2 == 0 { Parity::Even } else { Parity::Odd })
        }
        _ => Err(Failure::new(format!(
            "`{}` is not a whole number, so it is neither even nor odd",
            Shown(bytes)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{faults, through};
    use super::*;

    const NUMBERS: [&str; 6] = ["0", "7", "-4", "-9", " 12 ", "123456789012345678901234567890"];

    #[test]
    fn it_keeps_even_or_odd_numbers() {
        let even = ["0", "-4", " 12 ", "123456789012345678901234567890"];
        assert_eq!(through("filter", json!({"keep": "even"}), &NUMBERS), even);
        assert_eq!(through("filter", json!({"keep": "odd"}), &NUMBERS), ["7", "-9"]);
        assert_eq!(through("filter", json!({"keep": "even", "invert": true}), &NUMBERS), ["7", "-9"]);
    }

    #[test]
    fn what_is_no_number_fails_with_a_clear_text() {
        for item in ["abc", "", "1.5", "-", "0x10", "1 2"] {
            let error = parity(item.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{item}` is not a whole number")), "{error}");
        }
    }

    #[test]
    fn conditions_add_up() {
        let lines = ["GET /a 200", "GET /b 404", "POST /a 404", "get 404"];
        assert_eq!(through("filter", json!({"matches": "^GET .* 404$"}), &lines), ["GET /b 404"]);
        let both = json!({"matches": "404$", "contains": "/a"});
        assert_eq!(through("filter", both, &lines), ["POST /a 404"]);
    }

    #[test]
    fn a_filter_without_a_condition_is_a_fault() {
        assert_eq!(faults("filter", json!({})).len(), 1);
        assert_eq!(faults("filter", json!({"keep": "evn"})).len(), 1);
        assert_eq!(faults("filter", json!({"matches": "("})).len(), 1);
    }
}
