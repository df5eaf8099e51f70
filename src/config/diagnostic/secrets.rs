//! Passwords in addresses, and values whose keys call them secret: an excerpt of a file may end up in a log.

use crate::text::names_a_secret;
use std::borrow::Cow;
use std::ops::Range;

/// The line with a `*` for each byte of a password in an address (`scheme://user:PASSWORD@host`), and of a text whose key [calls it
/// secret](names_a_secret), so that all else keeps its place. The name of a variable is no secret.
pub(super) fn hidden(line: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(line);
    for (scheme, _) in line.match_indices("://") {
        let start = scheme + 3;
        let end = start + line[start..].find(['"', '\'', ' ', '\t']).unwrap_or(line.len() - start);
        let Some(at) = line[start..end].rfind('@').map(|at| start + at) else { continue };
        let is_nats = ["nats", "tls"].iter().any(|name| line[..scheme].ends_with(name));
        let colon = match line[start..at].find(':') {
            Some(colon) => start + colon + 1,
            None if is_nats => start, // a token
            None => continue,
        };
        if !is_variable(&line[colon..at]) {
            shown.to_mut().replace_range(colon..at, &"*".repeat(at - colon));
        }
    }
    for value in secret_values(line) {
        shown.to_mut().replace_range(value.clone(), &"*".repeat(value.len()));
    }
    shown
}

/// Where the texts stand whose keys call them secret, as in `"X-Token" = "…"`.
fn secret_values(line: &str) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    let mut from = 0;
    while let Some(equals) = line[from..].find('=').map(|at| from + at) {
        from = equals + 1;
        let key = line[..equals].trim_end().trim_end_matches(['"', '\'']);
        let word = |c: char| c.is_alphanumeric() || "-_".contains(c);
        let name = key.rsplit(|c| !word(c)).next().unwrap_or_default();
        let value = line[from..].trim_start();
        let Some(quote) = value.chars().next().filter(|c| "\"'".contains(*c)) else { continue };
        let start = line.len() - value.len() + 1;
        let end = line[start..].find(quote).map_or(line.len(), |at| start + at);
        from = end;
        let is_named = line[start..end].contains("${") && !line[start..end].contains(":-");
        if names_a_secret(name) && !is_named {
            values.push(start..end);
        }
    }
    values
}

/// `${NAME}`, without a default.
fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

#[cfg(test)]
mod tests {
    use super::hidden;

    #[test]
    fn a_password_in_an_address_is_never_shown() {
        for (line, shown) in [
            ("url = \"redis://ann:s3:c@t@db/0\" # x@y", "url = \"redis://ann:******@db/0\" # x@y"),
            ("'redis://:s/c#?t@db'", "'redis://:******@db'"),
            ("a://b:c@d \"e://f:gé@h\"", "a://b:*@d \"e://f:***@h\""),
            ("redis://:${PASSWORD}@db", "redis://:${PASSWORD}@db"),
            ("redis://:${PASSWORD:-s}@db", "redis://:**************@db"),
        ] {
            assert_eq!(hidden(line), shown);
            assert_eq!(line.len(), shown.len());
        }
        for (line, shown) in [
            (
                "headers = { Authorization = \"Bearer s\", A = \"b\" }",
                "headers = { Authorization = \"********\", A = \"b\" }",
            ),
            ("\"X-Api-Key\" = 's= # ", "\"X-Api-Key\" = '*****"),
            (
                "a = { token = \"${T}\", password=\"${P:-x}\" }",
                "a = { token = \"${T}\", password=\"*******\" }",
            ),
            ("token = 5 # = \"c\"", "token = 5 # = \"c\""),
        ] {
            assert_eq!(hidden(line), shown);
        }
        for line in ["", "://", "a://b", "redis://db:6379 # :x@y", "say \"a: b@c\"", "a://b@c:1"] {
            assert_eq!(hidden(line), line);
        }
    }
}
