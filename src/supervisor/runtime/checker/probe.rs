//! A connection, and a request over it.

use super::course::Outcome;
use crate::secret;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};

/// Without a port in the address.
const HTTP_PORT: u16 = 80;
/// What is missing here is no fault of a service.
const OURS: [Errno; 6] =
    [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS, Errno::EADDRNOTAVAIL, Errno::EPERM];

/// Whether it takes a connection.
pub(super) async fn tcp(address: &str) -> Outcome {
    match connect_to(address).await {
        Ok(_) => Outcome::Well,
        Err(error) => failure(address, &error),
    }
}

/// Whether it answers well.
pub(super) async fn http(url: &str) -> Outcome {
    match get(url).await {
        Ok(status) if status.is_success() || status.is_redirection() => Outcome::Well,
        Ok(status) => Outcome::Failed(format!("{} answers {status}", secret::hidden(url))),
        Err(error) => failure(&secret::hidden(url), &error),
    }
}

fn failure(what: &str, error: &io::Error) -> Outcome {
    let is_ours = error.raw_os_error().is_some_and(|errno| OURS.contains(&Errno::from_raw(errno)));
    let why = match error.raw_os_error() {
        Some(errno) => format!("{what}: {}", Errno::from_raw(errno).desc().to_lowercase()),
        None => format!("{what}: {error}"),
    };
    if is_ours { Outcome::NotMade(why) } else { Outcome::Failed(why) }
}

/// `HOST:PORT`; the host may stand in brackets.
async fn connect_to(address: &str) -> io::Result<TcpStream> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| io::Error::other("it has no port"))?;
    let port = port.parse().map_err(|_| io::Error::other(format!("there is no port {port}")))?;
    connect(host.trim_start_matches('[').trim_end_matches(']'), port).await
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = connect_to_any(host, port).await?;
    if is_to_itself(&stream)? { Err(io::Error::from_raw_os_error(libc::ECONNREFUSED)) } else { Ok(stream) }
}

/// Where none listens on a port that the kernel may also choose for our end, it sometimes connects us to ourselves: each of
/// some 28,000 tries.
fn is_to_itself(stream: &TcpStream) -> io::Result<bool> {
    Ok(stream.local_addr()? == stream.peer_addr()?)
}

async fn connect_to_any(host: &str, port: u16) -> io::Result<TcpStream> {
    // Known without a look at a file or a server.
    if host != "localhost" {
        return TcpStream::connect((host, port)).await;
    }
    let first = TcpStream::connect((IpAddr::from(Ipv4Addr::LOCALHOST), port)).await;
    match first {
        Ok(stream) => Ok(stream),
        Err(error) => TcpStream::connect((IpAddr::from(Ipv6Addr::LOCALHOST), port)).await.map_err(|_| error),
    }
}

async fn get(url: &str) -> io::Result<StatusCode> {
    let uri: Uri = url.parse().map_err(io::Error::other)?;
    let host = uri.host().ok_or_else(|| io::Error::other("it has no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = connect(host, uri.port_u16().unwrap_or(HTTP_PORT)).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let _connection = Connection(spawn_local(async move { drop(connection.await) }));
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    let request = Request::get(path)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("mprun/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    match sender.send_request(request).await {
        Ok(response) => Ok(response.status()),
        Err(error) if error.is_incomplete_message() => Err(io::Error::other("it hangs up without an answer")),
        Err(error) if error.is_parse() => Err(io::Error::other("it answers something that is no HTTP")),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Goes with the try that it is for.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::net::{TcpListener, TcpSocket};

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn a_connection_to_itself_is_none() {
        run(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
            let own = socket.local_addr().unwrap();
            assert!(is_to_itself(&socket.connect(own).await.unwrap()).unwrap());
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            assert!(!is_to_itself(&connect("localhost", port).await.unwrap()).unwrap());
        });
    }
}
