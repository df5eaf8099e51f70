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
    let head = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1";
    format!("{head}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Waits for the beginning of a request (a client that has not asked yet takes an answer for an error), writes a refusal,
/// and reads the rest of what the client sends until it closes.
pub(super) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, refusal: &str) {
    let exchange = async {
        stream.read_exact(&mut [0]).await?;
        stream.write_all(refusal.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(MAX_DISCARDED_BYTES), &mut tokio::io::sink()).await
    };
    // Where this fails, the client has gone or is slow.
    let _ = timeout(REFUSAL_TIMEOUT, exchange).await;
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
