//! Where a line for the shell has other arguments than those that it was given: there `"$1"` is no item.

use crate::cli::shell_tokens::{Token, TokenKind, tokens};
use std::ops::Range;

/// A piece of a line in which no placeholder may stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OtherArguments {
    pub at: Range<usize>,
    /// What has given it other arguments.
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Function,
    Set,
    Shift,
}

/// Words of the shell before a command.
const BEFORE_COMMAND: [&str; 9] = ["{", "!", "if", "then", "else", "elif", "do", "while", "until"];
const LOOPS: [&str; 3] = ["for", "while", "until"];

impl OtherArguments {
    /// All of a line.
    pub(super) fn of(line: &str) -> Vec<OtherArguments> {
        let Ok(tokens) = tokens(line) else { return without_tokens(line) };
        let (functions, commands) = (functions(&tokens), commands(&tokens));
        let is_in_function = |at: usize| functions.iter().any(|body| body.contains(&at));
        let changed = commands.iter().filter_map(|command| {
            let (first, cause) = (command.first()?, changes(command)?);
            let from = loop_around(&tokens, first.at.start).unwrap_or(first.at.start);
            // What a function does with its arguments is its own.
            (!is_in_function(first.at.start)).then_some(OtherArguments { at: from..usize::MAX, cause })
        });
        let bodies = functions.iter().map(|body| OtherArguments { at: body.clone(), cause: Cause::Function });
        bodies.chain(changed).collect()
    }

    /// Why a placeholder can't stand there, and what to write.
    pub(super) fn refusal(&self, placeholder: &str) -> String {
        let set = |command: &str| {
            format!(
                "`{placeholder}` stands behind `{command}`, which gives the line other arguments, and the item is one of them: put it \
                 into a variable before: `x={placeholder}; {command} …; … \"$x\"`"
            )
        };
        match self.cause {
            Cause::Function => format!(
                "`{placeholder}` stands in a function of the shell, which has arguments of its own: hand the item over to it: \
                 `f() {{ … \"$1\" …; }}; f {placeholder}`"
            ),
            Cause::Set => set("set --"),
            Cause::Shift => set("shift"),
        }
    }
}

/// Whether the shell that reads `line` has arguments at this place that the line has made itself.
pub(in crate::cli) fn has_other_arguments(line: &str, at: usize) -> bool {
    OtherArguments::of(line).iter().any(|other| other.at.contains(&at))
}

/// The words of each simple command, without those of the shell before it.
fn commands(tokens: &[Token]) -> Vec<Vec<&Token>> {
    let words = tokens.split(|token| {
        matches!(token.kind, TokenKind::Join | TokenKind::Pipe | TokenKind::Open | TokenKind::Close)
    });
    let is_before = |token: &&Token| BEFORE_COMMAND.iter().any(|word| is_word(token, word));
    words.map(|words| words.iter().skip_while(is_before).collect()).collect()
}

fn is_word(token: &Token, text: &str) -> bool {
    matches!(&token.kind, TokenKind::Word(word) if word.raw == text)
}

fn changes(command: &[&Token]) -> Option<Cause> {
    let (first, rest) = command.split_first()?;
    let is_argument = |token: &&Token| match &token.kind {
        TokenKind::Word(word) => word.raw == "--" || !word.raw.starts_with(['-', '+']),
        _ => false,
    };
    match () {
        () if is_word(first, "shift") => Some(Cause::Shift),
        () if is_word(first, "set") && rest.iter().any(is_argument) => Some(Cause::Set),
        () => None,
    }
}

/// Where the outermost loop begins that `at` stands in: what is written before it there comes behind it in the next round.
fn loop_around(tokens: &[Token], at: usize) -> Option<usize> {
    let mut loops = Vec::new();
    for token in tokens.iter().take_while(|token| token.at.start < at) {
        if LOOPS.iter().any(|word| is_word(token, word)) {
            loops.push(token.at.start);
        } else if is_word(token, "done") {
            loops.pop();
        }
    }
    loops.first().copied()
}

/// The bodies of functions: `f() { … }`, `f() ( … )`, `function f { … }`.
fn functions(tokens: &[Token]) -> Vec<Range<usize>> {
    let body = |rest: &[Token]| -> Option<Range<usize>> {
        let open = rest.first()?;
        let has_braces = is_word(open, "{");
        if !has_braces && open.kind != TokenKind::Open {
            return None;
        }
        let is = |token: &Token, brace: &str, kind: TokenKind| {
            if has_braces { is_word(token, brace) } else { token.kind == kind }
        };
        let mut depth = 0_u32;
        let end = rest.iter().find(|token| {
            depth += u32::from(is(token, "{", TokenKind::Open));
            depth -= u32::from(is(token, "}", TokenKind::Close) && depth > 0);
            depth == 0
        });
        Some(open.at.start..end.map_or(usize::MAX, |end| end.at.end))
    };
    let is_end = |token: &&Token| token.kind == TokenKind::Join;
    let begins = |at: usize| -> Option<Range<usize>> {
        let head = match &tokens[at..] {
            [name, open, close, ..]
                if matches!(name.kind, TokenKind::Word(_))
                    && open.kind == TokenKind::Open
                    && close.kind == TokenKind::Close =>
            {
                3
            }
            [function, _, ..] if is_word(function, "function") => 2,
            _ => return None,
        };
        let rest = &tokens[at + head..];
        // Line ends may stand before the body.
        body(&rest[rest.iter().take_while(is_end).count()..])
    };
    (0..tokens.len()).filter_map(begins).collect()
}

/// Of a line with a here-document: all of it.
fn without_tokens(line: &str) -> Vec<OtherArguments> {
    let words = line.split(|letter: char| letter.is_whitespace() || ";&|{".contains(letter));
    let cause = words.into_iter().find_map(|word| match word {
        "shift" => Some(Cause::Shift),
        "set" => Some(Cause::Set),
        word if word.ends_with("()") => Some(Cause::Function),
        _ => None,
    });
    cause.map(|cause| OtherArguments { at: 0..usize::MAX, cause }).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use crate::cli::one_line::shell::take_apart;

    #[test]
    fn where_the_shell_has_other_arguments_no_placeholder_stands() {
        for (line, cause) in [
            ("f() { echo rm -rf old/{}; }; f", "in a function"),
            ("f ()\n{\n echo {.}\n}; f z", "in a function"),
            ("f() ( echo {} ); f z", "in a function"),
            ("function f { echo {}; }; f z", "in a function"),
            ("f() { g() { a; }; echo {}; }; f", "in a function"),
            ("set -- x; echo {}", "behind `set --`"),
            ("set x y && echo {}", "behind `set --`"),
            ("if true; then set -- a; fi; echo {}", "behind `set --`"),
            ("set -- x; echo", "behind `set --`"),
            ("shift; echo {}", "behind `shift`"),
            ("while test $#; do echo {}; shift; done", "behind `shift`"),
            ("shift; cat {} <<END\nx\nEND", "behind `shift`"),
            ("f() { cat <<END\nx\nEND\n}; f {}", "in a function"),
        ] {
            let refused = take_apart(line, false).unwrap_err();
            assert!(refused.contains(cause), "{line}: {refused}");
        }
        for line in [
            "f() { echo \"$1\"; shift; }; f {}",
            "x={}; set -- a b; echo $x",
            "set -e; set +x; gzip {}",
            "echo set -- {}; echo shift {}",
            "for i in 1 2; do echo {}; done; echo {}; shift",
            "awk 'function f() { return 1 } { print }' {}",
            "(cd d; ls {})",
            "case {} in a) echo {};; esac",
        ] {
            assert!(take_apart(line, false).is_ok(), "{line}: {:?}", take_apart(line, false));
        }
    }
}
