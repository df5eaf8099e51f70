//! The end of a connection. A connection that is closed while the client still writes gives the client a broken pipe in
//! place of its answer. A client that has closed its writing half (`nc -N`) still reads; one that is gone does not.

use crate::sys::hangup::Hangup;
use std::future::pending;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// For a refused client to send its request and to read the refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// Of a refused request, the bytes that are read: the largest head and the largest body.
const MAX_DISCARDED_BYTES: u64 = 272 * 1024;
/// After the client has gone, for what it has sent before to be read and done.
const HANGUP_DELAY: Duration = Duration::from_secs(1);

/// The refusal of a client whose request is not known yet.
pub(super) fn too_many(kind: &str, body: &str) -> String {
    last_answer("503 Service Unavailable\r\nretry-after: 1", kind, body)
}

/// The whole answer with which a connection ends.
pub(super) fn last_answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// Waits for the beginning of a request (a client that has not asked yet takes an answer for an error), writes a refusal,
/// and reads the rest of what the client sends until it closes.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, refusal: &str) {
    let exchange = async {
        stream.read_exact(&mut [0]).await?;
        say_and_close(&mut stream, refusal).await
    };
    // Where this fails, the client has gone or is slow.
    let _ = timeout(REFUSAL_TIMEOUT, exchange).await;
}

/// Writes what is to be said at the end of a connection that was served, and closes it as [`refuse`].
pub(super) async fn end<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, last: Option<&str>) {
    let _ = timeout(REFUSAL_TIMEOUT, say_and_close(&mut stream, last.unwrap_or_default())).await;
}

async fn say_and_close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, last: &str) -> io::Result<u64> {
    stream.write_all(last.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MAX_DISCARDED_BYTES), &mut tokio::io::sink()).await
}

/// Returns a moment after the client has closed both halves. Without descriptors to watch for that it never does: then a
/// client that is gone is found out by the next write.
pub(super) async fn gone(hangup: io::Result<Hangup>) {
    match hangup {
        Ok(hangup) => hangup.wait().await,
        Err(_) => pending().await,
    }
    sleep(HANGUP_DELAY).await;
}
