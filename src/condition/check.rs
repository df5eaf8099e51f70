//! What can be said of a condition without an item: functions that there are not, and what certainly is no truth value or fails.

use super::functions::{self, ENV, Function, MATCHES};
use super::operands::{COMPARISONS, Operands};
use super::places::{ConditionFault, Places, fault};
use super::{regexes, syntax, words};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, LiteralValue, operators};
use cel::{Context, IdedExpr, Value};
use std::sync::Arc;

/// Checks an expression, and lets it call what it is to call.
pub(super) fn check(expression: &mut IdedExpr, places: &Places) -> Result<(), ConditionFault> {
    let check = Check(places, Operands::new()?);
    check.walk(expression)?;
    check.demand_truth(expression)
}

struct Check<'c>(&'c Places, Operands);

impl Check<'_> {
    /// Whether the expression has the same value for all items.
    fn walk(&self, expression: &mut IdedExpr) -> Result<bool, ConditionFault> {
        if let Expr::Call(call) = &expression.expr {
            self.check_call(expression.id, call)?;
        }
        match &mut expression.expr {
            Expr::Call(call) => {
                let mut constant = true;
                for part in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                    constant &= self.walk(part)?;
                }
                keep_regexes(call);
                compare_exactly(call);
                self.check_truths(call)?;
                let never = if constant { None } else { self.1.never_fit(call) };
                if let Some((why, help)) = never {
                    return Err(fault(self.0.of(expression), why, help));
                }
                return if constant { self.check_constant(expression).map(|()| true) } else { Ok(false) };
            }
            Expr::Comprehension(all) => {
                for part in [&mut all.iter_range, &mut all.accu_init, &mut all.loop_cond, &mut all.loop_step]
                {
                    self.walk(part)?;
                }
            }
            Expr::Select(select) => return self.walk(&mut select.operand),
            Expr::List(list) => {
                let constant = list.elements.iter_mut().map(|element| self.walk(element));
                return constant.collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().all(|one| one));
            }
            Expr::Map(map) => self.walk_map(&mut map.entries)?,
            Expr::Struct(made) => {
                let message = format!("there is no type `{}` to make a value of", made.type_name);
                return Err(fault(self.0.of(expression), message, None));
            }
            Expr::Ident(name) => self.check_name(expression.id, name)?,
            Expr::Literal(_) | Expr::Unspecified => return Ok(true),
        }
        Ok(false)
    }

    fn walk_map(&self, entries: &mut [IdedEntryExpr]) -> Result<(), ConditionFault> {
        for entry in entries {
            if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                self.walk(&mut entry.key)?;
                self.walk(&mut entry.value)?;
            }
        }
        Ok(())
    }

    /// Constants of other languages: the field of an item is hardly called so.
    fn check_name(&self, id: u64, name: &str) -> Result<(), ConditionFault> {
        let constant = match name {
            "True" | "TRUE" => "true",
            "False" | "FALSE" => "false",
            "None" | "nil" | "Null" | "NULL" | "undefined" => "null",
            _ => return Ok(()),
        };
        let help = format!("write `{constant}`; for a field of that name, `item.{name}`");
        Err(fault(self.0.of_id(id), format!("`{name}` is no constant here"), Some(&help)))
    }

    fn check_call(&self, id: u64, call: &CallExpr) -> Result<(), ConditionFault> {
        let name = call.func_name.as_str();
        if !name.starts_with(|c: char| c.is_alphabetic()) {
            return Ok(());
        }
        let place = self.0.of_call(id, name);
        let Some(function) = functions::find(name) else {
            return Err(fault(place, format!("there is no function `{name}`"), Some(&instead_of(name))));
        };
        let arguments = if call.target.is_some() { &function.after } else { &function.alone };
        if arguments.as_ref().is_some_and(|numbers| numbers.contains(&call.args.len())) {
            return self.check_pattern(call);
        }
        Err(fault(
            place,
            format!("`{name}` is called in another way"),
            Some(&format!("write `{}`", function.usage)),
        ))
    }

    /// A regular expression that is no constant shows at its use what is wrong with it.
    fn check_pattern(&self, call: &CallExpr) -> Result<(), ConditionFault> {
        let Some(pattern) = call.args.last().filter(|_| call.func_name == "matches") else { return Ok(()) };
        let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else { return Ok(()) };
        let Err(reason) = regexes::compile(text.inner()) else { return Ok(()) };
        Err(fault(self.0.of(pattern), format!("this is no regular expression: {reason}"), None))
    }

    /// `&&`, `||`, `!` and `?:` take truth values.
    fn check_truths(&self, call: &CallExpr) -> Result<(), ConditionFault> {
        let takers = match call.func_name.as_str() {
            operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => &call.args[..],
            operators::CONDITIONAL => &call.args[..1],
            _ => &[],
        };
        takers.iter().try_for_each(|part| self.demand_truth(part))
    }

    fn demand_truth(&self, expression: &IdedExpr) -> Result<(), ConditionFault> {
        let Some(what) = certain_kind(expression) else { return Ok(()) };
        let help = "compare it, as in `size(tags) > 0`";
        Err(fault(self.0.of(expression), format!("this is {what}, neither true nor false"), Some(help)))
    }

    fn check_constant(&self, expression: &IdedExpr) -> Result<(), ConditionFault> {
        let context = Context::with_env(Arc::clone(&ENV));
        let Err(error) = Value::resolve_val(expression, &context) else { return Ok(()) };
        Err(fault(self.0.of(expression), words::reason(&error), None))
    }
}

/// The function that is probably meant, or all.
fn instead_of(name: &str) -> String {
    if name.eq_ignore_ascii_case("not") {
        return format!("`!` {}", syntax::NOT);
    }
    let distance = |other: &&str| strsim::damerau_levenshtein(&other.to_lowercase(), &name.to_lowercase());
    match functions::names().min_by_key(distance).filter(|near| distance(near) <= near.len() / 3) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", functions::names().collect::<Vec<_>>().join(", ")),
    }
}

/// The regular expressions of a condition are compiled once.
fn keep_regexes(call: &mut CallExpr) {
    if call.func_name == "matches" {
        call.func_name = MATCHES.to_owned();
        if let Some(text) = call.target.take() {
            call.args.insert(0, *text);
        }
    }
}

/// Beside a decimal number `cel` compares a whole one as a double, which is inexact from 2^53 on. A decimal number of that size is a
/// whole number: written as one, it is compared exactly, and with a double as before.
fn compare_exactly(call: &mut CallExpr) {
    let compares = [operators::EQUALS, operators::NOT_EQUALS, operators::IN];
    if !(compares.contains(&call.func_name.as_str()) || COMPARISONS.contains(&call.func_name.as_str())) {
        return;
    }
    for operand in &mut call.args {
        match &mut operand.expr {
            Expr::List(list) => list.elements.iter_mut().for_each(make_whole),
            _ => make_whole(operand),
        }
    }
}

fn make_whole(number: &mut IdedExpr) {
    const INEXACT_FROM: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    const TWO_POW_63: f64 = (1_u64 << 63) as f64;
    let Expr::Literal(literal) = &mut number.expr else { return };
    let LiteralValue::Double(double) = literal else { return };
    let value = *double.inner();
    if value.abs() < INEXACT_FROM || !(-TWO_POW_63..2.0 * TWO_POW_63).contains(&value) {
        return;
    }
    *literal = match value < TWO_POW_63 {
        true => LiteralValue::Int((value as i64).into()),
        false => LiteralValue::UInt((value as u64).into()),
    };
}

/// What an expression is for every item, if that is certainly no truth value.
fn certain_kind(expression: &IdedExpr) -> Option<&'static str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::Boolean(_)) => None,
        Expr::Literal(LiteralValue::String(_)) => Some("a text"),
        Expr::Literal(LiteralValue::Bytes(_)) => Some("bytes"),
        Expr::Literal(LiteralValue::Null) => Some("null"),
        Expr::Literal(_) => Some("a number"),
        Expr::List(_) => Some("a list"),
        Expr::Map(_) => Some("an object"),
        Expr::Comprehension(all) if matches!(all.accu_init.expr, Expr::List(_)) => Some("a list"),
        Expr::Call(call) => match call.func_name.as_str() {
            operators::ADD => Some("a sum"),
            operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::NEGATE => Some("a number"),
            operators::CONDITIONAL => {
                call.args.get(1).and_then(certain_kind).and(call.args.get(2).and_then(certain_kind))
            }
            name => functions::find(name).and_then(|Function { gives, .. }| *gives),
        },
        _ => None,
    }
}
