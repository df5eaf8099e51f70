//! A line of xargs.

use super::carried::{Carried, Delimiter, Split, input_of, jobs, marked, refused, value_of};
use super::options::{Grammar, options};
use super::place::Placed;
use crate::cli::bash_words::shell;
use crate::cli::one_line::without_needless_quotes;
use crate::cli::shell_tokens::Word;
use crate::config::pipeline::placeholder::{self, Placeholders};

/// Items for a command that is given no number: as many as fit, there.
const MANY: &str = "1000";

const GRAMMAR: Grammar = Grammar {
    letters_with_value: "anPIdLsE",
    letters_with_optional_value: "ile",
    words_with_value: &[
        "arg-file",
        "max-args",
        "max-procs",
        "delimiter",
        "max-lines",
        "max-chars",
        "process-slot-var",
    ],
};

/// What changes neither the commands nor their items, but for how many of them a command gets.
const LEFT_OUT: [&str; 7] = ["-t", "--verbose", "-s", "--max-chars", "-x", "--exit", "--show-limits"];
const STOPS_AT_ONCE: &str = "xargs tries no further item once a command has ended with 255; here that is a failure as any other, and \
                             `halt = \"soon,fail=1\"` ends the run at the first of any kind";

/// What the options say of the items, of which each takes the place of those before it.
#[derive(Default)]
struct Items {
    /// `-I`: what stands for the item.
    mark: Option<String>,
    /// `-n` or `-L`.
    count: Option<String>,
    /// `-L`.
    are_lines: bool,
    is_run_without: bool,
}

pub(super) fn carried(placed: Placed) -> Result<Carried, String> {
    let Placed { words, mut input, around, tail, notes } = placed;
    let (given, command) = options(words, &GRAMMAR);
    let mut carried = Carried::of(around, tail, notes);
    let (mut split, mut items) = (Split::Blanks, Items { is_run_without: true, ..Items::default() });
    for option in given {
        let value = option.value.text.as_str();
        let or = |default: &str| -> Result<String, String> {
            Ok(if value.is_empty() { default.to_owned() } else { value_of(&option)?.to_owned() })
        };
        match option.name.as_str() {
            "-0" | "--null" => split = Split::Nul,
            "-d" | "--delimiter" => split = delimiter(value_of(&option)?, true)?,
            "-a" | "--arg-file" => input = input_of(&option.value),
            "-P" | "--max-procs" => match jobs(&option.value) {
                Some(jobs) => carried.option("-j", Some(&jobs)),
                None => carried.leave_out_for(&format!("-P {value}"), "write the number into `processes`"),
            },
            "-n" | "--max-args" if value == "1" && items.mark.is_some() => {}
            "-n" | "--max-args" => {
                items = Items { count: Some(or("1")?), mark: None, are_lines: false, ..items };
            }
            "-L" | "-l" | "--max-lines" => {
                items = Items { count: Some(or("1")?), mark: None, are_lines: true, ..items };
            }
            "-I" | "-i" | "--replace" => {
                items = Items { mark: Some(or("{}")?), count: None, are_lines: false, ..items };
            }
            "-r" | "--no-run-if-empty" => items.is_run_without = false,
            "-e" | "-E" | "--eof" if value.is_empty() => {}
            name if LEFT_OUT.contains(&name) => carried.leave_out(name, value),
            name => return Err(refused(name, &[])),
        }
    }
    if split == Split::Blanks && (items.are_lines || items.mark.is_some()) {
        split = Split::QuotedLines;
    }
    items.note(&split, &mut carried);
    carried.items(input, &split, false)?;
    carried.notes.push(STOPS_AT_ONCE.to_owned());
    carried.note_live(&command)?;
    if command.iter().any(|word| word.is_live) {
        carried.note_shell(&command.iter().map(|word| word.raw.as_str()).collect::<Vec<_>>().join(" "));
    }
    carried.command = words_of(command, items.mark.as_deref())?;
    Ok(carried)
}

impl Items {
    fn note(&self, split: &Split, carried: &mut Carried) {
        if self.are_lines && *split == Split::QuotedLines {
            carried.notes.push("each line is one argument here; xargs also splits it at blanks".into());
        }
        if self.is_run_without && self.mark.is_none() {
            carried
                .notes
                .push("without items no command is run here; xargs runs one (unless it has -r)".into());
        }
        match &self.count {
            Some(count) => carried.option("-n", Some(count)),
            None if self.mark.is_none() => {
                let note =
                    format!("xargs hands over as many items as fit into a command; here it is up to {MANY}");
                carried.notes.push(note);
                carried.option("-n", Some(MANY));
            }
            None => {}
        }
    }
}

/// Only `-I` makes a mark of anything; other braces are what they are.
fn words_of(command: Vec<Word>, mark: Option<&str>) -> Result<Vec<String>, String> {
    let escaped = |text: &str| placeholder::plain(text, Placeholders::Parallel, |_| true);
    let is_live = command.iter().any(|word| word.is_live);
    let has_mark = mark.is_some_and(|mark| command.iter().any(|word| word.text.contains(mark)));
    let texts = |raw: bool| {
        let words =
            command.iter().map(|word| marked(if raw { &word.raw } else { &word.text }, mark, escaped));
        words.collect::<Result<Vec<String>, String>>()
    };
    Ok(match (is_live, command.is_empty()) {
        (_, true) => vec!["echo".to_owned()],
        (_, false) if mark.is_some() && !has_mark => {
            // The item is an argument that the line does not name.
            let line = texts(true)?.join(" ");
            [shell(&line), "-c", &line, "sh"].map(str::to_owned).into()
        }
        (true, false) => vec![without_needless_quotes(&texts(true)?.join(" "))],
        (false, false) => texts(false)?,
    })
}

/// `has_hex`: `\xHH` is a byte, too.
pub(super) fn delimiter(value: &str, has_hex: bool) -> Result<Split, String> {
    let byte = match (value.as_bytes(), value.strip_prefix('\\')) {
        ([], _) => Some(0),
        (_, Some(escaped)) if !escaped.is_empty() => escaped_byte(escaped, has_hex),
        ([byte], _) => Some(*byte),
        _ => None,
    };
    match byte {
        Some(b'\n') => Ok(Split::Line),
        Some(0) => Ok(Split::Nul),
        Some(byte) => Ok(Split::By(Delimiter(byte))),
        None => Err(format!(
            "-d {value}: items that end with more than one byte are made into lines by a program before it: sed 's/{value}/\\n/g'"
        )),
    }
}

/// What follows the backslash: a letter as in C, an octal number, `xHH`.
fn escaped_byte(text: &str, has_hex: bool) -> Option<u8> {
    let letter = |letter: u8| match letter {
        b'a' => Some(7),
        b'b' => Some(8),
        b't' => Some(b'\t'),
        b'n' => Some(b'\n'),
        b'v' => Some(11),
        b'f' => Some(12),
        b'r' => Some(b'\r'),
        b'\\' => Some(b'\\'),
        _ => None,
    };
    match text.as_bytes() {
        [b'x', ..] if has_hex => u8::from_str_radix(&text[1..], 16).ok(),
        [b'0'..=b'7', ..] => u8::from_str_radix(text, 8).ok(),
        [one] => letter(*one),
        _ => None,
    }
}
