//! What a line of another tool comes to.

use super::of_script;
use super::options::Given;
use super::place::{Input, Surroundings, joined};
use crate::cli::bash_words::{is_for_bash, shell};
use crate::cli::one_line::{self, Around};
use crate::cli::output::Failure;
use crate::cli::shell_tokens::Word;
use std::ffi::OsString;

/// The line as `mprun do` has it, and what of it is not carried over.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub options: Vec<String>,
    pub notes: Vec<String>,
    pub command: Vec<String>,
    pub arguments: Option<Vec<String>>,
    /// The commands whose lines are the items.
    pub source: Option<String>,
    pub around: Surroundings,
    pub tail: String,
}

/// What ends an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Split {
    Line,
    Nul,
    /// Blanks and line ends, outside of quotes.
    Blanks,
    /// Line ends outside of quotes, without empty lines and blanks in front.
    QuotedLines,
    By(Delimiter),
}

/// A byte behind each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delimiter(pub u8);

impl Delimiter {
    /// As `tr` has it, in quotes.
    fn for_tr(self) -> String {
        match char::from(self.0) {
            '\t' => "'\\t'".to_owned(),
            '\'' => "\"'\"".to_owned(),
            plain if (plain.is_ascii_graphic() && plain != '\\') || plain == ' ' => format!("'{plain}'"),
            _ => format!("'\\{:03o}'", self.0),
        }
    }
}

/// The other tool's items, as words with a zero byte behind each.
const SPLIT_AT_BLANKS: &str = "xargs -r printf '%s\\0'";
/// The same of its lines.
const SPLIT_QUOTED_LINES: &str = "xargs -I{} printf '%s\\0' {}";
const SOURCE_FAILS: &str = "where what prints the items ends with another exit code than 0, the run ends with 1; a pipe of a shell takes no \
                            notice of it, and `; true` at its end does the same here";
/// For `sed`: without what is empty, or only blanks.
const WITHOUT_EMPTY: &str = "'/^[[:space:]]*$/d'";

impl Carried {
    pub(super) fn of(around: Surroundings, tail: String, notes: Vec<String>) -> Carried {
        Carried { around, tail, notes, ..Carried::default() }
    }

    pub(super) fn option(&mut self, name: &str, value: Option<&str>) {
        self.options.push(name.to_owned());
        self.options.extend(value.map(str::to_owned));
    }

    pub(super) fn leave_out(&mut self, name: &str, value: &str) {
        let value = if value.is_empty() { String::new() } else { format!(" {value}") };
        let instead = one_line::instead_of(name).map_or_else(String::new, |do_this| format!(" ({do_this})"));
        self.notes.push(format!("not carried over: {name}{value}{instead}"));
    }

    pub(super) fn leave_out_for(&mut self, what: &str, why: &str) {
        self.notes.push(format!("not carried over: {what} ({why})"));
    }

    /// Words that the shell of the line had put values for.
    ///
    /// # Errors
    /// Here none can be put in.
    pub(super) fn note_live(&mut self, words: &[Word]) -> Result<(), String> {
        for word in words.iter().filter(|word| word.is_live) {
            of_script::refuse_in_command(&word.raw)?;
            self.notes.push(format!(
                "{}: a shell had put its value in before; here each command does, with its own environment and folder",
                word.raw
            ));
        }
        Ok(())
    }

    /// A command that is a line for the shell.
    pub(super) fn note_shell(&mut self, line: &str) {
        if is_for_bash(line) {
            self.notes
                .push("bash runs the command: sh does not read all of it, or in another way".to_owned());
        } else if line.contains("echo") && line.contains('\\') {
            self.notes.push(
                "a shell's own `echo` may read `\\t` and the like as one character, as that of sh does here: `printf '%s\\n'` does not"
                    .to_owned(),
            );
        }
    }

    /// Where the items come from, and what ends one. `without_empty`: what is empty, or only blanks, is no item.
    ///
    /// # Errors
    /// Only the script that the line stands in could print them.
    pub(super) fn items(&mut self, input: Input, split: &Split, without_empty: bool) -> Result<(), String> {
        if let Input::Shell(text) = &input {
            of_script::refuse_in_items(text, text)?;
        }
        let quoted = |path: &str| shlex::try_quote(path).unwrap_or_default().into_owned();
        if *split != Split::Line {
            self.option("-0", None);
        }
        let by = match split {
            Split::Line | Split::Nul => None,
            Split::Blanks => Some(SPLIT_AT_BLANKS.to_owned()),
            Split::QuotedLines => Some(SPLIT_QUOTED_LINES.to_owned()),
            Split::By(end) => Some(format!("tr {} '\\0'", end.for_tr())),
        };
        let without = if *split == Split::Line { "sed" } else { "sed -z" };
        let without = without_empty.then(|| format!("{without} {WITHOUT_EMPTY}"));
        let by: Vec<String> = by.into_iter().chain(without).collect();
        match (input, &by[..]) {
            (Input::Stdin, []) => {}
            (Input::File(path), []) => {
                let path = joined(self.around.cwd.as_deref(), &path);
                self.option("-a", Some(&path));
            }
            (Input::Shell(text), []) => self.source = Some(text),
            (Input::Stdin, [first, rest @ ..]) => {
                let end =
                    if *split == Split::Line { "lines here" } else { "what ends with a zero byte here" };
                let rest: String = rest.iter().map(|program| format!(" | {program}")).collect();
                self.notes.push(format!(
                    "items are {end}; with a list as the line had it: {first} < LIST{rest} | mprun run FILE"
                ));
            }
            (Input::File(path), [first, rest @ ..]) => {
                let rest: String = rest.iter().map(|program| format!(" | {program}")).collect();
                self.source = Some(format!("{first} < {}{rest}", quoted(&path)));
            }
            (Input::Shell(text), by) => self.source = Some(format!("{text} | {}", by.join(" | "))),
        }
        Ok(())
    }

    pub(super) fn file(self) -> Result<String, Failure> {
        let mut line = self.options;
        line.push("--".to_owned());
        line.extend(self.command);
        line.extend(self.arguments.into_iter().flat_map(|words| [":::".to_owned()].into_iter().chain(words)));
        let mut shown = shlex::try_join(line.iter().map(String::as_str)).unwrap_or_default();
        shown = format!("mprun do {shown}");
        if let Some(source) = &self.source {
            shown = format!("{source} | {shown}");
        }
        if let Some(cwd) = &self.around.cwd {
            shown = format!("cd {cwd} && {shown}");
        }
        let mut notes: Vec<String> = vec![shown];
        notes.extend(self.notes);
        if self.source.is_some() {
            notes.push(SOURCE_FAILS.to_owned());
        }
        if !self.tail.is_empty() {
            notes.push(format!("the rest of the line stands behind the run: mprun run FILE{}", self.tail));
        }
        let source = self.source.map(|text| vec![shell(&text).to_owned(), "-c".to_owned(), text]);
        let Surroundings { cwd, env, nice } = self.around;
        let around = Around { cwd, env, nice, source };
        let text = one_line::file_of(line.into_iter().map(OsString::from).collect(), around)?;
        let comments = notes.iter().flat_map(|note| note.lines()).map(|line| format!("# {line}\n"));
        Ok(comments.chain(["\n".to_owned(), text]).collect())
    }
}

/// A word with `{}` in place of the other tool's mark. `escaped`: what else would stand for the item here, as it is.
pub(super) fn marked(word: &str, mark: Option<&str>, escaped: fn(&str) -> String) -> Result<String, String> {
    let Some(mark) = mark.filter(|mark| word.contains(mark)) else { return Ok(escaped(word)) };
    let parts: Vec<String> = word.split(mark).map(escaped).collect();
    if parts.windows(2).any(|pair| pair[0].ends_with('{') && pair[1].starts_with('}')) {
        return Err(format!(
            "{word}: an item in braces can't be carried over, as `{{{{}}}}` stands for `{{}}` itself here; in a line for the shell it is \
             \\{{{{}}\\}}"
        ));
    }
    Ok(parts.join("{}"))
}

/// Why an option can't be carried over, and what to write.
pub(super) fn refused(name: &str, own: &[(&[&str], &str)]) -> String {
    let own = own.iter().find(|(names, _)| names.contains(&name)).map(|(_, instead)| *instead);
    let instead = own.or_else(|| one_line::instead_of(name)).unwrap_or("it is not known here: leave it out");
    format!("{name} can't be carried over: {instead}")
}

/// The value of an option, which the file has to have as it is.
pub(super) fn value_of(option: &Given) -> Result<&str, String> {
    let Given { name, value } = option;
    if value.is_live && value.raw.contains(['$', '`']) {
        return Err(only_shell_knows(name, &value.raw));
    }
    Ok(&value.text)
}

/// Why a word behind this option can't be carried over.
pub(super) fn only_shell_knows(option: &str, written: &str) -> String {
    format!(
        "{option} {written}: only the shell that the line stands in knows this value: write it in its place"
    )
}

/// What `-a` or `::::` names.
pub(super) fn input_of(word: &Word) -> Input {
    let substituted = word.raw.strip_prefix("<(").and_then(|raw| raw.strip_suffix(')'));
    match substituted {
        Some(commands) => Input::Shell(commands.trim().to_owned()),
        None if word.is_live => Input::Shell(format!("cat {}", word.raw)),
        None if word.text == "-" => Input::Stdin,
        None => Input::File(word.text.clone()),
    }
}

/// Number of processes, where only a shell knows it.
pub(super) fn jobs(word: &Word) -> Option<String> {
    let asks_for_cpus = word.is_live && (word.text.contains("nproc") || word.text.contains("NPROCESSORS"));
    if asks_for_cpus && !word.text.contains("((") {
        return Some("cpus".to_owned());
    }
    let is_good = |text: &str| text.trim_end_matches('%').parse::<u32>().is_ok_and(|jobs| jobs > 0);
    match word.text.as_str() {
        "0" | "+0" => Some("cpus".to_owned()),
        text if is_good(text) && !text.starts_with('+') => Some(text.to_owned()),
        _ => None,
    }
}
