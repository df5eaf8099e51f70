//! What of a line for a shell is bash's: sh stops at it, or reads it in another way. To sh `[[` is a program that is missing, and
//! `a &> b` is `a` in the background.

use super::shell_tokens::{BEFORE_COMMAND, Token, TokenKind, Word, commands, is_descriptor, tokens};

/// Commands that only bash has.
const COMMANDS: [&str; 18] = [
    "[[",
    "source",
    "shopt",
    "declare",
    "typeset",
    "mapfile",
    "readarray",
    "select",
    "let",
    "pushd",
    "popd",
    "dirs",
    "disown",
    "builtin",
    "caller",
    "coproc",
    "compgen",
    "function",
];
/// Its variables.
const VARIABLES: [&str; 12] = [
    "RANDOM",
    "SRANDOM",
    "SECONDS",
    "UID",
    "EUID",
    "HOSTNAME",
    "OSTYPE",
    "MACHTYPE",
    "PIPESTATUS",
    "FUNCNAME",
    "EPOCHSECONDS",
    "EPOCHREALTIME",
];
/// In a line with a here-document, whose words are not known.
const IN_TEXT: [&str; 8] = ["[[ ", "<(", ">(", "<<<", "&>", "|&", "source ", "function "];

/// The shell for a line.
pub(super) fn shell(line: &str) -> &'static str {
    if is_for_bash(line) { "bash" } else { "sh" }
}

/// Whether sh would not read it as bash does.
pub(super) fn is_for_bash(line: &str) -> bool {
    let Ok(tokens) = tokens(line) else { return IN_TEXT.iter().any(|text| line.contains(text)) };
    let word = |token: &Token| match &token.kind {
        TokenKind::Word(word) => is_word_of_bash(word),
        TokenKind::Pipe => line[token.at.clone()].ends_with('&'),
        TokenKind::Redirect(how) => how.starts_with("&>") || how.ends_with("<<<"),
        TokenKind::Join | TokenKind::Open | TokenKind::Close => false,
    };
    let pair = |pair: &[Token]| match (&pair[0].kind, &pair[1].kind) {
        // `((n++))`, `for ((…))`
        (TokenKind::Open, TokenKind::Open) => pair[0].at.end == pair[1].at.start,
        // `{fd}> FILE`
        (TokenKind::Word(word), TokenKind::Redirect(_)) => {
            is_descriptor(&word.raw) && pair[0].at.end == pair[1].at.start
        }
        // `all=(a b)`, `f-g() {…}`
        (TokenKind::Word(word), TokenKind::Open) => {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            pair[0].at.end == pair[1].at.start && !word.raw.bytes().all(is_letter)
        }
        // `;&`, `;;&`
        (TokenKind::Join, TokenKind::Join) => {
            let (first, second) = (&line[pair[0].at.clone()], &line[pair[1].at.clone()]);
            first.ends_with(';') && second == "&" && pair[0].at.end == pair[1].at.start
        }
        // `>& FILE`
        (TokenKind::Redirect(how), TokenKind::Word(word)) if how.ends_with(">&") => {
            !word.text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
        }
        _ => false,
    };
    let begins = |at: usize| match at.checked_sub(1).map(|before| &tokens[before].kind) {
        Some(TokenKind::Word(word)) => BEFORE_COMMAND.contains(&word.raw.as_str()),
        Some(TokenKind::Redirect(_) | TokenKind::Close) => false,
        Some(TokenKind::Join | TokenKind::Pipe | TokenKind::Open) | None => true,
    };
    let is_timed = |(at, token): (usize, &Token)| {
        matches!(&token.kind, TokenKind::Word(word) if word.raw == "time") && begins(at)
    };
    tokens.iter().enumerate().any(is_timed)
        || tokens.iter().any(word)
        || tokens.windows(2).any(pair)
        || commands(&tokens).iter().any(is_command_of_bash)
}

fn is_command_of_bash(words: &Vec<&Word>) -> bool {
    let Some((name, rest)) = words.split_first() else { return false };
    let has = |texts: &[&str]| rest.iter().any(|word| texts.contains(&word.text.as_str()));
    // Options behind the name.
    let letters = |of: &dyn Fn(char) -> bool| {
        let options = rest.iter().map_while(|word| word.text.strip_prefix('-'));
        options.filter(|letters| !letters.is_empty()).any(|letters| letters.chars().any(of))
    };
    match name.text.as_str() {
        "echo" if rest.iter().any(|word| word.text.contains('\\')) => true,
        "echo" => {
            let first = rest.first().and_then(|word| word.text.strip_prefix('-')).unwrap_or_default();
            first.contains(['e', 'E']) && first.chars().all(|letter| "neE".contains(letter))
        }
        "read" => {
            let names = rest.iter().filter(|word| !word.text.starts_with('-')).count();
            letters(&|letter| !"rp".contains(letter))
                || names == usize::from(letters(&|letter| letter == 'p'))
        }
        "printf" => {
            letters(&|letter| letter == 'v') || rest.first().is_some_and(|word| has_format(&word.text))
        }
        "[" | "test" => has(&["==", "=~", "-v"]),
        "trap" => has(&["ERR", "DEBUG", "RETURN"]) || rest.iter().any(|word| word.text.starts_with("SIG")),
        "kill" => rest.iter().any(|word| word.text.trim_start_matches('-').starts_with("SIG")),
        "exec" => letters(&|_| true),
        "." => rest.first().is_some_and(|file| !file.text.contains('/')),
        "set" => has(&["pipefail"]),
        "export" => letters(&|letter| letter == 'f'),
        "type" => letters(&|_| true),
        "wait" => letters(&|letter| letter == 'n'),
        name => COMMANDS.contains(&name),
    }
}

/// Of printf: `%q`, `%(…)T`, `\x41`, `\u00e9`, `\e`.
fn has_format(text: &str) -> bool {
    text.replace("\\\\", "").split('\\').skip(1).any(|part| part.starts_with(['x', 'u', 'U', 'e', 'E']))
        || text.replace("%%", "").split('%').skip(1).any(|part| part.starts_with(['q', '(']))
}

fn is_word_of_bash(word: &Word) -> bool {
    let Some(Parts { bare, expanded }) = Parts::of(&word.raw) else { return true };
    has_list(&bare)
        || bare.contains("[^")
        || expanded
            .split("${")
            .skip(1)
            .any(|value| value.split('}').next().is_some_and(|value| value.contains("[^")))
        || expanded.split("$((").skip(1).any(is_sum_of_bash)
        || word.inner_lines().into_iter().any(is_file)
        || ["<(", ">("].iter().any(|open| bare.contains(open))
        || (word.is_assignment() && word.raw.split_once('=').is_some_and(|(name, _)| name.ends_with('+')))
        || expanded.split('$').skip(1).any(is_variable_of_bash)
        || word.inner_lines().into_iter().any(is_for_bash)
}

/// What of a word the shell looks at.
struct Parts {
    /// What stands in no quotes.
    bare: String,
    /// The same with what stands in double quotes.
    expanded: String,
}

impl Parts {
    /// None: it has `$'…'` or `$"…"`.
    fn of(raw: &str) -> Option<Parts> {
        let mut parts = Parts { bare: String::new(), expanded: String::new() };
        let (mut quote, mut letters) = (None, raw.chars());
        while let Some(letter) = letters.next() {
            match (letter, quote) {
                ('\'' | '"', None) if parts.bare.ends_with('$') => return None,
                ('\'' | '"', None) => quote = Some(letter),
                (letter, Some(end)) if letter == end => quote = None,
                ('\\', None | Some('"')) => drop(letters.next()),
                (letter, None) => {
                    parts.bare.push(letter);
                    parts.expanded.push(letter);
                }
                (letter, Some('"')) => parts.expanded.push(letter),
                (_, Some(_)) => {}
            }
        }
        Some(parts)
    }
}

/// `$(< FILE)`
fn is_file(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with('<') && !line.starts_with("<(")
}

/// What follows `$((`: `n++`, `2 ** 3`, `16#ff`, `a, b`, `RANDOM`.
fn is_sum_of_bash(text: &str) -> bool {
    let sum = text.split("))").next().unwrap_or_default();
    let names = sum.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    ["++", "--", "**", "#", ","].iter().any(|sign| sum.contains(sign))
        || names.into_iter().any(|name| VARIABLES.contains(&name))
}

/// `{a,b}`, `{1..9}`.
fn has_list(bare: &str) -> bool {
    bare.match_indices('{').any(|(at, _)| {
        let Some((inner, _)) = bare[at + 1..].split_once('}') else { return false };
        let is_range = inner.find("..").is_some_and(|dots| dots > 0 && dots + 2 < inner.len());
        !bare[..at].ends_with('$') && (inner.contains(',') || is_range)
    })
}

/// What follows a `$`: `RANDOM`, `{x//a/b}`, `{x:1:2}`, `{x^}`, `{x[0]}`, `{!x}`, `[1 + 2]`.
fn is_variable_of_bash(text: &str) -> bool {
    if text.starts_with('[') {
        return true;
    }
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name_of = |text: &'_ str| text.find(|letter| !is_letter(letter)).unwrap_or(text.len());
    let is_known = |name: &str| VARIABLES.contains(&name) || name.starts_with("BASH");
    let Some(inner) = text.strip_prefix('{') else { return is_known(&text[..name_of(text)]) };
    let inner = inner.strip_prefix('#').unwrap_or(inner);
    let length = if inner.starts_with(['@', '*']) { 1 } else { name_of(inner) };
    let (name, rest) = inner.split_at(length);
    let is_part = rest.strip_prefix(':').is_some_and(|rest| !rest.starts_with(['-', '=', '?', '+']));
    is_known(name)
        || inner.starts_with('!')
        || !name.is_empty() && (is_part || rest.starts_with(['/', '^', ',', '@', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_bash_reads_goes_to_bash() {
        for line in [
            "[[ -e {}.keep ]] || rm {}",
            "if [[ -e {} ]]; then a; fi",
            "a &> b",
            "a >& b",
            "a |& b",
            "cat <(sort {})",
            "tee >(wc) < {}",
            "cat <<< {}",
            "printf $'a\\tb'",
            "echo -e 'a\\tb'",
            "echo -ne x",
            "mkdir {a,b}",
            "echo {1..3}",
            "cp {} {,.bak}",
            "x={}; echo \"${x//a/b}\"",
            "x={}; echo ${x:0:3} ",
            "x={}; echo ${x^^}",
            "echo $RANDOM",
            "echo ${x[0]}",
            "echo $[1+1]",
            "all=(a b)",
            "x+=b",
            "((n++))",
            "for ((i = 0; i < 3; i++)); do a; done",
            "source x",
            "a=b source x",
            "function f { a; }",
            "[ a == b ] || rm {}",
            "set -euo pipefail; a",
            "x=$([[ a ]] && b)",
            "read -a x",
            "printf %q {}",
            "cat <<E && [[ a ]]\nE",
            "rm [^a]*",
            "case {} in [^a]*) a;; esac",
            "x={}; echo \"${x%%[^0-9]*}\"",
            "x=$(<{}); a",
            "echo `< {}`",
            "printf '%s\\x09' {}",
            "printf '\\u00e9'",
            "echo $((RANDOM + 1))",
            "echo \"$((x++))\"",
            "echo $((16#ff))",
            "echo $\"hi\"",
            "echo 'a\\tb'",
            "a | { read; echo $REPLY; }",
            "read -p 'Go? '",
            "trap 'a' SIGTERM",
            "kill -SIGTERM 1",
            "exec -a x a",
            "exec {out}> a",
            "case a in a) b;& c) d;; esac",
            "f-g() { a; }",
            ". run.sh",
            "time a",
        ] {
            assert!(is_for_bash(line), "{line}");
        }
        for line in [
            "gzip -c {} > {.}.gz 2>&1",
            "a 2>&- >&2",
            "grep 'a$' {}",
            "grep 'a$[bc]' {}",
            "sed 's/[[:space:]]//' {}",
            "ls [[:digit:]]*",
            "awk '{print $1, $2}' {}",
            "x={}; echo \"${x%.*}\" ${x:-a,b} ${#x} $$ ${x#*/}",
            "echo {} {.} {} {/},{//}",
            "echo -n {}; echo - -e; printf '%s' {}",
            "echo '[[ a ]] &> <(b)' \"{a,b}\"",
            "read -r x",
            "read -p 'Go? ' x",
            "grep \"[^a]\" {}",
            "echo $((x + (1 - 2) * 3))",
            "printf '\\n%s\\t\\\\x' {}",
            "x=\"$(basename {})\"",
            "trap 'a' TERM",
            "exec a -b",
            "echo time {}>{}.out",
            "x=$((1 + 2))",
            "(a; b)",
            "f() { a; }",
            "[ a = b ]",
            "set -e; . ./x",
            "cat <<E\nE",
        ] {
            assert!(!is_for_bash(line), "{line}");
        }
    }
}
