//! From a condition's text to an expression of bounded depth; what the parser says of a fault, in words for a person.

use super::places::{ConditionFault, fault, word_at};
use cel::common::ast::{EntryExpr, Expr, SourceInfo};
use cel::parser::{ParseError, ParseErrors};
use cel::{Env, IdedExpr};

/// Bytes of a condition.
const MAX_LENGTH: usize = 4096;
/// Brackets in brackets. The parser takes up to 100 KiB of its stack for each.
const MAX_NESTING: u16 = 40;
/// Operations in operations, as `a + b + c`, in which each sum is a part of the next. `&&` and `||` form a balanced tree.
const MAX_DEPTH: usize = 40;
/// Enough for the worst text of this length.
const STACK_BYTES: usize = 64 << 20;

/// Runs what parses, walks and drops expressions of any depth that a text can have.
pub(super) fn on_large_stack<T: Send>(
    parse: impl FnOnce() -> Result<T, ConditionFault> + Send,
) -> Result<T, ConditionFault> {
    let failed =
        |error: &dyn std::fmt::Display| fault(0..0, format!("the condition can't be read: {error}"), None);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, parse).map_err(|error| failed(&error))?;
        thread.join().unwrap_or_else(|_| Err(failed(&"the parser failed")))
    })
}

/// The expression of a text.
pub(super) fn parse(env: &Env, text: &str) -> Result<(IdedExpr, SourceInfo), ConditionFault> {
    if text.trim().is_empty() {
        return Err(fault(0..text.len(), "the condition is empty", Some("such as `level == \"error\"`")));
    }
    if text.len() > MAX_LENGTH {
        let message = format!("a condition of {} bytes is too long", text.len());
        let help = format!("up to {MAX_LENGTH}: what takes more is the work of a program");
        return Err(fault(0..text.len(), message, Some(&help)));
    }
    let parser = env.parser().max_recursion_depth(MAX_NESTING);
    let (expression, places) =
        parser.parse_with_source_info(text).map_err(|errors| first_of(&errors, text))?;
    if depth(&expression) > MAX_DEPTH {
        return Err(too_deep(text));
    }
    Ok((expression, places))
}

fn too_deep(text: &str) -> ConditionFault {
    let help = format!("up to {MAX_DEPTH} operations in each other");
    fault(0..text.len(), "the condition is nested too deeply", Some(&help))
}

/// The expressions that an expression consists of.
pub(super) fn parts(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(|entry| of_entry(&entry.expr)).collect(),
        Expr::Comprehension(all) => {
            vec![&all.iter_range, &all.accu_init, &all.loop_cond, &all.loop_step, &all.result]
        }
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn of_entry(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

fn depth(expression: &IdedExpr) -> usize {
    1 + parts(expression).into_iter().map(depth).max().unwrap_or(0)
}

/// The first fault is the cause: others follow from it.
fn first_of(errors: &ParseErrors, text: &str) -> ConditionFault {
    if errors.errors.iter().any(|error| error.msg.contains("Recursion limit")) {
        return too_deep(text);
    }
    match errors.errors.first() {
        Some(error) => explain(error, text),
        None => fault(0..text.len(), "this is no condition", None),
    }
}

/// The byte that an error is about. Columns count characters, but those of macros count bytes.
fn start_of(error: &ParseError, text: &str) -> usize {
    let (line, column) = error.pos;
    let number = |n: isize| usize::try_from(n - 1).unwrap_or(0);
    let before: usize = text.split_inclusive('\n').take(number(line)).map(str::len).sum();
    let rest = &text[before.min(text.len())..];
    let counts_bytes = error.expr_id == 0 && !error.msg.starts_with("Syntax error");
    let in_line = match counts_bytes {
        true => number(column),
        false => rest.chars().take(number(column)).map(char::len_utf8).sum(),
    };
    (before + in_line).min(text.len())
}

fn explain(error: &ParseError, text: &str) -> ConditionFault {
    let start = start_of(error, text);
    let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    if let Some(rest) = message.strip_prefix("token recognition error at: '") {
        return unknown_token(rest.strip_suffix('\'').unwrap_or(rest), start, text);
    }
    if let Some(name) = message.strip_prefix("reserved identifier: ") {
        let help = format!("for the field of an item, write `item.{name}`");
        return fault(start..start + name.len(), format!("`{name}` is a word of the language"), Some(&help));
    }
    if message.starts_with("invalid argument to has") {
        let help = "for a field of the item, write `has(item.NAME)`";
        return fault(word_at(text, start), "`has()` asks for a field of something", Some(help));
    }
    if let Some(fault) = explain_part(message, start, text) {
        return fault;
    }
    let word = token_at(text, start);
    if text[start..].trim().is_empty() {
        let end = text.trim_end().len();
        let message = match message.strip_prefix("missing ") {
            Some(missing) => {
                format!("{} is missing", missing.split(" at ").next().unwrap_or_default().replace('\'', "`"))
            }
            None => "the condition ends too early".to_owned(),
        };
        return fault(end..end, message, None);
    }
    if ["mismatched", "extraneous", "no viable", "missing"].iter().any(|kind| message.starts_with(kind)) {
        let before = text[..start].trim_end();
        let word = not_at_end(before).unwrap_or(word);
        let (found, before) = (&text[word.clone()], text[..word.start].trim_end());
        return fault(
            word.clone(),
            format!("{} is not expected here", shown(found)),
            instead_of(found, before).as_deref(),
        );
    }
    fault(word.clone(), format!("{} has no meaning here", shown(&text[word])), None)
}

/// The word `not` in front of what the parser did not expect. In the place of a value `not` is a field to the parser.
fn not_at_end(before: &str) -> Option<std::ops::Range<usize>> {
    let start = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_').len();
    let is_field = before[..start].trim_end().ends_with('.');
    (!is_field && before[start..].eq_ignore_ascii_case("not")).then_some(start..before.len())
}

/// A name in backticks, which CEL has for names that are none otherwise.
fn escaped_name(start: usize, text: &str) -> Option<ConditionFault> {
    let start = start + text[start..].find('`')?;
    let name = text[start + 1..].split_once('`')?.0;
    let of = text[..start].trim_end().strip_suffix('.').unwrap_or_default();
    let of = &of[of.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_' || c == '.').len()..];
    let place = start..start + name.len() + 2;
    let help = format!("write `{of}[\"{name}\"]`");
    Some(fault(place, "a name in backticks has no meaning here", Some(&help)))
}

/// What the parser says of a part that it could read.
fn explain_part(message: &str, start: usize, text: &str) -> Option<ConditionFault> {
    let missing = "what is not there makes a condition not hold: leave the `?` out";
    let whole =
        "whole numbers are from -9223372036854775808 to 9223372036854775807, and up to 18446744073709551615u";
    let (message, help) = match message {
        _ if message.starts_with("Incomplete") && message.contains("_?_:_") => {
            let at = start + text[start..].find('?').unwrap_or(0);
            let is_optional = text[at..].starts_with("?.") || text[at..].starts_with("??");
            let help = if is_optional { missing } else { "such as `has(item.a) ? a > 1 : b > 1`" };
            return Some(fault(word_at(text, at), "a choice needs `?` and `:`", Some(help)));
        }
        _ if message.starts_with("Incomplete") => {
            let end = text.trim_end().len();
            return Some(fault(end..end, "the condition ends too early", None));
        }
        _ if message.starts_with("unsupported syntax: '`'") => return escaped_name(start, text),
        _ if message.starts_with("unsupported syntax") => {
            let sign =
                message.split('\'').nth(1).filter(|sign| text[start..].starts_with(sign)).unwrap_or_default();
            let place = start..(start + sign.len()).max(start + 1);
            return Some(fault(place, format!("{} has no meaning here", shown(sign)), Some(missing)));
        }
        _ if message.starts_with("invalid int literal") || message.starts_with("invalid uint literal") => {
            ("the number is too large", whole)
        }
        _ if message.starts_with("invalid double literal") => {
            ("the number is too large", "decimal numbers are up to 1.7976931348623157e308")
        }
        _ if message.starts_with("argument must be a simple name") => {
            ("a name for each element is expected here", "such as `x` in `list.all(x, x > 1)`")
        }
        _ if message.starts_with("invalid string literal")
            || message.starts_with("invalid bytes literal") =>
        {
            (NO_SUCH_ESCAPE, BACKSLASH)
        }
        _ => return None,
    };
    let length = text[start..].find(|letter: char| letter.is_whitespace() || ")],".contains(letter));
    let end = length.filter(|length| *length > 0).map_or(text.len(), |length| start + length);
    Some(fault(start..end, message, Some(help)))
}

/// What `!` does.
pub(super) const NOT: &str = "stands for \"not\"";
const NO_SUCH_ESCAPE: &str = "a text with an escape that there is not";
const BACKSLASH: &str = "write `\\\\` for a backslash, or r\"…\" for a text in which it has no meaning";

/// A word, or a sign of one or two letters.
fn token_at(text: &str, start: usize) -> std::ops::Range<usize> {
    let is_pair = ["&&", "||"].iter().any(|pair| text[start..].starts_with(pair));
    if is_pair { start..start + 2 } else { word_at(text, start) }
}

/// In backticks, where it can be seen there.
fn shown(token: &str) -> String {
    match token.chars().next() {
        Some('`') => "a backtick".to_owned(),
        Some(first)
            if !first.is_ascii_graphic() && !first.is_alphanumeric() && !"“”‘’„«»".contains(first) =>
        {
            format!("the character U+{:04X}", u32::from(first))
        }
        _ => format!("`{token}`"),
    }
}

/// What the parser can make no token of.
fn unknown_token(token: &str, start: usize, text: &str) -> ConditionFault {
    let is_field = token.starts_with('`') && text[..start].trim_end().ends_with('.');
    if let Some(fault) = is_field.then(|| escaped_name(start, text)).flatten() {
        return fault;
    }
    let first = text[start..].chars().next().map_or(0, char::len_utf8);
    let place = start..(start + token.trim_end().len().max(first)).min(text.len());
    if !token.starts_with(['"', '\'']) {
        let visible = token.trim();
        let token = if visible.is_empty() { token } else { visible };
        return fault(
            place,
            format!("{} has no meaning here", shown(token)),
            instead_of(token, &text[..start]).as_deref(),
        );
    }
    match token.contains('\\') {
        true => fault(place, NO_SUCH_ESCAPE, Some(BACKSLASH)),
        false => fault(place, "a text without the quote at its end", None),
    }
}

/// What people write who think of another language.
fn instead_of(found: &str, before: &str) -> Option<String> {
    let is = |right: &str, means: &str| Some(format!("`{right}` {means}"));
    match found.to_ascii_lowercase().as_str() {
        "=" => is("==", "compares"),
        "and" | "&" => is("&&", "stands for \"and\""),
        "or" | "|" => is("||", "stands for \"or\""),
        "~" | "=~" | "~=" | "like" | "matches" => {
            is("text.matches(r\"…\")", "looks for a regular expression")
        }
        "contains" => is("text.contains(\"…\")", "looks for a part"),
        "is" => is("==", "compares"),
        "&&" | "||" if before.is_empty() => Some("a condition stands on both sides of it".to_owned()),
        "“" | "”" | "‘" | "’" | "„" | "«" | "»" => {
            Some("a text stands in straight quotes: \"…\"".to_owned())
        }
        "`" => Some("a text stands in quotes: \"…\"".to_owned()),
        "$" => Some("a field is written without `$`".to_owned()),
        "not" if before.ends_with(char::is_alphanumeric) => is("!(… in …)", "negates"),
        "not" => is("!", NOT),
        ">" if before.ends_with('<') => is("!=", "stands for \"not equal\""),
        _ if found.chars().all(char::is_alphabetic) && !found.is_ascii() => {
            Some("a field of such a name is written `item[\"…\"]`".to_owned())
        }
        _ => None,
    }
}
