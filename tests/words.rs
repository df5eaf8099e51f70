//! One name for one thing, and the trade's term where there is one: words that the source used before do not come back.
//!
//! The glossary in ARCHITECTURE.md has the terms. Only identifiers count, of the source and of the tests: comments and texts
//! may use any word, and so may the name of a test, which is a sentence.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What was said, and what is said instead. A word stands for itself anywhere in an identifier: `desk` is in `DeskState`
/// and in `old_desk`, not in `desktop`.
const OLD: &[(&str, &str)] = &[
    ("desk", "context (of a worker), state (of a server)"),
    ("steward", "queue admin"),
    ("estate", "queue store"),
    ("deed", "final disposition"),
    ("inherit", "recover"),
    ("inheritance", "recovery"),
    ("inheriting", "recovering"),
    ("handover", "upgrade state"),
    ("rehearse", "preflight"),
    ("rehearsal", "preflight"),
    ("reception", "startup"),
    ("herald", "notifier"),
    ("audience", "notify capabilities"),
    ("bid", "exit notification"),
    ("bury", "dead letter"),
    ("burial", "dead letter"),
    ("burials", "dead letters"),
    ("buried", "dead letter"),
    ("unburied", "dead letter"),
    ("doomed", "dead letter candidate"),
    ("blame", "failure attribution"),
    ("convict", "charge attempt"),
    ("bereaved", "on program exit"),
    ("murder", "killed externally"),
    ("wish", "desired, request"),
    ("wishes", "desired, requests"),
    ("heed", "poll orders"),
    ("hurry", "skip pauses"),
    ("relent", "cancel stop"),
    ("outbox", "effects (of the supervisor), spill queue (of a worker)"),
    ("bundle", "output batch"),
    ("voices", "stderr relay"),
    ("curtain", "pause display"),
    ("tails", "recent logs"),
    ("bell", "order sequence, signal"),
    ("bells", "order sequences"),
    ("doorbell", "signal"),
    ("door", "ready workers"),
    ("nudge", "wake"),
    ("disturb", "wake"),
    ("disturbed", "woken"),
    ("patience", "timeout, budget"),
    ("haste", "priority"),
    ("trouble", "program error"),
    ("defeat", "failed attempt"),
    ("ear", "protocol reader"),
    ("mouth", "protocol writer"),
    ("told", "helper protocol; requested; notified"),
    ("untold", "not yet notified"),
    ("recipe", "command spec"),
    ("blueprint", "process spec"),
    ("company", "process group mode"),
    ("person", "credentials"),
    ("stranger", "preexisting child"),
    ("strangers", "preexisting children"),
    ("followers", "non-leaders"),
    ("stray", "orphan"),
    ("strays", "orphans"),
    ("stranded", "retained"),
    ("dormant", "inactive"),
    ("departed", "removed"),
    ("ticket", "worker spec; sequence"),
    ("slips", "syntax hints"),
    ("twins", "duplicate keys"),
];

/// Constants that said how much and not what: a limit names what it limits.
const OLD_CONSTANTS: &[&str] =
    &["PATIENCE", "KEPT", "ENOUGH", "REST", "MUCH", "NEAR", "FEW", "PLENTY", "LONG", "QUIET", "GRACE"];

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("its entry").path();
        match path.is_dir() {
            true => sources(&path, all),
            false if path.extension().is_some_and(|end| end == "rs") => all.push(path),
            false => {}
        }
    }
}

/// The text without comments and string literals, line by line.
fn code(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let raw = rest.strip_prefix('r').map(|after| after.len() - after.trim_start_matches('#').len());
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => closing_quote(rest),
            'r' if raw.is_some_and(|n| rest[1 + n..].starts_with('"')) && !ends_in_word(&code) => {
                let end = format!("\"{}", "#".repeat(raw.unwrap_or(0)));
                let start = 1 + end.len();
                rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
            }
            '\'' if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") => {
                rest[1..].find('\'').map_or(1, |at| at + 2)
            }
            _ => 0,
        };
        if skipped > 0 {
            code.extend(rest[..skipped].matches('\n'));
            rest = &rest[skipped..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

fn ends_in_word(code: &str) -> bool {
    code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `DeskState` and `desk_state` are both "desk", "state".
fn words(identifier: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut after_lower = false;
    for c in identifier.chars() {
        if c == '_' || c.is_uppercase() && after_lower {
            all.push(String::new());
        }
        after_lower = c.is_lowercase();
        if c != '_' {
            all.last_mut().expect("one at least").extend(c.to_lowercase());
        }
    }
    all
}

fn is_old(identifier: &str) -> bool {
    OLD_CONSTANTS.contains(&identifier)
        || words(identifier).iter().any(|word| OLD.iter().any(|(old, _)| old == word))
}

/// Old identifiers with the places of their first uses; the names of tests are left out.
fn old_identifiers(path: &Path, found: &mut BTreeMap<String, String>) {
    let text = code(&fs::read_to_string(path).expect("a source file"));
    let mut is_test = false;
    for (n, line) in text.lines().enumerate() {
        let names_a_test = is_test && line.contains("fn ");
        is_test = line.contains("#[test]") || is_test && !line.contains("fn ");
        let identifiers =
            line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|part| !part.is_empty());
        for identifier in identifiers.filter(|identifier| !names_a_test && is_old(identifier)) {
            found.entry(identifier.to_owned()).or_insert_with(|| format!("{}:{}", path.display(), n + 1));
        }
    }
}

#[test]
fn no_identifier_uses_a_word_that_the_trade_has_a_better_one_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    ["src", "tests", "benches", "examples", "fuzz/fuzz_targets"]
        .iter()
        .for_each(|part| sources(&root.join(part), &mut all));
    assert!(all.len() > 100, "only {} files", all.len());
    let mut found = BTreeMap::new();
    all.iter().for_each(|path| old_identifiers(path, &mut found));
    let lines: Vec<String> = found.iter().map(|(name, place)| format!("{name} ({place})")).collect();
    assert!(lines.is_empty(), "old words; ARCHITECTURE.md has the new ones:\n{}", lines.join("\n"));
}

#[test]
fn file_names_do_not_either() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&root, &mut all);
    let parts = all.iter().flat_map(|path| path.strip_prefix(&root).expect("below src").iter());
    let old: Vec<_> = parts.filter(|part| is_old(&part.to_string_lossy().replace(".rs", ""))).collect();
    assert!(old.is_empty(), "{old:?}");
}

#[test]
fn a_word_is_found_in_every_kind_of_identifier_and_in_nothing_else() {
    let old = ["Desk", "DeskState", "old_desk", "DESKS_OLD_DESK", "KEPT"];
    assert!(old.iter().all(|name| is_old(name)));
    assert!(!["Desktop", "desktop", "DESKTOP", "kept", "bellows"].iter().any(|name| is_old(name)));
    let text = "let a = \"desk \\\" desk\"; // desk\nlet b = r#\"desk \"desk\"#; let c = '\"'; desk();";
    assert_eq!(code(text), "let a = ; \nlet b = ; let c = ; desk();");
}
