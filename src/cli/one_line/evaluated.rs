//! Where a shell itself evaluates a word: it calculates `a[$(reboot)]`, and obeys what stands in the index. Quotes do not help there, so
//! no item may stand there.

use crate::cli::shell_tokens::{self, TokenKind, Word, tokens};
use crate::config::pipeline::Placeholders;
use crate::config::pipeline::placeholder::has_argument;

/// Operators of `[[` whose sides are calculated, or name a variable.
const CALCULATED: [&str; 8] = ["-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-v", "-R"];
/// Commands that take each of their words as code, or as the name of a variable.
const EVALUATING: [&str; 8] =
    ["let", "alias", "unset", "read", "mapfile", "readarray", "compgen", "complete"];
const DECLARING: [&str; 5] = ["declare", "typeset", "local", "readonly", "export"];

fn has_item(word: &str) -> bool {
    has_argument(word, Placeholders::Parallel)
}

/// The command that evaluates an item of the line, by its name.
pub(super) fn evaluating_command(line: &str) -> Option<String> {
    let tokens = tokens(line).ok()?;
    let commands = shell_tokens::commands(&tokens);
    let named = commands.iter().map(|words| without_prefix(words)).filter(|words| !words.is_empty());
    let found = named.into_iter().find(|words| evaluates(words, line)).map(|words| words[0].text.clone());
    let inner = tokens.iter().filter_map(|token| match &token.kind {
        TokenKind::Word(word) => word.inner_lines().into_iter().find_map(evaluating_command),
        _ => None,
    });
    found.or_else(|| inner.into_iter().next())
}

/// `builtin`, `command` and `exec` run the command behind them.
fn without_prefix<'a>(words: &'a [&'a Word]) -> &'a [&'a Word] {
    let is_prefix = |word: &&Word| ["builtin", "command", "exec"].contains(&word.text.as_str());
    match words.iter().take_while(|word| is_prefix(word) || word.text.starts_with('-')).count() {
        before if words.first().is_some_and(is_prefix) => without_prefix(&words[before..]),
        _ => words,
    }
}

fn evaluates(words: &[&Word], line: &str) -> bool {
    let (name, rest) = (words[0].text.as_str(), &words[1..]);
    let any = |rest: &[&Word]| rest.iter().any(|word| has_item(&word.text));
    let option = |letters: &str| {
        let options = rest.iter().filter_map(|word| word.text.strip_prefix(['-', '+']));
        options.into_iter().any(|option| option.contains(|letter| letters.contains(letter)))
    };
    match name {
        "trap" => rest
            .iter()
            .find(|word| word.text == "-" || !word.text.starts_with('-'))
            .is_some_and(|word| has_item(&word.text)),
        // `-i` and `-n`: what the variable gets anywhere is calculated, or names another one.
        name if DECLARING.contains(&name) => {
            let is_name = |word: &&Word| has_item(word.text.split('=').next().unwrap_or_default());
            rest.iter().any(is_name) || option("aA") && any(rest) || option("in") && has_item(line)
        }
        "printf" => {
            rest.first().is_some_and(|word| word.text.starts_with("-v")) && any(&rest[..rest.len().min(2)])
        }
        "test" | "[" => rest.iter().any(|word| ["-v", "-R"].contains(&word.text.as_str())) && any(rest),
        name => EVALUATING.contains(&name) && any(rest),
    }
}

/// Whether an item stands in a `[[ … ]]` that calculates.
pub(super) fn is_in_calculating_test(line: &str) -> bool {
    let tests = line.match_indices("[[").filter(|(at, _)| line[at + 2..].starts_with(char::is_whitespace));
    tests.into_iter().any(|(at, _)| {
        let test = &line[at + 2..];
        let test = without_commands(&test[..test.find("]]").unwrap_or(test.len())]);
        let mut words = test.split(|letter: char| letter.is_whitespace() || "()&|!".contains(letter));
        has_item(&test) && words.any(|word| CALCULATED.contains(&word))
    })
}

/// Without what stands in `$(…)`: those words are their commands'.
fn without_commands(test: &str) -> String {
    let (mut made, mut rest) = (String::new(), test);
    while let Some(at) = rest.find("$(") {
        made.push_str(&rest[..at]);
        let mut depth = 0_u32;
        let end = rest[at + 1..].char_indices().find(|(_, letter)| {
            depth = match letter {
                '(' => depth + 1,
                ')' => depth.saturating_sub(1),
                _ => depth,
            };
            depth == 0
        });
        rest = end.map_or("", |(end, _)| &rest[at + end + 2..]);
    }
    made + rest
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `$'…'`.
    Escaped,
    Double,
    Command,
    /// The value of an array: `x=(`.
    Array,
    /// `((`, `$((`, `$[`, and what is open in them.
    Sum,
    Index,
    /// `[` of a pattern.
    Pattern,
    /// `${`, with what stands behind it.
    Parameter(usize),
}

/// Whether what follows this part of a line is calculated, an index or a place in a text (`${x:…}`).
pub(super) fn is_calculated(before: &str) -> bool {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    while let Some(letter) = before[at..].chars().next() {
        let (rest, top) = (&before[at..], open.last().copied());
        let is_sum = top == Some(Open::Sum);
        let mut length = letter.len_utf8();
        match letter {
            '\\' => length += rest[1..].chars().next().map_or(0, char::len_utf8),
            '\'' if top == Some(Open::Escaped) => drop(open.pop()),
            _ if top == Some(Open::Escaped) => {}
            '$' if rest.starts_with("$'") && top != Some(Open::Double) => {
                open.push(Open::Escaped);
                length = 2;
            }
            '\'' if top != Some(Open::Double) => {
                length = rest[1..].find('\'').map_or(rest.len(), |end| end + 2);
            }
            '"' if top == Some(Open::Double) => drop(open.pop()),
            '"' => open.push(Open::Double),
            '$' if rest.starts_with("$((") => (open.extend([Open::Sum; 2]), length = 3).1,
            '$' if rest.starts_with("$[") => (open.push(Open::Sum), length = 2).1,
            '$' if rest.starts_with("$(") => (open.push(Open::Command), length = 2).1,
            '$' if rest.starts_with("${") => (open.push(Open::Parameter(at + 2)), length = 2).1,
            '}' if matches!(top, Some(Open::Parameter(_))) => drop(open.pop()),
            _ if top == Some(Open::Double) => {}
            '(' if !is_sum && rest.starts_with("((") => (open.extend([Open::Sum; 2]), length = 2).1,
            '(' if is_sum => open.push(Open::Sum),
            '(' if before[..at].ends_with('=') => open.push(Open::Array),
            '(' => open.push(Open::Command),
            ')' if matches!(top, Some(Open::Sum | Open::Command | Open::Array)) => drop(open.pop()),
            '[' if is_sum => open.push(Open::Sum),
            '[' if top == Some(Open::Array) || is_name_before(&before[..at]) => open.push(Open::Index),
            '[' => open.push(Open::Pattern),
            ']' if matches!(top, Some(Open::Sum | Open::Index | Open::Pattern)) => drop(open.pop()),
            ' ' | '\t' | '\n' | ';' | '|' | '&' => {
                while matches!(open.last(), Some(Open::Index | Open::Pattern)) {
                    open.pop();
                }
            }
            _ => {}
        }
        at += length;
    }
    let in_parameter = |at: usize| !has_a_word(&before[at..]);
    // A word of a command in `$(…)` is that command's.
    let decides = |open: &&Open| matches!(open, Open::Sum | Open::Index | Open::Command);
    let innermost = open.iter().rev().find(decides);
    matches!(innermost, Some(Open::Sum | Open::Index))
        || matches!(open.last(), Some(Open::Parameter(at)) if in_parameter(*at))
}

fn is_name_before(before: &str) -> bool {
    before.ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Whether a word, and nothing that is calculated, follows this beginning of `${…`: `x:-`, `x#`, `x/a/`.
fn has_a_word(parameter: &str) -> bool {
    let operator = parameter
        .trim_start_matches(|letter: char| letter.is_ascii_alphanumeric() || "_@*!".contains(letter));
    match operator.strip_prefix(':') {
        Some(place) => place.starts_with(['-', '=', '?', '+']),
        None => operator.starts_with(['-', '=', '?', '+', '#', '%', '/', ',', '^']),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_calculated_is_found_however_it_is_nested() {
        for before in [
            "echo $(( ",
            "((n = ",
            "echo $(( (1+(2)) + ",
            "echo $(( $((1)) + ",
            "(( $(( 1 )) + ",
            "echo $[",
            "echo $[1+(2)*",
            "x[",
            "x=([",
            "x+=(a [",
            "echo ${x[",
            "echo ${x:",
            "echo ${x:${y}:",
            "echo ${x:1:",
        ] {
            assert!(is_calculated(before), "{before}");
        }
        for before in [
            "echo $(( 1 + 2 )) ",
            "((n = 1)); a ",
            "x=$(cat ",
            "x=(a ",
            "ls *.[ch] ",
            "[ ",
            "[[ -e ",
            "[[ a =~ ([0-9]+) ]] && echo ",
            "echo ${x:-",
            "echo ${x#",
            "echo ${x} $[1] ",
            "echo '$((' \"$((1))\" ",
            "case x in a) echo ",
            "tr [a-z] [A-Z] < ",
            "(( $(wc -l < ",
            "awk '{print (($1)+1)}' ",
            "echo $'\\'((' ",
        ] {
            assert!(!is_calculated(before), "{before}");
        }
    }
}
