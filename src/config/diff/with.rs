//! Changes of the parameters of a stage, without what is secret in them: a password in an address, what headers say.

use super::change::{KeyChange, ValueChange};
use crate::secret;
use serde_json::{Map, Value};
use url::Url;

type With = Map<String, Value>;

/// The change, if there is one.
pub(super) fn compare(old: &With, new: &With) -> Option<KeyChange> {
    if old == new {
        return None;
    }
    let change = ValueChange { old: shown(old), new: shown(new) };
    // What has changed is secret: only its name is shown.
    let within = (change.old == change.new).then(|| changed_keys(old, new).join(", "));
    Some(KeyChange { key: "with".to_owned(), change, within })
}

fn changed_keys<'a>(old: &'a With, new: &'a With) -> Vec<&'a str> {
    let all = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    all.filter(|key| old.get(*key) != new.get(*key)).map(String::as_str).collect()
}

fn shown(with: &With) -> String {
    let open = |(key, value): (&String, &Value)| (key.clone(), without_secrets(key, value));
    let text = serde_json::to_string(&with.iter().map(open).collect::<With>()).unwrap_or_default();
    secret::hidden(&text).into_owned()
}

fn without_secrets(key: &str, value: &Value) -> Value {
    match (key, value) {
        ("headers", Value::Object(headers)) => {
            headers.keys().map(|name| (name.clone(), Value::from("***"))).collect()
        }
        ("url", Value::String(url)) => shown_url(url).into(),
        _ => value.clone(),
    }
}

fn shown_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return text.to_owned() };
    // They are refused only where an address has no host, and so no password.
    let _ = (url.set_username(""), url.set_password(None));
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn change(old: Value, new: Value) -> Option<String> {
        let [old, new] = [old, new].map(|with| with.as_object().cloned().unwrap());
        compare(&old, &new).map(|change| change.to_string())
    }

    #[test]
    fn what_is_secret_is_not_shown_and_its_change_is() {
        let of = |url: &str, token: &str| json!({ "url": url, "headers": { "Authorization": token } });
        let before = of("http://ann:one@a/b?t=one", "one");
        assert_eq!(change(before.clone(), before.clone()), None);
        let secret = change(before.clone(), of("http://ann:two@a/b?t=one", "two"));
        assert_eq!(secret.as_deref(), Some("with changed: url, headers"));
        let place = change(before, of("http://ann:one@b/b", "one")).unwrap();
        assert!(
            place.contains("http://a/b?***") && place.contains("http://b/b") && !place.contains("one"),
            "{place}"
        );
    }
}
