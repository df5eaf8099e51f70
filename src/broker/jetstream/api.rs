//! Requests to JetStream, in JSON, and what it refuses.

use super::server;
use crate::broker::Fault;
use async_nats::{Client, HeaderMap, Message, RequestErrorKind, StatusCode};
use bytes::Bytes;
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// As the state has times.
pub(super) fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}

/// Codes of JetStream's errors.
const NO_STREAM: u64 = 10059;
/// No message is there, or it was deleted before the server was started.
const NO_MESSAGE: [u64; 2] = [10037, 10043];
const STREAM_EXISTS: u64 = 10058;
const WRONG_SEQUENCE: u64 = 10071;
/// Another stream takes the same subjects.
const SUBJECTS_OVERLAP: u64 = 10065;
/// The account or the server has no room for more.
const FULL: [u64; 5] = [10002, 10023, 10028, 10047, 10077];
/// A stream with copies needs the servers of a cluster. A cluster that lacks some of them now has another code.
const NO_CLUSTER: [u64; 2] = [10010, 10074];
/// The account is never given such a stream: its limits of streams and of their bytes, and no limits for as many copies.
const LIMITED: [u64; 4] = [10027, 10113, 10120, 10122];
/// JetStream is off, for the server or for the account.
const OFF: [u64; 2] = [10076, 10039];

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoStream,
    NoMessage,
    Exists,
    /// Somebody else was first.
    Late,
    /// There is no room in the store.
    Full(String),
    /// The server is in no cluster, and a stream is to have copies.
    NoCluster,
    /// The account may have no such stream.
    Limited(String),
    Fault(Fault),
}

impl Refusal {
    pub(super) fn fault(self) -> Fault {
        match self {
            Refusal::NoStream => Fault::Away("its stream is gone".into()),
            Refusal::NoMessage => Fault::Away("a message of its stream is gone".into()),
            Refusal::Exists | Refusal::Late => Fault::Away("another machine wrote there first".into()),
            Refusal::Full(why) => Fault::Full(format!("its store has no room ({why})")),
            Refusal::NoCluster => server::no_cluster("`stream_replicas` above 1"),
            Refusal::Limited(why) => server::limited(&why),
            Refusal::Fault(fault) => fault,
        }
    }
}

#[derive(Deserialize)]
struct Error {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

fn refusal(error: Error) -> Refusal {
    let Error { err_code, description } = error;
    match err_code {
        NO_STREAM => Refusal::NoStream,
        STREAM_EXISTS => Refusal::Exists,
        WRONG_SEQUENCE => Refusal::Late,
        code if NO_MESSAGE.contains(&code) => Refusal::NoMessage,
        code if FULL.contains(&code) => Refusal::Full(description),
        code if NO_CLUSTER.contains(&code) => Refusal::NoCluster,
        code if LIMITED.contains(&code) => Refusal::Limited(description),
        code if OFF.contains(&code) => {
            Refusal::Fault(Fault::Unfit(format!("JetStream is not enabled: {description}")))
        }
        SUBJECTS_OVERLAP => Refusal::Fault(Fault::Fatal(
            "another stream there takes the same subjects (`nats stream ls --subject`): give this pipeline another `prefix`".into(),
        )),
        _ => Refusal::Fault(Fault::Away(description)),
    }
}

/// JetStream of a connection.
#[derive(Clone)]
pub(super) struct Api(pub Client);

/// A message as the stream keeps it.
pub(super) struct Stored {
    pub sequence: u64,
    pub data: Bytes,
}

impl Api {
    /// Asks once; the error is what the connection makes of it.
    pub(super) async fn ask(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, Refusal> {
        let mut request = async_nats::Request::new().payload(payload);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        self.0.send_request(subject, request).await.map_err(|error| {
            Refusal::Fault(match error.kind() {
                RequestErrorKind::TimedOut => Fault::no_answer(),
                RequestErrorKind::NoResponders => Fault::Away("JetStream does not answer yet".into()),
                _ => Fault::Away(error.to_string()),
            })
        })
    }

    /// Whether the server may have been another process meanwhile.
    pub(super) fn has_reconnected(&self) -> bool {
        self.0.statistics().connects.load(Ordering::Relaxed) > 1
    }

    fn parsed(message: &Message) -> Result<Value, Refusal> {
        let mut value: Value = serde_json::from_slice(&message.payload)
            .map_err(|error| Refusal::Fault(Fault::Away(format!("an answer of JetStream: {error}"))))?;
        match value.get_mut("error").map(Value::take) {
            Some(error) => {
                let error = serde_json::from_value(error);
                Err(refusal(error.unwrap_or(Error { err_code: 0, description: "an unknown error".into() })))
            }
            None => Ok(value),
        }
    }

    pub(super) async fn call(&self, what: &str, arguments: &Value) -> Result<Value, Refusal> {
        let payload = if arguments.is_null() { String::new() } else { arguments.to_string() };
        Api::parsed(&self.ask(format!("$JS.API.{what}"), None, payload.into()).await?)
    }

    /// Appends a message to the stream that listens to the subject; its place there.
    pub(super) async fn append(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<u64, Refusal> {
        let answer = Api::parsed(&self.ask(subject, headers, payload).await?)?;
        let sequence = answer.get("seq").and_then(Value::as_u64).filter(|sequence| *sequence > 0);
        sequence.ok_or_else(|| Refusal::Fault(Fault::Away(format!("JetStream acknowledges with {answer}"))))
    }

    /// The message at this place, from any server that has it, else from the one that leads.
    pub(super) async fn get(&self, stream: &str, sequence: u64) -> Result<Stored, Refusal> {
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let payload = json!({ "seq": sequence }).to_string();
        match self.ask(subject, None, payload.into()).await {
            Ok(message) if message.status.is_none_or(|status| status == StatusCode::OK) => {
                Ok(Stored { sequence, data: message.payload })
            }
            _ => self.get_of_leader(stream, &json!({ "seq": sequence })).await,
        }
    }

    /// The last message of a subject.
    pub(super) async fn last_of(&self, stream: &str, subject: &str) -> Result<Stored, Refusal> {
        self.get_of_leader(stream, &json!({ "last_by_subj": subject })).await
    }

    async fn get_of_leader(&self, stream: &str, which: &Value) -> Result<Stored, Refusal> {
        let answer = self.call(&format!("STREAM.MSG.GET.{stream}"), which).await?;
        let garbled = || Refusal::Fault(Fault::Away("a stored message can't be read".into()));
        let message = answer.get("message").ok_or_else(garbled)?;
        let sequence = message.get("seq").and_then(Value::as_u64).ok_or_else(garbled)?;
        let text = message.get("data").and_then(Value::as_str).unwrap_or_default();
        let data = BASE64.decode(text.as_bytes()).map_err(|_| garbled())?;
        Ok(Stored { sequence, data: data.into() })
    }

    /// Deletes messages before `before`.
    pub(super) async fn purge(&self, stream: &str, before: u64) -> Result<(), Refusal> {
        if before <= 1 {
            return Ok(()); // the server takes 1 for all of it
        }
        let arguments = json!({ "seq": before });
        self.call(&format!("STREAM.PURGE.{stream}"), &arguments).await.map(drop)
    }

    /// Deletes a message; one that is gone is no fault.
    pub(super) async fn delete(&self, stream: &str, sequence: u64) -> Result<(), Refusal> {
        let arguments = json!({ "seq": sequence, "no_erase": true });
        match self.call(&format!("STREAM.MSG.DELETE.{stream}"), &arguments).await {
            Ok(_) | Err(Refusal::NoMessage) => Ok(()),
            // What was deleted already is an error without a code of its own.
            Err(Refusal::Fault(Fault::Away(why)))
                if why.contains("no message found") || why.contains("deleted") =>
            {
                Ok(())
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The stream's settings and state.
    pub(super) async fn info(&self, stream: &str) -> Result<Value, Refusal> {
        self.call(&format!("STREAM.INFO.{stream}"), &Value::Null).await
    }
}
