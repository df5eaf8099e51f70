//! What no message may hold: a server may well say in its answer what it was asked.

use super::endpoint::Endpoint;
use super::headers::Headers;

/// Shorter values are no secrets, and would make holes in every other word.
const SHORTEST: usize = 4;

#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn of(endpoint: &Endpoint, headers: &Headers) -> Secrets {
        let values = headers.0.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let words = values.flat_map(|value| {
            // The token of `Bearer TOKEN` as well.
            let last = value.rsplit(' ').next().map(str::to_owned);
            last.into_iter().chain([value]).collect::<Vec<_>>()
        });
        let mut all: Vec<String> = words.chain(endpoint.secrets.iter().cloned()).collect();
        all.retain(|secret| secret.len() >= SHORTEST);
        // The longest first: one may be a part of another.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Secrets(all)
    }

    pub(super) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::Setting;
    use serde_json::json;

    #[test]
    fn what_was_sent_in_confidence_is_hidden() {
        let endpoint = Endpoint::parse(&json!("http://ann:p%40ss@db/")).ok().unwrap();
        let headers = Headers::parse(&json!({ "Authorization": "Bearer t0ken", "X": "1" })).unwrap();
        let secrets = Secrets::of(&endpoint, &headers);
        let said = "bad \"Bearer t0ken\" (t0ken), p@ss p%40ss YW5uOnBAc3M= 1";
        assert_eq!(secrets.hide(said), "bad \"***\" (***), *** *** *** 1");
    }
}
