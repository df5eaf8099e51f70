//! The control API over TCP, as tests ask it.

use super::{Run, wait_until};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

pub const STAGES: &str = "[stages.tick]\nuse = 'tick'\nwith = { every = '5ms' }\noutput = 'a'\n\
                      [stages.show]\nuse = 'discard'\ninput = 'a'\n";

pub fn text(control: &str) -> String {
    format!("[control]\n{control}\n{STAGES}")
}

/// Where it says that it serves, the newest time.
pub fn address(run: &Run) -> String {
    wait_until("the address", || {
        let log = run.stderr();
        let rest = log.rsplit_once("control over TCP on http://")?.1;
        Some(rest.split_once('/')?.0.to_owned())
    })
}

pub fn up(control: &str) -> (Run, String) {
    let run = Run::start(&text(control));
    run.wait_for_log("up after");
    let address = address(&run);
    (run, address)
}

pub fn token(run: &Run, name: &str) -> String {
    let path = run.folder.path().join("state/mprun/pipeline").join(name);
    wait_until("the token", || fs::read_to_string(&path).ok()).trim().to_owned()
}

/// The code of an answer, and its body.
pub fn exchange(mut stream: impl Read + Write, request: &str) -> (u16, String, String) {
    let _ = stream.write_all(request.as_bytes());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return (0, text, String::new()) };
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (code, head.to_ascii_lowercase(), body.to_owned())
}

pub fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

pub fn tcp(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
    let headers = format!("host: {address}\r\n{headers}");
    exchange(TcpStream::connect(address).unwrap(), &request(method, path, &headers, body))
}

pub fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}
