//! What mprun says, all of it, in one list to read: `tests/message_list/list.txt`. `UPDATE_GOLDEN=1 cargo test --test message_list`
//! writes it anew; a message that was added or changed is a line of the difference.
//!
//! A message is a string literal of the source with words in it. Its kind is that of the call that it stands in: a level of
//! the log, a constructor of an error, a part of a file's fault, or `text`, which another message holds.

#[path = "message_list/tokens.rs"]
mod tokens;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use tokens::{Token, tokens};

const LIST: &str = "tests/message_list/list.txt";

/// Calls by which their text is told apart, the innermost that is one of them. Others only make text.
const KINDS: &[&str] = &[
    "error",
    "warning",
    "help",
    "label",
    "also_at",
    "accepted",
    "usage",
    "failed",
    "io",
    "with_code",
    "fatal",
    "new",
    "other",
    "report_error",
    "say",
    "print",
    "bad_answer",
    "refuse",
    "refused",
    "log",
    "warn",
    "info",
    "debug",
    "trace",
];
/// Calls whose text nobody reads who uses mprun, or reads in `--help` and in docs/.
const NONE: &[&str] = &[
    "expect",
    "panic",
    "unreachable",
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "about",
    "key",
    "include_str",
    "env",
    "matches",
    "cfg",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match path.is_dir() {
            _ if ["tests", "testing", "golden", "fixture", "bench"].contains(&name.as_str()) => {}
            true => sources(&path, all),
            false if path.extension().is_some_and(|end| end == "rs") => all.push(path),
            false => {}
        }
    }
}

/// The messages of a file with their kinds, in the file's order.
fn messages(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // The open brackets: the call that each belongs to, and the level of the log that is named in it.
    let mut open: Vec<(String, Option<String>)> = vec![Default::default()];
    let mut last = String::new();
    for token in tokens(text) {
        match token {
            Token::Word(word) => {
                if ["Error", "Warn", "Info", "Debug", "Trace"].contains(&word.as_str()) {
                    open.last_mut().unwrap().1 = Some(word.to_lowercase());
                }
                last = word;
                continue;
            }
            // A macro's name is that of its brackets.
            Token::Mark('!') => continue,
            Token::Mark('(' | '[' | '{') => open.push((last.clone(), None)),
            Token::Mark(')' | ']' | '}') if open.len() > 1 => drop(open.pop()),
            Token::Text(text) if is_message(&text) => {
                if let Some(kind) = kind(&open) {
                    found.push((kind, text));
                }
            }
            Token::Mark(_) | Token::Text(_) => {}
        }
        last.clear();
    }
    found
}

/// `None`: it is not for people who use mprun.
fn kind(open: &[(String, Option<String>)]) -> Option<String> {
    for (call, level) in open.iter().rev() {
        match call.as_str() {
            call if NONE.contains(&call) => return None,
            "log" => return Some(format!("log {}", level.as_deref().unwrap_or("of some level"))),
            "warn" | "info" | "debug" | "trace" => return Some(format!("log {call}")),
            call if KINDS.contains(&call) => return Some(call.to_owned()),
            _ => {}
        }
    }
    Some("text".to_owned())
}

/// Two words at least, but for the places of values.
fn is_message(text: &str) -> bool {
    let mut is_place = false;
    let plain = text.replace("{{", "").replace("}}", "");
    let words: String = plain
        .chars()
        .map(|c| {
            is_place = c == '{' || is_place && c != '}';
            if is_place || c == '}' { '.' } else { c }
        })
        .collect();
    let is_word = |word: &&str| word.chars().filter(|c| c.is_alphabetic()).count() > 1;
    text.contains(' ') && words.split(' ').filter(is_word).count() > 1 - usize::from(text.contains('{'))
}

fn list() -> String {
    let mut all = Vec::new();
    sources(&root().join("src"), &mut all);
    let mut list = String::new();
    for path in all {
        let found = messages(&fs::read_to_string(&path).unwrap());
        if found.is_empty() {
            continue;
        }
        writeln!(list, "{}", path.strip_prefix(root()).unwrap().display()).unwrap();
        for (kind, text) in found {
            writeln!(list, "  {kind:<10}  {}", text.replace('\n', "\\n").trim_end()).unwrap();
        }
    }
    list
}

#[test]
fn the_list_has_every_message_of_the_source() {
    let fresh = list();
    assert!(fresh.lines().count() > 500, "it is too short to be all");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(LIST), fresh).unwrap();
        return;
    }
    let kept = fs::read_to_string(root().join(LIST)).unwrap();
    let changed: Vec<&str> = fresh.lines().filter(|line| !kept.contains(line)).collect();
    assert!(fresh == kept, "{LIST}: UPDATE_GOLDEN=1 writes it anew. New or changed:\n{}", changed.join("\n"));
}

/// What a reader can't look up, or can't act on. `outbox` is a word of a format, not of a message.
#[test]
fn messages_use_words_that_a_reader_can_look_up() {
    let list = fs::read_to_string(root().join(LIST)).unwrap();
    let bad = [
        "make no sense",
        "makes no sense",
        "nonsense",
        "blamed",
        "gives way",
        "crosses out",
        " that I ",
        "whoever",
        "an outbox",
        "no outbox",
    ];
    let found: Vec<&str> = list.lines().filter(|line| bad.iter().any(|word| line.contains(word))).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_message_is_found_with_its_kind_and_nothing_else() {
    let source = r##"
        //! Not "this one here".
        #[command(after_help = "nor this one")]
        fn a() {
            log::warn!("`{item}` failed: {why}");
            out.log(Level::Info, format!("went {} well", x));
            return Err(Failure::usage("say \"which\" \
                one"));
            Diagnostic::error(format!("no key {key}")).help(r#"write "a key""#).expect("it is there");
            let c = '"'; let s = "word"; let t = "{a}: {b} ";
        }
        #[cfg(test)]
        mod tests { fn b() { log::warn!("not of a test"); } }
        fn c<'a>(x: &'a str) { say("the last one"); }
    "##;
    let found: Vec<String> = messages(source).iter().map(|(kind, text)| format!("{kind}: {text}")).collect();
    assert_eq!(
        found,
        [
            "log warn: `{item}` failed: {why}",
            "log info: went {} well",
            "usage: say \"which\" one",
            "error: no key {key}",
            "help: write \"a key\"",
            "say: the last one",
        ]
    );
}
