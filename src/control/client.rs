//! The asking end: one connection to a running pipeline, for the verbs of the command line.

use super::protocol::{Reason, Refused};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How long a pipeline may take over what needs no waiting. Its own limit comes first, unless it is stopped.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// A connection to a running pipeline.
pub struct Client {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    /// Where it goes.
    pub socket: PathBuf,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody answers there.
    NoAnswer(PathBuf, io::Error),
    /// It did not answer in time.
    Silent(PathBuf),
    /// The connection ended before the answer.
    Gone(PathBuf),
    /// It answers something else than it should.
    Garbled(PathBuf, String),
    /// It won't.
    Refused(Refused),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NoAnswer(path, error) => write!(f, "nobody answers at {}: {error}", path.display()),
            ClientError::Silent(path) => {
                let seconds = ANSWER_WITHIN.as_secs();
                write!(f, "no answer from {} within {seconds} s: is its mprun stopped?", path.display())
            }
            ClientError::Gone(path) => write!(f, "{}: the pipeline ended before it answered", path.display()),
            ClientError::Garbled(path, why) => {
                write!(f, "{}: the answer can't be read: {why}", path.display())
            }
            ClientError::Refused(refused) => f.write_str(&refused.error),
        }
    }
}

/// How long an answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// A while.
    Short,
    /// As long as it takes.
    Endless,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn connect(socket: &Path) -> Result<Client, ClientError> {
        let no_answer = |error| ClientError::NoAnswer(socket.to_owned(), error);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_answer)?;
        let connected = runtime.block_on(async {
            let stream = UnixStream::connect(socket).await?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
            tokio::spawn(connection);
            Ok(sender)
        });
        let sender = connected.map_err(no_answer)?;
        Ok(Client { runtime, sender, socket: socket.to_owned() })
    }

    /// Asks for a value.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, ClientError> {
        let bytes = self.request(Method::GET, path, Bytes::new(), Patience::Short)?;
        self.parse(&bytes)
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
        patience: Patience,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.garbled(&error))?;
        let bytes = self.request(Method::POST, path, body.into(), patience)?;
        self.parse(&bytes)
    }

    /// Reads an answer as it comes; `each` gets its pieces, and says whether it wants more.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub fn stream(&mut self, path: &str, mut each: impl FnMut(&[u8]) -> bool) -> Result<(), ClientError> {
        let Client { runtime, sender, socket } = self;
        runtime.block_on(async {
            let mut response = send(sender, socket, Method::GET, path, Bytes::new()).await?;
            if !response.status().is_success() {
                return Err(refusal(socket, response).await);
            }
            // An error here is the end of the other side: there is no other end of a stream.
            while let Some(Ok(frame)) = response.frame().await {
                if let Some(bytes) = frame.data_ref()
                    && !each(bytes)
                {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Waits until the process at the other end is gone.
    ///
    /// # Errors
    /// When it refuses to be watched.
    pub fn until_the_end(mut self) -> Result<(), ClientError> {
        match self.stream("/v1/end", |_| true) {
            // It was gone before it could answer.
            Err(ClientError::Gone(_)) => Ok(()),
            result => result,
        }
    }

    fn request(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        patience: Patience,
    ) -> Result<Bytes, ClientError> {
        let Client { runtime, sender, socket } = self;
        let exchange = async {
            let response = send(sender, socket, method, path, body).await?;
            if !response.status().is_success() {
                return Err(refusal(socket, response).await);
            }
            whole(socket, response).await
        };
        runtime.block_on(async {
            match patience {
                Patience::Endless => exchange.await,
                Patience::Short => {
                    timeout(ANSWER_WITHIN, exchange).await.unwrap_or(Err(ClientError::Silent(socket.clone())))
                }
            }
        })
    }

    fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(bytes).map_err(|error| self.garbled(&error))
    }

    fn garbled(&self, error: &serde_json::Error) -> ClientError {
        ClientError::Garbled(self.socket.clone(), error.to_string())
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
        .map_err(|error| ClientError::Garbled(socket.to_owned(), error.to_string()))?;
    sender.ready().await.map_err(|_| gone())?;
    sender.send_request(request).await.map_err(|_| gone())
}

async fn whole(socket: &Path, response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let collected = response.into_body().collect().await;
    collected.map(|all| all.to_bytes()).map_err(|_| ClientError::Gone(socket.to_owned()))
}

async fn refusal(socket: &Path, response: Response<Incoming>) -> ClientError {
    let status = response.status();
    match whole(socket, response).await {
        Ok(bytes) => match serde_json::from_slice::<Refused>(&bytes) {
            Ok(refused) => ClientError::Refused(refused),
            Err(_) => ClientError::Garbled(socket.to_owned(), format!("status {status}")),
        },
        Err(error) => error,
    }
}

impl ClientError {
    /// Why it was refused, if it was.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            ClientError::Refused(refused) => Some(refused.reason),
            ClientError::NoAnswer(..)
            | ClientError::Silent(_)
            | ClientError::Gone(_)
            | ClientError::Garbled(..) => None,
        }
    }
}
