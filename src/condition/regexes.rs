//! `matches` with the regular expressions compiled once: the crate's own compiles them for each item anew.

use cel::ExecutionError;
use cel::common::types::{CelBool, CelString};
use cel::common::value::CowVal;
use regex::{Regex, RegexBuilder};
use std::cell::RefCell;
use std::collections::HashMap;

/// Compiled ones that are kept: more only come from items.
const MAX_COMPILED: usize = 32;
/// Bytes of a compiled one.
const MAX_SIZE: usize = 4 << 20;

thread_local! {
    static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::default();
}

/// The regular expression of a text; the error says what is wrong with it on one line.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern).size_limit(MAX_SIZE).build().map_err(|error| reason(&error))
}

/// The crate draws the pattern with a caret over several lines; the last one says what is wrong.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// `text.matches(pattern)`.
pub(super) fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = |i: usize| arguments.get(i).and_then(|value| value.downcast_ref::<CelString>());
    let (Some(text), Some(pattern)) = (text(0), text(1)) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let is_match = COMPILED.with_borrow_mut(|compiled| {
        if !compiled.contains_key(pattern.inner()) {
            let regex = compile(pattern.inner())?;
            if compiled.len() >= MAX_COMPILED {
                compiled.clear();
            }
            compiled.insert(pattern.inner().to_owned(), regex);
        }
        Ok(compiled.get(pattern.inner()).is_some_and(|regex| regex.is_match(text.inner())))
    });
    let is_match = is_match.map_err(|reason: String| ExecutionError::function_error("matches", reason))?;
    Ok(CowVal::owned(CelBool::from(is_match)))
}
