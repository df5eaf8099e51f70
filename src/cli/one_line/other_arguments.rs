//! Whether a line for the shell may change the arguments that the shell was given: behind that `"$1"` is no item, and in a function it
//! is an argument of the function.

use crate::cli::shell_tokens::{TokenKind, Word, commands, tokens};

/// Whether any command of the line may.
pub(in crate::cli) fn may_change(line: &str) -> bool {
    let Ok(tokens) = tokens(line) else { return without_tokens(line) };
    let has_function =
        tokens.windows(2).any(|pair| pair[0].kind == TokenKind::Open && pair[1].kind == TokenKind::Close);
    let has_inner = tokens.iter().any(|token| match &token.kind {
        TokenKind::Word(word) => word.raw == "function" || word.inner_lines().into_iter().any(may_change),
        _ => false,
    });
    has_function || has_inner || commands(&tokens).iter().any(|words| changes(words))
}

fn changes(words: &[&Word]) -> bool {
    let Some((name, rest)) = words.split_first() else { return false };
    match name.text.as_str() {
        "command" | "builtin" => {
            let options = rest.iter().take_while(|word| word.text.starts_with('-')).count();
            changes(&rest[options..])
        }
        "shift" | "eval" | "." | "source" => true,
        "set" => has_arguments(rest),
        _ => false,
    }
}

/// Whether `set` is given more than options: `-o` takes a word, wherever it stands among the letters.
fn has_arguments(words: &[&Word]) -> bool {
    let mut words = words.iter().map(|word| word.text.as_str());
    while let Some(word) = words.next() {
        match word {
            "-" | "+" => {}
            "--" => return true,
            _ if !word.starts_with(['-', '+']) => return true,
            _ if word.contains('o') => drop(words.next()),
            _ => {}
        }
    }
    false
}

/// Of a line with a here-document: any word in it.
fn without_tokens(line: &str) -> bool {
    let mut words = line.split(|letter: char| letter.is_whitespace() || ";&|{`(\"'\\".contains(letter));
    const WORDS: [&str; 6] = ["shift", "set", "eval", ".", "source", "function"];
    words.any(|word| WORDS.contains(&word)) || line.replace(' ', "").contains("()")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_the_arguments_of_the_shell_is_known() {
        for line in [
            "f() { echo rm -rf old/{}; }; f",
            "f ()\n{\n echo {.}\n}; f z",
            "f() ( echo {} ); f z",
            "f() for i in 1; do echo {}; done; f q",
            "function f { echo {}; }; f z",
            "set -- x; echo {}",
            "set x y && echo {}",
            "set -e -- x; echo {}",
            "set - x; echo {}",
            "if true; then set -- a; fi; echo {}",
            "IFS=, set -- q; echo {}",
            "command set -- q; echo {}",
            "command -p set q; echo {}",
            "\\set -- q; echo {}",
            "\"set\" -- q; echo {}",
            "eval 'set -- q'; echo {}",
            ". ./s.sh; echo {}",
            "source s.sh; echo {}",
            "x=$(set -- q; echo {})",
            "shift; echo {}",
            "while test $#; do echo {}; shift; done",
            "shift; cat {} <<END\nx\nEND",
            "f() { cat <<END\nx\nEND\n}; f {}",
        ] {
            assert!(may_change(line), "{line}");
        }
        for line in [
            "set -e; set +x; gzip {}",
            "set -euo pipefail; gzip {}",
            "set -o errexit +o nounset -u; gzip {}",
            "set; set -; gzip {}",
            "echo set -- {}; echo shift {}",
            "for i in 1 2; do echo {}; done; echo {}",
            "awk 'function f() { return 1 } { print }' {}",
            "(cd d; ls {})",
            "case {} in set) echo {};; esac",
        ] {
            assert!(!may_change(line), "{line}");
        }
    }
}
