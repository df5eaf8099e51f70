//! Words of a command that stand for its item: `{}`, or with `placeholders = "parallel"` those of GNU parallel.

use serde::{Deserialize, Serialize};

/// `placeholders`: which words stand for the item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placeholders {
    /// `{}`.
    #[default]
    Item,
    /// Those of GNU parallel.
    Parallel,
}

impl Placeholders {
    /// Whether it is the default.
    pub(super) fn is_item(&self) -> bool {
        *self == Placeholders::Item
    }
}

/// A piece of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// A part of the item's arguments: of one, counted from 1, or from -1 at the end, or of all.
    Argument(Part, Option<isize>),
    /// The number of the item, from 1.
    Number,
    /// The number of the worker, from 1.
    Slot,
}

/// Which part of an argument, as a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// `{.}`
    WithoutExtension,
    /// `{/}`
    Name,
    /// `{//}`
    Folder,
    /// `{/.}`
    Stem,
}

/// The pieces of a word. A placeholder in one more pair of braces stands for itself: `{{}}` for `{}`.
pub(crate) fn pieces(word: &str, placeholders: Placeholders) -> Vec<Piece> {
    let (mut pieces, mut text, mut rest) = (Vec::new(), String::new(), word);
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        match braces(rest, placeholders) {
            Some(Braces { meaning: Meaning::Itself(plain), after, .. }) => {
                text.push_str(plain);
                rest = after;
            }
            Some(Braces { meaning: Meaning::Stands(piece), after, .. }) => {
                pieces
                    .extend(Some(std::mem::take(&mut text)).filter(|text| !text.is_empty()).map(Piece::Text));
                pieces.push(piece);
                rest = after;
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    if !text.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}

/// Braces that mean something, at the beginning of a text.
pub(crate) struct Braces<'a> {
    pub meaning: Meaning<'a>,
    /// As written.
    pub written: &'a str,
    pub after: &'a str,
}

pub(crate) enum Meaning<'a> {
    Stands(Piece),
    /// A placeholder in one more pair of braces: without that pair.
    Itself(&'a str),
}

/// The braces that a text begins with, if they mean something.
pub(crate) fn braces(text: &str, placeholders: Placeholders) -> Option<Braces<'_>> {
    let of = |meaning, after: &'_ str| (meaning, text.len() - after.len());
    let (meaning, end) = match escaped(text, placeholders) {
        Some((plain, after)) => of(Meaning::Itself(plain), after),
        None => {
            let (piece, after) = placeholder(text, placeholders)?;
            of(Meaning::Stands(piece), after)
        }
    };
    Some(Braces { meaning, written: &text[..end], after: &text[end..] })
}

/// A placeholder in one more pair of braces, at the beginning of a text: without that pair, and what comes after it.
fn escaped(text: &str, placeholders: Placeholders) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let (_, rest) = placeholder(inner, placeholders)?;
    Some((&inner[..inner.len() - rest.len()], rest.strip_prefix('}')?))
}

/// The text in which each placeholder stands for itself for which `is_text` holds.
pub(crate) fn plain(text: &str, placeholders: Placeholders, is_text: impl Fn(&Piece) -> bool) -> String {
    let (mut written, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('{') {
        written.push_str(&rest[..at]);
        rest = &rest[at..];
        match placeholder(rest, placeholders) {
            Some((piece, after)) => {
                let found = &rest[..rest.len() - after.len()];
                written.push_str(&if is_text(&piece) { format!("{{{found}}}") } else { found.to_owned() });
                rest = after;
            }
            None => {
                written.push('{');
                rest = &rest[1..];
            }
        }
    }
    written + rest
}

/// The placeholder that a text begins with, and what comes after it.
fn placeholder(text: &str, placeholders: Placeholders) -> Option<(Piece, &str)> {
    let (inside, after) = text.strip_prefix('{')?.split_once('}')?;
    if placeholders == Placeholders::Item {
        return inside.is_empty().then_some((Piece::Argument(Part::Whole, None), after));
    }
    let piece = match inside {
        "#" => Piece::Number,
        "%" => Piece::Slot,
        _ => {
            let sign = usize::from(inside.starts_with('-'));
            let digits = inside[sign..].find(|letter: char| !letter.is_ascii_digit());
            let (number, part) = inside.split_at(digits.map_or(inside.len(), |digits| sign + digits));
            let number =
                if number.is_empty() { None } else { Some(number.parse().ok().filter(|n| *n != 0)?) };
            Piece::Argument(self::part(part)?, number)
        }
    };
    Some((piece, after))
}

fn part(word: &str) -> Option<Part> {
    match word {
        "" => Some(Part::Whole),
        "." => Some(Part::WithoutExtension),
        "/" => Some(Part::Name),
        "//" => Some(Part::Folder),
        "/." => Some(Part::Stem),
        _ => None,
    }
}

/// Whether a word has a place for the item.
pub(crate) fn takes_item(word: &str, placeholders: Placeholders) -> bool {
    pieces(word, placeholders).iter().any(|piece| !matches!(piece, Piece::Text(_)))
}

/// Whether what a word becomes is known only with the item's bytes: `{#}` is a number.
pub(crate) fn has_argument(word: &str, placeholders: Placeholders) -> bool {
    pieces(word, placeholders).iter().any(|piece| matches!(piece, Piece::Argument(..)))
}

impl Part {
    /// This part of an argument, as GNU parallel has it.
    pub(crate) fn of(self, argument: &[u8]) -> &[u8] {
        match self {
            Part::Whole => argument,
            Part::WithoutExtension => without_extension(argument),
            Part::Name => name(argument),
            Part::Folder => folder(argument),
            Part::Stem => without_extension(name(argument)),
        }
    }
}

/// Up to the last dot, if no slash comes after it.
fn without_extension(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| b"./".contains(byte)) {
        Some(at) if path[at] == b'.' => &path[..at],
        _ => path,
    }
}

/// What comes after the last slash: nothing, where the path ends with one.
fn name(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(path, |at| &path[at + 1..])
}

/// What `dirname` says.
fn folder(path: &[u8]) -> &[u8] {
    let trimmed = |path: &[u8]| path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let path = match trimmed(path) {
        0 if path.is_empty() => return b".",
        0 => return b"/",
        end => &path[..end],
    };
    match path.iter().rposition(|byte| *byte == b'/') {
        None => b".",
        Some(at) if trimmed(&path[..at]) == 0 => b"/",
        Some(at) => &path[..trimmed(&path[..at])],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_gnu_parallel() {
        // Written down from parallel 20221122.
        for (item, parts) in [
            ("a.b", ["a", "a.b", ".", "a"]),
            (".bashrc", ["", ".bashrc", ".", ""]),
            ("x/.b", ["x/", ".b", "x", ""]),
            ("a.", ["a", "a.", ".", "a"]),
            ("a.tar.gz", ["a.tar", "a.tar.gz", ".", "a.tar"]),
            ("d.e/f", ["d.e/f", "f", "d.e", "f"]),
            ("/a", ["/a", "a", "/", "a"]),
            ("/", ["/", "", "/", ""]),
            ("a/", ["a/", "", ".", ""]),
            ("a//b", ["a//b", "b", "a", "b"]),
            ("", ["", "", ".", ""]),
            ("a/b/c.d/", ["a/b/c.d/", "", "a/b", ""]),
            ("./x", ["./x", "x", ".", "x"]),
        ] {
            let all = [Part::WithoutExtension, Part::Name, Part::Folder, Part::Stem];
            assert_eq!(all.map(|part| str::from_utf8(part.of(item.as_bytes())).unwrap()), parts, "{item}");
        }
    }

    #[test]
    fn only_the_words_of_the_chosen_set_are_placeholders() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let item = Piece::Argument(Part::Whole, None);
        assert_eq!(pieces("x{}{.}", Placeholders::Item), [text("x"), item.clone(), text("{.}")]);
        let stem = Piece::Argument(Part::WithoutExtension, None);
        assert_eq!(pieces("x{}{.}", Placeholders::Parallel), [text("x"), item.clone(), stem]);
        let second = Piece::Argument(Part::Stem, Some(2));
        assert_eq!(pieces("{2/.}{#}{%}", Placeholders::Parallel), [second, Piece::Number, Piece::Slot]);
        let last = Piece::Argument(Part::WithoutExtension, Some(-1));
        assert_eq!(pieces("{-1.}", Placeholders::Parallel), [last]);
        for plain in
            ["", "{", "}", "{{}", "{0}", "{x}", "{./}", "{1x}", "{ }", "a{é}", "{-}", "{-0}", "{--1}"]
        {
            let pieces = pieces(plain, Placeholders::Parallel);
            assert!(plain == "{{}" || pieces == [text(plain)], "{plain}: {pieces:?}");
        }
        assert_eq!(pieces("{{}}{}", Placeholders::Parallel), [text("{}"), item]);
        assert_eq!(pieces("a{{2}}{{/.}}", Placeholders::Parallel), [text("a{2}{/.}")]);
        assert_eq!(pieces("a{{2}}", Placeholders::Item), [text("a{{2}}")]);
        for word in ["{}", "{{}}", "a{.}b{2}{{{-1}}}", "{{x}}", "{"] {
            let written = plain(word, Placeholders::Parallel, |_| true);
            assert_eq!(pieces(&written, Placeholders::Parallel), [text(word)], "{written}");
        }
        assert!(!takes_item("{{}}", Placeholders::Parallel) && takes_item("{#}", Placeholders::Parallel));
    }
}
