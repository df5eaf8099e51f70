//! `http`: hands items over to an HTTP server, one or several in a request.
//!
//! | the server … | the items |
//! |---|---|
//! | answers 2xx, whole | are done |
//! | is away, says 408, 425, 429 or 5xx, breaks off, takes longer than `item_timeout` | can't be done now: no attempt is used up |
//! | answers anything else | have failed |
//!
//! All requests carry an `Idempotency-Key`: at least once over the network becomes exactly once where the server keeps keys.

mod answer;
mod client;
mod endpoint;
mod headers;
mod secrets;
#[cfg(feature = "https")]
mod tls;

use crate::stage::{Context, Delivery, Failure, Parcel, Reach, Setting, Settings, Undelivered};
use client::Client;
use endpoint::Endpoint;
use headers::Headers;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use secrets::Secrets;
use serde_json::{Value, json};

/// Items of one request, at most.
const MAX_ITEMS: u64 = 1000;

pub(super) fn build(with: &mut Settings<'_>) -> impl FnOnce(&Context) -> Result<Http, Failure> + use<> {
    with.about(
        "Sends each item to an HTTP server, with a key by which the server knows an item that comes again.",
    );
    let doc = "Where to: an address of http or https. A user and a password in it are sent as basic authentication.";
    let endpoint: Endpoint = with.key("url", doc).required();
    let method = with.key("method", "The method: POST, PUT or PATCH.").or(Verb(Method::POST));
    let doc = "More headers of each request. `Idempotency-Key` is mprun's own.";
    let headers = with.key("headers", doc).or(Headers::default());
    let doc = "The largest number of items in one request, each with a line end (`application/x-ndjson`). A request does not \
               wait until it is full. Without it, one item as it is (`application/octet-stream`).";
    let max_items = with
        .key("max_items", doc)
        .at_least(1)
        .check(|&most: &u64| match most {
            0..=MAX_ITEMS => Ok(()),
            _ => Err(format!("is at most {MAX_ITEMS}, not {most}")),
        })
        .optional();
    if with.is_good() && endpoint.authorization.is_some() && headers.has(&AUTHORIZATION) {
        let help = "leave the user and the password out of `url`, or the header out of `headers`";
        let message = "`url` and `headers` both say how to be let in";
        with.fault("headers", message, Some(help.to_owned()));
    }
    if endpoint.is_encrypted {
        with.needs_authorities();
    }
    move |context| Http::open(context, endpoint, method.0, headers, max_items)
}

/// Why a server of https can't be trusted on this machine, if so: without the authorities none can.
pub(crate) fn without_authorities() -> Option<String> {
    #[cfg(feature = "https")]
    return tls::authorities().err();
    #[cfg(not(feature = "https"))]
    None
}

/// See [`build`].
pub(super) struct Http {
    client: Client,
    /// Items of a request, each with a line end; `None`: one, as it is.
    lines: Option<usize>,
}

impl Http {
    fn open(
        context: &Context,
        endpoint: Endpoint,
        method: Method,
        headers: Headers,
        max_items: Option<u64>,
    ) -> Result<Http, Failure> {
        let secrets = Secrets::of(&endpoint, &headers);
        let Headers(mut headers) = headers;
        let lines = max_items.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        let kind = if lines.is_some() { "application/x-ndjson" } else { "application/octet-stream" };
        if !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let client = Client::open(endpoint, method, headers, secrets, context.orders.clone())?;
        Ok(Http { client, lines })
    }

    fn body(&self, items: &[&[u8]]) -> Result<Bytes, Failure> {
        if self.lines.is_none() {
            return Ok(Bytes::copy_from_slice(items.first().copied().unwrap_or_default()));
        }
        let mut body = Vec::with_capacity(items.iter().map(|item| item.len() + 1).sum());
        for item in items {
            if item.contains(&b'\n') {
                let why = "the item holds a line end, which stands between the items of a request";
                return Err(Failure::with_reach(why, Reach::Rejected));
            }
            body.extend_from_slice(item);
            body.push(b'\n');
        }
        Ok(Bytes::from(body))
    }
}

impl Delivery for Http {
    fn most(&self) -> usize {
        self.lines.unwrap_or(1)
    }

    fn deliver(&mut self, Parcel { items, key, until }: Parcel<'_>) -> Result<(), Undelivered> {
        let body = self.body(items)?;
        let key = HeaderValue::from_str(key).map_err(Failure::from)?;
        self.client.send(&body, &key, until)
    }
}

/// A method whose requests have a body.
struct Verb(Method);

const VERBS: [Method; 3] = [Method::POST, Method::PUT, Method::PATCH];

impl Setting for Verb {
    fn schema() -> Value {
        json!({ "type": "string", "enum": VERBS.map(|verb| verb.to_string()) })
    }

    fn parse(written: &Value) -> Result<Verb, String> {
        let known = VERBS.into_iter().find(|verb| written.as_str() == Some(verb.as_str()));
        known
            .map(Verb)
            .ok_or_else(|| format!("takes \"POST\", \"PUT\" or \"PATCH\", which have a body, not {written}"))
    }

    fn show(&self) -> Value {
        json!(self.0.as_str())
    }

    fn placeholder() -> Verb {
        Verb(Method::POST)
    }
}

#[cfg(test)]
mod tests;
