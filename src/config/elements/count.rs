//! Whole numbers within bounds.

use std::marker::PhantomData;

use serde_json::{Value, json};

use super::{Element, or_variable, reject, wrong_kind};
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::document::{Content, Node};

/// A number from `LEAST` to `MOST`, both included.
pub(crate) struct Count<const LEAST: u64, const MOST: u64, T = u64>(PhantomData<T>);

impl<const LEAST: u64, const MOST: u64, T> Element for Count<LEAST, MOST, T>
where
    T: Copy + TryFrom<u64> + Into<u64>,
{
    type Output = T;

    fn read(node: &Node, report: &mut Report) -> Option<T> {
        let Some(number) = node.integer() else {
            report.push(not_a_number::<Self>(node));
            return None;
        };
        match u64::try_from(number) {
            Ok(number) if (LEAST..=MOST).contains(&number) => T::try_from(number).ok(),
            _ => {
                let much = if number < i128::from(LEAST) { "small" } else { "large" };
                report.push(reject::<Self>(node, format!("{} is too {much}", shown(number))));
                None
            }
        }
    }

    fn accepted() -> String {
        match MOST {
            u64::MAX => format!("a whole number, {LEAST} or more"),
            _ => format!("a whole number from {LEAST} to {}", grouped(MOST)),
        }
    }

    fn schema() -> Value {
        let mut schema = json!({ "type": "integer", "minimum": LEAST });
        if MOST < u64::MAX {
            schema["maximum"] = MOST.into();
        }
        or_variable(schema)
    }

    fn written(number: &T) -> Value {
        Value::from((*number).into())
    }
}

/// With `_` between groups of three digits, as TOML takes it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// The fault of a value that is no whole number, with the number that is probably meant.
pub(super) fn not_a_number<T: Element>(node: &Node) -> Diagnostic {
    let meant = match &node.content {
        Content::Text { text, .. } => {
            text.trim().parse::<i128>().ok().map(|number| format!("{number}, without quotes"))
        }
        // Only a float without a fraction has a whole number that is meant.
        Content::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Some((*number as i128).to_string())
        }
        _ => None,
    };
    wrong_kind::<T>(node, "a whole number").did_you_mean(meant)
}

/// A number as text; one beyond all bounds in words.
pub(super) fn shown(number: i128) -> String {
    match number {
        i128::MAX | i128::MIN => "this number".into(),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::elements::testing::{accepts, refuses};

    #[test]
    fn bounds_are_part_of_what_is_accepted() {
        accepts::<Count<1, 10>>(&["1", "10", "0x0a", "1_0"]);
        accepts::<Count<0, { u64::MAX }>>(&["0", "9223372036854775807"]);
        refuses::<Count<1, 10>>(&[("0", "0 is too small"), ("11", "11 is too large"), ("-1", "too small")]);
    }

    #[test]
    fn a_number_in_another_form_is_recognized() {
        refuses::<Count<1, 10>>(&[
            ("\"3\"", "did you mean 3, without quotes?"),
            ("3.0", "did you mean 3?"),
            ("3.5", "found a decimal number"),
            ("nan", "found a decimal number"),
            ("true", "found true or false"),
            ("[3]", "found a list"),
        ]);
    }

    #[test]
    fn great_numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 16_777_216].map(grouped), ["0", "999", "1_000", "16_777_216"]);
    }
}
