//! Values as a pipeline file has them.

/// A string. `$` is as it was: variables are made by [`variable`], and put between [`piece`]s.
pub(super) fn text(written: &str) -> String {
    // JSON's escapes are some of TOML's; one character more must not stand as it is.
    let quoted = serde_json::to_string(written).unwrap_or_default();
    quoted.replace('\u{7f}', "\\u007F")
}

/// A whole text in which nothing is to be expanded: a `$` is doubled only where it would mean something.
pub(super) fn literal(plain: &str) -> String {
    let mut written = String::new();
    let mut rest = plain;
    while let Some(at) = rest.find('$') {
        let run = rest[at..].bytes().take_while(|byte| *byte == b'$').count();
        let after = &rest[at + run..];
        let times = if run > 1 || after.starts_with('{') { 2 * run } else { run };
        written += &rest[..at];
        written += &"$".repeat(times);
        rest = after;
    }
    written + rest
}

/// A part of a text, beside variables.
pub(super) fn piece(plain: &str) -> String {
    plain.replace('$', "$$")
}

/// A variable of the environment, maybe with a default.
pub(super) fn variable(name: &str, default: Option<&str>) -> String {
    match default {
        Some(default) => format!("${{{name}:-{default}}}"),
        None => format!("${{{name}}}"),
    }
}

/// A list of strings.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(text).collect();
    format!("[{}]", words.join(", "))
}

/// The words of a command. A program does not take its items by these braces.
pub(super) fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| word.replace("{}", "{{}}")).collect();
    list(words.iter().map(String::as_str))
}

/// A word of a command in which nothing stands for the number of its process.
pub(super) fn unnumbered(plain: &str) -> String {
    plain.replace("{worker}", "{{worker}}")
}

/// A table on one line; the values are written already.
pub(super) fn table<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, String)>) -> String {
    let pairs: Vec<String> =
        pairs.into_iter().map(|(key, value)| format!("{} = {value}", self::key(key.as_ref()))).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { text(name) }
}

/// A signal by its name or number; `None`: the default.
pub(super) fn signal(written: &str) -> Option<String> {
    let name = written.trim().to_uppercase();
    let name = match name.strip_prefix("SIG").unwrap_or(&name) {
        "1" => "HUP",
        "2" => "INT",
        "3" => "QUIT",
        "6" => "ABRT",
        "9" => "KILL",
        "10" => "USR1",
        "12" => "USR2",
        "15" => "TERM",
        "28" => "WINCH",
        name => name,
    };
    (name != "TERM").then(|| text(name))
}

/// A duration of whole seconds.
pub(super) fn seconds(number: &str) -> Option<String> {
    let number: u64 = number.trim().parse().ok()?;
    Some(text(&format!("{number}s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dollar_stays_what_it_was() {
        for (plain, written) in
            [("$A b$", "$A b$"), ("${A}", "$${A}"), ("$$", "$$$$"), ("a$${b}", "a$$$${b}")]
        {
            assert_eq!(literal(plain), written);
        }
        assert_eq!(piece("$") + &variable("A", Some("b")), "$$${A:-b}");
    }

    #[test]
    fn any_text_is_a_string_of_toml() {
        for plain in ["a \"b\" \\ \u{1b}\u{7f}\n\té", "", "'''"] {
            let read: toml::Table = format!("a = {}", text(plain)).parse().unwrap();
            assert_eq!(read["a"].as_str(), Some(plain));
        }
        assert_eq!(table([("A", text("1")), ("b c", text("2"))]), r#"{ A = "1", "b c" = "2" }"#);
    }
}
