//! Passwords in addresses: an excerpt of a file may end up in a log.

use std::borrow::Cow;

/// The line with a `*` for each byte of a password in an address (`scheme://user:PASSWORD@host`), so that all else keeps its
/// place. The name of a variable is no secret.
pub(super) fn hidden(line: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(line);
    for (scheme, _) in line.match_indices("://") {
        let start = scheme + 3;
        let end = start + line[start..].find(['"', '\'', ' ', '\t']).unwrap_or(line.len() - start);
        let Some(at) = line[start..end].rfind('@').map(|at| start + at) else { continue };
        let Some(colon) = line[start..at].find(':').map(|colon| start + colon + 1) else { continue };
        if !is_variable(&line[colon..at]) {
            shown.to_mut().replace_range(colon..at, &"*".repeat(at - colon));
        }
    }
    shown
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
        for line in ["", "://", "a://b", "redis://db:6379 # :x@y", "say \"a: b@c\"", "a://b@c:1"] {
            assert_eq!(hidden(line), line);
        }
    }
}
