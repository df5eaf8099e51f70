//! The options of a tool.

use crate::cli::shell_tokens::Word;

/// Which letters and words take a value.
pub(super) struct Grammar {
    pub letters_with_value: &'static str,
    /// Their value stands in the same word, or there is none.
    pub letters_with_optional_value: &'static str,
    pub words_with_value: &'static [&'static str],
}

/// An option, and its value.
pub(super) struct Given {
    pub name: String,
    pub value: Word,
}

/// The options before the command, each with its value, and the rest.
pub(super) fn options(words: Vec<Word>, grammar: &Grammar) -> (Vec<Given>, Vec<Word>) {
    let (mut given, mut words) = (Vec::new(), words.into_iter().peekable());
    while let Some(word) = words.next_if(|word| word.text.len() > 1 && word.text.starts_with('-')) {
        if word.text == "--" {
            break;
        }
        let part = |text: &str| Word {
            text: text.to_owned(),
            raw: text.to_owned(),
            is_live: word.is_live,
            ..Word::default()
        };
        if let Some(name) = word.text.strip_prefix("--") {
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, part(value)),
                None if grammar.words_with_value.contains(&name) => (name, words.next().unwrap_or_default()),
                None => (name, Word::default()),
            };
            given.push(Given { name: format!("--{name}"), value });
            continue;
        }
        let mut letters = word.text[1..].chars();
        while let Some(letter) = letters.next() {
            let name = format!("-{letter}");
            let attached = letters.as_str();
            let takes = grammar.letters_with_value.contains(letter);
            let may_take = takes || grammar.letters_with_optional_value.contains(letter);
            if may_take && !attached.is_empty() {
                given.push(Given { name, value: part(attached) });
                break;
            }
            let value = if takes { words.next() } else { None };
            given.push(Given { name, value: value.unwrap_or_default() });
        }
    }
    (given, words.collect())
}
