//! What comes of a condition for an item. `&&`, `||` and `!` are taken apart here, since what is missing and what fails count in
//! another way than in the language itself, and in the same way from both sides.

use super::words::is_missing;
use cel::common::ast::{CallExpr, Expr, operators};
use cel::common::types::CelBool;
use cel::{Context, ExecutionError, IdedExpr, Value};

pub(super) enum Outcome<'e> {
    True,
    False,
    /// Something that it needs is not there.
    Missing,
    Failed {
        part: &'e IdedExpr,
        error: ExecutionError,
    },
}

pub(super) fn of<'e>(expression: &'e IdedExpr, context: &'e Context<'_, '_>) -> Outcome<'e> {
    let Expr::Call(CallExpr { func_name, args, .. }) = &expression.expr else {
        return of_value(expression, context);
    };
    match (func_name.as_str(), args.as_slice()) {
        (operators::LOGICAL_AND, [left, right]) => match of(left, context) {
            Outcome::False => Outcome::False,
            left => both(left, of(right, context)),
        },
        (operators::LOGICAL_OR, [left, right]) => match of(left, context) {
            Outcome::True => Outcome::True,
            left => either(left, of(right, context)),
        },
        (operators::LOGICAL_NOT, [part]) => match of(part, context) {
            Outcome::True => Outcome::False,
            Outcome::False => Outcome::True,
            other => other,
        },
        _ => of_value(expression, context),
    }
}

/// It can't hold if one does not, or if something is missing: what fails is of no weight then.
fn both<'e>(left: Outcome<'e>, right: Outcome<'e>) -> Outcome<'e> {
    match (left, right) {
        (Outcome::False, _) | (_, Outcome::False) => Outcome::False,
        (Outcome::Missing, _) | (_, Outcome::Missing) => Outcome::Missing,
        (failed @ Outcome::Failed { .. }, _) | (_, failed @ Outcome::Failed { .. }) => failed,
        (Outcome::True, Outcome::True) => Outcome::True,
    }
}

/// It might hold by the part that fails, if the other does not.
fn either<'e>(left: Outcome<'e>, right: Outcome<'e>) -> Outcome<'e> {
    match (left, right) {
        (Outcome::True, _) | (_, Outcome::True) => Outcome::True,
        (failed @ Outcome::Failed { .. }, _) | (_, failed @ Outcome::Failed { .. }) => failed,
        (Outcome::Missing, _) | (_, Outcome::Missing) => Outcome::Missing,
        (Outcome::False, Outcome::False) => Outcome::False,
    }
}

fn of_value<'e>(expression: &'e IdedExpr, context: &'e Context<'_, '_>) -> Outcome<'e> {
    let error = match Value::resolve_val(expression, context) {
        Ok(value) => match value.downcast_ref::<CelBool>() {
            Some(truth) if *truth.inner() => return Outcome::True,
            Some(_) => return Outcome::False,
            None => {
                let got = value.get_type().name().to_owned();
                ExecutionError::UnexpectedType { got, want: "bool".to_owned() }
            }
        },
        Err(error) => error,
    };
    if is_missing(&error) { Outcome::Missing } else { Outcome::Failed { part: expression, error } }
}
