//! What is secret in a text that somebody wrote: it must come into no log, no message and no file that is passed on.
//!
//! A text is looked at by what it says, not by where it comes from: a line of a pipeline file, the words of a command and an address have
//! secrets of the same kinds. A variable (`${NAME}`) is none, as its value is elsewhere.

use std::borrow::Cow;
use std::ops::Range;

/// Letters and digits in a row that no word of a language has.
const TOKEN_LENGTH: usize = 16;

/// The text with a `*` for each byte that is secret, so that all else keeps its place.
pub(crate) fn hidden(text: &str) -> Cow<'_, str> {
    starred(text, places(text))
}

/// The same of a line in a table of headers, where each value may be secret.
pub(crate) fn hidden_with_values(line: &str) -> Cow<'_, str> {
    let values = quoted(line, 0).filter(|value| !is_variable(&line[value.clone()]));
    starred(line, places(line).into_iter().chain(values).collect())
}

fn starred(text: &str, places: Vec<Range<usize>>) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    for place in places {
        shown.to_mut().replace_range(place.clone(), &"*".repeat(place.len()));
    }
    shown
}

/// Where secrets stand in a text, in any order.
pub(crate) fn places(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> =
        text.match_indices("://").flat_map(|(at, _)| in_address(text, at)).collect();
    found.extend(named(text));
    found.extend(in_headers(text));
    found.retain(|place| !place.is_empty() && !is_variable(&text[place.clone()]));
    found
}

/// Whether a key, a header or an option of this name holds a secret.
pub(crate) fn names_a_secret(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "authorization",
        "cookie",
        "token",
        "secret",
        "password",
        "passwd",
        "api-key",
        "api_key",
        "apikey",
        "access_key",
    ];
    let name = name.to_ascii_lowercase();
    // The name of a file that holds one is none.
    WORDS.iter().any(|word| name.contains(word)) && !name.ends_with("file")
}

/// Whether a header of this name says what a request is, and never who sends it. Any other may be a secret.
pub(crate) fn is_plain_header(name: &str) -> bool {
    const PLAIN: [&str; 9] = [
        "user-agent",
        "host",
        "from",
        "origin",
        "referer",
        "cache-control",
        "prefer",
        "date",
        "x-requested-with",
    ];
    let name = name.to_ascii_lowercase();
    PLAIN.contains(&name.as_str()) || name.starts_with("accept") || name.starts_with("content-")
}

/// The password, what of the path looks like a token, and such values of the query. `at`: the place of `://`.
fn in_address(text: &str, at: usize) -> Vec<Range<usize>> {
    let start = at + 3;
    let end = start + text[start..].find(['"', '\'', ' ', '\t', '\n']).unwrap_or(text.len() - start);
    let end = start + text[start..end].trim_end_matches(',').len();
    let mut found = Vec::new();
    let mut host = start;
    if let Some(sign) = text[start..end].rfind('@').map(|sign| start + sign)
        && is_user_info(&text[start..sign])
    {
        let is_nats = ["nats", "tls"].iter().any(|name| text[..at].ends_with(name));
        match text[start..sign].find(':') {
            Some(colon) => found.push(start + colon + 1..sign),
            None if is_nats => found.push(start..sign), // a token
            None => {}
        }
        host = sign + 1;
    }
    let Some(path) = text[host..end].find(['/', '?']).map(|path| host + path) else { return found };
    let query = text[path..end].find('?').map_or(end, |query| path + query);
    found.extend(pieces(text, path..query, '/').filter(|piece| is_token(&text[piece.clone()])));
    found.extend(pieces(text, (query + 1).min(end)..end, '&').filter_map(|pair| in_pair(text, pair)));
    found
}

/// An address with an at sign in its path has no user.
fn is_user_info(text: &str) -> bool {
    !text.contains('/')
        || text.split('/').next().is_some_and(|first| first.contains(':') && !ends_with_port(first))
}

fn ends_with_port(host: &str) -> bool {
    host.rsplit(':')
        .next()
        .is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The value of `key=value` in a query.
fn in_pair(text: &str, pair: Range<usize>) -> Option<Range<usize>> {
    const NAMES: [&str; 8] = ["key", "sig", "signature", "auth", "code", "pwd", "pass", "t"];
    let equals = pair.start + text[pair.clone()].find('=')?;
    let (name, value) = (&text[pair.start..equals], equals + 1..pair.end);
    let is_secret = names_a_secret(name)
        || NAMES.contains(&name.to_ascii_lowercase().as_str())
        || is_token(&text[value.clone()]);
    is_secret.then_some(value)
}

fn pieces(text: &str, range: Range<usize>, separator: char) -> impl Iterator<Item = Range<usize>> {
    let mut start = range.start;
    let parts: Vec<usize> = text[range].split(separator).map(str::len).collect();
    parts.into_iter().map(move |length| {
        let piece = start..start + length;
        start += length + 1;
        piece
    })
}

/// Letters and digits that no person has thought of, or an UUID.
pub(crate) fn is_token(text: &str) -> bool {
    let is_mixed = |run: &str| {
        run.len() >= TOKEN_LENGTH
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let is_uuid = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uuid || text.split(|letter: char| !letter.is_ascii_alphanumeric()).any(is_mixed)
}

/// The values whose names call them secret: `token = "…"`, `"X-Token": "…"`, `--token=…`, `--token …`, `Authorization: …`.
fn named(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let is_word = |letter: char| letter.is_alphanumeric() || "-_".contains(letter);
    let mut from = 0;
    while let Some(start) = text[from..].find(is_word).map(|at| from + at) {
        let end = start + text[start..].find(|letter| !is_word(letter)).unwrap_or(text.len() - start);
        from = end;
        let name = &text[start..end];
        if !names_a_secret(name) {
            continue;
        }
        if let Some(value) = value_after(text, end, name.starts_with("--")) {
            from = value.end;
            found.push(value);
        }
    }
    found
}

/// What a name is given. `is_option`: the next word is its value, too.
fn value_after(text: &str, end: usize, is_option: bool) -> Option<Range<usize>> {
    let is_closing = |letter: char| "\"'".contains(letter);
    let after = text[end..].trim_start_matches(is_closing);
    let was_quoted = after.len() < text.len() - end;
    let sign = after.trim_start();
    let (rest, is_tight, is_header) = match sign.chars().next() {
        Some('=') => (&sign[1..], sign.len() == after.len() && !sign[1..].starts_with(' '), false),
        Some(':') if !sign.starts_with("://") => (&sign[1..], false, !was_quoted),
        Some(_) if is_option => (sign.trim_start_matches([',', ' ']), true, false),
        _ => return None,
    };
    let value = rest.trim_start();
    let start = text.len() - value.len();
    match value.chars().next()? {
        quote @ ('"' | '\'') => {
            let inner = start + 1;
            let end = text[inner..].find(quote).map_or(text.len(), |at| inner + at);
            Some(inner..end)
        }
        '$' | '{' | '[' | '-' => None,
        _ if is_header => Some(start..start + value.find(['"', '\'', '\n']).unwrap_or(value.len())),
        _ if is_tight => {
            let length = value.find(|letter: char| letter.is_whitespace() || "\"'&,;)]}".contains(letter));
            Some(start..start + length.unwrap_or(value.len()))
        }
        _ => None,
    }
}

/// The values of `headers = { … }`.
fn in_headers(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, word) in text.match_indices("headers") {
        let rest = text[at + word.len()..].trim_start_matches(['"', '\'']).trim_start();
        let Some(inner) = rest.strip_prefix('=').map(str::trim_start).and_then(|rest| rest.strip_prefix('{'))
        else {
            continue;
        };
        let start = text.len() - inner.len();
        found.extend(quoted(text, start));
    }
    found
}

/// The quoted values behind an equals sign, up to a brace that closes.
fn quoted(text: &str, from: usize) -> impl Iterator<Item = Range<usize>> {
    let (mut found, mut at, mut is_value) = (Vec::new(), from, false);
    while let Some(letter) = text[at..].chars().next() {
        match letter {
            '"' | '\'' => {
                let start = at + 1;
                let end = text[start..].find(letter).map_or(text.len(), |end| start + end);
                if is_value {
                    found.push(start..end);
                }
                is_value = false;
                at = (end + 1).min(text.len());
            }
            '}' => break,
            _ => {
                is_value = letter == '=' || is_value && letter.is_whitespace();
                at += letter.len_utf8();
            }
        }
    }
    found.into_iter()
}

/// `${NAME}` without a default, maybe with other words; `$NAME`.
fn is_variable(text: &str) -> bool {
    text.contains("${") && !text.contains(":-") || text.starts_with('$') && !text.contains("${")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_starred_and_all_else_keeps_its_place() {
        for (text, shown) in [
            ("url = \"redis://ann:s3:c@t@db/0\" # x@y", "url = \"redis://ann:******@db/0\" # x@y"),
            ("'redis://:s/c#?t@db'", "'redis://:******@db'"),
            ("a://b:c@d \"e://f:gé@h\"", "a://b:*@d \"e://f:***@h\""),
            ("redis://:${PASSWORD}@db", "redis://:${PASSWORD}@db"),
            ("redis://:${PASSWORD:-s}@db", "redis://:**************@db"),
            ("nats://t0ken@db", "nats://*****@db"),
            (
                "https://hooks.x/services/T0A/B0B/a1b2c3d4e5f6g7h8i9",
                "https://hooks.x/services/T0A/B0B/******************",
            ),
            ("http://a/b?page=2&token=abc&key=x1", "http://a/b?page=2&token=***&key=**"),
            ("to http://a/?key=x1, every 5s", "to http://a/?key=**, every 5s"),
            (
                "http://a/3f2504e0-4f89-11d3-9a0c-0305e82c3301/x",
                "http://a/************************************/x",
            ),
            (
                "headers = { Authorization = \"Bearer s\", \"X-A\" = 'b' }",
                "headers = { Authorization = \"********\", \"X-A\" = '*' }",
            ),
            (
                "headers = { A = \"Bearer ${T}\", B = \"c\" }, path = \"d\"",
                "headers = { A = \"Bearer ${T}\", B = \"*\" }, path = \"d\"",
            ),
            ("\"X-Api-Key\" = 's= # ", "\"X-Api-Key\" = '*****"),
            (
                "a = { token = \"${T}\", password=\"${P:-x}\" }",
                "a = { token = \"${T}\", password=\"*******\" }",
            ),
            (
                "command = \"PGPASSWORD=s3 psql --token=t1 -c x\"",
                "command = \"PGPASSWORD=** psql --token=** -c x\"",
            ),
            (
                "[\"curl\", \"-H\", \"Authorization: Bearer s\", \"--api-key\", \"k1\"]",
                "[\"curl\", \"-H\", \"Authorization: ********\", \"--api-key\", \"**\"]",
            ),
            ("curl --token $TOKEN", "curl --token $TOKEN"),
        ] {
            assert_eq!(hidden(text), shown);
            assert_eq!(text.len(), shown.len());
        }
        assert_eq!(hidden_with_values("X-Any = \"value\" # \"note\""), "X-Any = \"*****\" # \"note\"");
    }

    #[test]
    fn what_is_none_is_shown() {
        for text in [
            "",
            "://",
            "a://b",
            "redis://db:6379 # :x@y",
            "say \"a: b@c\"",
            "a://b@c:1",
            "http://a:8080/files/2026-11-report-final.csv?format=json",
            "http://a:80/users/x@y",
            "token = 5 # = \"c\"",
            "password_file = \"/run/x\"",
            "use = \"http\", with = { url = \"http://a/b\" }",
            "the token is wrong",
        ] {
            assert_eq!(hidden(text), text);
        }
    }

    #[test]
    fn a_header_is_plain_if_it_says_what_a_request_is() {
        assert!(["Content-Type", "accept-language", "User-Agent"].iter().all(|name| is_plain_header(name)));
        assert!(!["Authorization", "X-Any", "X-Hub-Key"].iter().any(|name| is_plain_header(name)));
    }
}
