//! What only the script has that a line stands in: its arguments, and arrays of its shell. A run gets neither, and in a stage's
//! command `$1` is the item.

use crate::cli::one_line::may_change_arguments;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found<'a> {
    /// As written.
    name: &'a str,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Argument,
    Array,
}

/// Arrays that each bash has, and fills itself.
const ARRAYS_OF_BASH: [&str; 9] = [
    "BASH_REMATCH",
    "PIPESTATUS",
    "FUNCNAME",
    "BASH_SOURCE",
    "BASH_LINENO",
    "BASH_VERSINFO",
    "DIRSTACK",
    "GROUPS",
    "COPROC",
];

/// Refuses them in what prints the items. `shown`: a command that prints them where the script has them.
pub(super) fn refuse_in_items(text: &str, shown: &str) -> Result<(), String> {
    let Some(Found { name, what }) = first(text) else { return Ok(()) };
    let what = match what {
        What::Argument => "an argument",
        What::Array => "an array",
    };
    Err(format!(
        "`{name}` is {what} of the script that the line stands in, and a run has none: write its words in its place, or leave it out, and \
         the items come from standard input: {shown} | mprun run FILE"
    ))
}

/// Refuses them in a command.
pub(super) fn refuse_in_command(text: &str) -> Result<(), String> {
    let Some(Found { name, what }) = first(text) else { return Ok(()) };
    Err(match what {
        What::Argument => format!(
            "`{name}` in the command is an argument of the script that the line stands in; in a stage the arguments are the item: write \
             its value in its place, or `export NAME=…` before the run and `$NAME` in the line"
        ),
        What::Array => format!(
            "`{name}` in the command is an array of the script that the line stands in, and no command gets it: write its words in its place"
        ),
    })
}

/// The first in a text that a shell reads, but for those that the text itself sets.
fn first(text: &str) -> Option<Found<'_>> {
    let (mut at, mut open) = (0, Vec::new());
    while let Some(letter) = text[at..].chars().next() {
        let rest = &text[at..];
        let is_double = open.last() == Some(&'"');
        let mut length = letter.len_utf8();
        match letter {
            '\\' => length += rest[1..].chars().next().map_or(0, char::len_utf8),
            '\'' if !is_double => length = rest[1..].find('\'').map_or(rest.len(), |end| end + 2),
            _ if open.last() == Some(&letter) => drop(open.pop()),
            '"' | '`' => open.push(letter),
            '(' if !is_double => open.push(')'),
            '$' if rest.starts_with("$(") => {
                open.push(')');
                length = 2;
            }
            '$' => match parameter(rest) {
                Some(found) if !is_set_there(text, found) => return Some(found),
                _ => {}
            },
            _ => {}
        }
        at += length;
    }
    None
}

/// What begins with this `$`.
fn parameter(rest: &str) -> Option<Found<'_>> {
    let is_argument = |letter: char| letter.is_ascii_digit() || "@*#".contains(letter);
    let argument = |end: usize| Some(Found { name: &rest[..end], what: What::Argument });
    let after = &rest[1..];
    if after.starts_with(is_argument) {
        return argument(2);
    }
    let inner = after.strip_prefix('{')?;
    let end = inner.find('}')?;
    // `${#NAME}` is the length of a variable.
    let name = match &inner[..end] {
        "#" => return argument(end + 3),
        inner => inner.trim_start_matches(['#', '!']),
    };
    if name.starts_with(is_argument) {
        return argument(end + 3);
    }
    let letters = name.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let is_array = letters > 0 && name[letters..].starts_with('[');
    is_array.then_some(Found { name: &rest[..end + 3], what: What::Array })
}

/// Whether the text gives itself arguments (`set --`, a function), or makes the array.
fn is_set_there(text: &str, found: Found<'_>) -> bool {
    match found.what {
        What::Argument => may_change_arguments(text),
        What::Array => {
            let name = found.name.trim_start_matches(['$', '{', '#', '!']);
            let name = name.split('[').next().unwrap_or_default();
            if ARRAYS_OF_BASH.contains(&name) {
                return true;
            }
            let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_{#!$".contains(letter);
            text.match_indices(name).any(|(at, _)| {
                !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_script_has_is_found_where_a_shell_would_read_it() {
        for (text, name) in [
            ("find \"$1\" -type f", "$1"),
            ("cat $*; echo '$2'", "$*"),
            ("echo \"$(ls \"$2\")\"", "$2"),
            ("echo ${#}", "${#}"),
            ("echo ${2:-x}", "${2:-x}"),
            ("echo \"${@:2}\"", "${@:2}"),
            ("\"$(dirname \"$0\")/x\"", "$0"),
            ("echo \"it's $3\"", "$3"),
            ("\"${HOSTS[@]}\"", "${HOSTS[@]}"),
            ("echo ${#HOSTS[@]}", "${#HOSTS[@]}"),
        ] {
            assert_eq!(first(text).map(|found| found.name), Some(name), "{text}");
        }
        for text in [
            "awk '{print $1}' f",
            "echo \"$(awk '{print $1}' f)\"",
            "echo \\$1 \"\\$1\"",
            "echo $HOME ${#HOME} $? $$ ${A:-b}",
            "f() { echo \"$1\"; }; f a",
            "for i in 1 2; do set -- $i; echo $1; done",
            "{ hosts=(a b); printf '%s\\n' \"${hosts[@]}\"; }",
            "mapfile -t hosts < f; echo \"${hosts[0]}\"",
            "[[ a =~ (.) ]] && echo ${BASH_REMATCH[1]} ${PIPESTATUS[0]}",
        ] {
            assert_eq!(first(text), None, "{text}");
        }
    }
}
