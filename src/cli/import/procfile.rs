//! A Procfile: `NAME: COMMAND` on each line, for a shell.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::compose::may_be_written;
use super::draft::{Draft, Section};
use super::input::{origin, read};
use crate::cli::toml_text::{command, literal, piece, table, text, unnumbered};
use crate::config::env_file;
use crate::config::pipeline::shell_line;

/// The port of the first process, and the distance to the next one's, as such tools give them.
const FIRST_PORT: u32 = 5000;
const NEXT_PORT: u32 = 100;
/// Beside the file.
const ENV_FILE: &str = ".env";

pub(super) fn import(file: &str, path: &Path) -> Draft {
    let mut draft = Draft::default();
    draft.note(format!("{} Write it into the same folder: paths start there.", origin(path)));
    draft.note("Each process is restarted by itself; where one that ended ended all others, write restart = \"never\".");
    let port = environment(&mut draft, path);
    draft.defaults.set("restart", text("always"), "");
    draft.defaults.set("on_give_up", text("continue"), "");
    let mut lines = 0;
    for line in file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match process(line) {
            Some((name, run)) => {
                draft.add(name, stage(name, run, port + lines * NEXT_PORT));
                lines += 1;
            }
            None => draft.note(format!("not carried over: {line} ({})", why_not(line))),
        }
    }
    draft
}

fn process(line: &str) -> Option<(&str, &str)> {
    let (name, run) = line.split_once(':')?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let (name, run) = (name.trim(), run.trim());
    (!name.is_empty() && name.chars().all(fits) && !run.is_empty()).then_some((name, run))
}

fn why_not(line: &str) -> &'static str {
    match line.split_once(": ") {
        Some((name, _)) if !name.contains(char::is_whitespace) => "a name has letters, digits, `_` and `-`",
        Some(_) | None => "it is no `NAME: COMMAND`",
    }
}

fn stage(name: &str, run: &str, port: u32) -> Section {
    let mut stage = Section::default();
    let from = format!("{name}: {run}");
    // In a line these braces would be taken for an item; as a word of a list they are what they are.
    let line = match shell_line::has_braces(run) {
        true => command(["/bin/sh", "-c", &unnumbered(&literal(run))]),
        false => text(&literal(run)),
    };
    stage.set("command", line, &from);
    if run.ends_with('\\') {
        stage.note("It ends in a backslash, but a Procfile has no continued lines: is there more of it?");
    }
    stage.set("env", table([("PORT", text(&port.to_string()))]), "");
    if name == "release" {
        stage.note(
            "Some platforms run this once, before a release. To run it here as well, remove the next line.",
        );
        stage.set("enabled", "false", "");
        stage.set("restart", text("never"), "");
    }
    stage
}

/// Variables that tools of a Procfile read in another way than mprun are written out, where that may be done.
fn differing(draft: &mut Draft, file: &Path, ours: &env_file::Variables) {
    let Ok(theirs) = read(file) else { return };
    let last = |name: &str| ours.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value);
    let theirs: BTreeMap<&str, String> = theirs.lines().filter_map(variable).collect();
    let (written, secret): (Vec<_>, Vec<_>) = theirs
        .into_iter()
        .filter(|(name, value)| last(name).is_some_and(|ours| ours.as_os_str() != OsStr::new(value)))
        .partition(|(name, value)| may_be_written(name, value));
    for (name, _) in secret {
        draft.defaults.leave_out(
            &format!("{ENV_FILE}: {name}"),
            "a Procfile's tools and mprun read its line in different ways, and its value may be a secret: write that line as for \
             systemd's EnvironmentFile=",
        );
    }
    draft
        .defaults
        .set_env(written.into_iter().map(|(name, value)| (name.to_owned(), Ok(piece(&value)))), ENV_FILE);
}

/// A line as foreman reads it: quotes around all of the value are none of it, and in double ones `\n` is a line end.
fn variable(line: &str) -> Option<(&str, String)> {
    let (name, value) = line.split_once('=')?;
    let inner = |quote: char| value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
    let value = match (inner('\''), inner('"')) {
        (Some(plain), _) => plain.to_owned(),
        (None, Some(quoted)) => unescaped(quoted),
        // A quote that ends elsewhere: they read it in different ways themselves.
        (None, None) if value.starts_with(['\'', '"']) => return None,
        (None, None) => value.trim().to_owned(),
    };
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    (!name.is_empty() && name.chars().all(fits)).then_some((name, value))
}

fn unescaped(value: &str) -> String {
    let mut letters = value.chars();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        let escaped = (letter == '\\').then(|| letters.next()).flatten();
        plain.push(if escaped == Some('n') { '\n' } else { escaped.unwrap_or(letter) });
    }
    plain
}

/// Takes over the variables beside the file; the first port.
fn environment(draft: &mut Draft, path: &Path) -> u32 {
    let file = path.parent().unwrap_or(Path::new("")).join(ENV_FILE);
    if path == Path::new("-") || !file.exists() {
        return FIRST_PORT;
    }
    match env_file::load(&file) {
        Ok(variables) => {
            draft.defaults.set("env_file", text(ENV_FILE), ENV_FILE);
            differing(draft, &file, &variables);
            let port = variables.iter().rev().find(|(name, _)| name == "PORT");
            port.and_then(|(_, port)| port.to_str()?.trim().parse().ok()).unwrap_or(FIRST_PORT)
        }
        Err(error) => {
            draft.defaults.leave_out(ENV_FILE, &error.to_string());
            FIRST_PORT
        }
    }
}
