//! What is secret in a text that somebody wrote: it must come into no log, no message and no file that is passed on.
//!
//! A text is looked at by what it says, not by where it comes from: a line of a pipeline file, the words of a command and an address have
//! secrets of the same kinds. A variable (`${NAME}`) is none, as its value is elsewhere.

use std::borrow::Cow;
use std::net::Ipv6Addr;
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
    let mut found = in_addresses(text);
    found.extend(named(text));
    found.extend(in_headers(text));
    found.extend(in_options(text));
    found.retain(|place| !is_none(&text[place.clone()]));
    found
}

/// The text with a `*` for each byte that is secret in an address, or in what was meant as one.
pub(crate) fn hidden_in_addresses(text: &str) -> Cow<'_, str> {
    let mut places = in_addresses(text);
    places.retain(|place| !is_none(&text[place.clone()]));
    starred(text, places)
}

/// The same of a text that is meant as one address.
pub(crate) fn hidden_in_address(text: &str) -> Cow<'_, str> {
    let mut places = in_meant_address(text, 0..text.len());
    places.retain(|place| !is_none(&text[place.clone()]));
    starred(text, places)
}

fn in_addresses(text: &str) -> Vec<Range<usize>> {
    let addresses = text.match_indices("://");
    let mut found: Vec<Range<usize>> =
        addresses.flat_map(|(at, _)| in_address(text, at, end_of_address(text, at))).collect();
    found.extend(words(text).filter_map(|word| in_word(text, word)));
    found
}

/// What stands in a secret's place and is none: a variable, or the word of an example.
fn is_none(text: &str) -> bool {
    text.is_empty() || is_variable(text) || text == "PASSWORD"
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
fn in_address(text: &str, at: usize, end: usize) -> Vec<Range<usize>> {
    let slashes = |text: &str| text.len() - text.trim_start_matches('/').len();
    let start = (at + 3 + slashes(&text[at + 3..])).min(end); // one too many is a slip
    let mut found = Vec::new();
    let mut host = start;
    let is_nats = ["nats", "tls"].iter().any(|name| text[..at].ends_with(name));
    let is_redis = ["redis", "rediss"].iter().any(|name| text[..at].ends_with(name));
    if let Some(sign) = text[start..end].rfind('@').map(|sign| start + sign)
        // A broker's address has no path with such a sign.
        && (is_user_info(&text[start..sign]) || is_nats || is_redis)
    {
        match colon(&text[start..sign]) {
            Some(colon) => found.push(start + colon + 1..sign),
            None if is_nats => found.push(start..sign), // a token
            None => {}
        }
        host = sign + 1;
    }
    if host == start {
        let authority = text[start..end].split(['/', '?']).next().unwrap_or_default();
        found.extend(after_user(authority).map(|colon| start + colon..start + authority.len()));
    }
    found.extend(in_path(text, host..end));
    found
}

/// What is secret behind a host.
fn in_path(text: &str, rest: Range<usize>) -> Vec<Range<usize>> {
    let Range { start: host, end } = rest;
    let mut found = Vec::new();
    let Some(path) = text[host..end].find(['/', '?']).map(|path| host + path) else { return found };
    let query = text[path..end].find('?').map_or(end, |query| path + query);
    found.extend(pieces(text, path..query, '/').filter(|piece| is_token(&text[piece.clone()])));
    found.extend(pieces(text, (query + 1).min(end)..end, '&').filter_map(|pair| in_pair(text, pair)));
    found
}

const ENDS_OF_WORDS: [char; 5] = ['"', '\'', ' ', '\t', '\n'];

/// One that fills a text in quotes ends with that: a password may have a space.
fn end_of_address(text: &str, at: usize) -> usize {
    let before = text[..at].trim_end_matches(|letter: char| letter.is_ascii_alphanumeric());
    match before.chars().next_back().filter(|letter| ['"', '\''].contains(letter)) {
        Some(quote) => end_of_quoted(text, at, quote),
        None => end_of_word(text, at + 3),
    }
}

fn end_of_word(text: &str, start: usize) -> usize {
    let end = start + text[start..].find(ENDS_OF_WORDS).unwrap_or(text.len() - start);
    start + text[start..end].trim_end_matches(',').len()
}

fn words(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.split(ENDS_OF_WORDS).map(move |word| {
        let range = start..start + word.len();
        start = range.end + 1; // each of them is one byte
        range
    })
}

/// The password of an address that lacks its `://`: `redis//ann:password@host`, `:password@host`.
fn in_word(text: &str, word: Range<usize>) -> Option<Range<usize>> {
    let (start, word) = (word.start, &text[word]);
    let sign = word.rfind('@')?;
    let user_info = &word[..sign];
    let after = colon(user_info).map(|colon| colon + 1).or_else(|| Some(user_info.find("//")? + 2))?;
    let is_address = user_info.contains("://");
    let is_image = word[sign..].starts_with("@sha256:");
    let is_mail = user_info.contains("mailto:");
    (!is_address && !is_image && !is_mail).then_some(start + after..start + sign)
}

/// What may be secret of a value that is meant as an address, be it one or not.
fn in_meant_address(text: &str, value: Range<usize>) -> Vec<Range<usize>> {
    let (start, end, written) = (value.start, value.end, &text[value.clone()]);
    let is_scheme = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let scheme = written.find("://").filter(|&at| is_scheme(&written[..at]));
    let host = scheme.map_or(start, |at| start + at + 3);
    if !written.contains('@') && written.contains(',') && written.split(',').all(|part| part.contains("://"))
    {
        return pieces(text, value, ',').flat_map(|part| in_meant_address(text, part)).collect();
    }
    match (scheme, written.rfind('@').map(|sign| start + sign)) {
        (Some(at), Some(_)) => in_address(text, start + at, end),
        (None, Some(sign)) => std::iter::once(start..sign).chain(in_path(text, sign + 1..end)).collect(),
        (_, None) => {
            let rest = &text[host..end];
            let is_host =
                rest.starts_with('[') || is_bare_ipv6(rest.split(['/', '?', ',']).next().unwrap_or_default());
            let colon = rest.find(':').filter(|_| !is_host && !rest.contains("${"));
            let after = colon.map(|colon| &rest[colon + 1..]).filter(|after| !begins_with_port(after));
            let after = after.map(|after| end - after.len()..end);
            after.into_iter().chain(in_path(text, host..end)).collect()
        }
    }
}

/// Without the brackets that an address has around it, maybe with a port.
pub(crate) fn is_bare_ipv6(host: &str) -> bool {
    let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let without_port = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    is_ipv6(host) || without_port.is_some_and(|(host, _)| is_ipv6(host))
}

/// The first that is in no variable, as that of its default is.
fn colon(text: &str) -> Option<usize> {
    let mut is_variable = false;
    text.char_indices().find_map(|(at, letter)| {
        match letter {
            '$' => is_variable = text[at..].starts_with("${"),
            '}' => is_variable = false,
            _ => {}
        }
        (letter == ':' && !is_variable).then_some(at)
    })
}

/// Whether a key of this name holds an address.
fn names_an_address(name: &str) -> bool {
    const NAMES: [&str; 10] =
        ["broker", "brokers", "redis", "nats", "address", "host", "server", "http", "https", "dsn"];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || ["url", "uri", "_dsn"].iter().any(|end| name.ends_with(end))
}

/// Where what looks like a password begins in an address without a host: `user:password`. No port, no place for one.
fn after_user(authority: &str) -> Option<usize> {
    let is_host = authority.starts_with('[') || is_bare_ipv6(authority);
    let colon = authority.find(':').filter(|_| !is_host && !authority.contains("${"))?;
    let after = &authority[colon + 1..];
    let digits = after.len() - after.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let is_port = digits > 0 && !after[digits..].starts_with(char::is_alphanumeric);
    // An example in a message, in its backquotes.
    let example = after.trim_end_matches(|letter: char| "`,.;)".contains(letter));
    let is_place = !after.starts_with(char::is_alphanumeric) || example.eq_ignore_ascii_case("port");
    (!is_port && !is_place).then_some(colon + 1)
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

fn begins_with_port(text: &str) -> bool {
    let port = text.split(['/', '?', ',']).next().unwrap_or_default();
    !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
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

/// The values whose names call them secret: `token = "…"`, `"X-Token": "…"`, `--token=…`, `--token …`, `Authorization: …`,
/// and what is secret in those whose names call them addresses.
fn named(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let is_word = |letter: char| letter.is_alphanumeric() || "-_".contains(letter);
    let mut from = 0;
    while let Some(start) = text[from..].find(is_word).map(|at| from + at) {
        let end = start + text[start..].find(|letter| !is_word(letter)).unwrap_or(text.len() - start);
        from = end;
        let name = &text[start..end];
        if names_a_secret(name) {
            if let Some(value) = value_after(text, end, name.starts_with("--")) {
                from = value.end;
                found.push(value);
            }
        } else if names_an_address(name)
            && let Some(value) = value_after(text, end, false).filter(|value| is_set(text, value))
        {
            found.extend(in_meant_address(text, value));
        }
    }
    found
}

/// Whether it stands in quotes or behind an equals sign, and so is no sentence.
fn is_set(text: &str, value: &Range<usize>) -> bool {
    text[..value.start].trim_end().ends_with(['"', '\'', '='])
}

/// What a name is given. `is_option`: the next word is its value, too.
fn value_after(text: &str, end: usize, is_option: bool) -> Option<Range<usize>> {
    let is_closing = |letter: char| "\"'".contains(letter);
    let after = text[end..].trim_start_matches(is_closing);
    let was_quoted = after.len() < text.len() - end;
    let sign = after.trim_start();
    let (rest, is_bare, is_header) = match sign.chars().next() {
        Some('=') => (&sign[1..], true, false),
        Some(':') if !sign.starts_with("://") => (&sign[1..], false, !was_quoted),
        Some(_) if is_option => (sign.trim_start_matches([',', ' ']), true, false),
        _ => return None,
    };
    let value = rest.trim_start();
    let start = text.len() - value.len();
    match value.chars().next()? {
        quote @ ('"' | '\'') => {
            let inner = start + 1;
            Some(inner..end_of_quoted(text, inner, quote))
        }
        '[' => Some(start..start + value.find(']').unwrap_or(value.len())),
        '$' | '{' | '-' => None,
        _ if is_header => Some(start..start + value.find(['"', '\'', '\n']).unwrap_or(value.len())),
        _ if is_bare => {
            let length = value.find(|letter: char| letter.is_whitespace() || "\"'&,;)]}".contains(letter));
            Some(start..start + length.unwrap_or(value.len()))
        }
        _ => None,
    }
}

/// A program with an option for a password that no name calls one.
struct Client {
    /// How its name begins, or all of it.
    names: &'static [&'static str],
    /// Options whose value is a password, or has one.
    options: &'static [&'static str],
    /// The value is `USER:PASSWORD`.
    has_user: bool,
    /// The value may be the next word.
    is_apart: bool,
}

const CLIENTS: [Client; 4] = [
    Client {
        names: &["curl"],
        options: &["-u", "-U", "--user", "--proxy-user"],
        has_user: true,
        is_apart: true,
    },
    Client { names: &["mysql", "mariadb"], options: &["-p"], has_user: false, is_apart: false },
    Client { names: &["sshpass", "mongo"], options: &["-p"], has_user: false, is_apart: true },
    Client { names: &["redis-cli"], options: &["-a"], has_user: false, is_apart: true },
];

/// `curl -u NAME:PASSWORD`, `mysql -pPASSWORD` and the like, up to the end of the command.
fn in_options(text: &str) -> Vec<Range<usize>> {
    let is_sign = |word: &str| word.bytes().all(|byte| b",[]{}".contains(&byte));
    let mut words = words(text).filter(|word| !is_sign(&text[word.clone()])).peekable();
    let (mut found, mut client): (Vec<Range<usize>>, Option<&Client>) = (Vec::new(), None);
    while let Some(word) = words.next() {
        let written = &text[word.clone()];
        let program = written.rsplit(['/', '(', '`']).next().unwrap_or_default();
        let named = CLIENTS.iter().find(|client| client.names.iter().any(|name| program.starts_with(name)));
        client = named.or(client);
        let Some(Client { options, has_user, is_apart, .. }) = client else { continue };
        let option =
            options.iter().filter(|option| written.starts_with(**option)).max_by_key(|option| option.len());
        if let Some(option) = option {
            let attached = written[option.len()..].strip_prefix('=').unwrap_or(&written[option.len()..]);
            let value = match attached.is_empty() {
                true if *is_apart => words.peek().cloned().unwrap_or(word.end..word.end),
                _ => word.end - attached.len()..word.end,
            };
            let colon = text[value.clone()].find(':').map(|colon| value.start + colon + 1);
            found.extend(if *has_user { colon.map(|start| start..value.end) } else { Some(value) });
        }
        if ["|", "||", "&&", "&", ";"].contains(&written) || written.ends_with(';') {
            client = None;
        }
    }
    found
}

/// The values of `headers = { … }`.
fn in_headers(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, word) in text.match_indices("header") {
        let rest =
            text[at + word.len()..].trim_start_matches('s').trim_start_matches(['"', '\'']).trim_start();
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
                let end = end_of_quoted(text, start, letter);
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

/// Where a text in quotes ends; between double ones a backslash takes the meaning from the next quote.
fn end_of_quoted(text: &str, start: usize, quote: char) -> usize {
    let mut is_escaped = false;
    let end = text[start..].find(|letter: char| {
        let is_end = letter == quote && !is_escaped;
        is_escaped = letter == '\\' && quote == '"' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| start + end)
}

/// `${NAME}` without a default or with an empty one, maybe with other words; `$NAME`.
fn is_variable(text: &str) -> bool {
    let has_default = text.match_indices(":-").any(|(at, sign)| !text[at + sign.len()..].starts_with('}'));
    text.contains("${") && !has_default || text.starts_with('$') && !text.contains("${")
}

/// The variable whose default is the secret at this place.
pub(crate) fn variable_of_default(secret: &str) -> Option<&str> {
    let (before, _) = secret.split_once(":-")?;
    before.rsplit_once("${").map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_starred_and_all_else_keeps_its_place() {
        for (text, shown) in [
            ("url = \"redis://ann:s3:c@t@db/0\" # x@y", "url = \"redis://ann:******@db/0\" # x@y"),
            ("broker = \"redis//u:pw@h\"", "broker = \"***********@h\""),
            ("broker = \"redis:/u:pw@h:1\"", "broker = \"***********@h:1\""),
            ("broker = ':p@w@h:6379'", "broker = '****@h:6379'"),
            ("broker = 'nats//t0ken@h'", "broker = '***********@h'"),
            ("broker = 'redis:///u:pw@h'", "broker = 'redis:///u:**@h'"),
            ("broker = 'redis://u:p w@h'", "broker = 'redis://u:***@h'"),
            ("broker = 'redis://u:pw'", "broker = 'redis://u:**'"),
            ("broker = 'redis://u:1w/0'", "broker = 'redis://u:****'"),
            ("broker = { url = 'u:pw' }", "broker = { url = 'u:**' }"),
            ("DB_URL = \"pg://u:p\\\"w@h\"", "DB_URL = \"pg://u:****@h\""),
            ("broker = u:pw@h", "broker = ****@h"),
            ("broker = t0ken@h", "broker = *****@h"),
            ("header = { A = \"b\" }", "header = { A = \"*\" }"),
            ("brokre = 'redis://u:p w@h'", "brokre = 'redis://u:***@h'"),
            ("url = 'https//h/?key=ab'", "url = 'https//h/?key=**'"),
            ("brokre = ['u:pw@redis://h', 'nats//t0ken@h']", "brokre = ['u:**@redis://h', 'nats//*****@h']"),
            ("brokre = ['redis://u:p1/0']", "brokre = ['redis://u:**/0']"),
            ("sh -c \"x redis;//u:pw@h y\"", "sh -c \"x redis;//u:**@h y\""),
            ("env = { PASSWORD = s3cret, A = 1 }", "env = { PASSWORD = ******, A = 1 }"),
            ("PASSWORD = \"a\\\"b\"", "PASSWORD = \"****\""),
            ("tokens = ['a', \"b\"] # c", "tokens = *********] # c"),
            ("'redis://:s/c#?t@db'", "'redis://:******@db'"),
            ("a://b:c@d \"e://f:gé@h\"", "a://b:*@d \"e://f:***@h\""),
            ("redis://:${PASSWORD}@db", "redis://:${PASSWORD}@db"),
            ("redis://:${PASSWORD:-s}@db", "redis://:**************@db"),
            ("redis://${U:-ann}:pw@db", "redis://${U:-ann}:**@db"),
            ("nats://${TOKEN:-t}@db", "nats://***********@db"),
            ("redis://u:12/34@db", "redis://u:*****@db"),
            ("broker = 'redis://a,redis://u:pw'", "broker = 'redis://a,redis://u:**'"),
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
            ("curl -s -u a:s3 http://h; id -u a:b", "curl -s -u a:** http://h; id -u a:b"),
            ("[\"curl\", \"-u\", \"a:s3\"]", "[\"curl\", \"-u\", \"a:**\"]"),
            ("curl --user=a:s3 -Ub:s4 --user $U:$P", "curl --user=a:** -Ub:** --user $U:$P"),
            (
                "x=$(/usr/bin/mysqldump -ps3 -h db -P 3306 d) | a -pb",
                "x=$(/usr/bin/mysqldump -p** -h db -P 3306 d) | a -pb",
            ),
            ("sshpass -p s3 ssh h && redis-cli -a s4 ping", "sshpass -p ** ssh h && redis-cli -a ** ping"),
            ("mysql -p$PW -e 'select 1'", "mysql -p$PW -e 'select 1'"),
            ("FOO_TOKEN=s3 PGPASSWORD=s4 psql", "FOO_TOKEN=** PGPASSWORD=** psql"),
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
            "redis://db:6379 # x@y",
            "broker = 'db:6379'",
            "see http://db:80). http://HOST:PORT/ http://db:{port} http://db:$P",
            "an address is `redis://HOST:PORT`, `rediss://…` (`nats://HOST:PORT`).",
            "broker = 'redis://[::1]:6379/0'",
            "broker = 'redis://::1:6379/0'",
            "broker = 'nats://2001:db8::1'",
            "redis://:${PASSWORD:-}@db",
            "redis://${U:-}:${PASSWORD:-}@db",
            "nats://${TOKEN:-}@db",
            "env = { PASSWORD = '${PASSWORD:-}' }",
            "broker = 'nats://a:4222,nats://b:4222'",
            "broker = 'redis://a,redis://b'",
            "url = 'http://${HOST:-db}:${PORT:-80}/'",
            "docker run alpine:3@sha256:12 ssh ann@host:/x mailto:ann@x",
            "say \"a: b@c\"",
            "a://b@c:1",
            "http://a:8080/files/2026-11-report-final.csv?format=json",
            "http://a:80/users/x@y",
            "password_file = \"/run/x\"",
            "use = \"http\", with = { url = \"http://a/b\" }",
            "the token is wrong",
            "mkdir -p a:b && ssh -p22 h",
            "curl --url http://h -o x:y -u me",
            "docker run -u 1000:1000 curlimages/x",
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
