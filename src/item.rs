//! How an item is shown to people: shortened, and with everything escaped that could disturb a terminal or a log.

use crate::numbers::counted;
use crate::text;
use std::fmt;

/// Characters of an item that are shown before it is cut.
const MAX_CHARS: usize = 80;

/// Of the items that a program with `mode = "stream"` had in hand at its end. There is no bound: an item that the program has in a
/// buffer counts as done after a while.
pub(crate) fn may_be_lost(items: u64) -> String {
    let items = counted(items, "item");
    format!(
        "about {items} that its program was given may be lost: with mode = \"stream\" mprun can't know which are done (docs/delivery.md)"
    )
}

/// Shows the start of an item on one line: UTF-8 as it is, control characters and other bytes escaped.
pub(crate) struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = MAX_CHARS;
        // A character has at most 4 bytes: nothing after this can be shown.
        let start = &self.0[..self.0.len().min(MAX_CHARS * 4)];
        let words = words(start);
        for chunk in words.as_deref().map_or(start, str::as_bytes).utf8_chunks() {
            for character in chunk.valid().chars() {
                if left == 0 {
                    return write!(f, "… ({} bytes)", self.0.len());
                }
                left -= 1;
                match character {
                    '\u{80}'.. if !text::is_risky(character) => write!(f, "{character}")?,
                    ' '..='~' if character != '\\' => write!(f, "{character}")?,
                    other => write!(f, "{}", other.escape_default())?,
                }
            }
            for byte in chunk.invalid().iter().take(left) {
                left -= 1;
                write!(f, "\\x{byte:02x}")?;
            }
        }
        if self.0.len() > MAX_CHARS * 4 { write!(f, "… ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}

/// Of an item of several arguments, whose last character may be cut.
fn words(start: &[u8]) -> Option<String> {
    let text = match str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => str::from_utf8(&start[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    text::words(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> String {
        Shown(bytes).to_string()
    }

    #[test]
    fn text_and_bytes_are_shown_side_by_side() {
        assert_eq!(shown(b"caf\xc3\xa9\t\xff"), r"café\t\xff");
    }

    #[test]
    fn text_is_shown_as_it_is() {
        assert_eq!(shown("hello wörld 木".as_bytes()), "hello wörld 木");
        assert_eq!(shown(b""), "");
    }

    #[test]
    fn what_could_disturb_a_terminal_is_escaped() {
        assert_eq!(shown(b"\x1b[2J\n\\"), r"\u{1b}[2J\n\\");
        assert_eq!(shown("\u{202e}abc\u{9b}".as_bytes()), r"\u{202e}abc\u{9b}");
        assert_eq!(shown(&[0xff, 0, b'a']), r"\xff\u{0}a");
        assert_eq!(shown(b"3\x004 5\0\t\\"), r"3 '4 5' '\t\\'");
    }

    #[test]
    fn a_long_item_is_cut_with_its_length() {
        let text = "x".repeat(1000);
        assert_eq!(shown(text.as_bytes()), format!("{}… (1000 bytes)", "x".repeat(80)));
        assert_eq!(shown("x".repeat(80).as_bytes()), "x".repeat(80));
        assert!(shown(&vec![0xff; 5000]).len() < 500);
        let words = "é\0".repeat(300);
        assert!(
            shown(words.as_bytes()).starts_with("é é ") && shown(words.as_bytes()).ends_with("… (900 bytes)")
        );
    }
}
