//! A pipeline file in the making: sections with lines, and what was left out.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::toml_text::{table, text as text_of};
use crate::config::{self, LoadOptions, Texts};
use crate::stage::Registry;
use crate::text;

/// Characters of a line of the other file that a comment repeats.
const MAX_SHOWN: usize = 160;
/// Characters of a stage's name.
const MAX_NAME: usize = 64;
/// What a variable may stand for: a number or a text, true or false, a time.
const VALUES: [&str; 3] = ["1", "true", "1s"];
/// Variables of a line that are each tried with each of these.
const MOST_TRIED: usize = 4;
/// A stage that no file has: others are tried beside it.
const BESIDE: &str = "mprun-import";

/// The whole file.
#[derive(Default)]
pub(super) struct Draft {
    notes: Vec<String>,
    pub defaults: Section,
    stages: Vec<(String, Section)>,
}

/// `[defaults]`, or a stage.
#[derive(Clone, Default)]
pub(super) struct Section {
    lines: Vec<Line>,
}

#[derive(Clone)]
enum Line {
    /// A key with its value; where it comes from.
    Key {
        key: String,
        value: String,
        from: String,
    },
    Comment(String),
}

impl Section {
    /// A key, where this version takes it. `from`: as the other file has it.
    pub(super) fn set(&mut self, key: &str, value: impl Into<String>, from: &str) {
        self.lines.push(Line::Key { key: key.to_owned(), value: value.into(), from: shown(from) });
    }

    /// A line of the other file that has no place here.
    pub(super) fn leave_out(&mut self, from: &str, why: &str) {
        self.note(&left_out(&shown(from), why));
    }

    /// Variables, each by itself: those that have no counterpart are left out alone.
    pub(super) fn set_env(
        &mut self,
        all: impl IntoIterator<Item = (String, Result<String, String>)>,
        from: &str,
    ) {
        let mut good = Vec::new();
        for (name, value) in all {
            match value {
                Ok(value) => good.push((name, text_of(&value))),
                Err(why) => self.leave_out(&format!("environment: {name}"), &why),
            }
        }
        if !good.is_empty() {
            self.set("env", table(good), from);
        }
    }

    /// A comment.
    pub(super) fn note(&mut self, text: &str) {
        self.lines.push(Line::Comment(text.to_owned()));
    }

    pub(super) fn has(&self, wanted: &str) -> bool {
        self.lines.iter().any(|line| matches!(line, Line::Key { key, .. } if key == wanted))
    }

    /// `is_good`: whether a line may stand in this section.
    fn write(&self, out: &mut String, is_good: impl Fn(&str) -> Result<(), String>) {
        for line in &self.lines {
            match line {
                Line::Comment(text) => comment(out, text),
                Line::Key { key, value, from } => {
                    let line = format!("{key} = {value}");
                    match is_good(&line) {
                        Ok(()) => *out += &(line + "\n"),
                        Err(why) => comment(out, &left_out(from, &why)),
                    }
                }
            }
        }
    }
}

impl Draft {
    /// A comment at the top.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Adds a stage; its name may have to become another one.
    pub(super) fn add(&mut self, name: &str, section: Section) {
        let name = self.stage_name(name);
        self.stages.push((name, section));
    }

    /// The name that a stage would get.
    pub(super) fn stage_name(&self, wanted: &str) -> String {
        free_name(wanted, |name| self.stages.iter().any(|(taken, _)| taken == name))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// A file of stages that are all off is none: the first one is on then.
    fn turn_one_on(&mut self) {
        let is_off = |line: &Line| matches!(line, Line::Key { key, value, .. } if key == "enabled" && value == "false");
        if !self.stages.iter().all(|(_, section)| section.lines.iter().any(is_off)) {
            return;
        }
        if let Some((_, first)) = self.stages.first_mut() {
            let lines = first.lines.iter_mut().filter(|line| is_off(line));
            lines.for_each(|line| {
                *line = Line::Comment("enabled = false: but one stage must be on".to_owned())
            });
        }
    }

    /// A stage whose command this version does not take is off, and runs nothing.
    fn turn_off_without_command(&mut self, registry: &Registry) {
        for (name, section) in &mut self.stages {
            let mut is_off = false;
            for line in &mut section.lines {
                if let Line::Key { key, value, from } = line
                    && key == "command"
                    && let Err(why) = tried(&format!("[stages.{name}]\ncommand = {value}\n"), registry)
                {
                    *line = Line::Comment(left_out(from, &why));
                    is_off = true;
                }
            }
            if is_off {
                section.lines.retain(|line| !matches!(line, Line::Key { key, .. } if key == "enabled"));
                section.set("command", "['false']", "");
                section.set("enabled", "false", "");
            }
        }
    }

    /// The file.
    pub(super) fn text(mut self, registry: &Registry) -> String {
        self.turn_off_without_command(registry);
        self.turn_one_on();
        let mut out = String::new();
        self.notes.iter().for_each(|note| comment(&mut out, note));
        let names: BTreeSet<&str> = self.stages.iter().map(|(name, _)| name.as_str()).collect();
        if !self.defaults.lines.is_empty() {
            out += "\n[defaults]\n";
            self.defaults.write(&mut out, |line| {
                tried(&format!("[defaults]\n{line}\n{}", stages(&[BESIDE])), registry)
            });
        }
        for (name, section) in &self.stages {
            out += &format!("\n[stages.{name}]\n");
            section.write(&mut out, |line| {
                // A line may name other stages.
                let named = names.iter().copied().filter(|other| other != name && line.contains(other));
                let others = stages(&named.chain([BESIDE]).collect::<Vec<_>>());
                let command = if line.starts_with("command =") { "" } else { "command = ['true']\n" };
                tried(&format!("{others}[stages.{name}]\n{command}{line}\n"), registry)
            });
        }
        out
    }
}

/// The names that stages get, one added after the other.
pub(super) fn stage_names<'a>(wanted: impl Iterator<Item = &'a str>) -> Vec<String> {
    wanted.fold(Vec::new(), |mut names, wanted| {
        let name = free_name(wanted, |name| names.iter().any(|taken| taken == name));
        names.push(name);
        names
    })
}

fn free_name(wanted: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let base = name_of(wanted);
    if !is_taken(&base) {
        return base;
    }
    let numbered = (2..).map(|n: u32| format!("{base}_{n}"));
    numbered.into_iter().find(|name| !is_taken(name)).unwrap_or(base)
}

/// As many words of another tool as fit into a name.
pub(super) fn name_of(wanted: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    let name: String =
        wanted.chars().map(|letter| if fits(letter) { letter } else { '_' }).take(MAX_NAME - 8).collect();
    let name = name.trim_start_matches('-');
    if name.is_empty() { "stage".to_owned() } else { name.to_owned() }
}

fn stages(names: &[&str]) -> String {
    names.iter().map(|name| format!("[stages.{name}]\ncommand = ['true']\n")).collect()
}

/// Whether a file is good; the first fault. Variables that are not set are none.
fn tried(file: &str, registry: &Registry) -> Result<(), String> {
    let variables = file.matches("${").count().min(MOST_TRIED);
    let ways = VALUES.len().pow(u32::try_from(variables).unwrap_or(0));
    let mut all = (0..ways).map(|way| tried_with(way, file, registry));
    let first = all.next().unwrap_or(Ok(()));
    first.or_else(|why| if all.any(|tried| tried.is_ok()) { Ok(()) } else { Err(why) })
}

/// `way`: which of the values each variable has, as digits of a number.
fn tried_with(way: usize, file: &str, registry: &Registry) -> Result<(), String> {
    let texts = Texts { main: with_defaults(way, file), ..Texts::default() };
    let loaded = config::load_texts(Path::new("imported.toml"), texts, &LoadOptions::default(), registry);
    let Err(report) = loaded else { return Ok(()) };
    let report = report.render(false);
    let first = report.lines().next().unwrap_or_default();
    Err(first.strip_prefix("error: ").unwrap_or(first).to_owned())
}

fn with_defaults(mut way: usize, file: &str) -> String {
    let mut given = String::new();
    let mut rest = file;
    while let Some(at) = rest.find("${") {
        let end = rest[at..].find('}').map_or(rest.len(), |end| at + end);
        given += &rest[..end];
        if !rest[at..end].contains(":-") && !rest[..at].ends_with('$') {
            given += &format!(":-{}", VALUES[way % VALUES.len()]);
        }
        way /= VALUES.len();
        rest = &rest[end..];
    }
    given + rest
}

fn left_out(from: &str, why: &str) -> String {
    format!("not carried over: {from} ({why})")
}

/// On one line, and not too long.
fn shown(from: &str) -> String {
    let line = from.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
    let line = text::one_line(&line).replace('\t', " ");
    match line.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

fn comment(out: &mut String, note: &str) {
    for line in note.lines() {
        *out += format!("# {}\n", text::one_line(line).replace('\t', " ")).as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_version_does_not_take_is_a_comment_at_its_place() {
        let mut section = Section::default();
        section.set("command", "['true']", "");
        section.set("no_such_key", "1", "nosuchkey=1");
        section.set("processes", "0", "numprocs=0");
        section.set("processes", "\"${N}\"", "numprocs=N");
        section.set("health", "{ command = 'x', every = \"${T}\", failures = \"${N}\" }", "");
        let mut draft = Draft::default();
        draft.add("a.b", section.clone());
        draft.add("a.b", section);
        let text = draft.text(&Registry::builtin());
        assert!(text.contains("[stages.a_b]\n") && text.contains("[stages.a_b_2]\n"), "{text}");
        assert!(
            text.contains("# not carried over: nosuchkey=1 (a stage has no key \"no_such_key\")\n"),
            "{text}"
        );
        assert!(text.contains("# not carried over: numprocs=0 (a stage can't have 0 processes)\n"), "{text}");
        assert!(text.contains("processes = \"${N}\"\n"), "{text}");
        assert!(text.contains("every = \"${T}\", failures = \"${N}\" }\n"), "{text}");
    }

    #[test]
    fn a_stage_without_a_command_that_this_version_takes_is_off() {
        let mut section = Section::default();
        section.set("command", "'${Q-R}'", "command=%(ENV_Q-R)s");
        section.set("enabled", "true", "");
        let mut draft = Draft::default();
        draft.add("a", section);
        let mut good = Section::default();
        good.set("command", "['true']", "");
        draft.add("b", good);
        let text = draft.text(&Registry::builtin());
        assert!(text.contains("# not carried over: command=%(ENV_Q-R)s"), "{text}");
        assert!(text.contains("command = ['false']\nenabled = false\n"), "{text}");
        assert_eq!(tried(&text, &Registry::builtin()), Ok(()));
    }

    #[test]
    fn a_comment_stays_on_its_line() {
        let mut section = Section::default();
        section.leave_out("a\n[stages.x]\u{1b}", "why");
        let mut draft = Draft::default();
        draft.add("a", section);
        assert!(
            draft.text(&Registry::builtin()).contains("\n# not carried over: a [stages.x]\\u{1b} (why)\n")
        );
    }
}
