//! Text from outside, as a terminal or a log can hold it: what a program prints, an item holds or a file is called must
//! not move the cursor, turn the text around it round, or pass for a line of mprun's own.

use std::borrow::Cow;
use std::fmt::Write;

/// A word with the number of its process for `{worker}`; `{{worker}}` stands for `{worker}` itself.
pub(crate) fn numbered(word: &str, process: u32) -> String {
    let parts = word.split("{{worker}}").map(|part| part.replace("{worker}", &process.to_string()));
    parts.collect::<Vec<_>>().join("{worker}")
}

/// What a URL is said to have that no URL has. Its parser drops line ends and tabs, cuts control characters off both ends, and
/// makes a slash of a backslash. The message holds no more of the text, which may have a secret in it.
pub(crate) fn not_in_address(text: &str) -> Option<String> {
    let is_wrong = |letter: &char| letter.is_control() || letter.is_whitespace() || *letter == '\\';
    let (at, letter) = text.chars().enumerate().find(|(_, letter)| is_wrong(letter))?;
    let what = match letter {
        ' ' => "a blank".to_owned(),
        '\\' => "a backslash".to_owned(),
        _ => format!("U+{:04X}", u32::from(letter)),
    };
    let escape: String = letter.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}")).collect();
    Some(format!(
        "has {what} as character {}, which no address has: leave it out, or write `{escape}`",
        at + 1
    ))
}

/// Between how a program has ended and its last line.
pub(crate) const LAST_WORDS: &str = "; its last words: ";

/// How a process has ended, how long it ran, and what follows. The reason and what the program has said come last: the rest
/// must not read as a part of them.
pub(crate) fn with_time(end: &str, ran: &str, then: &str) -> String {
    let (end, words) = end.split_once(LAST_WORDS).map_or((end, None), |(end, words)| (end, Some(words)));
    let mut text = match end.strip_prefix(FAILED) {
        Some(why) if !ran.is_empty() => format!("failed{ran}: {why}{then}"),
        _ => format!("{end}{ran}{then}"),
    };
    if let Some(words) = words {
        text.extend([LAST_WORDS, words]);
    }
    text
}

/// Before the reason of a failure.
const FAILED: &str = "failed: ";

/// The last line that a program has written, behind how it has ended.
pub(crate) fn last_words(line: &str) -> String {
    let hint = match line.trim_end() {
        "ModuleNotFoundError: No module named 'mprun'" => {
            " (a stage with `framing = \"mprun\"` has that module)"
        }
        _ => "",
    };
    format!("{LAST_WORDS}{line}{hint}")
}

/// On one line: control and invisible characters are escaped, a tab stays.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |character| character != '\t' && is_risky(character),
        |character, into| {
            into.extend(character.escape_default());
        },
    )
}

/// The same for a text of several lines: their ends stay.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |character| !matches!(character, '\t' | '\n') && is_risky(character),
        |character, into| {
            into.extend(character.escape_default());
        },
    )
}

/// The same for JSON, whose meaning stays: such a character can only be in a string.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    escaped(
        text,
        |character| !character.is_ascii_whitespace() && is_risky(character),
        |character, into| {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a string can't fail.
                let _ = write!(into, "\\u{unit:04x}");
            }
        },
    )
}

/// Bytes on one line: what is no UTF-8 is escaped, too.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&one_line(chunk.valid()));
        for byte in chunk.invalid() {
            // Writing to a string can't fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// An item of several arguments, with a zero byte between them, as words for people; `None`: it is none, or binary.
pub(crate) fn words(item: &str) -> Option<String> {
    let is_binary = item.chars().any(|letter| !matches!(letter, '\0' | '\t' | '\n') && is_risky(letter));
    (item.contains('\0') && !is_binary).then(|| item.split('\0').map(quoted).collect::<Vec<_>>().join(" "))
}

/// With quotes where its ends would not be seen without them.
fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| !letter.is_whitespace() && !"'\"".contains(letter);
    match word.contains('\'') && !word.contains('"') {
        _ if !word.is_empty() && word.chars().all(is_plain) => Cow::Borrowed(word),
        true => Cow::Owned(format!("\"{word}\"")),
        false => Cow::Owned(format!("'{word}'")),
    }
}

/// Whether a character does more on a terminal than stand in its place.
pub(crate) fn is_risky(character: char) -> bool {
    character.is_control() || is_invisible(character)
}

/// Characters that change how the text around them is shown, or hide in it.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

fn escaped(text: &str, is_bad: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let Some(first) = text.find(&is_bad) else { return Cow::Borrowed(text) };
    let mut safe = String::with_capacity(text.len() + 16);
    safe.push_str(&text[..first]);
    for character in text[first..].chars() {
        if is_bad(character) { escape(character, &mut safe) } else { safe.push(character) }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_before_the_reason_and_the_last_words_at_the_end() {
        let ran = " after 2ms";
        assert_eq!(
            with_time("failed: can't open `x`: no folder", ran, "; it starts again"),
            "failed after 2ms: can't open `x`: no folder; it starts again"
        );
        let end = format!("it ended with exit code 1{}", last_words("oops: 1"));
        assert_eq!(
            with_time(&end, ran, "; so"),
            "it ended with exit code 1 after 2ms; so; its last words: oops: 1"
        );
        assert_eq!(with_time("failed: no", "", ""), "failed: no");
    }

    #[test]
    fn a_program_that_lacks_the_module_is_told_the_framing_that_brings_it() {
        let said = last_words("ModuleNotFoundError: No module named 'mprun'");
        assert!(said.ends_with("'mprun' (a stage with `framing = \"mprun\"` has that module)"), "{said}");
        assert_eq!(last_words("x"), "; its last words: x");
    }

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(one_line("a\x1b[2J\nb"), r"a\u{1b}[2J\nb");
    }

    #[test]
    fn what_could_disturb_a_terminal_is_escaped_and_nothing_else() {
        assert_eq!(one_line("plain wörld 木\tend"), "plain wörld 木\tend");
        assert!(matches!(one_line("plain"), Cow::Borrowed(_)));
        assert_eq!(
            one_line("a\x1b]0;title\x07b\r\n\x7f\u{9b}31m"),
            r"a\u{1b}]0;title\u{7}b\r\n\u{7f}\u{9b}31m"
        );
        assert_eq!(
            one_line("admin\u{202e}nigol\u{2066}x\u{200b}\u{61c}"),
            r"admin\u{202e}nigol\u{2066}x\u{200b}\u{61c}"
        );
        assert_eq!(lines("a\n\tb\r\x1bc\n"), "a\n\tb\\r\\u{1b}c\n");
        assert_eq!(of_bytes(b"\xff\x1b\xc3\xa9\0"), "\\xff\\u{1b}\u{e9}\\u{0}");
    }

    #[test]
    fn an_item_of_several_arguments_is_shown_as_words() {
        for (item, shown) in [
            ("3\x004", Some("3 4")),
            ("a b\0\0it's", Some("'a b' '' \"it's\"")),
            ("one", None),
            ("a b", None),
            ("\0\0\0\x03", None),
        ] {
            assert_eq!(words(item).as_deref(), shown, "{item:?}");
        }
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({ "text": "a\u{202e}b\u{7f}\u{9b}\u{e0041}\n", "n": 1 });
        let plain = serde_json::to_string_pretty(&value).unwrap();
        let safe = json(&plain);
        assert!(!safe.chars().any(|character| character != '\n' && is_risky(character)), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
