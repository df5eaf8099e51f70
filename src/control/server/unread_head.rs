//! Requests whose head can't be read. hyper answers some of these itself, with an empty body, and others not at all; here
//! all get a refusal as every other request.

use crate::control::protocol::{Reason, Refused};
use hyper::StatusCode;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The head of a request: its line and its headers.
pub(super) const MAX_HEAD_BYTES: usize = 16 * 1024;
pub(super) const MAX_HEADERS: usize = 64;
/// No head of hyper's own is longer.
const LONGEST_HEAD: usize = 256;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A stream that swallows hyper's own refusal, the last that it writes.
pub(super) struct WithoutOwnRefusals<S> {
    stream: S,
    has_swallowed: bool,
}

impl<S> WithoutOwnRefusals<S> {
    pub(super) fn new(stream: S) -> WithoutOwnRefusals<S> {
        WithoutOwnRefusals { stream, has_swallowed: false }
    }

    /// The stream, and the refusal of what could not be read. `unread`: the client has sent something that was not served.
    pub(super) fn finish(
        self,
        ended: Result<(), hyper::Error>,
        unread: bool,
    ) -> (S, Option<(StatusCode, Refused)>) {
        let unread = unread || self.has_swallowed;
        (self.stream, ended.err().filter(|_| unread).and_then(|error| refusal(&error)))
    }
}

fn refusal(error: &hyper::Error) -> Option<(StatusCode, Refused)> {
    let (code, reason, error) = if error.is_parse_too_large() {
        let error =
            format!("the head of a request has at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} headers");
        (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Reason::TooLarge, error)
    } else if error.is_parse() {
        (StatusCode::BAD_REQUEST, Reason::Malformed, format!("this is no request of HTTP/1.1: {error}"))
    } else if error.is_timeout() {
        let error = "the head of the request did not come in time".to_owned();
        (StatusCode::REQUEST_TIMEOUT, Reason::TooSlow, error)
    } else if error.is_incomplete_message() {
        let error = "the request ends in the middle of its head".to_owned();
        (StatusCode::BAD_REQUEST, Reason::Malformed, error)
    } else {
        return None;
    };
    Some((code, Refused::new(reason, error)))
}

/// Where such a refusal begins in what hyper writes. Every other answer has a body, and none ends with an empty line.
fn own_refusal(bytes: &[u8]) -> Option<usize> {
    if !bytes.ends_with(HEAD_END) {
        return None;
    }
    let start = bytes.len().saturating_sub(LONGEST_HEAD);
    let at = start + bytes[start..].windows(7).rposition(|window| window == b"HTTP/1.")?;
    let head = &bytes[at..];
    let is_error = head.get(9) == Some(&b'4');
    (is_error && head.windows(21).any(|window| window == b"\r\ncontent-length: 0\r\n")).then_some(at)
}

impl<S: AsyncRead + Unpin> AsyncRead for WithoutOwnRefusals<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WithoutOwnRefusals<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match own_refusal(bytes) {
            Some(0) => {
                self.has_swallowed = true;
                Poll::Ready(Ok(bytes.len()))
            }
            // The end of an earlier answer stands before it.
            Some(at) => Pin::new(&mut self.stream).poll_write(context, &bytes[..at]),
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_refusal_at_the_end_is_hypers_own() {
        let own = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(own_refusal(own.as_bytes()), Some(0));
        let after = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}\n";
        assert_eq!(own_refusal(format!("{after}{own}").as_bytes()), Some(after.len()));
        for other in [
            after,
            "HTTP/1.1 100 Continue\r\n\r\n",
            "0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\n",
        ] {
            assert_eq!(own_refusal(other.as_bytes()), None, "{other}");
        }
    }
}
