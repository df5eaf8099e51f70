//! Operators that fail for every item: they are tried with a value of each kind that an operand can have.

use super::functions::{ENV, MATCHES};
use super::places::ConditionFault;
use super::{syntax, words};
use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use cel::{Context, ExecutionError, IdedExpr, Value};
use std::sync::Arc;

pub(super) const COMPARISONS: [&str; 4] =
    [operators::LESS, operators::LESS_EQUALS, operators::GREATER, operators::GREATER_EQUALS];
const ARITHMETIC: [&str; 5] =
    [operators::ADD, operators::SUBSTRACT, operators::MULTIPLY, operators::DIVIDE, operators::MODULO];
/// The calls that give true or false, or fail.
const TRUTHS: [&str; 11] = [
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::IN,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    "bool",
    "contains",
    "startsWith",
    "endsWith",
    MATCHES,
];

/// A value of each kind, in the language itself; the numbers come first.
const OF_EACH_KIND: [&str; 8] = ["1", "1u", "1.0", "true", "\"x\"", "b\"x\"", "[1]", "{\"k\": 1}"];
const NUMBERS: std::ops::Range<usize> = 0..3;
const TRUTH: usize = 3;
const TEXT: usize = 4;
const BYTES: usize = 5;
const LIST: usize = 6;
const OBJECT: usize = 7;

pub(super) struct Operands {
    samples: Vec<IdedExpr>,
}

impl Operands {
    pub(super) fn new() -> Result<Operands, ConditionFault> {
        let samples = OF_EACH_KIND.map(|text| syntax::parse(&ENV, text).map(|(sample, _)| sample));
        Ok(Operands { samples: samples.into_iter().collect::<Result<_, _>>()? })
    }

    /// Why this call fails whatever the item is, and what to write instead.
    pub(super) fn never_fit(&self, call: &CallExpr) -> Option<(String, Option<&'static str>)> {
        let name = call.func_name.as_str();
        let [left, right] = call.args.as_slice() else { return None };
        if !(COMPARISONS.contains(&name) || ARITHMETIC.contains(&name) || name == operators::IN) {
            return None;
        }
        let known = [self.known(left), self.known(right)];
        if known.iter().all(Option::is_none) {
            return None;
        }
        let mut first = None;
        for (a, b) in pairs(&known, &self.samples) {
            let tried = CallExpr { args: vec![a.clone(), b.clone()], ..call.clone() };
            match value(&IdedExpr { id: 0, expr: Expr::Call(tried) }) {
                // Another number of the same kind may fit.
                Ok(_) | Err(ExecutionError::Overflow(..)) => return None,
                Err(error) if words::is_missing(&error) => return None,
                Err(error @ (ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_))) => {
                    first = Some(words::reason(&error));
                }
                Err(_) => {}
            }
        }
        let kinds: Vec<String> = known.iter().flatten().map(|samples| kind(samples)).collect();
        let reason = first.unwrap_or_else(|| words::does_not_take(name, &kinds));
        Some((reason, help(name, left)))
    }

    /// Values of the kinds that an operand can have, if that is known without an item. Null is none: it is what is missing.
    fn known(&self, operand: &IdedExpr) -> Option<Vec<IdedExpr>> {
        let one = |kind: usize| Some(vec![self.samples[kind].clone()]);
        match &operand.expr {
            Expr::Literal(LiteralValue::Null) => None,
            Expr::Literal(_) => Some(vec![operand.clone()]),
            Expr::List(_) => one(LIST),
            Expr::Map(_) => one(OBJECT),
            Expr::Select(select) if select.test => one(TRUTH),
            Expr::Comprehension(all) => match &all.accu_init.expr {
                Expr::List(_) => one(LIST),
                Expr::Literal(LiteralValue::Boolean(_)) => one(TRUTH),
                _ => None,
            },
            Expr::Call(call) => match call.func_name.as_str() {
                "size" | "int" => one(0),
                "uint" => one(1),
                "double" => one(2),
                "string" => one(TEXT),
                "bytes" => one(BYTES),
                operators::ADD => None,
                name if ARITHMETIC.contains(&name) || name == operators::NEGATE => {
                    Some(self.samples[NUMBERS].to_vec())
                }
                name if COMPARISONS.contains(&name) || TRUTHS.contains(&name) => one(TRUTH),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Each value that one operand can have beside each of the other.
fn pairs<'s>(
    known: &'s [Option<Vec<IdedExpr>>; 2],
    all: &'s [IdedExpr],
) -> impl Iterator<Item = (&'s IdedExpr, &'s IdedExpr)> {
    let [left, right] = known.each_ref().map(|known| known.as_deref().unwrap_or(all));
    left.iter().flat_map(move |a| right.iter().map(move |b| (a, b)))
}

fn value(expression: &IdedExpr) -> Result<String, ExecutionError> {
    let context = Context::with_env(Arc::clone(&ENV));
    Value::resolve_val(expression, &context).map(|value| value.get_type().name().to_owned())
}

/// As [`words`] know it.
fn kind(samples: &[IdedExpr]) -> String {
    match samples {
        [one] => value(one).unwrap_or_default(),
        _ => words::NUMBER.to_owned(),
    }
}

fn help(operator: &str, left: &IdedExpr) -> Option<&'static str> {
    let is_chained = COMPARISONS.contains(&operator)
        && matches!(&left.expr, Expr::Call(call) if COMPARISONS.contains(&call.func_name.as_str()));
    match operator {
        _ if is_chained => Some("two comparisons are joined by `&&`: `1 < a && a < 5`"),
        operators::IN => Some("`in` looks into a list or an object: `level in [\"warn\", \"error\"]`"),
        _ => None,
    }
}
