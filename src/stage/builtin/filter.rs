//! `filter`: lets some items through.

use crate::condition::{Condition, Conditions};
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
    let doc = "Only JSON items for which this condition holds, such as 'level == \"error\" && took_ms > 1000' (docs/conditions.md).";
    let condition: Option<String> = with.key("where", doc).optional();
    let condition = condition.and_then(|text| read_condition("where", &text, with));
    let invert = with.key("invert", "Passes the items that don't meet them instead.").or(false);
    let has_other = keep.is_some() || matches.is_some() || contains.is_some();
    check_conditions(has_other, condition.is_some(), with);
    let contains = contains.map(|text| memmem::Finder::new(&text).into_owned());
    let condition = condition.map(|condition| Conditions::new(vec![Some(condition)]));
    move |_| Ok(Filter { keep, matches, contains, condition, invert })
}

/// A condition in a parameter; what is wrong with it is reported where it stands.
pub(super) fn read_condition(key: &'static str, text: &str, with: &mut Settings<'_>) -> Option<Condition> {
    match Condition::parse(text) {
        Ok(condition) => Some(condition),
        Err(fault) => {
            with.fault_within(key, fault.place, fault.message, fault.help);
            None
        }
    }
}

fn check_conditions(has_other: bool, has_where: bool, with: &mut Settings<'_>) {
    if !with.is_good() {
        return;
    }
    if has_other && has_where {
        let help = "say all of it in the condition: `text.contains(…)`, `text.matches(…)`".to_owned();
        with.fault("where", "`where` goes with no other condition of `filter`", Some(help));
    } else if !has_other && !has_where {
        let help =
            "write `where = CONDITION`, `keep = \"even\"`, `matches = REGEX` or `contains = TEXT`".to_owned();
        with.fault("keep", "`filter` needs a condition", Some(help));
    }
}

/// See [`build`].
pub(super) struct Filter {
    keep: Option<Parity>,
    matches: Option<Regex>,
    contains: Option<memmem::Finder<'static>>,
    condition: Option<Conditions>,
    invert: bool,
}

impl Filter {
    fn meets_all(&self, bytes: &[u8]) -> Result<bool, Failure> {
        if let Some(keep) = self.keep
            && parity(bytes)? != keep
        {
            return Ok(false);
        }
        if let Some(condition) = &self.condition {
            // Another attempt would end in the same way.
            let first = condition.first_that_holds(bytes).map_err(|why| Failure::reject(why.to_string()))?;
            return Ok(first.is_some());
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
    fn a_condition_over_json_passes_items_as_they_are() {
        let items = [r#"{"n":1,  "l": "x"}"#, r#"{"n": 3}"#, r#"{"l": "x"}"#];
        assert_eq!(through("filter", json!({"where": "n > 2"}), &items), [items[1]]);
        assert_eq!(
            through("filter", json!({"where": "n > 2", "invert": true}), &items),
            [items[0], items[2]]
        );
    }

    #[test]
    fn what_a_condition_can_not_be_applied_to_is_a_dead_letter_at_once() {
        let mut stage =
            super::super::testing::open_stage("filter", json!({"where": "n > 2", "invert": true}));
        for (item, said) in [
            ("x", "the item is not JSON: expected value at line 1 column 1"),
            (r#"{"n": "x"}"#, "`n > 2`, character 3: `>` does not take a text and a whole number"),
        ] {
            let mut seen = Vec::new();
            let failure =
                stage.process(&Item::new(item.as_bytes()), &mut Emitter::new(&mut seen)).unwrap_err();
            assert_eq!(
                (failure.to_string().as_str(), failure.reach()),
                (said, crate::stage::Reach::Rejected)
            );
        }
    }

    #[test]
    fn a_fault_in_a_condition_has_its_place() {
        let faults = faults("filter", json!({"where": "n = 2"}));
        assert_eq!((faults.len(), faults[0].within.clone()), (1, Some(2..3)));
        let both = super::super::testing::faults("filter", json!({"where": "n == 2", "contains": "x"}));
        assert_eq!(both[0].message, "`where` goes with no other condition of `filter`");
    }

    #[test]
    fn a_filter_without_a_condition_is_a_fault() {
        assert_eq!(faults("filter", json!({})).len(), 1);
        assert_eq!(faults("filter", json!({"keep": "evn"})).len(), 1);
        assert_eq!(faults("filter", json!({"matches": "("})).len(), 1);
    }
}
