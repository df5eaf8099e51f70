//! Whether each item of a line for the shell is an argument: a word behind the name of a command, or a file behind `<`. In front of
//! that name the item would be the program, and in a comment it would be nothing.

use crate::cli::bash_words;
use crate::cli::shell_tokens::{BEFORE_COMMAND, Token, TokenKind, Word, is_descriptor, tokens_around_texts};
use std::ops::Range;

/// Why an item can't stand where it does. The number is its place among those of the line, and a word is one of the script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    /// It is the program, or a part of that word.
    Program(String),
    /// It is the program where this word before it comes to nothing.
    Behind(usize, String),
    /// In a comment.
    Hidden(usize),
    /// A quote or parenthesis has no end, for example.
    Unreadable(String),
}

/// Words behind which no further one belongs to the same command: what follows them begins another.
const CLOSING: [&str; 5] = ["}", "fi", "done", "esac", "]]"];
/// Commands of the shell that run the command behind them.
const PREFIXES: [&str; 3] = ["exec", "command", "builtin"];

/// Looks at each item of a script.
pub(super) fn check(script: &str, items: &[Range<usize>]) -> Result<(), Misplaced> {
    let mut seen = vec![false; items.len()];
    let places: Vec<_> = items.iter().cloned().enumerate().collect();
    Line { items: &places, seen: &mut seen, is_for_bash: bash_words::is_for_bash(script) }.read(script, 0)?;
    seen.iter().position(|seen| !seen).map_or(Ok(()), |item| Err(Misplaced::Hidden(item)))
}

/// A line, or one in `$(…)`.
struct Line<'a> {
    items: &'a [(usize, Range<usize>)],
    seen: &'a mut [bool],
    /// `[[` is no command there: its words are no commands either.
    is_for_bash: bool,
}

/// What has begun and not ended.
#[derive(PartialEq, Eq)]
enum Open {
    Group,
    /// `x=(`: the words in it are values.
    Array,
    /// Up to `esac`; what stands before a `)` in it is a pattern.
    Case,
}

/// A word, and the item that is in it and not in a line inside of it.
struct Placed<'a> {
    word: &'a Word,
    item: Option<usize>,
}

/// The words of a command that have been read.
type Words<'a> = Vec<Placed<'a>>;

impl Line<'_> {
    /// `start`: where this line stands in the script.
    fn read(&mut self, line: &str, start: usize) -> Result<(), Misplaced> {
        let tokens = tokens_around_texts(line).map_err(Misplaced::Unreadable)?;
        let (mut open, mut words, mut piped) = (Vec::new(), Words::new(), Vec::new());
        let (mut is_target, mut is_test) = (false, false);
        for (at, token) in tokens.iter().enumerate() {
            let next = tokens.get(at + 1);
            let is_beside = next.is_some_and(|next| token.at.end == next.at.start);
            let is_followed_by = |kind: fn(&TokenKind) -> bool| next.is_some_and(|next| kind(&next.kind));
            match &token.kind {
                TokenKind::Redirect(_) => {
                    is_target = true;
                    continue;
                }
                TokenKind::Word(word) => {
                    let item = self.item(token, word, start)?;
                    let is_first = !is_target && !is_test && program(&words).is_none();
                    let raw = without_line_ends(word);
                    if is_test {
                        is_test = raw != "]]";
                    } else if is_first && raw == "[[" && self.is_for_bash {
                        is_test = true;
                    } else if is_target || open.last() == Some(&Open::Array) {
                        // `{fd}> FILE` is looked at when its operator comes next.
                    } else if !(is_beside && is_descriptor(&raw) && is_followed_by(is_redirect)) {
                        match raw.as_str() {
                            "case" if is_first => open.push(Open::Case),
                            "esac" if is_first && open.last() == Some(&Open::Case) => drop(open.pop()),
                            _ => {}
                        }
                        words.push(Placed { word, item });
                    }
                }
                _ if is_test => {}
                // Only a line end may stand in one; behind another the shell gives the list up.
                TokenKind::Pipe | TokenKind::Join if open.last() == Some(&Open::Array) => {
                    if !line[token.at.clone()].starts_with('\n') {
                        let why = "the line has a parenthesis without its end".to_owned();
                        return Err(Misplaced::Unreadable(why));
                    }
                }
                TokenKind::Pipe => piped.push(std::mem::take(&mut words)),
                TokenKind::Join => {
                    piped.push(std::mem::take(&mut words));
                    all_arguments(&mut piped)?;
                }
                TokenKind::Open => {
                    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
                    let is_array =
                        before.is_some_and(|before| before.at.end == token.at.start && is_list_name(before));
                    open.push(if is_array { Open::Array } else { Open::Group });
                    if !is_array {
                        piped.push(std::mem::take(&mut words));
                        all_arguments(&mut piped)?;
                    }
                }
                TokenKind::Close => match open.last() {
                    Some(Open::Array) => drop(open.pop()),
                    Some(Open::Case) => {
                        words.clear();
                        piped.clear();
                    }
                    Some(Open::Group) | None => {
                        open.pop();
                        piped.push(std::mem::take(&mut words));
                        all_arguments(&mut piped)?;
                    }
                },
            }
            is_target = false;
        }
        piped.push(words);
        all_arguments(&mut piped)
    }

    /// The item of a word. The lines inside of the word are read.
    fn item(&mut self, token: &Token, word: &Word, start: usize) -> Result<Option<usize>, Misplaced> {
        let word_start = start + token.at.start;
        let inner = |at: &Range<usize>| word_start + at.start..word_start + at.end;
        let has =
            |outer: &Range<usize>, place: &Range<usize>| outer.start <= place.start && place.end <= outer.end;
        let all = start + token.at.start..start + token.at.end;
        let mut own = None;
        for (item, place) in self.items.iter().filter(|(_, place)| has(&all, place)) {
            if !word.inner.iter().any(|at| has(&inner(at), place)) {
                self.seen[*item] = true;
                own = own.or(Some(*item));
            }
        }
        for at in &word.inner {
            if self.items.iter().any(|(_, place)| has(&inner(at), place)) {
                self.read(&word.raw[at.clone()], word_start + at.start)?;
            }
        }
        Ok(own)
    }
}

fn is_redirect(kind: &TokenKind) -> bool {
    matches!(kind, TokenKind::Redirect(_))
}

/// `x=` or `x+=`, before a parenthesis.
fn is_list_name(token: &Token) -> bool {
    matches!(&token.kind, TokenKind::Word(word) if word.raw.ends_with('=') && word.is_assignment())
}

fn without_line_ends(word: &Word) -> String {
    word.raw.replace("\\\n", "")
}

fn all_arguments(commands: &mut Vec<Words<'_>>) -> Result<(), Misplaced> {
    commands.drain(..).try_for_each(|words| are_arguments(&words))
}

/// Whether the items among the words of a command are its arguments.
fn are_arguments(words: &Words<'_>) -> Result<(), Misplaced> {
    let mut rest = &words[program_words(words)..];
    let mut empty: Option<&Word> = None;
    while let Some((first, behind)) = rest.split_first() {
        if let Some(item) = first.item {
            let why = empty.map_or_else(
                || Misplaced::Program(first.word.raw.clone()),
                |word| Misplaced::Behind(item, word.raw.clone()),
            );
            return Err(why);
        }
        if may_be_nothing(first.word) {
            empty = empty.or(Some(first.word));
            rest = behind;
        } else if PREFIXES.contains(&first.word.text.as_str()) {
            match behind_options(&first.word.text, behind) {
                Some(command) => rest = command,
                None => return Ok(()),
            }
        } else {
            return Ok(());
        }
    }
    Ok(())
}

/// The name of the program, where it has come.
fn program<'a, 'b>(words: &'b Words<'a>) -> Option<&'b Placed<'a>> {
    words.get(program_words(words))
}

/// How many words stand before the name of the program: the shell's own words, and variables.
fn program_words(words: &Words<'_>) -> usize {
    let raw = |at: usize| words.get(at).map(|placed| without_line_ends(placed.word)).unwrap_or_default();
    let mut at = 0;
    while at < words.len() {
        let first = raw(at);
        at += match first.as_str() {
            "time" if ["-p", "--"].contains(&raw(at + 1).as_str()) => 2,
            "for" | "select" if raw(at + 2) == "do" => 3,
            "function" => 2,
            "coproc" if raw(at + 2) == "{" => 2,
            "coproc" => 1,
            word if BEFORE_COMMAND.contains(&word) || CLOSING.contains(&word) => 1,
            word if words[at].word.is_assignment() || is_element(word) => 1,
            _ => break,
        };
    }
    at.min(words.len())
}

/// `x[1]=…`, a variable of bash.
fn is_element(raw: &str) -> bool {
    let Some((name, index)) = raw.split_once('[') else { return false };
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
    is_name && name.bytes().all(is_letter) && (index.contains("]=") || index.contains("]+="))
}

/// The command that `exec` and its like run; none where they only ask about it.
fn behind_options<'a, 'b>(prefix: &str, words: &'b [Placed<'a>]) -> Option<&'b [Placed<'a>]> {
    let mut rest = words;
    while let Some((first, behind)) = rest.split_first() {
        let Some(letters) = first.word.text.strip_prefix('-').filter(|_| first.item.is_none()) else { break };
        rest = behind;
        match prefix {
            _ if letters == "-" => break,
            "command" if letters.contains(['v', 'V']) => return None,
            "exec" if letters.ends_with('a') => rest = rest.get(1..).unwrap_or_default(),
            _ => {}
        }
    }
    Some(rest)
}

/// Whether the shell may leave a word out. A list in quotes is as many words as it has values.
fn may_be_nothing(word: &Word) -> bool {
    let is_list =
        |raw: &str| raw == "$@" || raw.starts_with("${") && raw.ends_with("@}") || raw.ends_with("[@]}");
    let quoted = word.raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    word.may_be_nothing || quoted.is_some_and(is_list)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a line with `{}` in it is looked at.
    fn looked_at(line: &str) -> Result<(), Misplaced> {
        const ITEM: &str = "\"$1\"";
        let script = line.replace("{}", ITEM);
        let items: Vec<_> = script.match_indices(ITEM).map(|(at, _)| at..at + ITEM.len()).collect();
        assert!(!items.is_empty(), "{line}");
        check(&script, &items)
    }

    #[test]
    fn an_item_in_the_place_of_a_program_is_found() {
        for line in [
            "{} a",
            "  {}",
            "{}|cat",
            "true && {}",
            "a || {}",
            "a; {}",
            "a & {}",
            "a | {}",
            "a |& {}",
            "a\n{}",
            "! {}",
            "X=1 {}",
            "X=$(a) Y= {}",
            "x[0]=5 {}",
            "x=(a b) {}",
            "x=(a b); {}",
            "> log {}",
            "2>&1 {} a",
            "{fd}>log {}",
            "./{} a",
            "a=b/{}.sh {}/x",
            "{ {}; }",
            "({})",
            "(a; {})",
            "(a) {}",
            "if {}; then a; fi",
            "if a; then {}; fi",
            "if a; then b; elif {}; then c; fi",
            "if a; then b; else {}; fi",
            "if a; then b; fi {}",
            "while {}; do a; done",
            "until a; do {}; done",
            "for i in 1 2; do {}; done",
            "for i do {}; done",
            "for i\ndo {}; done",
            "case x in a) {};; esac",
            "case x in a) b;; (c) {};; esac",
            "case x in a) b;; esac; {}",
            "(case x in a) b;; esac; {})",
            "case x in a) (b | {});; esac",
            "f() { {}; }; f",
            "f() {}",
            "function f { {}; }; f",
            "coproc {}",
            "coproc P { {}; }",
            "time {}",
            "time -p {}",
            "[[ -e x ]] && {}",
            "[[ -e x ]] {}",
            "x=$({})",
            "echo $(a)$({})",
            "echo \"$(a)\" $(b; {})",
            "x=`{}`",
            "cat <({})",
            "cat < <({})",
            "a > >({})",
            "echo ${x:-$({})}",
            "(( $({}) > 1 ))",
            "exec {}",
            "\\exec {}",
            "exec -a x {}",
            "exec -cl {}",
            "command {}",
            "command -p -- {}",
            "builtin {}",
            "command exec {}",
            "cat <<E; {}\na\nE",
            "cat <<-'E'\n\ta\n\tE\n{}",
            "ex\\\nec {}",
            "i\\\nf {}; then a; fi",
        ] {
            assert!(matches!(looked_at(line), Err(Misplaced::Program(_))), "{line}: {:?}", looked_at(line));
        }
    }

    #[test]
    fn behind_words_that_may_be_nothing_an_item_may_be_the_program() {
        for (line, word) in [
            ("$CMD {}", "$CMD"),
            ("${CMD} {}", "${CMD}"),
            ("${CMD:-} -k; $A$B {}", "$A$B"),
            ("$A $B {}", "$A"),
            ("$(which a) {}", "$(which a)"),
            ("`which a` {}", "`which a`"),
            ("X=1 $CMD {}", "$CMD"),
            ("exec $CMD {}", "$CMD"),
            ("$CMD exec {}", "$CMD"),
            ("\"$@\" {}", "\"$@\""),
            ("\"${all[@]}\" {}", "\"${all[@]}\""),
            ("a | $CMD < b {}", "$CMD"),
        ] {
            assert_eq!(looked_at(line), Err(Misplaced::Behind(0, word.to_owned())), "{line}");
        }
    }

    #[test]
    fn what_is_in_no_word_is_found() {
        assert_eq!(looked_at("echo {} # {}"), Err(Misplaced::Hidden(1)));
        for line in ["echo {} 'a", "echo $(a {}", "x=(a; b\n! {}", "x=(a | {})"] {
            assert!(matches!(looked_at(line), Err(Misplaced::Unreadable(_))), "{line}");
        }
    }

    #[test]
    fn arguments_are_left_alone() {
        for line in [
            "gzip -k {}",
            "cd dir && gzip {}",
            "for i in 1 2; do echo $i {}; done",
            "for f in {} x; do cat $f; done",
            "for f in x\ndo cat {}; done",
            "if test -s {}; then cat {}; fi",
            "if [ -e {} ]; then\n  a {}\nelif b {}; then\n  c {}\nelse\n  d {}\nfi",
            "[ -f {} ] && echo {}",
            "! test -e {} || a {}",
            "echo hi | tee {}",
            "X=5 cmd {}",
            "x={}; echo \"$x\"",
            "x={}",
            "sort {} > {}.out",
            "> {}.log cmd {}",
            "{ a {}; } > {}.out 2>&1",
            "while read x; do echo $x; done < {}",
            "until test -e {}; do sleep 1; done",
            "case {} in *.gz) zcat {};; esac",
            "case {} in\n  a|{}) b {} ;;\n  {}) c {} ;;\nesac",
            "(case {} in {}) a;; {}) b {};; esac) | c {}",
            "./run.sh {}",
            "\"$HOME/bin/x\" {}",
            "~/bin/x {}",
            "$HOME/bin/x {}",
            "$(dirname {})/x {}",
            "\"$CMD\" {}",
            "\"${CMD:?}\" {}",
            "$CMD -k {}",
            "$NICE gzip {}",
            "exec gzip {}",
            "exec 3< {}; cat <&3",
            "exec > {}.log; a",
            "command -v {} > /dev/null",
            "command -p cat {}",
            "time gzip {}",
            "all=({} b); a",
            "all+=(a {}\nb) c {}",
            "declare -a all=(a {}); b",
            "[[ -n x && {} == a ]]",
            "[[ a =~ ([0-9]+) && -s {} ]] || a {}",
            "[[ ( -e {} || {} == b ) ]] && a {}",
            "(( $(wc -l < {}) > 5 ))",
            "x=$(basename {}); echo $x",
            "echo `basename {} .gz` $(a)$(b {})",
            "diff <(sort {}) <(sort b)",
            "tar cf - {} | (cd x && tar xf -)",
            "f() { echo {}; }; f",
            "function f { echo {}; }; f {}",
            "cat <<E {}\na\nE",
            "cat <<E\na 'b\nE\necho {}",
            "cat <<< {}; a {}",
            "echo ${x#\"}\"} {}",
            "echo a # it's {fd}\necho {}",
            "echo $((1 + 2)) {}",
            // What other programs make of their arguments is up to them, as without a shell.
            "env X=5 {}",
            "nohup {}",
            "sudo -u me {}",
            "timeout 5 {}",
        ] {
            assert_eq!(looked_at(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn double_brackets_are_a_command_to_sh() {
        let line = "for i do [[ {} && {} == b ]]; done";
        assert_eq!(bash_words::shell(line), "sh");
        assert!(matches!(looked_at(line), Err(Misplaced::Program(_))));
    }
}
