//! Conditions over JSON items, such as `level == "error" && took_ms > 1000`: expressions in CEL, the Common Expression
//! Language, read and evaluated by the crate `cel`.
//!
//! A condition is checked when the pipeline file is read: its syntax, the names of its functions, and what certainly gives
//! neither true nor false. What an item is like shows only at its evaluation. Then something that is missing means that the
//! condition does not hold, and something of another type that the item has failed.
//!
//! | hostile | what holds it |
//! |---|---|
//! | a condition that is long, or nested deeply | bounds of its text and its depth; it is parsed on a stack of its own |
//! | an item that is nested deeply | `serde_json` reads 128 levels; what no condition names is skipped without recursion |
//! | a regular expression | the crate `regex` takes linear time; a bound of its size |
//! | a list in a list, each searched for each of the other | nothing here: `item_timeout` ends the worker |
#![forbid(unsafe_code)]

mod check;
mod conditions;
mod failure;
mod functions;
mod item;
mod json;
mod operands;
mod outcome;
mod places;
mod regexes;
mod syntax;
mod words;

pub(crate) use conditions::{Condition, Conditions, Inapplicable};
pub(crate) use places::ConditionFault;

#[cfg(test)]
mod tests;
