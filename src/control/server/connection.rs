//! One client: its requests, one after the other.

use super::reply::{self, BoxError, Response};
use super::route::{Route, no_such_path, route};
use super::shared::Shared;
use super::slots::Slot;
use super::web::access::Right;
use super::web::files::Target;
use super::web::site::Site;
use super::web::{access, page};
use super::{http, log_lines, machines, metrics, retry, stream};
use crate::control::protocol::{Reason, Refused, endpoint};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// The body of a request.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// The same of a client without a right: the code of a link has a few words.
const MAX_BODY_BYTES_WITHOUT_TOKEN: usize = 1024;
/// For the head of a request, for its body, and between two requests.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a client comes in, and so what it has to show.
#[derive(Clone)]
pub(super) enum Transport {
    /// The control socket: the permissions of the file decide who can connect.
    Socket,
    /// TCP: a token decides.
    Tcp(Arc<Site>),
}

/// Serves until the client goes, or breaks a limit.
pub(super) async fn serve<S>(stream: S, transport: Transport, shared: Shared, slot: Arc<Slot>)
where
    S: AsyncRead + AsyncWrite + AsFd + Unpin,
{
    let service = service_fn({
        let slot = Arc::clone(&slot);
        move |request| Box::pin(answer(transport.clone(), shared.clone(), Arc::clone(&slot), request))
    });
    http::serve(stream, slot, READ_TIMEOUT, service, reply::whole_text).await;
}

async fn answer(
    transport: Transport,
    shared: Shared,
    slot: Arc<Slot>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<impl Body<Data = Bytes, Error = BoxError>>, Infallible> {
    let (head, body) = request.into_parts();
    let target = transport.target(head.uri.path());
    // Before the body: a stranger's costs no memory.
    let body = match transport.check(&head, &target) {
        Ok(most) => read(body, most).await,
        Err(refused) => Err(refused),
    };
    let busy = slot.busy();
    let response = match body {
        Ok(body) => respond(&transport, &shared, &head, &target, &body).await,
        Err(refused) => Err(refused),
    };
    let mut response = response.unwrap_or_else(|refused| transport.refuse(&head, &target, &refused));
    if matches!(transport, Transport::Tcp(_)) {
        reply::guard(&mut response);
    }
    Ok(reply::held(response, busy))
}

impl Transport {
    fn target(&self, path: &str) -> Target {
        match self {
            Transport::Socket => Target::Api(endpoint(path)),
            Transport::Tcp(_) => Target::over_tcp(path),
        }
    }

    fn refuse(&self, head: &Parts, target: &Target, refused: &Refused) -> Response {
        let page = match (self, refused.reason) {
            (Transport::Tcp(_), Reason::NoToken) => page::how_to_open(target),
            _ => None,
        };
        page.unwrap_or_else(|| reply::refused(head.uri.path(), refused))
    }

    /// The most bytes that the body may have.
    fn check(&self, head: &Parts, target: &Target) -> Result<usize, Refused> {
        let Transport::Tcp(site) = self else { return Ok(MAX_BODY_BYTES) };
        let client = site.client(&head.headers)?;
        access::check(client, target)?;
        Ok(if client.right == Right::Nothing { MAX_BODY_BYTES_WITHOUT_TOKEN } else { MAX_BODY_BYTES })
    }
}

async fn respond(
    transport: &Transport,
    shared: &Shared,
    head: &Parts,
    target: &Target,
    body: &[u8],
) -> Result<Response, Refused> {
    if let Transport::Tcp(site) = transport
        && let Some(answer) = page::respond(site, &head.method, target, body)
    {
        return answer;
    }
    let state = &shared.state;
    let Target::Api(Some(endpoint)) = target else { return Err(no_such_path(head.uri.path())) };
    let route = route(endpoint.clone(), &head.method, head.uri.query(), body)?;
    if let (Transport::Tcp(_), Route::Ask(request)) = (transport, &route) {
        access::check_request(request)?;
    }
    match route {
        Route::Hello => Ok(reply::hello()),
        Route::Metrics => metrics::answer(state, &head.headers).await,
        Route::Ask(request) => Ok(reply::value(&state.ask(request).await?)),
        Route::Tap(tap) => stream::tap(state, tap).await,
        Route::Retry(keys) => Ok(reply::value(&retry::retry(Arc::clone(&state.retrier), keys).await?)),
        Route::End => Ok(shared.ending.reply()),
        Route::Events => Ok(shared.events.listen(state)),
        Route::Logs(logs) => {
            Ok(reply::value(&log_lines::last(state, shared.place.socket.as_deref(), logs).await?))
        }
        Route::Dead(dead) => shared.letters.some(dead).await,
        Route::DeadGroups => shared.letters.groups().await,
        Route::Drop(letters) => Ok(reply::value(&shared.letters.drop_some(letters).await?)),
        Route::Pipelines => Ok(reply::value(&*shared.neighbours.list(shared.place.socket.as_deref()).await)),
        Route::Machines => machines::answer(state).await,
        Route::Open(open) => Ok(reply::value(&shared.open(&open).await?)),
    }
}

async fn read(body: Incoming, most: usize) -> Result<Bytes, Refused> {
    match timeout(READ_TIMEOUT, Limited::new(body, most).collect()).await {
        Err(_) => Err(Refused::new(Reason::TooSlow, "the body of the request did not come in time")),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Refused::new(Reason::TooLarge, format!("the body of this request has at most {most} bytes")))
        }
        Ok(Err(error)) => Err(Refused::new(Reason::Malformed, format!("the body can't be read: {error}"))),
    }
}
