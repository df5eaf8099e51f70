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

/// Why an operation failed.
pub(super) fn reason(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchOverload(call) => does_not_take(call.function(), call.argument_types()),
        ExecutionError::UnsupportedBinaryOperator(operator, a, b) => {
            does_not_take(sign(operator), &[a, b].map(|value| value.type_of().to_string()))
        }
        ExecutionError::UnexpectedType { got, want } => {
            format!("{} stands where {} is wanted", type_words(got), type_words(want))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(operator, ..) => format!("the result of `{}` is too large", sign(operator)),
        ExecutionError::FunctionError { function, message } => {
            let message = message.lines().next().unwrap_or_default();
            format!(
                "`{}`: {}",
                function.trim_start_matches('@'),
                message.trim_start_matches("string parse error: ")
            )
        }
        other => crate::text::one_line(&other.to_string()).into_owned(),
    }
}

fn does_not_take(function: &str, types: &[String]) -> String {
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
        other => other,
    }
}

fn type_words(name: &str) -> &str {
    match name {
        "string" => "a text",
        "int" | "uint" => "a whole number",
        "double" | "float" => "a decimal number",
        "bool" => "true or false",
        NULL | "null" => "null",
        "list" | "iterable" => "a list",
        "map" => "an object",
        other => other,
    }
}
