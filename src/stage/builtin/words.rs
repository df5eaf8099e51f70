//! `words`: the words of each item, or how many they are.

use crate::stage::{Context, Emitter, Failure, Item, Settings, Stage};

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Words, Failure> + use<> {
    with.about("Emits the words of each item one by one; Unicode white space stands between them.");
    let count = with.key("count", "Emits the number of words of the item instead.").or(false);
    move |_| Ok(Words { count })
}

/// See [`build`].
pub(super) struct Words {
    count: bool,
}

impl Stage for Words {
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
        match self.count {
            true => out.emit(words(item.bytes()).count().to_string()),
            false => words(item.bytes()).try_for_each(|word| out.emit(word)),
        }
    }
}

/// The words of a text. Bytes that are not UTF-8 are parts of words.
fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    let mut spaces = bytes.utf8_chunks().flat_map(move |chunk| {
        let start = at;
        at += chunk.valid().len() + chunk.invalid().len();
        chunk
            .valid()
            .char_indices()
            .filter(|(_, c)| c.is_whitespace())
            .map(move |(i, c)| (start + i, c.len_utf8()))
    });
    let mut start = Some(0);
    std::iter::from_fn(move || {
        let from = start?;
        let (to, next) = spaces.next().map_or((bytes.len(), None), |(at, len)| (at, Some(at + len)));
        start = next;
        Some(&bytes[from..to])
    })
    .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::testing::through;
    use super::*;
    use serde_json::json;

    #[test]
    fn words_are_told_apart_by_unicode_white_space() {
        let text = "  one two\tthree\u{3000}vier \u{a0}fünf\n";
        assert_eq!(through("words", json!({}), &[text]), text.split_whitespace().collect::<Vec<_>>());
        assert_eq!(through("words", json!({"count": true}), &[text, "", "x"]), ["5", "0", "1"]);
    }

    #[test]
    fn other_bytes_are_parts_of_words() {
        let found: Vec<_> = words(b"a\xff b\xc3 \xe2\x80 c").collect();
        assert_eq!(found, [&b"a\xff"[..], b"b\xc3", b"\xe2\x80", b"c"]);
    }
}
