//! The client: one connection to a running pipeline, for the verbs of the command line.

use super::protocol::{
    self, Audit, Command, Done, LogLines, Open, Opened, Plan, Reason, Refused, ReloadSteps, Retried, Retry,
    RunEnded,
};
use crate::status::{Phase, Snapshot};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

/// For an answer that needs no waiting. The supervisor's own limit comes first, unless its process is stopped.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// While the backlog of the socket is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_RETRY_DELAY: Duration = Duration::from_millis(10);

/// What no name of a queue has, and a query can't have as it is.
const NOT_IN_NAMES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// A connection to a running pipeline.
pub(crate) struct Client {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    /// Of the run, if it is of this namespace.
    process: Option<i32>,
    pub socket: PathBuf,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// There is no connection.
    NotConnected(PathBuf, io::Error),
    /// There was no answer in time.
    Timeout(PathBuf),
    /// The connection ended before the answer.
    Gone(PathBuf),
    /// The run has ended without its exit code.
    NoEnd(PathBuf),
    /// The answer is not one of the protocol.
    BadAnswer(PathBuf, String),
    Refused(Refused),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NotConnected(path, error) => write!(f, "no answer at {}: {error}", path.display()),
            ClientError::Timeout(path) => {
                let seconds = ANSWER_TIMEOUT.as_secs();
                write!(f, "no answer from {} within {seconds} s: is its mprun stopped?", path.display())
            }
            ClientError::Gone(path) => write!(f, "{}: the pipeline ended before it answered", path.display()),
            ClientError::NoEnd(path) => {
                write!(f, "{}: the run ended without an exit code: its mprun was killed", path.display())
            }
            ClientError::BadAnswer(path, why) => {
                write!(
                    f,
                    "{}: the answer can't be read: {why}; is its mprun of another version?",
                    path.display()
                )
            }
            ClientError::Refused(refused) => f.write_str(&refused.error),
        }
    }
}

impl Client {
    /// # Errors
    /// When there is no server at the socket.
    pub(crate) fn connect(socket: &Path) -> Result<Client, ClientError> {
        let not_connected = |error| ClientError::NotConnected(socket.to_owned(), error);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(not_connected)?;
        let connected = runtime.block_on(async {
            let stream = connected(socket).await?;
            let process = stream.peer_cred()?.pid();
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Ok((sender, process))
        });
        let (sender, process) = connected.map_err(not_connected)?;
        Ok(Client { runtime, sender, process, socket: socket.to_owned() })
    }

    pub(crate) fn status(&mut self, history: bool) -> Result<Snapshot, ClientError> {
        self.get(&format!("{}{}", protocol::STATUS, if history { "?history=true" } else { "" }))
    }

    /// The same for one who can't wait.
    pub(crate) fn status_within(&mut self, limit: Duration) -> Result<Snapshot, ClientError> {
        self.request(Method::GET, protocol::STATUS, Bytes::new(), Some(limit))
    }

    /// The last lines of the log, for one who can't read its files.
    pub(crate) fn logs(&mut self, stage: Option<&str>, lines: usize) -> Result<LogLines, ClientError> {
        let stage = stage.map(|stage| format!("&stage={}", utf8_percent_encode(stage, NOT_IN_NAMES)));
        self.get(&format!("{}?lines={lines}{}", protocol::LOGS, stage.unwrap_or_default()))
    }

    pub(crate) fn audit(&mut self) -> Result<Audit, ClientError> {
        self.get(protocol::AUDIT)
    }

    pub(crate) fn plan(&mut self, plan: &Plan) -> Result<ReloadSteps, ClientError> {
        self.post(protocol::PLAN, plan, Some(ANSWER_TIMEOUT))
    }

    pub(crate) fn open(&mut self, open: &Open) -> Result<Opened, ClientError> {
        self.post(protocol::OPEN, open, Some(ANSWER_TIMEOUT))
    }

    pub(crate) fn retry(&mut self, letters: &Retry) -> Result<Retried, ClientError> {
        self.post(protocol::RETRY, letters, None)
    }

    /// Sends a command. `limit`: for the answer; `None`: as long as it takes.
    pub(crate) fn send(&mut self, command: &Command, limit: Option<Duration>) -> Result<Done, ClientError> {
        let (path, body) = command.to_request().map_err(|error| self.bad_answer(&error))?;
        self.post(&path, &body, limit)
    }

    /// Reads the items that pass through a queue: `each` gets bytes of the answer, and returns whether to continue.
    pub(crate) fn tap(&mut self, queue: &str, each: impl FnMut(&[u8]) -> bool) -> Result<(), ClientError> {
        let queue = utf8_percent_encode(queue, NOT_IN_NAMES);
        self.stream(&format!("{}?queue={queue}", protocol::TAP), each)
    }

    fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        self.request(Method::GET, path, Bytes::new(), Some(ANSWER_TIMEOUT))
    }

    fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
        limit: Option<Duration>,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.bad_answer(&error))?;
        self.request(Method::POST, path, body.into(), limit)
    }

    fn stream(&mut self, path: &str, each: impl FnMut(&[u8]) -> bool) -> Result<(), ClientError> {
        let response = self.open_stream(path)?;
        self.runtime.block_on(read(response, each));
        Ok(())
    }

    fn open_stream(&mut self, path: &str) -> Result<Response<Incoming>, ClientError> {
        let Client { runtime, sender, socket, .. } = self;
        runtime.block_on(async {
            let response = send(sender, socket, Method::GET, path, Bytes::new()).await?;
            if response.status().is_success() { Ok(response) } else { Err(refusal(socket, response).await) }
        })
    }

    fn request<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        limit: Option<Duration>,
    ) -> Result<T, ClientError> {
        let Client { runtime, sender, socket, .. } = self;
        let exchange = async {
            let response = send(sender, socket, method, path, body).await?;
            success(socket, response).await
        };
        let bytes = runtime.block_on(async {
            match limit {
                None => exchange.await,
                Some(limit) => {
                    timeout(limit, exchange).await.unwrap_or(Err(ClientError::Timeout(socket.clone())))
                }
            }
        })?;
        serde_json::from_slice(&bytes).map_err(|error| self.bad_answer(&error))
    }

    fn bad_answer(&self, error: &serde_json::Error) -> ClientError {
        ClientError::BadAnswer(self.socket.clone(), error.to_string())
    }
}

/// Waits for the end of a run. Begun before the command that ends it: afterwards there may be no one to ask.
pub(crate) struct EndWatch {
    client: Client,
    stream: Response<Incoming>,
}

impl EndWatch {
    /// # Errors
    /// When there is no run at the socket.
    pub(crate) fn begin(socket: &Path) -> Result<EndWatch, ClientError> {
        let mut client = Client::connect(socket)?;
        let stream = client.open_stream(protocol::END)?;
        Ok(EndWatch { client, stream })
    }

    /// Waits until the process is gone: the exit code of its run.
    ///
    /// # Errors
    /// When it has not said any: it was killed.
    pub(crate) fn exit_code(self) -> Result<u8, ClientError> {
        let EndWatch { client: Client { runtime, process, socket, .. }, stream } = self;
        let mut line = Vec::new();
        runtime.block_on(read(stream, |bytes| {
            line.extend_from_slice(bytes);
            true
        }));
        if let Ok(RunEnded { exit_code }) = serde_json::from_slice(&line) {
            return Ok(exit_code);
        }
        // An upgrade ends all connections, and leaves the process.
        match EndWatch::begin(&socket) {
            Ok(again) if again.client.process == process => again.exit_code(),
            _ => Err(ClientError::NoEnd(socket)),
        }
    }
}

/// The body of a stream, to its end or as long as it is wanted.
async fn read(mut response: Response<Incoming>, mut each: impl FnMut(&[u8]) -> bool) {
    // An error here is the end of the other side: there is no other end of a stream.
    while let Some(Ok(frame)) = response.frame().await {
        if let Some(bytes) = frame.data_ref()
            && !each(bytes)
        {
            break;
        }
    }
}

/// The status of a pipeline, asked by a program that has other things to do: once, and for no longer than `limit`.
///
/// # Errors
/// When there is none in time.
pub(crate) async fn look(socket: &Path, limit: Duration) -> Result<Snapshot, ClientError> {
    let not_connected = |error| ClientError::NotConnected(socket.to_owned(), error);
    let asked = async {
        let stream = connected(socket).await.map_err(not_connected)?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| not_connected(io::Error::other(error)))?;
        tokio::spawn(connection); // it ends with the sender
        let response = send(&mut sender, socket, Method::GET, protocol::STATUS, Bytes::new()).await?;
        let bytes = success(socket, response).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::BadAnswer(socket.to_owned(), error.to_string()))
    };
    timeout(limit, asked).await.unwrap_or_else(|_| Err(ClientError::Timeout(socket.to_owned())))
}

/// Connects, though many others do so at the same time.
async fn connected(socket: &Path) -> io::Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket).await {
            // The backlog is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && start.elapsed() < CONNECT_TIMEOUT => {
                sleep(CONNECT_RETRY_DELAY).await;
            }
            result => return result,
        }
    }
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Incoming>, ClientError> {
    let gone = || ClientError::Gone(socket.to_owned());
    let request = hyper::Request::builder().method(method).uri(path).header("host", "mprun");
    let request = request
        .body(Full::new(body))
        .map_err(|error| ClientError::BadAnswer(socket.to_owned(), error.to_string()))?;
    sender.ready().await.map_err(|_| gone())?;
    sender.send_request(request).await.map_err(|_| gone())
}

async fn whole(socket: &Path, response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let collected = response.into_body().collect().await;
    collected.map(|all| all.to_bytes()).map_err(|_| ClientError::Gone(socket.to_owned()))
}

/// The body of an answer that is no refusal.
async fn success(socket: &Path, response: Response<Incoming>) -> Result<Bytes, ClientError> {
    if !response.status().is_success() {
        return Err(refusal(socket, response).await);
    }
    whole(socket, response).await
}

async fn refusal(socket: &Path, response: Response<Incoming>) -> ClientError {
    let status = response.status();
    match whole(socket, response).await {
        Ok(bytes) => match serde_json::from_slice::<Refused>(&bytes) {
            Ok(refused) => ClientError::Refused(refused),
            Err(_) => ClientError::BadAnswer(socket.to_owned(), format!("status {status}")),
        },
        Err(error) => error,
    }
}

impl ClientError {
    /// Why it was refused, if it was.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            ClientError::Refused(refused) => Some(refused.reason),
            ClientError::NotConnected(..)
            | ClientError::Timeout(_)
            | ClientError::Gone(_)
            | ClientError::NoEnd(_)
            | ClientError::BadAnswer(..) => None,
        }
    }
}

/// What a look at a pipeline has found: its status, if it has one, and its phase. `None`: it has ended meanwhile.
pub(crate) fn seen(looked: Result<Snapshot, ClientError>) -> Option<(Option<Snapshot>, Option<Phase>)> {
    match looked {
        Ok(snapshot) => {
            let phase = snapshot.phase;
            Some((Some(snapshot), Some(phase)))
        }
        // One that was killed left its lock file behind.
        Err(ClientError::NotConnected(..) | ClientError::Gone(_) | ClientError::NoEnd(_)) => None,
        // All is done but the last steps of its process.
        Err(ClientError::Refused(Refused { reason: Reason::Stopping, .. })) => {
            Some((None, Some(Phase::Stopping)))
        }
        Err(ClientError::Refused(_) | ClientError::Timeout(_) | ClientError::BadAnswer(..)) => {
            Some((None, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_at_its_end_is_stopping_and_one_that_is_silent_gives_no_answer() {
        let socket = || PathBuf::from("/x.sock");
        let phase = |error| seen(Err(error)).map(|(_, phase)| phase);
        let refused = |reason| ClientError::Refused(Refused::new(reason, "why"));
        assert_eq!(phase(refused(Reason::Stopping)), Some(Some(Phase::Stopping)));
        assert_eq!(phase(refused(Reason::TooSlow)), Some(None));
        assert_eq!(phase(ClientError::Timeout(socket())), Some(None));
        assert_eq!(phase(ClientError::Gone(socket())), None);
        assert_eq!(phase(ClientError::NotConnected(socket(), io::ErrorKind::ConnectionRefused.into())), None);
    }
}
