//! Words in messages: the nearest of some names, lists, and text of unknown origin made fit to show.

/// The candidate most like `word`, if one is near enough to be meant: the only one that begins with it, or one with few typos.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(word);
    // A long word is no typo of a short name, and comparing takes time.
    if wanted.len() > 64 {
        return None;
    }
    let near = |name: &&str| {
        let distance = strsim::damerau_levenshtein(&wanted, &plain(name));
        (distance, name.len().abs_diff(word.len()))
    };
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let mut begun = candidates.iter().filter(|name| plain(name).starts_with(&wanted));
    if let (true, Some(only), None) = (wanted.len() >= MIN_BEGINNING, begun.next(), begun.next()) {
        return Some(only);
    }
    let best = candidates.into_iter().filter(|name| name.len() <= 64).min_by_key(|name| near(name))?;
    (near(&best).0 <= allowed(wanted.len())).then_some(best)
}

/// Whether it is this word, but for one typo.
pub(crate) fn nearly(wanted: &str, word: &str) -> bool {
    const LONG_ENOUGH: usize = 5;
    let (wanted, word) = (plain(wanted), plain(word));
    wanted.len() >= LONG_ENOUGH && wanted.len() <= 64 && strsim::damerau_levenshtein(&wanted, &word) <= 1
}

/// Whether it is this word, in upper or lower case, with `-` or `_`.
pub(crate) fn is_same_word(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

/// What to say of a stage that there is not, where these are.
pub(crate) fn no_such_stage<'a>(wanted: &str, stages: impl IntoIterator<Item = &'a str>) -> String {
    let hint = nearest(wanted, stages)
        .map_or(": `mprun status` lists them".to_owned(), |near| format!(": did you mean {near}?"));
    format!("there is no stage {wanted}{hint}")
}

/// Letters by which a name is known that begins with them.
const MIN_BEGINNING: usize = 3;

/// Case and the choice of `-` or `_` are the most common slips of all: they cost nothing.
fn plain(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}

/// How many typos a word may hold and still be that word.
fn allowed(len: usize) -> usize {
    match len {
        0..=1 => 0,
        2..=5 => 1,
        6..=7 => 2,
        _ => len / 3,
    }
}

/// ``"`a`, `b` or `c`"``; an ellipsis when there are very many.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    const MAX_NAMES: usize = 40;
    let mut names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.len() > MAX_NAMES {
        names.truncate(MAX_NAMES);
        return names.join(", ") + ", …";
    }
    match names.pop() {
        None => "none".into(),
        Some(only) if names.is_empty() => only,
        Some(end) => format!("{} {last} {end}", names.join(", ")),
    }
}

/// In double quotes, cut short, without anything that a terminal would obey.
pub(crate) fn quote(text: &str) -> String {
    const MAX_CHARS: usize = 60;
    let mut shown: String = text.chars().take(MAX_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// What the system says about a failed call, as it fits after a colon: without Rust's "(os error 13)".
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word() {
        let names = ["capacity", "max_bytes", "max_item", "when_full"];
        assert_eq!(nearest("capcity", names), Some("capacity"));
        assert_eq!(nearest("When-Full", names), Some("when_full"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("stat", ["start", "status", "stop"]), Some("status"));
        assert_eq!(nearest("max", names), None, "two of them begin so");
    }

    #[test]
    fn nothing_is_near_to_a_very_long_word() {
        assert_eq!(nearest(&"a".repeat(1 << 20), ["a"]), None);
    }

    #[test]
    fn lists_read_aloud() {
        assert_eq!(list(["a"], "or"), "`a`");
        assert_eq!(list(["a", "b", "c"], "and"), "`a`, `b` and `c`");
        assert_eq!(list([], "or"), "none");
    }

    #[test]
    fn quoted_text_is_short_and_harmless() {
        assert_eq!(quote("a\u{1b}[2Jb"), r#""a\u{1b}[2Jb""#);
        assert!(quote(&"x".repeat(1000)).chars().count() < 70);
    }
}
