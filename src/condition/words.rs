//! Errors of an evaluation in words for a person.

use cel::common::ast::operators;
use cel::{ExecutionError, Value};

/// Whether it is for something that is not there: a field, an element of a list, or a value in the place of which is null.
pub(super) fn is_missing(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::UndeclaredReference(_)
        | ExecutionError::NoSuchKey(_)
        | ExecutionError::IndexOutOfBounds(_) => true,
        ExecutionError::NoSuchOverload(call) => call.argument_types().iter().any(|name| name == NULL),
        ExecutionError::UnexpectedType { got, .. } => got == NULL,
        ExecutionError::UnsupportedBinaryOperator(_, a, b) => [a, b].contains(&&Value::Null),
        _ => false,
    }
}

/// What `cel` calls the type of null.
const NULL: &str = "null_type";

/// A whole or a decimal number.
pub(super) const NUMBER: &str = "number";

/// Why an operation failed.
pub(super) fn reason(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchOverload(call) => does_not_take(call.function(), call.argument_types()),
        ExecutionError::UnsupportedBinaryOperator(operator, a, b) => {
            does_not_take(sign(operator), &types([a, b]))
        }
        ExecutionError::UnexpectedType { got, want } => {
            format!("{} stands where {} is wanted", type_words(got), type_words(want))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(operator, ..) => format!("the result of `{}` is too large", sign(operator)),
        ExecutionError::FunctionError { function, message } => {
            let function = function.trim_start_matches('@');
            format!("`{function}`: {}", failed_call(function, message))
        }
        ExecutionError::UnsupportedIndex(index, of) => does_not_take(operators::INDEX, &types([of, index])),
        ExecutionError::UnsupportedKeyType(key) => {
            format!("{} can't be the key of an object", type_words(&type_of(key)))
        }
        ExecutionError::ValuesNotComparable(a, b) => {
            let [a, b] = types([a, b]);
            format!("{} and {} can't be compared", type_words(&a), type_words(&b))
        }
        ExecutionError::NotSupportedAsMethod { method, target } => does_not_take(method, &[type_of(target)]),
        ExecutionError::UnsupportedTargetType { target } => {
            format!("{} can't stand here", type_words(&type_of(target)))
        }
        ExecutionError::DuplicateKey(_) => "an object has the same key twice".to_owned(),
        ExecutionError::InvalidArgumentCount { .. } | ExecutionError::MissingArgumentOrTarget => {
            "the number of arguments is another one".to_owned()
        }
        // What is missing is no fault, and others don't come of what the check lets through.
        _ => "this can't be computed".to_owned(),
    }
}

fn type_of(value: &Value) -> String {
    value.type_of().to_string()
}

fn types<const N: usize>(values: [&Value; N]) -> [String; N] {
    values.map(type_of)
}

/// Why a function could not make its value. The library's words are those of the parsers that it uses.
fn failed_call<'m>(function: &str, message: &'m str) -> &'m str {
    let is_too_large =
        ["overflow", "too large", "too small", "range"].iter().any(|word| message.contains(word));
    match function {
        "int" if is_too_large => "the number is not between -9223372036854775808 and 9223372036854775807",
        "uint" if is_too_large => "the number is not between 0 and 18446744073709551615",
        "int" | "uint" => "the text is no whole number",
        "double" => "the text is no number",
        "bool" => "the text is neither true nor false",
        "string" => "the bytes are no text in UTF-8",
        "matches" => message.lines().next().unwrap_or_default(),
        _ => "the value has no meaning here",
    }
}

pub(super) fn does_not_take(function: &str, types: &[String]) -> String {
    if !types.is_empty()
        && types.iter().all(|name| name == "double")
        && ["_<_", "_<=_", "_>_", "_>=_"].contains(&function)
    {
        return "one side is no number, as 0.0 / 0.0".to_owned();
    }
    let types: Vec<&str> = types.iter().map(|name| type_words(name)).collect();
    let shown = match function {
        "_._" => return format!("{} has no fields", types.first().copied().unwrap_or("this")),
        operators::INDEX => "[]",
        operators::IN => "in",
        other => other.trim_matches(['_', '@']),
    };
    format!("`{shown}` does not take {}", types.join(" and "))
}

/// The sign of an operator that `cel` names in such errors.
fn sign(operator: &str) -> &str {
    match operator {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "negate" => "-",
        other => other,
    }
}

pub(super) fn type_words(name: &str) -> &str {
    match name {
        "string" => "a text",
        "int" | "uint" => "a whole number",
        "double" | "float" => "a decimal number",
        NUMBER => "a number",
        "bool" => "true or false",
        NULL | "null" => "null",
        "list" | "iterable" => "a list",
        "map" => "an object",
        "type" => "a type",
        other => other,
    }
}
