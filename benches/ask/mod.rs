//! A status over a connection that is kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// The whole answer, as text.
pub fn status(connection: &mut BufReader<UnixStream>) -> String {
    connection.get_mut().write_all(b"GET /v1/status HTTP/1.1\r\nhost: b\r\n\r\n").expect("ask");
    let mut length = 0;
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).expect("a header");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).expect("the body");
    String::from_utf8(body).expect("text")
}
