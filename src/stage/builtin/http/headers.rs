//! The headers that a pipeline file adds to requests.

use crate::stage::Setting;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use serde_json::{Value, json};

/// What names the items of a request to its server.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What mprun says itself, or what a request of its kind can't have.
const OWN: [HeaderName; 8] =
    [IDEMPOTENCY_KEY, CONNECTION, CONTENT_LENGTH, EXPECT, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Names and values. A value may be a secret: it is in no message.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers(pub HeaderMap);

impl Headers {
    pub(super) fn has(&self, name: &HeaderName) -> bool {
        self.0.contains_key(name)
    }
}

impl Setting for Headers {
    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": { "type": "string" },
            "examples": [{ "Authorization": "Bearer ${TOKEN}" }],
        })
    }

    fn parse(written: &Value) -> Result<Headers, String> {
        let table =
            written.as_object().ok_or("takes a table, such as { Authorization = \"Bearer ${TOKEN}\" }")?;
        let mut headers = HeaderMap::new();
        for (name, value) in table {
            let known = HeaderName::try_from(name.as_str());
            let known = known.map_err(|_| format!("has {name:?}, which is no name of a header"))?;
            if OWN.contains(&known) {
                return Err(format!("has `{name}`, which mprun sets itself"));
            }
            let value = value.as_str().ok_or_else(|| format!("wants a text in quotes for `{name}`"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("has a value for `{name}` that no header can have: a line end or another control character"))?;
            value.set_sensitive(true);
            if headers.insert(known, value).is_some() {
                return Err(format!("has `{name}` twice: upper and lower case make no difference"));
            }
        }
        Ok(Headers(headers))
    }

    fn show(&self) -> Value {
        json!({})
    }

    fn placeholder() -> Headers {
        Headers::default()
    }
}
