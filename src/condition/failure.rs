//! Why a condition can't be evaluated for an item, in words: where in the condition, and of which types the values are.

use super::item::{ITEM, is_item};
use super::places::Places;
use super::syntax;
use super::words::{is_missing, reason, type_words};
use crate::item::Shown;
use cel::common::ast::{Expr, operators};
use cel::{Context, ExecutionError, IdedExpr, Value};

/// The condition, the place in it and the reason.
pub(super) fn explain(
    expression: &IdedExpr,
    places: &Places,
    context: &Context<'_, '_>,
    error: ExecutionError,
) -> String {
    let (culprit, error) = innermost(expression, context, error);
    let before = places.text.get(..places.of(culprit).start).unwrap_or_default();
    let (lines, last) = before.rsplit_once('\n').map_or(("", before), |(lines, last)| (lines, last));
    let line = if last.len() < before.len() {
        format!("line {}, ", lines.split('\n').count() + 1)
    } else {
        String::new()
    };
    let why = no_object(culprit, &error).unwrap_or_else(|| reason(&error));
    format!("{}, {line}character {}: {why}", quoted(places), last.chars().count() + 1)
}

/// A field of an item that has none.
fn no_object(culprit: &IdedExpr, error: &ExecutionError) -> Option<String> {
    let (Expr::Select(select), ExecutionError::NoSuchOverload(call)) = (&culprit.expr, error) else {
        return None;
    };
    let is = type_words(call.argument_types().first().filter(|_| is_item(&select.operand))?);
    let field = &select.field;
    Some(format!(
        "the item is {is}, and only an object has fields such as `{field}`: `{ITEM}` stands for all of it"
    ))
}

fn quoted(places: &Places) -> String {
    let words: Vec<&str> = places.text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("`{}`", Shown(words.join(" ").as_bytes()))
}

/// The smallest part that fails by itself, and its error. Parts with variables of their own are taken as a whole.
fn innermost<'e>(
    expression: &'e IdedExpr,
    context: &Context<'_, '_>,
    error: ExecutionError,
) -> (&'e IdedExpr, ExecutionError) {
    for part in evaluated(expression, context) {
        match Value::resolve_val(part, context) {
            Err(error) if !is_missing(&error) => return innermost(part, context, error),
            _ => {}
        }
    }
    (expression, error)
}

/// The parts that are evaluated for an expression.
fn evaluated<'e>(expression: &'e IdedExpr, context: &Context<'_, '_>) -> Vec<&'e IdedExpr> {
    match &expression.expr {
        Expr::Comprehension(all) => vec![&all.iter_range],
        Expr::Call(call) if call.func_name == operators::CONDITIONAL && call.args.len() == 3 => {
            match Value::resolve(&call.args[0], context) {
                Ok(Value::Bool(true)) => vec![&call.args[1]],
                Ok(Value::Bool(false)) => vec![&call.args[2]],
                _ => vec![&call.args[0]],
            }
        }
        _ => syntax::parts(expression),
    }
}
