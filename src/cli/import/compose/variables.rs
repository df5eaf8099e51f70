//! `${NAME}` and its kin in the values of a compose file.

use crate::cli::toml_text::{piece, variable};

/// A part of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Text as it is meant: `$$` is a `$` already.
    Plain(&'a str),
    Variable(Variable<'a>),
}

/// `${NAME}`, `$NAME`, or one with a word that stands for it, such as `${NAME:-word}`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable<'a> {
    pub name: &'a str,
    /// What stands between the name and the word: empty, `-`, `?`, `+`, each maybe behind a colon, or what is none of these.
    pub how: &'a str,
    pub word: &'a str,
    /// All of it.
    pub written: &'a str,
}

/// The parts of a value.
///
/// # Errors
/// A brace without its end.
pub(super) fn parts(value: &str) -> Result<Vec<Part<'_>>, String> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        parts.push(Part::Plain(&rest[..at]));
        let from = &rest[at..];
        let (part, length) = match from.as_bytes().get(1) {
            Some(b'$') => (Part::Plain(&from[..1]), 2),
            Some(b'{') => {
                let length = braces(from).ok_or("a ${ without its }")?;
                (Part::Variable(braced(&from[..length])), length)
            }
            _ => match 1 + letters(&from[1..]) {
                1 => (Part::Plain(&from[..1]), 1),
                length => {
                    let (name, written) = (&from[1..length], &from[..length]);
                    (Part::Variable(Variable { name, how: "", word: "", written }), length)
                }
            },
        };
        parts.push(part);
        rest = &from[length..];
    }
    parts.push(Part::Plain(rest));
    parts.retain(|part| *part != Part::Plain(""));
    Ok(parts)
}

/// The length of `${…}`, with what stands within.
fn braces(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' if text[..at].ends_with('$') => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The bytes of the name that a text begins with.
fn letters(text: &str) -> usize {
    text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(text.len())
}

fn braced(written: &str) -> Variable<'_> {
    let inside = &written[2..written.len() - 1];
    let (name, rest) = inside.split_at(letters(inside));
    let colon = usize::from(rest.starts_with(':'));
    let (how, word) =
        rest.split_at(rest[colon..].chars().next().map_or(colon, |sign| colon + sign.len_utf8()));
    Variable { name, how, word, written }
}

/// The same in our way. An unset variable is empty there, unless the file demands it.
///
/// # Errors
/// What has no counterpart.
pub(super) fn expanded(value: &str) -> Result<String, String> {
    let part = |part: &Part<'_>| match part {
        Part::Plain(text) => Ok(piece(text)),
        Part::Variable(Variable { name, how, word, written }) => match *how {
            "" => Ok(variable(name, Some(""))),
            "-" | ":-" => Ok(variable(name, Some(&default(word, written)?))),
            "?" | ":?" => Ok(variable(name, None)),
            _ => Err(format!("{written} has no counterpart")),
        },
    };
    parts(value)?.iter().map(part).collect()
}

/// A default, which holds no variable here.
fn default(word: &str, written: &str) -> Result<String, String> {
    let plain = |part: Part<'_>| match part {
        Part::Plain(text) => Some(text.to_owned()),
        Part::Variable(_) => None,
    };
    let plain: Option<String> = parts(word)?.into_iter().map(plain).collect();
    plain
        .filter(|plain| !plain.contains("${"))
        .ok_or_else(|| format!("{written} has a variable within a variable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_keep_their_defaults() {
        for (value, written) in [
            ("a $B-${C} $$D 5$", "a ${B:-}-${C:-} $$D 5$$"),
            ("${A:-x y}${A-z}", "${A:-x y}${A:-z}"),
            ("${A:-5$$}", "${A:-5$}"),
            ("${A:?must be set}", "${A}"),
        ] {
            assert_eq!(expanded(value).as_deref(), Ok(written));
        }
        for value in ["${A:+x}", "${A:-${B}}", "${A:-$$${B}}", "${A", "${A:-${B}", "${A é}", "${A:"] {
            assert!(expanded(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_variable_within_a_variable_ends_at_its_own_brace() {
        let all = parts("a${A:-x${B}y}}").unwrap();
        let variable = Variable { name: "A", how: ":-", word: "x${B}y", written: "${A:-x${B}y}" };
        assert_eq!(all, [Part::Plain("a"), Part::Variable(variable), Part::Plain("}")]);
    }
}
