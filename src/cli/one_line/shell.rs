//! A line for the shell with placeholders in it: each becomes an argument of the shell, so that no item is ever read as code.

use super::place_of_items::{self, Misplaced};
use super::{evaluated, other_arguments};
use crate::cli::shell_tokens::{TokenKind, tokens};
use crate::config::pipeline::Placeholders;
use crate::config::pipeline::code_words::code_words;
use crate::config::pipeline::placeholder::{Braces, Meaning, Part, Piece, braces, has_argument};
use std::ops::Range;

/// What `sh -c` is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ShellLine {
    /// The line, with `"$1"` and so on in place of the placeholders.
    pub script: String,
    /// The placeholders, in the order of the arguments.
    pub arguments: Vec<String>,
    /// The beginning of the variables that hold them, where the line may change the arguments of the shell.
    variables: Option<String>,
    /// Where the script names a placeholder, and which.
    items: Vec<(Range<usize>, String)>,
}

/// Letters by which a single word is known as a line for the shell.
const SHELL_LETTERS: &str = " \t\n|&;<>()$`\\\"'*?[]#~=!";

/// Whether one word is a line for the shell rather than the name of a program.
pub(in crate::cli) fn is_line(word: &str) -> bool {
    without_placeholders(word).contains(|letter| SHELL_LETTERS.contains(letter))
}

fn without_placeholders(word: &str) -> String {
    let (mut plain, mut rest) = (String::new(), word);
    while let Some(letter) = rest.chars().next() {
        match braces(rest, Placeholders::Parallel) {
            Some(Braces { after, .. }) => rest = after,
            None => {
                plain.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    plain
}

/// Whether this placeholder is one here: `{1}` only where an item is several arguments.
pub(super) fn is_placeholder(piece: &Piece, many: bool) -> bool {
    many || !matches!(piece, Piece::Argument(_, Some(_)))
}

/// The first placeholder that takes one argument of several.
pub(in crate::cli) fn has_group_placeholder(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        match braces(&rest[at..], Placeholders::Parallel) {
            Some(Braces { meaning: Meaning::Stands(Piece::Argument(_, Some(_))), written, .. }) => {
                return Some(written.to_owned());
            }
            Some(Braces { after, .. }) => rest = after,
            None => rest = &rest[at + 1..],
        }
    }
    None
}

/// A line in which quotes are left out around a placeholder with nothing beside it but letters that need none: `"{.}.gz"`.
pub(in crate::cli) fn without_needless_quotes(line: &str) -> String {
    let (mut made, mut rest) = (String::new(), line);
    while let Some(at) = rest.find(['\\', '\'', '"']) {
        let quote = &rest[at..=at];
        let after = &rest[at + 1..];
        made.push_str(&rest[..at]);
        let end = if quote == "\\" { None } else { after.find(quote) };
        match end {
            Some(end) => {
                let inner = &after[..end];
                let plain = without_placeholders(inner);
                let is_needless = plain.len() < inner.len() && plain.chars().all(is_plain);
                let written = if is_needless { inner } else { &rest[at..at + end + 2] };
                made.push_str(written);
                rest = &after[end + 1..];
            }
            None => {
                let taken = 1 + after.chars().next().map_or(0, char::len_utf8);
                made.push_str(&rest[at..at + taken]);
                rest = &rest[at + taken..];
            }
        }
    }
    made + rest
}

fn is_plain(letter: char) -> bool {
    letter.is_alphanumeric() || "_./:=,+@%-".contains(letter)
}

/// What has begun and not ended, as far as it matters for what the shell makes of a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Single,
    Double,
    /// `$'…'`, in which a backslash keeps the quote from closing.
    Escaped,
    /// `$(`, with this many parentheses: quotes begin anew in it.
    Command(usize),
    /// `${`.
    Parameter,
    Backquotes,
}

/// Where the shell is in a line.
#[derive(Default)]
struct Quoting {
    open: Vec<Open>,
    /// The letter before is a `$` with which something may begin.
    is_dollar: bool,
    /// Shells differ in, or only a whole shell can tell, where the quotes around this end.
    is_unclear: bool,
}

impl Quoting {
    fn is_in_text(&self) -> bool {
        matches!(self.open.last(), Some(Open::Single | Open::Double | Open::Escaped))
    }

    /// An item would be a part of a text. What stands in a `$(…)` is a line of its own, whatever is around that.
    fn is_quoted(&self) -> bool {
        let is_command = |open: &Open| matches!(open, Open::Command(_));
        let inner = self.open.iter().rposition(is_command).map_or(0, |at| at + 1);
        self.open[inner..].iter().any(|open| matches!(open, Open::Single | Open::Double | Open::Escaped))
    }

    /// Takes the first letter of the rest. A backslash takes the next one with it.
    fn take(&mut self, letter: char, rest: &str) {
        let top = self.open.last().copied();
        let is_in_double = self.open.contains(&Open::Double);
        let is_dollar = std::mem::take(&mut self.is_dollar);
        // `$$` is a number.
        self.is_dollar = letter == '$' && !is_dollar && !matches!(top, Some(Open::Single | Open::Escaped));
        match (letter, top) {
            ('\'', Some(Open::Single | Open::Escaped))
            | ('"', Some(Open::Double))
            | ('}', Some(Open::Parameter))
            | ('`', Some(Open::Backquotes))
            | (')', Some(Open::Command(1))) => drop(self.open.pop()),
            (_, Some(Open::Single | Open::Escaped)) => {}
            ('(', _) if is_dollar => {
                self.is_unclear |= is_in_double && may_have_other_parentheses(rest);
                self.open.push(Open::Command(1));
            }
            ('{', _) if is_dollar => self.open.push(Open::Parameter),
            ('`', _) => self.open.push(Open::Backquotes),
            ('\'', Some(Open::Double)) => {}
            ('\'' | '"', Some(Open::Parameter | Open::Backquotes)) if is_in_double => self.is_unclear = true,
            ('"', _) => self.open.push(Open::Double),
            ('\'', _) => self.open.push(if is_dollar { Open::Escaped } else { Open::Single }),
            ('(', Some(Open::Command(depth))) => self.replace(Open::Command(depth + 1)),
            (')', Some(Open::Command(depth))) => self.replace(Open::Command(depth - 1)),
            _ => {}
        }
    }

    fn replace(&mut self, top: Open) {
        self.open.pop();
        self.open.push(top);
    }
}

/// A pattern of `case` has one that nothing has opened; in a comment or a here-document they are letters.
fn may_have_other_parentheses(line: &str) -> bool {
    let begins_word =
        |before: &str| before.ends_with(|last: char| last.is_whitespace() || ";&|()".contains(last));
    let has_comment = line.match_indices('#').any(|(at, _)| begins_word(&line[..at]));
    has_comment || line.contains("case") || line.contains("<<")
}

/// Takes the placeholders out of a line. `many`: an item is several arguments.
///
/// # Errors
/// A placeholder stands where the item could not be a word of its own.
pub(super) fn take_apart(line: &str, many: bool) -> Result<ShellLine, String> {
    if let Some(found) = with_placeholders(line, many)? {
        return Ok(found);
    }
    // A line without placeholders takes the item as its last word.
    let appended = with_placeholders(&format!("{} {{}}", line.trim_end()), many)
        .and_then(|found| found.ok_or_else(|| "a comment would hide it there".to_owned()));
    appended.map_err(|why| {
        format!(
            "a line without a placeholder takes the item at its end, and this line can't: {why}; write `{{}}` where it belongs, or where \
             it does nothing: 'COMMAND; : {{}}'"
        )
    })
}

/// None: there are no placeholders in the line.
fn with_placeholders(line: &str, many: bool) -> Result<Option<ShellLine>, String> {
    let variables = other_arguments::may_change(line).then(|| unused_name(line));
    let mut found = ShellLine { script: String::new(), arguments: Vec::new(), variables, items: Vec::new() };
    found.read(line, many)?;
    if found.arguments.is_empty() {
        return Ok(None);
    }
    // A missing argument is left out, so those that may be missing stand behind the others.
    found.arguments.sort_by_key(|argument| least_arguments(argument));
    refuse_code(line)?;
    found.script.clear();
    found.items.clear();
    found.read(line, many)?;
    found.refuse_misplaced()?;
    found.complete(many).map(Some)
}

/// Behind a word that the shell may leave out.
fn may_be_the_program(item: &str, value: &str) -> String {
    let name = value.strip_prefix('$').filter(|name| name.chars().all(is_plain));
    let instead = match name {
        Some(name) => format!("write '\"${{{name}:?}}\" {item}'"),
        None if value.contains('"') => "write the name of a program before them".to_owned(),
        None => format!("write it in quotes ('\"{value}\" {item}')"),
    };
    format!(
        "`{value}` may come to nothing, and then `{item}` would be the program, which no item is: {instead}, or let your own shell \
         put the value into the line"
    )
}

/// In the place of a program's name, or in it.
pub(super) fn no_program(word: &str) -> String {
    format!("`{word}` stands where the program should: an item is no program; `env {word}` runs one")
}

/// Why a line of single items can't be run.
pub(in crate::cli) fn refuse_line(line: &str) -> Result<(), String> {
    take_apart(line, false).map(drop)
}

/// One that the line does not have.
fn unused_name(line: &str) -> String {
    let mut name = "item".to_owned();
    while line.contains(&name) {
        name.push('_');
    }
    name
}

impl ShellLine {
    /// Takes the placeholders out. Arguments that are known already keep their place.
    fn read(&mut self, line: &str, many: bool) -> Result<(), String> {
        let (mut quoting, mut begins_word, mut rest) = (Quoting::default(), true, line);
        while let Some(letter) = rest.chars().next() {
            if letter == '#' && begins_word && !quoting.is_in_text() {
                let end = rest.find('\n').unwrap_or(rest.len());
                self.script.push_str(&rest[..end]);
                rest = &rest[end..];
                begins_word = true;
                continue;
            }
            if let Some(Braces { meaning, written, after }) = braces(rest, Placeholders::Parallel) {
                let is_text = match meaning {
                    Meaning::Itself(plain) => {
                        self.script.push_str(plain);
                        true
                    }
                    Meaning::Stands(piece) if is_placeholder(&piece, many) => {
                        refuse(written, &quoting, &self.script)?;
                        let name =
                            self.argument(written, many && piece == Piece::Argument(Part::Whole, None));
                        let start = self.script.len();
                        self.script.push_str(&name);
                        self.items.push((start..self.script.len(), written.to_owned()));
                        true
                    }
                    Meaning::Stands(_) if !quoting.is_quoted() => return Err(no_argument(written)),
                    Meaning::Stands(_) => false,
                };
                if is_text {
                    quoting.is_dollar = false;
                    (rest, begins_word) = (after, false);
                    continue;
                }
            }
            let length = match letter {
                '\\' if quoting.open.last() != Some(&Open::Single) => {
                    1 + rest[1..].chars().next().map_or(0, char::len_utf8)
                }
                _ => letter.len_utf8(),
            };
            quoting.take(letter, rest);
            begins_word = letter.is_whitespace() || ";&|()".contains(letter);
            self.script.push_str(&rest[..length]);
            rest = &rest[length..];
        }
        Ok(())
    }
}

/// How many arguments an item must have for a placeholder to be there.
fn least_arguments(placeholder: &str) -> usize {
    match braces(placeholder, Placeholders::Parallel).map(|braces| braces.meaning) {
        Some(Meaning::Stands(Piece::Argument(_, Some(number)))) => number.unsigned_abs(),
        _ => 0,
    }
}

/// In front of a program that runs an argument as code the quotes around an item do not help: `sh -c {}`.
fn refuse_code(line: &str) -> Result<(), String> {
    let commands = commands(line);
    let codes = commands.iter().flat_map(|words| code_words(words));
    let code = codes.into_iter().find(|code| has_item(code.text)).map(|code| code.program.to_owned());
    if let Some(program) = code {
        return Err(format!(
            "the item is a piece of the program that `{program}` runs: an item such as `$(reboot)` would be obeyed; hand it over as an \
             argument behind the code: sh -c '… \"$1\" …' sh {{}}"
        ));
    }
    if let Some(command) = evaluated::evaluating_command(line) {
        return Err(format!(
            "`{command}` of the shell evaluates the item, so an item such as `a[$(reboot)]` could be code: put it into a variable first \
             (`x={{}}; …`), and use that where the shell evaluates nothing"
        ));
    }
    match evaluated::is_in_calculating_test(line) {
        true => Err("the item stands where bash calculates or looks up a variable (`[[ {} -eq 1 ]]`, `-v {}`), so it could be code: \
                     `[ {} -eq 1 ]` takes it as a number"
            .to_owned()),
        false => Ok(()),
    }
}

fn has_item(word: &str) -> bool {
    has_argument(word, Placeholders::Parallel)
}

/// The words of each command in a line, also of those in `$(…)`.
fn commands(line: &str) -> Vec<Vec<String>> {
    let Ok(tokens) = tokens(line) else {
        // A here-document, for example: its words are those between blanks.
        let split = line.split(|letter: char| letter.is_whitespace() || ";&|()`\"'".contains(letter));
        return vec![split.filter(|word| !word.is_empty()).map(str::to_owned).collect()];
    };
    let (mut found, mut words) = (Vec::new(), Vec::new());
    for token in tokens {
        match token.kind {
            TokenKind::Word(word) => {
                found.extend(word.inner_lines().into_iter().flat_map(commands));
                words.push(word.text);
            }
            TokenKind::Redirect(_) => {}
            TokenKind::Join | TokenKind::Pipe | TokenKind::Open | TokenKind::Close => {
                found.push(std::mem::take(&mut words));
            }
        }
    }
    found.push(words);
    found
}

fn no_argument(word: &str) -> String {
    format!(
        "`{word}` is an argument of a group, which -n N makes; the item is `{{}}`, and in quotes `'{word}'` is itself"
    )
}

/// Inside of quotes the item would be part of a text that the shell, or the program, reads; in `$((…))` it is calculated.
fn refuse(word: &str, quoting: &Quoting, before: &str) -> Result<(), String> {
    if quoting.is_unclear {
        return Err(format!(
            "`{word}` stands in or behind quotes that have a `$(…)` with `case`, a comment or a here-document in them, or quotes in a `${{…}}` \
             or in backquotes: only a whole shell can tell where they end; put it into a variable first (`x={word}; …`), and use `\"$x\"`"
        ));
    }
    if quoting.is_quoted() {
        return Err(format!(
            "`{word}` stands inside of quotes: leave the quotes out around it, for the item is one word by itself \
             (`'a b'{word}`, not `'a b{word}'`)"
        ));
    }
    if evaluated::is_calculated(before) {
        return Err(format!(
            "`{word}` stands in a sum (`((…))`, `$[…]`) or an index, where an item could be code: for a number `n=$(printf %d {word}) && \
             echo $((n + 1))`"
        ));
    }
    if is_in_here_document(before) {
        return Err(format!(
            "`{word}` stands in a here-document, where the quotes around an item would be part of it: \
             `x={word}` in a line before it, and `$x` in it"
        ));
    }
    Ok(())
}

/// Whether what follows belongs to the text after `<<END`, before the line `END`.
fn is_in_here_document(before: &str) -> bool {
    let mut rest = before;
    while let Some(at) = rest.find("<<") {
        let after = &rest[at + 2..];
        if let Some(word) = after.strip_prefix('<') {
            rest = word; // a word as input
            continue;
        }
        let (first, text) = after.split_once('\n').unwrap_or((after, ""));
        let end: String = first
            .trim_start_matches('-')
            .trim_start()
            .chars()
            .filter(|letter| !"'\"\\".contains(*letter))
            .take_while(|letter| !letter.is_whitespace() && !";|&<>()".contains(*letter))
            .collect();
        let has_text = first.len() < after.len();
        match text.lines().position(|line| line.trim_start_matches('\t') == end) {
            None => return has_text,
            Some(_) => rest = text,
        }
    }
    false
}

impl ShellLine {
    /// How the script names a placeholder.
    fn argument(&mut self, word: &str, is_all: bool) -> String {
        let at = self.arguments.iter().position(|argument| argument == word).unwrap_or_else(|| {
            self.arguments.push(word.to_owned());
            self.arguments.len() - 1
        });
        if is_all {
            // An array: only bash has those.
            return self.variables.as_ref().map_or("\"$@\"".to_owned(), |name| format!("\"${{{name}[@]}}\""));
        }
        let number = at + 1;
        let name = match &self.variables {
            Some(variables) => format!("{variables}{number}"),
            None => number.to_string(),
        };
        let plain = if name.len() == 1 || self.variables.is_some() {
            format!("\"${name}\"")
        } else {
            format!("\"${{{name}}}\"")
        };
        // One that is missing is no word.
        if least_arguments(word) > 1 { format!("${{{name}+{plain}}}") } else { plain }
    }

    /// Each item is to be an argument.
    fn refuse_misplaced(&self) -> Result<(), String> {
        let places: Vec<_> = self.items.iter().map(|(at, _)| at.clone()).collect();
        let written = |item: usize| self.items[item].1.as_str();
        place_of_items::check(&self.script, &places).map_err(|misplaced| match misplaced {
            Misplaced::Program(word) => no_program(&self.as_written(&word)),
            Misplaced::Behind(item, value) => may_be_the_program(written(item), &self.as_written(&value)),
            Misplaced::Hidden(item) => format!("`{}` would be hidden in a comment", written(item)),
            Misplaced::Unreadable(why) => why,
        })
    }

    /// A word of the script as the line has it.
    fn as_written(&self, word: &str) -> String {
        let named =
            |(at, written): &(Range<usize>, String)| (self.script[at.clone()].to_owned(), written.clone());
        self.items
            .iter()
            .map(named)
            .fold(word.to_owned(), |word, (name, written)| word.replace(&name, &written))
    }

    fn complete(mut self, many: bool) -> Result<ShellLine, String> {
        if many && self.arguments.len() > 1 && self.arguments.iter().any(|word| word == "{}") {
            return Err(
                "`{}` is several arguments here, which a line for the shell can't have beside other placeholders: \
                 name each (`{1}`, `{2}`)"
                    .to_owned(),
            );
        }
        if let Some(variables) = self.variables.take() {
            if many && self.arguments.iter().any(|word| word == "{}") {
                self.script = format!("{variables}=(\"$@\"); {}", self.script);
                return Ok(self);
            }
            let set = self.arguments.iter().zip(1..).map(|(word, number)| match least_arguments(word) {
                0 | 1 => format!("{variables}{number}=${{{number}}}; "),
                least => format!(
                    "unset {variables}{number}; [ $# -lt {least} ] || {variables}{number}=${{{number}}}; "
                ),
            });
            self.script = set.collect::<String>() + &self.script;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &str, many: bool) -> (String, String) {
        let ShellLine { script, arguments, .. } = take_apart(line, many).unwrap();
        (script, arguments.join(" "))
    }

    #[test]
    fn each_placeholder_is_an_argument_of_the_shell() {
        let is = |line: &str, script: &str, arguments: &str| {
            assert_eq!(taken(line, false), (script.to_owned(), arguments.to_owned()), "{line}");
        };
        is("gzip -c {} > {.}.gz", r#"gzip -c "$1" > "$2".gz"#, "{} {.}");
        is("cat {} {}; echo {#}", r#"cat "$1" "$1"; echo "$2""#, "{} {#}");
        is("wc -l <", r#"wc -l < "$1""#, "{}");
        is("awk '{print $1}' {}", r#"awk '{print $1}' "$1""#, "{}");
        is(r#"echo "it's" {}"#, r#"echo "it's" "$1""#, "{}");
        is("sed 's/a{2}/b/' {}", r#"sed 's/a{2}/b/' "$1""#, "{}");
        is(r"echo \' {} \\", r#"echo \' "$1" \\"#, "{}");
        is("echo {} # it's {}", r#"echo "$1" # it's {}"#, "{}");
        is("echo {{}} '{{.}}' {{1}} {}", r#"echo {} '{.}' {1} "$1""#, "{}");
        is("find {} -exec ls {{}} \\;", r#"find "$1" -exec ls {} \;"#, "{}");
        is("x=$(cat {}); echo $((1 + 2)) {}", r#"x=$(cat "$1"); echo $((1 + 2)) "$1""#, "{}");
    }

    #[test]
    fn where_the_line_may_change_the_arguments_each_item_is_in_a_variable() {
        let is = |line: &str, many: bool, script: &str| assert_eq!(taken(line, many).0, script, "{line}");
        is("f() { echo {}; }; f", false, r#"item1=${1}; f() { echo "$item1"; }; f"#);
        is("set -- q; mv {} {.}", false, r#"item1=${1}; item2=${2}; set -- q; mv "$item1" "$item2""#);
        is(". ./item; echo", false, r#"item_1=${1}; . ./item; echo "$item_1""#);
        is(
            "shift; mv {1} {2}",
            true,
            r#"item1=${1}; unset item2; [ $# -lt 2 ] || item2=${2}; shift; mv "$item1" ${item2+"$item2"}"#,
        );
        is("set -euo pipefail; echo {}", false, r#"set -euo pipefail; echo "$1""#);
        is("shift; echo {}", true, r#"item=("$@"); shift; echo "${item[@]}""#);
        is(". ./env; cp {} out", true, r#"item=("$@"); . ./env; cp "${item[@]}" out"#);
    }

    #[test]
    fn what_bash_calculates_is_refused() {
        for line in [
            "[[ {} -eq 1 ]]",
            "a && [[ 1 -lt {} ]]",
            "[ -v {} ]",
            "((n = {}))",
            "echo ${x[{}]}",
            "echo ${x:{}}",
            "[[ -n x && {} -eq 1 ]]",
            "[[ ( {} -eq 1 ) ]]",
            "declare -i n={}",
            "declare {}=1",
            "f() { local -i n; n={}; }; f",
            "declare -a x; x[{}]=1",
            "x=([{}]=1)",
            "echo $(( (1+(2)) + {} ))",
            "echo $[{}*2]",
            "printf -v {} x",
            "compgen -W {}",
            "builtin let n={}",
            "if let n={}; then a; fi",
            "command trap {} EXIT",
            "trap {} EXIT",
            "a; trap -- {} EXIT",
            "x=$(trap {} EXIT)",
            "let n={}",
            "alias a={}",
            "unset {}",
            "read {}",
        ] {
            let refused = take_apart(line, false).unwrap_err();
            assert!(refused.contains("could be code"), "{line}: {refused}");
        }
        for line in [
            "[[ -e {} ]]",
            "[ {} -eq 1 ]",
            "((n = 1)); a {}",
            "echo ${x:-{}}",
            "[[ {} == a ]]",
            "[[ {} =~ ([0-9]+) && -s {} ]]",
            "f() { local x={}; echo \"$x\"; }; f",
            "export X={}; a",
            "read -r x < {}",
            "mapfile -t all < {}",
            "printf '%s' {}",
            "all=({} b)",
            "command cat {}",
            "[[ $(stat -c %s {}) -gt 100 ]] && gzip {}",
            "(( $(wc -l < {}) > 5 ))",
            "awk '{print (($1)+1)}' {}",
            "grep '((' {} | wc",
            "cd {//} && go test -v {}",
            "echo $'\\'' {}",
        ] {
            assert!(take_apart(line, false).is_ok(), "{line}: {:?}", take_apart(line, false));
        }
    }

    #[test]
    fn an_item_of_several_arguments_is_all_of_them_or_each_by_its_number() {
        assert_eq!(taken("echo {} | wc", true), ("echo \"$@\" | wc".to_owned(), "{}".to_owned()));
        let both = (r#"mv ${2+"$2"} "$1""#.to_owned(), "{1} {2}".to_owned());
        assert_eq!(taken("mv {2} {1}", true), both, "those that may be missing are the last");
        assert_eq!(taken("echo {-2} {#}", true).0, r#"echo ${2+"$2"} "$1""#);
        assert_eq!(taken("mv {-1} {{1}}", true), (r#"mv "$1" {1}"#.to_owned(), "{-1}".to_owned()));
        assert_eq!(taken("echo x", true).0, r#"echo x "$@""#);
        assert!(take_apart("echo {} > {1}.out", true).is_err());
    }

    #[test]
    fn inside_of_quotes_and_of_sums_an_item_is_refused() {
        for line in [
            "echo '{}'",
            r"echo $'a\' {} b'",
            r#"echo "{}""#,
            r#"ssh host "gzip {.}""#,
            "echo $(( {} + 1 ))",
            r#"echo "$(rm -v "{}")""#,
            r#"echo "$(rm -v "$(echo "{}")")""#,
            r#"echo "${u:-$(printf %s "{}")}""#,
            r#"echo "`echo "{}"`""#,
            r#"echo "`echo {}`""#,
            r#"echo "x $(printf %s "d{}e") y""#,
            r#"y=a; echo "${y#"{}"}""#,
            r#"echo "${y:-{}}""#,
            r#"echo "$$(" "{}""#,
            r#"echo "\$$(echo "{}")""#,
            // Only a whole shell knows where the outer quotes end.
            r#"echo "$(case x in x) echo "{}";; esac)""#,
            "echo \"$(a # )\n)\" \"{}\"",
            r#"echo "${y#"a"}" {}"#,
        ] {
            assert!(take_apart(line, false).is_err(), "{line}");
        }
        // A line of its own, whatever is around it.
        for (line, script) in [
            (r#"x "$(cat {})""#, r#"x "$(cat "$1")""#),
            (r#"x="$(basename {})"; echo "$x" {}"#, r#"x="$(basename "$1")"; echo "$x" "$1""#),
            (r#"x "a $(b "$(c {} 'd)')") $((1 + 2))" {}"#, r#"x "a $(b "$(c "$1" 'd)')") $((1 + 2))" "$1""#),
            ("echo `basename {}`", "echo `basename \"$1\"`"),
        ] {
            assert_eq!(taken(line, false).0, script);
        }
        assert!(take_apart("sed 's/a{2}/b/' {1}", true).is_err());
        assert!(take_apart("echo {1}", false).unwrap_err().contains("which -n N makes"));
        for line in ["cat <<END\n{}\nEND", "cat <<-'E' | wc\n\ta\n\t{}\n\tE\n", "cat << \"A B\"\n{}"] {
            assert!(take_apart(line, false).unwrap_err().contains("here-document"), "{line}");
        }
        for line in ["cat <<END {}\na\nEND", "cat <<END\na\nEND\necho {}", "cat <<<{}\necho {}"] {
            assert!(take_apart(line, false).is_ok(), "{line}");
        }
    }

    #[test]
    fn the_code_of_another_program_is_refused() {
        for line in [
            "sh -c {}",
            "env A=b sh -ec {}",
            "cd d && perl -e{} x",
            "x=$(a | sh -c {}); b",
            "cat <(bash -c {})",
            "x=`python3 -c {}`",
            "if a; then eval {}; fi",
            "(sudo sh -c 'a b'{})",
            "awk {.} f | wc",
            "sh -c {} <<E\nE",
        ] {
            assert!(take_apart(line, false).unwrap_err().contains("a piece of the program"), "{line}");
        }
        for line in [
            "sh -c 'echo \"$1\"' sh {}",
            "sh {} -c",
            "grep trap {}; echo let {}",
            "trap - {}",
            "sh -c 'exit '{#}",
            "echo sh | cat {}",
            "awk '{print $1}' {}",
            "python3 -c pass {}",
        ] {
            assert!(take_apart(line, false).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_line_without_a_place_for_the_item_at_its_end_is_refused() {
        for (line, why) in [
            ("echo hi;", "an item is no program"),
            ("echo hi > log &", "an item is no program"),
            ("echo hi && ", "an item is no program"),
            ("echo hi | ", "an item is no program"),
            (" ", "an item is no program"),
            ("X=5 ", "an item is no program"),
            ("true;", "an item is no program"),
            ("! ", "an item is no program"),
            ("(echo a)", "an item is no program"),
            ("if a; then b; fi", "an item is no program"),
            ("set -- a; b;", "an item is no program"),
            ("$NOVAR", "'\"${NOVAR:?}\" {}'"),
            ("gzip -kv # keep", "a comment would hide it"),
            ("# x", "a comment would hide it"),
            ("echo hi # {}", "a comment would hide it"),
            ("cat <<E\nx\nE", "here-document"),
            ("echo 'a", "inside of quotes"),
            ("cd d && sh -c", "a piece of the program that `sh` runs"),
            ("cd d && eval", "a piece of the program that `eval` runs"),
            ("a; trap --", "evaluates the item"),
        ] {
            for many in [false, true] {
                let refused = take_apart(line, many).unwrap_err();
                assert!(refused.contains(why) && refused.contains("at its end"), "{line}: {refused}");
            }
        }
        for line in
            ["wc -l <", "echo hi; echo", "echo a # x\necho", "cd d && sh -c 'echo \"$1\"' sh", "env X=5"]
        {
            assert!(take_apart(line, false).is_ok(), "{line}: {:?}", take_apart(line, false));
        }
    }

    #[test]
    fn an_item_that_would_be_the_program_is_shown_as_it_is_written() {
        let refused = |line, many| take_apart(line, many).unwrap_err();
        assert!(refused("cd d && ./{.}.{/} a", false).starts_with("`./{.}.{/}` stands"));
        assert!(refused("set -- a; bin/{2}", true).contains("`env bin/{2}` runs one"));
        assert!(refused("{} | cat", true).contains("`env {}` runs one"));
        assert!(refused("$(a {}) {} b", false).contains("`$(a {})` may come to nothing"));
        assert!(take_apart("env {} | cat", false).is_ok());
    }

    #[test]
    fn quotes_around_nothing_but_an_item_are_left_out() {
        for (line, wanted) in [
            (r#"gzip < "{}" > '{.}.gz'"#, "gzip < {} > {.}.gz"),
            (r#"echo "a {}" '$x{}' 'b'"#, r#"echo "a {}" '$x{}' 'b'"#),
            (r#"echo \"{}\" "it's {}""#, r#"echo \"{}\" "it's {}""#),
            ("echo 'a", "echo 'a"),
        ] {
            assert_eq!(without_needless_quotes(line), wanted);
        }
    }

    #[test]
    fn one_word_is_a_line_if_the_shell_has_something_to_do_with_it() {
        for line in ["gzip -k {}", "a|b", "echo>{}", "$HOME/x", "~/x", "a;b"] {
            assert!(is_line(line), "{line}");
        }
        for word in ["gzip", "./score", "/bin/true", "x{}", "{.}", "a-b_c+d@e%f:g,h"] {
            assert!(!is_line(word), "{word}");
        }
    }
}
