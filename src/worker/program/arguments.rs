//! The arguments of a program, with its item in them.

use crate::config::pipeline::placeholder::{self, Part, Piece};
use crate::config::pipeline::{Command, Invocation, Mode, Placeholders, shell_line};
use std::borrow::Cow;
use std::ffi::CString;

/// The words of a command, read once.
pub(super) struct Arguments {
    words: Vec<Word>,
    of_an_item: OfAnItem,
}

/// How many arguments an item is.
enum OfAnItem {
    One,
    /// With a zero byte between them.
    UpTo(usize),
}

enum Word {
    /// As it is.
    Fixed(CString),
    /// With the item in it.
    Template(Vec<Piece>),
}

/// An item, as a program gets it.
#[derive(Clone, Copy)]
pub(super) struct ProgramItem<'a> {
    pub bytes: &'a [u8],
    pub attempt: u32,
    /// Its number in its queue, from 0.
    pub id: u64,
}

/// Why an item can't be arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoArguments {
    ZeroByte,
    TooMany,
}

impl NoArguments {
    pub(super) fn why(self) -> &'static str {
        match self {
            NoArguments::ZeroByte => "the item holds a zero byte, which no argument can",
            NoArguments::TooMany => "the item is more arguments than `max_args` allows",
        }
    }
}

impl Arguments {
    pub(super) fn new(command: &Command, worker: u32) -> Arguments {
        let substitutes = matches!(command.mode, Mode::Each { batch: None, .. });
        let words = match &command.invocation {
            Invocation::Shell(line) => shell_words(line, substitutes),
            Invocation::Direct(words) => {
                let placeholders = substitutes.then_some(command.placeholders);
                words.iter().map(|text| word(text, worker, placeholders)).collect()
            }
        };
        let of_an_item = command.max_args.map_or(OfAnItem::One, |most| OfAnItem::UpTo(most as usize));
        Arguments { words, of_an_item }
    }

    /// Whether any of them has the item in it.
    pub(super) fn take_item(&self) -> bool {
        self.words.iter().any(|word| matches!(word, Word::Template(_)))
    }

    /// The program's name.
    pub(super) fn title(&self) -> String {
        match self.words.first() {
            Some(Word::Fixed(word)) => word.to_string_lossy().into_owned(),
            Some(Word::Template(_)) | None => String::new(),
        }
    }

    /// Those that are the same for all items.
    pub(super) fn fixed(&self) -> Vec<CString> {
        self.filled(&[b""], 0).unwrap_or_default()
    }

    /// As a line that a shell would read.
    pub(super) fn line(&self, item: ProgramItem<'_>) -> Result<Vec<u8>, NoArguments> {
        let words = self.with(item)?;
        let quoted = words.iter().map(|word| shlex::bytes::try_quote(word.as_bytes()).unwrap_or_default());
        Ok(quoted.collect::<Vec<_>>().join(&b' '))
    }

    /// All of them for an item.
    pub(super) fn with(&self, item: ProgramItem<'_>) -> Result<Vec<CString>, NoArguments> {
        let arguments: Vec<&[u8]> = match self.of_an_item {
            OfAnItem::One => vec![item.bytes],
            OfAnItem::UpTo(most) => match item.bytes.split(|byte| *byte == 0).collect::<Vec<_>>() {
                arguments if arguments.len() > most => return Err(NoArguments::TooMany),
                arguments => arguments,
            },
        };
        self.filled(&arguments, item.id)
    }

    fn filled(&self, arguments: &[&[u8]], id: u64) -> Result<Vec<CString>, NoArguments> {
        let mut words = Vec::with_capacity(self.words.len() + arguments.len());
        for word in &self.words {
            match word {
                Word::Fixed(word) => words.push(word.clone()),
                Word::Template(pieces) => match pieces[..] {
                    [Piece::Argument(part, None)] => {
                        for argument in arguments {
                            words.push(c_string(part.of(argument))?);
                        }
                    }
                    // As GNU parallel: a word that would be nothing but a missing argument is left out.
                    [Piece::Argument(part, Some(number))] => {
                        if let Some(argument) = nth(number, arguments) {
                            words.push(c_string(part.of(argument))?);
                        }
                    }
                    _ => words.push(c_string(&filled(pieces, arguments, id))?),
                },
            }
        }
        Ok(words)
    }
}

fn filled(pieces: &[Piece], arguments: &[&[u8]], id: u64) -> Vec<u8> {
    let mut word = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => word.extend_from_slice(text.as_bytes()),
            Piece::Argument(part, number) => word.extend_from_slice(&argument(*part, *number, arguments)),
            Piece::Number => word.extend_from_slice((id + 1).to_string().as_bytes()),
            Piece::Slot => {} // no item's: filled in before
        }
    }
    word
}

/// One argument, nothing where there are fewer, or all of them with spaces between.
fn argument<'a>(part: Part, number: Option<isize>, arguments: &[&'a [u8]]) -> Cow<'a, [u8]> {
    match (number, arguments) {
        (Some(number), _) => Cow::Borrowed(nth(number, arguments).map_or(b"", |argument| part.of(argument))),
        (None, [only]) => Cow::Borrowed(part.of(only)),
        (None, _) => {
            let parts: Vec<&[u8]> = arguments.iter().map(|argument| part.of(argument)).collect();
            Cow::Owned(parts.join(&b' '))
        }
    }
}

/// Counted from 1, or from -1 at the end.
fn nth<'a>(number: isize, arguments: &[&'a [u8]]) -> Option<&'a [u8]> {
    let at = number.unsigned_abs() - 1;
    let found = if number > 0 { arguments.get(at) } else { arguments.iter().nth_back(at) };
    found.copied()
}

fn c_string(bytes: &[u8]) -> Result<CString, NoArguments> {
    CString::new(bytes).map_err(|_| NoArguments::ZeroByte)
}

fn shell_words(line: &str, substitutes: bool) -> Vec<Word> {
    let mut words: Vec<Word> = ["sh", "-c", line].map(plain).into();
    if substitutes && shell_line::names_item(line) {
        words.extend([plain("sh"), Word::Template(vec![Piece::Argument(Part::Whole, None)])]);
    }
    words
}

/// `{worker}` is this worker's number, but among those of GNU parallel. `None`: there is no one item, and `{}` stays as it is.
fn word(text: &str, worker: u32, placeholders: Option<Placeholders>) -> Word {
    let text = match placeholders {
        Some(Placeholders::Parallel) => text.to_owned(),
        _ => crate::text::numbered(text, worker),
    };
    let Some(placeholders) = placeholders else { return plain(&text.replace("{{}}", "{}")) };
    let slot = || Piece::Text((worker + 1).to_string());
    let pieces = placeholder::pieces(&text, placeholders);
    match &pieces[..] {
        [Piece::Text(text)] => plain(text),
        _ => Word::Template(
            pieces.into_iter().map(|piece| if piece == Piece::Slot { slot() } else { piece }).collect(),
        ),
    }
}

fn plain(text: &str) -> Word {
    // The pipeline file was checked for zero bytes; a cut argument would run something else.
    CString::new(text).map_or_else(|_| Word::Template(vec![Piece::Text("\0".to_owned())]), Word::Fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::pipeline::Collect;

    fn words(words: &[&str], placeholders: Placeholders, max_args: Option<u32>, item: &[u8]) -> Vec<String> {
        let command = Command {
            invocation: Invocation::Direct(words.iter().map(|word| (*word).to_owned()).collect()),
            mode: Mode::Each { collect: Collect::Lines, batch: None },
            placeholders,
            max_args,
            ..Command::default()
        };
        let item = ProgramItem { bytes: item, attempt: 1, id: 6 };
        match Arguments::new(&command, 3).with(item) {
            Ok(words) => words.into_iter().map(|word| word.into_string().unwrap()).collect(),
            Err(why) => vec![why.why().to_owned()],
        }
    }

    fn with_item(text: &str, item: &[u8]) -> String {
        words(&[text], Placeholders::Item, None, item).join("|")
    }

    #[test]
    fn the_item_and_the_workers_number_stand_where_they_are_asked_for() {
        assert_eq!(with_item("{}", b"a b"), "a b");
        assert_eq!(with_item("x{}y{}-{worker}", b"1"), "x1y1-3");
        assert_eq!(with_item("{{}} {}", b"i"), "{} i");
        assert_eq!(with_item("{{worker}} {worker}{{worker}}", b"i"), "{worker} 3{worker}");
        assert_eq!(with_item("plain", b"i"), "plain");
        assert_eq!(with_item("é{}ü{{}}{}", b"i"), "éiü{}i");
        assert_eq!(with_item("{.}{#}", b"i"), "{.}{#}");
        assert!(with_item("{}", b"a\0b").contains("zero byte"));
        assert!(matches!(word("{} {worker}", 0, None), Word::Fixed(word) if word == *c"{} 0"));
    }

    #[test]
    fn the_words_of_parallel_are_parts_and_numbers() {
        let of = |text: &str| words(&[text], Placeholders::Parallel, None, b"d/a.b").join("|");
        assert_eq!(of("{.} {/} {//} {/.} {#} {%}"), "d/a a.b d a 7 4");
        assert_eq!(of("{1} {1/.} {-1.} {worker}"), "d/a.b a d/a {worker}");
    }

    #[test]
    fn many_arguments_are_words_of_their_own() {
        let of = |text: &[&str], item: &[u8]| words(text, Placeholders::Parallel, Some(3), item);
        assert_eq!(of(&["mv", "{}", "to"], b"a.x\0b.y\0"), ["mv", "a.x", "b.y", "", "to"]);
        assert_eq!(of(&["-{}-", "{.}", "{2}", "{-2}"], b"a.x\0b.y"), ["-a.x b.y-", "a", "b", "b.y", "a.x"]);
        assert_eq!(of(&["{3}", "x{3.}", "{-3}", "{1}"], b"\0b.y"), ["x", ""], "as GNU parallel has it");
        assert!(of(&["{}"], b"1\x002\x003\x004")[0].contains("max_args"));
    }
}
