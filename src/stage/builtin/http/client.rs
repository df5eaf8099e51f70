//! One connection to one server, and the requests on it, one after the other.
//!
//! A connection is kept for the next request. The server may have closed it meanwhile: a request that got no byte of an answer on
//! a kept connection is sent once more on a fresh one.
//!
//! | a hostile server … | bounded by |
//! |---|---|
//! | never answers, or a byte at a time | `item_timeout`, over all |
//! | sends endless headers | [`MAX_HEAD`] |
//! | sends endless answers 1xx | `item_timeout` |
//! | sends an endless body | [`MAX_BODY`]: the status counts, the connection ends |

use super::answer::Answer;
use super::endpoint::Endpoint;
use super::headers::IDEMPOTENCY_KEY;
use super::secrets::Secrets;
#[cfg(feature = "https")]
use super::tls::Tls;
use crate::stage::{Failure, Orders, Reach, Undelivered};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Bytes of the head of an answer.
const MAX_HEAD: usize = 64 << 10;
/// Bytes of a body that are read.
const MAX_BODY: usize = 64 << 10;
/// For the body of an answer that says already that the items are not done.
const REASON_TIMEOUT: Duration = Duration::from_secs(2);
/// For one of several addresses of a host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Threads that look up names: one that hangs must not keep the next look-up waiting, and not gather without end.
const LOOKUPS: usize = 4;
/// Between two looks for an order to finish, while a server is waited for.
const ORDER_INTERVAL: Duration = Duration::from_millis(50);

type Sender = SendRequest<Full<Bytes>>;

pub(super) struct Client {
    runtime: Runtime,
    peer: Peer,
    orders: Option<Orders>,
    connection: Option<Sender>,
}

/// The server, and what is the same in all requests to it.
struct Peer {
    endpoint: Endpoint,
    method: Method,
    headers: HeaderMap,
    secrets: Secrets,
    #[cfg(feature = "https")]
    tls: Option<Tls>,
}

/// Why there is no answer.
enum Lost {
    /// Nothing came back: on a kept connection that is its end.
    Unanswered(String),
    Broken(String),
}

impl Client {
    pub(super) fn open(
        endpoint: Endpoint,
        method: Method,
        mut headers: HeaderMap,
        secrets: Secrets,
        orders: Option<Orders>,
    ) -> Result<Client, Failure> {
        let mut add = |name, value: HeaderValue| {
            headers.entry(name).or_insert(value);
        };
        add(HOST, HeaderValue::from_str(&endpoint.authority())?);
        add(USER_AGENT, HeaderValue::from_static(concat!("mprun/", env!("CARGO_PKG_VERSION"))));
        add(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(value) = &endpoint.authorization {
            add(AUTHORIZATION, value.clone());
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(LOOKUPS)
            .build()
            .map_err(|error| Failure::fatal(format!("can't wait for a server: {error}")))?;
        #[cfg(feature = "https")]
        let tls = endpoint.is_encrypted.then(|| Tls::open(&endpoint)).transpose()?;
        let peer = Peer {
            endpoint,
            method,
            headers,
            secrets,
            #[cfg(feature = "https")]
            tls,
        };
        Ok(Client { runtime, peer, orders, connection: None })
    }

    /// One request, and what its answer means.
    pub(super) fn send(
        &mut self,
        body: &Bytes,
        key: &HeaderValue,
        until: Instant,
    ) -> Result<(), Undelivered> {
        let Client { runtime, peer, orders, connection } = self;
        let taken_too_long = Err("took too long".to_owned());
        let exchanged = runtime.block_on(async {
            tokio::select! {
                answer = tokio::time::timeout_at(until.into(), exchange(peer, connection, body, key, until)) => {
                    Ok(answer.unwrap_or(taken_too_long))
                }
                () = order_to_finish(orders.as_ref()) => Err(()),
            }
        });
        match exchanged {
            Ok(Ok(answer)) => answer.outcome(SystemTime::now(), &peer.secrets),
            Ok(Err(why)) => {
                Err(Failure::later(format!("{}: {}", peer.endpoint, peer.secrets.hide(&why))).into())
            }
            Err(()) => Err(Failure::with_reach("stopped while waiting for a server", Reach::Ordered).into()),
        }
    }
}

/// Only an order to finish ends a request early; all others wait for its end, as for that of any item.
async fn order_to_finish(orders: Option<&Orders>) {
    let Some(orders) = orders else { return std::future::pending().await };
    while !orders.must_finish() {
        tokio::time::sleep(ORDER_INTERVAL).await;
    }
}

async fn exchange(
    peer: &Peer,
    kept: &mut Option<Sender>,
    body: &Bytes,
    key: &HeaderValue,
    until: Instant,
) -> Result<Answer, String> {
    if let Some(sender) = kept.take().filter(|sender| !sender.is_closed()) {
        match request(peer, sender, kept, body, key, until).await {
            Err(Lost::Unanswered(why)) => log::debug!("a kept connection has ended: {why}"),
            Err(Lost::Broken(why)) => return Err(why),
            Ok(answer) => return Ok(answer),
        }
    }
    let sender = peer.connect().await?;
    request(peer, sender, kept, body, key, until)
        .await
        .map_err(|(Lost::Unanswered(why) | Lost::Broken(why))| why)
}

/// Sends a request, and reads its answer. A connection that can take another one is kept.
async fn request(
    peer: &Peer,
    mut sender: Sender,
    kept: &mut Option<Sender>,
    body: &Bytes,
    key: &HeaderValue,
    until: Instant,
) -> Result<Answer, Lost> {
    sender.ready().await.map_err(|error| Lost::Unanswered(in_words(&error)))?;
    let request = peer.request(body, key).map_err(|error| Lost::Broken(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| {
        let why = in_words(&error);
        // No byte of an answer: closed, reset, or ended.
        match error.is_parse() || error.is_parse_too_large() {
            true => Lost::Broken(why),
            false => Lost::Unanswered(why),
        }
    })?;
    let (head, mut incoming) = response_parts(response);
    let (status, headers) = head;
    let is_done = status.is_success();
    let read_until = if is_done { until } else { until.min(Instant::now() + REASON_TIMEOUT) };
    let mut body = Vec::new();
    match tokio::time::timeout_at(read_until.into(), read(&mut incoming, &mut body)).await {
        Ok(Ok(true)) => *kept = Some(sender),
        // The status counts, whatever else the server would say.
        Ok(Ok(false)) => {}
        Ok(Err(why)) if is_done => return Err(Lost::Broken(format!("the answer broke off: {why}"))),
        Err(_) if is_done => return Err(Lost::Broken("the answer took too long".to_owned())),
        Ok(Err(_)) | Err(_) => {}
    }
    Ok(Answer { status, headers, body })
}

fn response_parts(response: Response<Incoming>) -> ((hyper::StatusCode, HeaderMap), Incoming) {
    let (head, body) = response.into_parts();
    ((head.status, head.headers), body)
}

/// Reads a body as far as it is of interest. False: there is more of it.
async fn read(incoming: &mut Incoming, body: &mut Vec<u8>) -> Result<bool, String> {
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| in_words(&error))?;
        if let Some(data) = frame.data_ref() {
            if body.len() + data.len() > MAX_BODY {
                return Ok(false);
            }
            body.extend_from_slice(data);
        }
    }
    Ok(true)
}

impl Peer {
    fn request(&self, body: &Bytes, key: &HeaderValue) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.endpoint.target)
            .body(Full::new(body.clone()))?;
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(IDEMPOTENCY_KEY, key.clone());
        Ok(request)
    }

    async fn connect(&self) -> Result<Sender, String> {
        let stream = self.connect_tcp().await?;
        // Heads are short, and each waits for an answer.
        let _ = stream.set_nodelay(true);
        #[cfg(feature = "https")]
        if let Some(tls) = &self.tls {
            let stream = tls.connect(stream).await.map_err(|error| {
                format!("no TLS: {}", super::tls::in_words(&error).unwrap_or_else(|| in_words(&error)))
            })?;
            return handshake(stream).await;
        }
        handshake(stream).await
    }

    async fn connect_tcp(&self) -> Result<TcpStream, String> {
        let mut why = "its name has no address".to_owned();
        for address in self.addresses().await? {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why = format!("can't connect: {error}"),
                Err(_) => why = "can't connect: no answer".to_owned(),
            }
        }
        Err(why)
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        match &self.endpoint.host {
            url::Host::Ipv4(address) => Ok(vec![(*address, self.endpoint.port).into()]),
            url::Host::Ipv6(address) => Ok(vec![(*address, self.endpoint.port).into()]),
            url::Host::Domain(name) => {
                let found = tokio::net::lookup_host((name.as_str(), self.endpoint.port)).await;
                Ok(found.map_err(|error| format!("its name can't be looked up: {error}"))?.collect())
            }
        }
    }
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Result<Sender, String> {
    let builder = {
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_HEAD);
        builder
    };
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| in_words(&error))?;
    // It ends with its connection, and what it says is said to the sender as well.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// An error with its causes.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
