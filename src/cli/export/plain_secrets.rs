//! Secrets that stand in a pipeline file as they are: they must not come into a ConfigMap. Pure.

use crate::config::{Stage, Task};
use crate::secret;
use serde_json::{Map, Value};

/// Bytes: the value of a variable that is shorter may stand anywhere in a file.
const SHORTEST: usize = 3;

/// The first line, from 1, that holds a password or a token in an address, or a value whose name calls it secret; and the variable of
/// which it is the default.
pub(super) fn first_line(text: &str) -> Option<(usize, Option<&str>)> {
    text.lines().enumerate().find_map(|(at, line)| {
        let places = secret::places(line);
        let place = places.into_iter().find(|place| !is_plain_header_at(line, place.start))?;
        Some((at + 1, secret::variable_of_default(&line[place])))
    })
}

/// The value of a header that says what a request is.
fn is_plain_header_at(line: &str, start: usize) -> bool {
    let before = line[..start].trim_end_matches(['"', '\'']).trim_end();
    let Some(before) = before.strip_suffix('=') else { return false };
    let name = before.trim_end().trim_end_matches(['"', '\'']);
    let name = name.rsplit(|letter: char| !letter.is_alphanumeric() && !"-_".contains(letter)).next();
    name.is_some_and(secret::is_plain_header)
}

/// Whether one of these texts holds a header of the stage that may be a secret.
pub(super) fn are_in<'a>(stage: &Stage, mut texts: impl Iterator<Item = &'a str>) -> bool {
    let Task::Use { with, .. } = &stage.work.task else { return false };
    let secrets = secrets(with);
    texts.any(|text| secrets.iter().any(|secret| text.contains(secret)))
}

fn secrets(with: &Map<String, Value>) -> Vec<String> {
    let headers = with.get("headers").and_then(Value::as_object).into_iter().flatten();
    let headers =
        headers.filter(|(name, _)| !secret::is_plain_header(name)).filter_map(|(_, value)| value.as_str());
    headers.filter(|secret| secret.len() >= SHORTEST).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_headers_that_may_be_secrets_are_found() {
        let headers =
            json!({ "Authorization": "Bearer t", "X-Any": "key", "Content-Type": "text/csv", "Cookie": "" });
        let with = json!({ "url": "http://a", "headers": headers });
        assert_eq!(secrets(with.as_object().unwrap()), ["Bearer t", "key"]);
    }

    #[test]
    fn a_line_with_a_secret_is_found() {
        assert_eq!(first_line("a\nurl = 'http://ann:s@a/'\n"), Some((2, None)));
        assert_eq!(first_line("env = { TOKEN = 's' }"), Some((1, None)));
        assert_eq!(first_line("headers = { Accept = 'a', X-B = 'c' }"), Some((1, None)));
        assert_eq!(first_line("broker = 'redis://:${P:-x}@a'"), Some((1, Some("P"))));
        assert_eq!(first_line("broker = 'redis://:${P:-}@a'"), None);
        assert_eq!(first_line("headers = { Accept = 'a' }\nenv = { TOKEN = '${T}' }\n"), None);
    }
}
