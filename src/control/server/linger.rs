//! The end of a connection. One that is closed while the client still writes gives it a broken pipe in the place of its
//! answer; and a client that has closed its writing half (`nc -N`) still reads, where one that is gone does not.

use crate::sys::hangup::Hangup;
use std::future::pending;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

/// A client that is sent away may take so long to send its request and to read why.
const WITHIN: Duration = Duration::from_secs(2);
/// No more of its request is read than this: the largest head and the largest body.
const MOST: u64 = 272 * 1024;
/// What a client has sent before it went is done all the same, if it can be read within this.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What a client is told that has to be sent away before its request is known.
pub fn too_many(kind: &str, body: &str) -> String {
    let head = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1";
    format!("{head}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Waits for the beginning of a request (a client that has not asked yet takes an answer for an error), writes a refusal,
/// and reads the rest of what the client has to say until it closes.
pub async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, refusal: &str) {
    let parting = async {
        stream.read_exact(&mut [0]).await?;
        stream.write_all(refusal.as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(MOST), &mut tokio::io::sink()).await
    };
    // A client that hears nothing of it has gone, or is slow.
    let _ = timeout(WITHIN, parting).await;
}

/// Returns a moment after the client has closed both halves. Without descriptors to watch for that it never does: then a
/// client that is gone is found out by the next write.
pub async fn gone(hangup: io::Result<Hangup>) {
    match hangup {
        Ok(hangup) => hangup.wait().await,
        Err(_) => pending().await,
    }
    sleep(AFTERWARDS).await;
}
