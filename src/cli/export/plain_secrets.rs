//! Secrets of built-in stages that stand in a pipeline file as they are: they must not come into a ConfigMap. Pure.

use crate::config::{Stage, Task};
use crate::text::names_a_secret;
use serde_json::{Map, Value};
use url::Url;

/// Bytes: the value of a variable that is shorter may stand anywhere in a file.
const SHORTEST: usize = 3;

/// Whether one of these texts holds a password of an address, or a header that is a secret, of the stage.
pub(super) fn are_in<'a>(stage: &Stage, mut texts: impl Iterator<Item = &'a str>) -> bool {
    let Task::Use { with, .. } = &stage.work.task else { return false };
    let secrets = secrets(with);
    texts.any(|text| secrets.iter().any(|secret| text.contains(secret)))
}

fn secrets(with: &Map<String, Value>) -> Vec<String> {
    let url = with.get("url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
    let password = url.as_ref().and_then(Url::password).map(|password| format!(":{password}@"));
    let headers = with.get("headers").and_then(Value::as_object).into_iter().flatten();
    let headers = headers.filter(|(name, _)| names_a_secret(name)).filter_map(|(_, value)| value.as_str());
    let all = password.into_iter().chain(headers.map(str::to_owned));
    all.filter(|secret| secret.len() >= SHORTEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_password_and_the_headers_that_are_secrets_are_found() {
        let headers = json!({ "Authorization": "Bearer t", "X-Api-Key": "key", "X-Tag": "v", "Cookie": "" });
        let with = json!({ "url": "http://ann:s@a", "headers": headers });
        assert_eq!(secrets(with.as_object().unwrap()), [":s@", "Bearer t", "key"]);
        assert!(secrets(json!({ "url": "http://a", "path": "x" }).as_object().unwrap()).is_empty());
    }
}
