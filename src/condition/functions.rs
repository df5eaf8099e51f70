//! The functions of conditions: those of the language that are about texts, numbers, lists and objects.

use super::regexes;
use cel::Env;
use cel::common::types::STRING_TYPE;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

/// The functions of all conditions.
pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(env()));

/// What `matches` is called after the check: users can't write this name.
pub(super) const MATCHES: &str = "@matches";

/// A function, and how it is called.
pub(super) struct Function {
    pub name: &'static str,
    /// Its arguments in `name(…)`.
    pub alone: Option<RangeInclusive<usize>>,
    /// Its arguments in `value.name(…)`.
    pub after: Option<RangeInclusive<usize>>,
    pub usage: &'static str,
    /// What it gives, if that is certainly no truth value.
    pub gives: Option<&'static str>,
}

const fn alone(name: &'static str, usage: &'static str, gives: Option<&'static str>) -> Function {
    Function { name, alone: Some(1..=1), after: None, usage, gives }
}

const fn after(name: &'static str, usage: &'static str) -> Function {
    Function { name, alone: None, after: Some(1..=1), usage, gives: None }
}

/// A call that the parser makes into something else if its arguments are as they have to be: none is left after that.
const fn expanded(name: &'static str, usage: &'static str) -> Function {
    Function { name, alone: None, after: None, usage, gives: None }
}

const ALL: [Function; 19] = [
    after("contains", "text.contains(\"part\")"),
    after("startsWith", "text.startsWith(\"start\")"),
    after("endsWith", "text.endsWith(\"end\")"),
    Function { alone: Some(2..=2), ..after("matches", "text.matches(r\"regular expression\")") },
    Function { after: Some(0..=0), ..alone("size", "size(value)", Some("a number")) },
    alone("int", "int(value)", Some("a number")),
    alone("uint", "uint(value)", Some("a number")),
    alone("double", "double(value)", Some("a number")),
    alone("string", "string(value)", Some("a text")),
    alone("bytes", "bytes(value)", Some("bytes")),
    alone("type", "type(value)", Some("a type")),
    alone("bool", "bool(value)", None),
    alone("dyn", "dyn(value)", None),
    expanded("has", "has(item.field)"),
    expanded("exists", "list.exists(x, condition of x)"),
    expanded("exists_one", "list.exists_one(x, condition of x)"),
    expanded("all", "list.all(x, condition of x)"),
    expanded("map", "list.map(x, value of x)"),
    expanded("filter", "list.filter(x, condition of x)"),
];

pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    ALL.iter().map(|function| function.name)
}

pub(super) fn find(name: &str) -> Option<&'static Function> {
    ALL.iter().find(|function| function.name == name)
}

/// Without optional values: what is missing has a meaning already.
fn env() -> Env {
    let mut env = Env::stdlib().with_optional_support(false);
    let types = vec![STRING_TYPE, STRING_TYPE];
    // It fails for a name that is there already.
    if env.add_overload(MATCHES, "kept_matches", types, regexes::matches).is_err() {
        unreachable!("no other function has this name");
    }
    env
}
