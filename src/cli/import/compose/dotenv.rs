//! The `.env` beside a compose file: values for the variables of that file.
//!
//! A value of it becomes the default of its variable, as the caller's environment goes before it there. What may be a secret
//! is not written, as the pipeline file may be passed on: such a variable must be in the environment of a run.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::input::read;
use super::variables::{Part, Variable, parts};
use super::yaml::Value;
use crate::cli::toml_text::piece;
use crate::secret;

const FILE: &str = ".env";

/// Parts of a name that calls its value a secret. More than a log hides: here a value that is missing costs a word only.
const SECRET: [&str; 14] = [
    "pass", "pwd", "pw", "secret", "token", "key", "auth", "cred", "cookie", "dsn", "salt", "private",
    "cert", "sign",
];

/// What the file says about a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Value(String),
    /// It is there, but may not be written, or only the environment of a run knows it.
    Withheld,
}

/// The variables of the file, and which of them were used.
#[derive(Default)]
pub(super) struct Dotenv {
    known: Vec<(String, Known)>,
    written: BTreeSet<String>,
    withheld: BTreeSet<String>,
}

impl Dotenv {
    /// Of the folder of a compose file; without the file there are none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn beside(compose: &Path) -> Result<Dotenv, String> {
        let path = compose.parent().unwrap_or(Path::new("")).join(FILE);
        if !path.is_file() {
            return Ok(Dotenv::default());
        }
        let text = read(&path).map_err(|failure| failure.to_string())?;
        Dotenv::of(&text).map_err(|(line, why)| format!("{}:{line}: {why}", path.display()))
    }

    fn of(text: &str) -> Result<Dotenv, (usize, String)> {
        let mut dotenv = Dotenv::default();
        for Line { name, value, is_literal } in lines(text)? {
            let known = match (is_literal, secret_name(&name)) {
                (_, true) => Known::Withheld,
                (true, false) => Known::Value(value),
                (false, false) => dotenv.resolved(&value).map_or(Known::Withheld, Known::Value),
            };
            let known = match known {
                Known::Value(value) if !is_writable(&name, &value) => Known::Withheld,
                known => known,
            };
            dotenv.known.retain(|(other, _)| *other != name);
            dotenv.known.push((name, known));
        }
        Ok(dotenv)
    }

    fn get(&self, name: &str) -> Option<&Known> {
        self.known.iter().find(|(own, _)| own == name).map(|(_, known)| known)
    }

    /// A text without variables, by the values of the file; `None`: it has others.
    fn resolved(&self, text: &str) -> Option<String> {
        let part = |part: Part<'_>| match part {
            Part::Plain(text) => Some(text.to_owned()),
            Part::Variable(variable) => match self.get(variable.name)? {
                Known::Value(value) => self.stands_for(&variable, value),
                Known::Withheld => None,
            },
        };
        parts(text).ok()?.into_iter().map(part).collect()
    }

    /// What a variable with this value comes to.
    fn stands_for(&self, variable: &Variable<'_>, value: &str) -> Option<String> {
        match (variable.how, value.is_empty()) {
            ("" | "-" | "?", _) | (":-" | ":?", false) => Some(value.to_owned()),
            (":-", true) | ("+", _) | (":+", false) => self.resolved(variable.word),
            (":+", true) => Some(String::new()),
            _ => None,
        }
    }

    /// The values of a compose file with those of this one as defaults.
    pub(super) fn fill(&mut self, value: &Value) -> Value {
        self.filled("", value)
    }

    /// `key`: of the mapping in which it stands.
    fn filled(&mut self, key: &str, value: &Value) -> Value {
        match value {
            Value::Null => Value::Null,
            Value::Text(text) => Value::Text(self.text(text, matches!(key, "command" | "entrypoint"))),
            Value::List(values) if key == "environment" => {
                Value::List(values.iter().map(|value| self.entry(value)).collect())
            }
            Value::List(values) => Value::List(values.iter().map(|value| self.filled("", value)).collect()),
            Value::Map(entries) => {
                let is_environment = key == "environment";
                let filled = |(name, value): &(String, Value)| match value {
                    Value::Null if is_environment => (name.clone(), self.bare(name)),
                    value => (name.clone(), self.filled(name, value)),
                };
                Value::Map(entries.iter().map(filled).collect())
            }
        }
    }

    /// A `NAME=value` or a bare `NAME`.
    fn entry(&mut self, value: &Value) -> Value {
        match value {
            Value::Text(name) if !name.contains('=') => match self.bare(name) {
                Value::Text(value) => Value::Text(format!("{name}={value}")),
                _ => value.clone(),
            },
            value => self.filled("", value),
        }
    }

    /// A variable that a program gets from outside.
    fn bare(&mut self, name: &str) -> Value {
        match self.get(name) {
            Some(_) => Value::Text(self.text(&format!("${{{name}}}"), false)),
            None => Value::Null,
        }
    }

    /// `is_line`: it is split into words later.
    fn text(&mut self, text: &str, is_line: bool) -> String {
        let Ok(parts) = parts(text) else { return text.to_owned() };
        let part = |part: &Part<'_>| match part {
            Part::Plain(text) => piece(text),
            Part::Variable(variable) => self.variable(variable, is_line),
        };
        parts.iter().map(part).collect()
    }

    fn variable(&mut self, variable: &Variable<'_>, is_line: bool) -> String {
        let Variable { name, how, word, written } = *variable;
        let is_set_test = matches!(how, "+" | ":+");
        let unchanged = || match how {
            // Its message would be split into words.
            "?" | ":?" if is_line => format!("${{{name}{how}}}"),
            _ => written.to_owned(),
        };
        match self.get(name).cloned() {
            None if matches!(how, "-" | ":-") => {
                self.resolved(word).map_or_else(unchanged, |word| format!("${{{name}:-{}}}", piece(&word)))
            }
            None => unchanged(),
            Some(Known::Withheld) if is_set_test => self.text(word, is_line),
            Some(Known::Withheld) => {
                self.withheld.insert(name.to_owned());
                format!("${{{name}:?}}")
            }
            Some(Known::Value(value)) => match self.stands_for(variable, &value) {
                Some(value) if is_set_test => piece(&value),
                // A default is one word: the line is split there behind it.
                Some(value) if is_line && value.contains(|letter: char| !is_plain_in_a_line(letter)) => {
                    self.written.insert(name.to_owned());
                    piece(&value)
                }
                Some(value) => {
                    self.written.insert(name.to_owned());
                    format!("${{{name}:-{}}}", piece(&value))
                }
                None => unchanged(),
            },
        }
    }

    /// Which values come from the file, and which do not.
    pub(super) fn notes(&self) -> Vec<String> {
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        let mut notes = Vec::new();
        if !self.written.is_empty() {
            notes.push(format!(
                "Values of {FILE} are written here: {}. The environment goes before them where a variable has them as its default.",
                names(&self.written)
            ));
        }
        if !self.withheld.is_empty() {
            notes.push(format!(
                "In {FILE}, but not written here, as it may be a secret, or can't be a default: {}. Set it in the environment before a run.",
                names(&self.withheld)
            ));
        }
        notes
    }
}

fn is_plain_in_a_line(letter: char) -> bool {
    !letter.is_whitespace() && !"'\"\\#".contains(letter)
}

fn secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|word| name.contains(word))
}

/// Whether a file that may be passed on can have this value.
pub(in crate::cli::import) fn may_be_written(name: &str, value: &str) -> bool {
    !secret_name(name) && is_writable(name, value)
}

/// Whether a value is no secret, and can be a default.
fn is_writable(name: &str, value: &str) -> bool {
    let is_secret = is_secret(value) || !secret::places(&format!("{name}={value}")).is_empty();
    !is_secret && !value.contains("${") && !value.contains('}')
}

/// Whether a value may let somebody in, whatever it is called. More than [`secret`] knows: a file that is passed on is looked
/// at for longer than a line of a log.
fn is_secret(value: &str) -> bool {
    let has_user = value.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    let is_key = value.contains("-----BEGIN");
    secret::is_token(value) || has_user || is_key || is_secret_address(value)
}

/// Who knows the address of a webhook may post there: its path is its password, be it of letters only.
fn is_secret_address(value: &str) -> bool {
    const TOKEN_LETTERS: usize = 20;
    let Some((_, rest)) = value.split_once("://") else { return false };
    let is_long =
        |run: &str| run.len() >= TOKEN_LETTERS && run.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    rest.to_ascii_lowercase().contains("hook") || path.split(['/', '?', '=', '&', '-', '_', '.']).any(is_long)
}

/// Variables of an `env_file` that Compose and mprun read in different ways, and what Compose reads; `None`: it can't be
/// written. `ours`: what mprun reads.
pub(super) fn differing(
    text: &str,
    ours: &[(String, String)],
) -> Result<Vec<(String, Option<String>)>, String> {
    let mut dotenv = Dotenv::default();
    let mut read: Vec<(String, Option<String>)> = Vec::new();
    for Line { name, value, is_literal } in
        lines(text).map_err(|(line, why)| format!("line {line}: {why}"))?
    {
        let value = if is_literal { Some(value) } else { dotenv.resolved(&value) };
        dotenv.known.retain(|(other, _)| *other != name);
        dotenv.known.push((name.clone(), value.clone().map_or(Known::Withheld, Known::Value)));
        read.retain(|(other, _)| *other != name);
        read.push((name, value));
    }
    let is_same = |(name, value): &(String, Option<String>)| {
        let last = ours.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value);
        value.is_some() && value.as_ref() == last
    };
    let written = |(name, value): (String, Option<String>)| {
        let value = value.filter(|value| may_be_written(&name, value));
        (name, value)
    };
    Ok(read.into_iter().filter(|each| !is_same(each)).map(written).collect())
}

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    name: String,
    value: String,
    /// In single quotes: nothing in it is a variable.
    is_literal: bool,
}

/// The lines of a file, in the grammar of Compose. A name alone takes its value from the environment, as it would without
/// the line.
fn lines(text: &str) -> Result<Vec<Line>, (usize, String)> {
    let mut lines = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let number = 1 + text[..text.len() - rest.len()].matches('\n').count();
        let (line, after) = first_line(rest).map_err(|why| (number, why.to_owned()))?;
        lines.extend(line);
        rest = after.trim_start();
    }
    Ok(lines)
}

/// The first line, and what comes behind it.
fn first_line(text: &str) -> Result<(Option<Line>, &str), &'static str> {
    let end = text.find('\n').unwrap_or(text.len());
    if text.starts_with('#') {
        return Ok((None, &text[end..]));
    }
    let exported = text.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let text = exported.unwrap_or(text).trim_start();
    let end = text.find(['=', ':', '\n']).unwrap_or(text.len());
    let (name, rest) = (text[..end].trim(), &text[end..]);
    let fits = |letter: char| letter.is_alphanumeric() || "_.-".contains(letter);
    if name.is_empty() || !name.chars().all(fits) {
        return Err("expected NAME=value");
    }
    let Some(value) = rest.strip_prefix(['=', ':']) else { return Ok((None, rest)) };
    let (value, is_literal, rest) = first_value(value.trim_start_matches([' ', '\t']))?;
    Ok((Some(Line { name: name.to_owned(), value, is_literal }), rest))
}

/// A value, whether nothing in it is a variable, and what comes behind it.
fn first_value(text: &str) -> Result<(String, bool, &str), &'static str> {
    let Some(quote) = text.chars().next().filter(|letter| "'\"".contains(*letter)) else {
        let end = text.find('\n').unwrap_or(text.len());
        let line = &text[..end];
        let comment = line.find(" #").or_else(|| line.starts_with('#').then_some(0)).unwrap_or(line.len());
        return Ok((line[..comment].trim_end().to_owned(), false, &text[end..]));
    };
    let inner = &text[1..];
    let ends = |(at, _): &(usize, &str)| !inner[..*at].ends_with('\\');
    let end = inner.match_indices(quote).find(ends).map(|(at, _)| at).ok_or("a quote without its end")?;
    let (value, rest) = (&inner[..end], &inner[end + 1..]);
    match quote {
        '\'' => Ok((value.to_owned(), true, rest)),
        _ => Ok((unescaped(value), false, rest)),
    }
}

/// What stands in double quotes. A `$` behind a backslash is none of a variable.
fn unescaped(value: &str) -> String {
    let mut plain = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        let escaped = (letter == '\\').then(|| letters.next()).flatten();
        match escaped {
            None => plain.push(letter),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('$') => plain += "$$",
            Some(other) => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn filled(env: &str, text: &str) -> (String, Dotenv) {
        let mut dotenv = Dotenv::of(env).unwrap();
        let value = dotenv.fill(&yaml::parse(text).unwrap());
        (value.shown(), dotenv)
    }

    #[test]
    fn the_grammar_is_that_of_compose() {
        let text = "\n# c\nA=1 # one\nexport B = \"x\\ny \\$Z\" # two\nC: 'a # $B'\nBARE\nD=a#b\nE=\nF=\"two\nlines\"\nG=#c\n";
        let read = lines(text).unwrap();
        let read: Vec<_> = read.iter().map(|line| (line.name.as_str(), line.value.as_str())).collect();
        let wanted = [
            ("A", "1"),
            ("B", "x\ny $$Z"),
            ("C", "a # $B"),
            ("D", "a#b"),
            ("E", ""),
            ("F", "two\nlines"),
            ("G", ""),
        ];
        assert_eq!(read, wanted);
        for (text, line) in [("A=1\nB C\n", 2), ("A='1\n", 1), ("\n\n=1", 3)] {
            assert_eq!(lines(text).unwrap_err().0, line, "{text}");
        }
    }

    #[test]
    fn each_form_of_a_variable_has_the_value_of_the_file() {
        let env = "A=1\nEMPTY=\nTWO=${A}$A\nLATER=${NONE}\nLIT='$A'\n";
        for (text, meant) in [
            ("$A-${A}", "${A:-1}-${A:-1}"),
            ("${A:-x}${A-x}${A:?x y}${A?x}", "${A:-1}${A:-1}${A:-1}${A:-1}"),
            ("${A:+yes}${A+yes}[${EMPTY:+no}]${EMPTY+yes}", "yesyes[]yes"),
            ("${EMPTY}${EMPTY:-x}${EMPTY-x}", "${EMPTY:-}${EMPTY:-x}${EMPTY:-}"),
            ("${EMPTY:?x}", "${EMPTY:?x}"),
            ("${NONE:-$A}${NONE:-${OTHER}}${NONE:+x}$NONE", "${NONE:-1}${NONE:-${OTHER}}${NONE:+x}$NONE"),
            ("$TWO$LIT$$A", "${TWO:-11}${LIT:-$$A}$$A"),
            ("$LATER", "${LATER:?}"),
        ] {
            assert_eq!(filled(env, &format!("['{text}']")).0, format!("[{meant}]"));
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_written() {
        let env = "DB_PASSWORD=s\nURL=postgres://ann:s@db/a\nCOPY=${DB_PASSWORD}\nS3=AKIA1234567890ABCDEF\nPORT=80\nB=}\n";
        let (text, dotenv) = filled(env, "[$DB_PASSWORD, $URL, $COPY, $S3, $PORT, $B, '${URL:+x}']");
        assert_eq!(text, "[${DB_PASSWORD:?}, ${URL:?}, ${COPY:?}, ${S3:?}, ${PORT:-80}, ${B:?}, x]");
        let notes = dotenv.notes();
        assert!(
            notes[0].contains(": PORT.") && notes[1].contains(": B, COPY, DB_PASSWORD, S3, URL."),
            "{notes:?}"
        );
    }

    #[test]
    fn keys_addresses_of_hooks_and_passwords_are_secrets_whatever_they_are_called() {
        for value in [
            "-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----",
            "https://hooks.example.com/services/T0/B0/abcdefghijklmnopqrstuvwx",
            "https://example.com/a/abcdefghijklmnopqrstuvwx",
            "https://example.com/webhook/x",
            "ann:s3c@db/a",
            "postgres://ann:s@db/a",
        ] {
            assert!(!is_writable("X", value), "{value}");
        }
        for value in
            ["http://example.com/a/b?c=d", "db:5432", "ann@example.com", "https://example.com:8080/x"]
        {
            assert!(is_writable("X", value), "{value}");
        }
    }

    #[test]
    fn a_line_is_split_into_the_words_of_a_value() {
        let (text, _) =
            filled("O=-a 'b c'\nP=1\nE=\n", "{command: 'run $O $P ${Q:?set it} ${E:?no e}', test: [$O]}");
        assert_eq!(text, "{command: run -a 'b c' ${P:-1} ${Q:?} ${E:?}, test: [${O:--a 'b c'}]}");
    }

    #[test]
    fn a_bare_name_of_an_environment_has_its_value() {
        let (text, _) = filled("A=1\n", "[{environment: {A: , B: }}, {environment: [A, B, C=$A]}]");
        assert_eq!(text, "[{environment: {A: ${A:-1}, B: }}, {environment: [A=${A:-1}, B, C=${A:-1}]}]");
    }
}
