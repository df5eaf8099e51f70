//! Every route of the control API, each with every kind of wrong input, on the socket and over TCP: a refusal with the
//! code and the reason that docs/control.md has, as JSON, and nothing has changed.

mod support;

use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use support::Run;
use support::control_api::{address, bearer, token};

const PIPELINE: &str = "[control]\nlisten = '127.0.0.1:0'\n\
                        [stages.tick]\nuse = 'tick'\nwith = { every = '1h' }\noutput = 'items'\n\
                        [stages.show]\nuse = 'discard'\ninput = 'items'\n";
/// The largest head, and the largest body.
const HEAD: usize = 16 * 1024;
const BODY: usize = 256 * 1024;

/// Both ends of a connection, of either kind.
trait Stream: Read + Write {
    fn end_writing(&self);
}

impl Stream for UnixStream {
    fn end_writing(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

impl Stream for TcpStream {
    fn end_writing(&self) {
        self.shutdown(Shutdown::Write).unwrap();
    }
}

/// A running pipeline, and how it is asked.
struct Server {
    run: Run,
    address: String,
    /// Headers with the token for everything, and with the one for looking.
    full: String,
    read: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Over {
    Socket,
    Tcp,
}

#[derive(Debug)]
struct Answer {
    code: u16,
    head: String,
    body: String,
}

impl Server {
    fn start() -> Server {
        let run = Run::start(PIPELINE);
        run.wait_for_log("up after");
        let address = address(&run);
        let (full, read) = (bearer(&token(&run, "token")), bearer(&token(&run, "read-token")));
        Server { run, address, full, read }
    }

    fn connect(&self, over: Over) -> Box<dyn Stream> {
        let limit = Some(support::LIMIT);
        match over {
            Over::Socket => {
                let stream = UnixStream::connect(self.run.socket()).unwrap();
                stream.set_read_timeout(limit).unwrap();
                Box::new(stream)
            }
            Over::Tcp => {
                let stream = TcpStream::connect(&self.address).unwrap();
                stream.set_read_timeout(limit).unwrap();
                Box::new(stream)
            }
        }
    }

    /// What a client has to show.
    fn headers(&self, over: Over) -> String {
        let token = if over == Over::Tcp { self.full.as_str() } else { "" };
        format!("host: {}\r\n{token}", self.address)
    }

    fn request(&self, over: Over, method: &str, target: &str, headers: &str, body: &str) -> Vec<u8> {
        let (own, length) = (self.headers(over), body.len());
        format!("{method} {target} HTTP/1.1\r\n{own}{headers}content-length: {length}\r\n\r\n{body}").into()
    }

    /// Sends these bytes and says that no more will come; all that is answered.
    fn exchange(&self, over: Over, bytes: &[u8]) -> Vec<Answer> {
        let mut stream = self.connect(over);
        // The server may have had enough before all is sent.
        if stream.write_all(bytes).is_ok() {
            stream.end_writing();
        }
        answers(stream.as_mut())
    }

    /// The one answer to one request.
    fn ask(&self, over: Over, method: &str, target: &str, body: &str) -> Answer {
        let mut all = self.exchange(over, &self.request(over, method, target, "", body));
        assert_eq!(all.len(), 1, "{method} {target} {body}: {all:?}");
        all.remove(0)
    }

    fn routes(&self) -> Vec<(String, String)> {
        let hello: Value = serde_json::from_str(&self.ask(Over::Socket, "GET", "/v1", "").body).unwrap();
        let each = |line: &Value| {
            let (method, path) = line.as_str().unwrap().split_once(' ').unwrap();
            (method.to_owned(), path.to_owned())
        };
        hello["paths"].as_array().unwrap().iter().map(each).collect()
    }

    /// Nothing that was refused has done anything.
    fn is_unchanged(&self) {
        assert_eq!(self.run.tell(&["status", "--check"]), "pipeline: ok\n");
        let status: Value = serde_json::from_str(&self.run.tell(&["status", "--json"])).unwrap();
        assert_eq!(status["phase"], "running", "{status}");
        for stage in status["stages"].as_array().unwrap() {
            let is = (
                &stage["processes"],
                &stage["running"],
                &stage["paused"],
                &stage["fate"],
                &stage["restarts"],
            );
            let untouched = serde_json::json!([1, 1, false, "wanted", {}]);
            assert_eq!(serde_json::json!(is), untouched, "{stage}");
        }
    }
}

/// All answers up to the end of the stream.
fn answers(stream: &mut dyn Stream) -> Vec<Answer> {
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut rest = text.as_str();
    let mut all = Vec::new();
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let head = head.to_ascii_lowercase();
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(after.len(), |length| length.parse::<usize>().unwrap().min(after.len()));
        all.push(Answer { code, head, body: after[..length].to_owned() });
        rest = &after[length..];
    }
    all
}

/// A refusal as docs/control.md describes it.
#[track_caller]
fn is_refused(answer: &Answer, code: u16, reason: &str, what: &str) {
    assert_eq!(answer.code, code, "{what}: {answer:?}");
    assert!(answer.head.contains("content-type: application/json"), "{what}: {answer:?}");
    let body: Value = serde_json::from_str(&answer.body)
        .unwrap_or_else(|error| panic!("{what}: not the JSON of a refusal: {error}: {answer:?}"));
    assert_eq!(body["reason"], reason, "{what}: {answer:?}");
    assert!(body["error"].as_str().is_some_and(|error| error.len() > 10), "{what}: {answer:?}");
}

const BOTH: [Over; 2] = [Over::Socket, Over::Tcp];

#[test]
fn every_route_refuses_every_wrong_request_with_its_reason() {
    let server = Server::start();
    let routes = server.routes();
    assert!(routes.len() > 25, "{routes:?}");
    let large = "x".repeat(BODY + 1);
    for over in BOTH {
        for (method, path) in &routes {
            let what = format!("{over:?} {method} {path}");
            let is_link = (over, path.as_str()) == (Over::Tcp, "/v1/open");
            for wrong in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"] {
                if wrong == method || is_link {
                    continue;
                }
                let answer = server.ask(over, wrong, path, "");
                assert_eq!(answer.code, 405, "{what}, with {wrong}: {answer:?}");
                assert!(answer.head.contains(&format!("allow: {}", method.to_lowercase())), "{answer:?}");
                match wrong {
                    "HEAD" => assert_eq!(answer.body, ""),
                    _ => is_refused(&answer, 405, "wrong-method", &what),
                }
            }
            // A link is made on the socket only, whatever is asked.
            let (code, reason) = if is_link { (403, "not-allowed") } else { (400, "malformed") };
            let bodies: &[&str] = if method == "GET" {
                &["{}", "x"]
            } else {
                &["{", "[]", "\"x\"", "null", "\0", "{\"x\":1}", "stage=show", "{} {}"]
            };
            for body in bodies {
                let answer = server.ask(over, method, path, body);
                is_refused(&answer, code, reason, &format!("{what} {body:?}"));
            }
            if path != "/metrics" {
                let answer = server.ask(over, method, &format!("{path}?x=1"), "");
                is_refused(&answer, code, reason, &format!("{what}?x=1"));
            }
            if !is_link {
                is_refused(&server.ask(over, method, path, &large), 413, "too-large", &what);
            }
            is_refused(&server.ask(over, method, &format!("{path}/x"), ""), 404, "no-such-path", &what);
        }
        for (target, code) in [("/v1/dead?most=0", 200), ("/metrics?name=x", 200), ("/v1/status/", 200)] {
            assert_eq!(server.ask(over, "GET", target, "").code, code, "{over:?} {target}");
        }
        assert_eq!(server.ask(over, "GET", "/v1/dead?most=0", "").body, "[]\n");
        for target in [
            "/v1/status?history=maybe",
            "/v1/status?history=true&x",
            "/v1/logs?lines=many",
            "/v1/logs?lines=-1",
            "/v1/logs?lines=99999999999",
            "/v1/dead?most=x",
            "/v1/dead?keys=1",
            "/v1/tap",
            "/v1/tap?stage=show",
        ] {
            is_refused(&server.ask(over, "GET", target, ""), 400, "malformed", target);
        }
    }
    server.is_unchanged();
}

#[test]
fn the_docs_have_every_route_and_no_other() {
    let docs = fs::read_to_string(support::project().join("docs/control.md")).unwrap();
    let server = Server::start();
    let hello = server.ask(Over::Socket, "GET", "/v1", "").body;
    assert!(docs.contains(&format!("\n{hello}")), "docs/control.md should show: {hello}");
    let rows: String = docs.lines().filter(|line| line.starts_with("| `")).collect();
    let routes = server.routes();
    for (method, path) in &routes {
        let is_there = rows.contains(&format!("`{method} {path}`")) || rows.contains(&format!("`, `{path}`"));
        assert!(is_there, "docs/control.md has no row of {method} {path}");
    }
    let paths = rows.split('`').filter(|word| word.contains("/v1/"));
    for path in paths.map(|word| word.trim_start_matches(|letter| letter != '/')) {
        assert!(routes.iter().any(|(_, known)| known == path), "{path} is not there any more");
    }
}

#[test]
fn a_name_that_is_none_is_refused_with_the_nearest_one() {
    let server = Server::start();
    for over in BOTH {
        for name in ["shwo", "Show", "../pipeline", "@mprun2", "7", ""] {
            for (path, more) in [
                ("scale", ",\"processes\":2"),
                ("restart", ""),
                ("pause", ""),
                ("resume", ""),
                ("stop-stage", ""),
                ("start-stage", ""),
            ] {
                let body = format!("{{\"stage\":\"{name}\"{more}}}");
                let answer = server.ask(over, "POST", &format!("/v1/{path}"), &body);
                is_refused(&answer, 404, "no-such-stage", &format!("{path} {body}"));
                assert_eq!(
                    answer.body.contains("did you mean show?"),
                    name.starts_with(['s', 'S']),
                    "{answer:?}"
                );
            }
            let answer = server.ask(over, "GET", &format!("/v1/logs?stage={name}"), "");
            is_refused(&answer, 404, "no-such-stage", &format!("logs {name}"));
            assert_eq!(
                answer.body.contains("did you mean show?"),
                name.starts_with(['s', 'S']),
                "{answer:?}"
            );
        }
        for (name, hint) in
            [("itmes", "did you mean items?"), ("other", "mprun status"), ("", "mprun status")]
        {
            let answer = server.ask(over, "GET", &format!("/v1/tap?queue={name}"), "");
            is_refused(&answer, 404, "no-such-queue", name);
            assert!(answer.body.contains(hint), "{answer:?}");
        }
        // A stage that has said nothing yet is one all the same.
        for name in ["show", "sh%6Fw"] {
            assert_eq!(server.ask(over, "GET", &format!("/v1/logs?stage={name}"), "").code, 200, "{name}");
        }
    }
    server.is_unchanged();
}

#[test]
fn over_tcp_every_route_asks_for_its_token() {
    let server = Server::start();
    let host = format!("host: {}\r\n", server.address);
    let ask = |method: &str, path: &str, headers: &str, body: &str| {
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        );
        server.exchange(Over::Tcp, text.as_bytes()).remove(0)
    };
    let tokens = ["", "authorization: Bearer\r\n", "authorization: Bearer 0123456789abcdef\r\n"];
    let mut routes = server.routes();
    routes.push(("GET".to_owned(), "/v1/no-such-path".to_owned()));
    routes.push(("DELETE".to_owned(), "/v1/status".to_owned()));
    for (method, path) in &routes {
        for token in tokens {
            for body in ["", "{", &"x".repeat(BODY + 1)] {
                let answer = ask(method, path, &format!("{host}{token}"), body);
                is_refused(&answer, 401, "no-token", &format!("{method} {path} {token}"));
                assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
            }
        }
        let reading = ask(method, path, &format!("{host}{}", server.read), "x");
        match (method.as_str(), path.as_str()) {
            ("GET", "/v1/pipelines") => is_refused(&reading, 403, "not-allowed", path),
            ("GET", "/v1/no-such-path") => is_refused(&reading, 404, "no-such-path", path),
            ("GET", _) => is_refused(&reading, 400, "malformed", path),
            ("DELETE", _) => is_refused(&reading, 405, "wrong-method", path),
            _ => is_refused(&reading, 403, "not-allowed", path),
        }
        for other in ["", "host: evil.example\r\n", "host: a\r\nhost: b\r\n"] {
            is_refused(&ask(method, path, &format!("{other}{}", server.full), ""), 403, "not-allowed", path);
        }
        let origin = format!("{host}{}origin: http://evil.example\r\n", server.full);
        is_refused(&ask(method, path, &origin, ""), 403, "not-allowed", path);
    }
    server.is_unchanged();
}

#[test]
fn what_is_no_whole_request_is_refused_as_json_too() {
    let server = Server::start();
    let long = "y".repeat(HEAD);
    let headers: String = (0..100).map(|n| format!("h{n}: v\r\n")).collect();
    for over in BOTH {
        let own = server.headers(over);
        for (bytes, code, reason) in [
            ("hello there\r\n\r\n".to_owned(), 400, "malformed"),
            ("\0\0\0\0\r\n\r\n".to_owned(), 400, "malformed"),
            ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n".to_owned(), 400, "malformed"),
            ("GET /v1 HTTP/9.9\r\n\r\n".to_owned(), 400, "malformed"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400, "malformed"),
            (format!("GET /v1 HTTP/1.1\r\n{own}bad header\r\n\r\n"), 400, "malformed"),
            (format!("POST /v1/stop HTTP/1.1\r\n{own}content-length: -1\r\n\r\n"), 400, "malformed"),
            (
                format!("POST /v1/stop HTTP/1.1\r\n{own}content-length: 99999999999999999999\r\n\r\n"),
                400,
                "malformed",
            ),
            (format!("GET /{long} HTTP/1.1\r\n{own}\r\n"), 431, "too-large"),
            (format!("GET /v1 HTTP/1.1\r\n{own}x: {long}\r\n\r\n"), 431, "too-large"),
            (format!("GET /v1 HTTP/1.1\r\n{own}{headers}\r\n"), 431, "too-large"),
            // The client goes in the middle.
            ("GET /v1/sta".to_owned(), 400, "malformed"),
            (format!("GET /v1/status HTTP/1.1\r\n{own}"), 400, "malformed"),
            (format!("POST /v1/stop HTTP/1.1\r\n{own}content-length: 9\r\n\r\n{{"), 400, "malformed"),
            (
                format!("POST /v1/stop HTTP/1.1\r\n{own}transfer-encoding: chunked\r\n\r\nzz\r\n"),
                400,
                "malformed",
            ),
            (
                format!("POST /v1/stop HTTP/1.1\r\n{own}transfer-encoding: chunked\r\n\r\n2\r\n{{"),
                400,
                "malformed",
            ),
        ] {
            let all = server.exchange(over, bytes.as_bytes());
            let what = format!("{over:?} {}", bytes.get(..60).unwrap_or(&bytes));
            assert_eq!(all.len(), 1, "{what}: {all:?}");
            is_refused(&all[0], code, reason, &what);
        }
        // All that a client had to say.
        assert!(server.exchange(over, b"").is_empty());
        let mut stream = server.connect(over);
        // With a body in chunks, whatever its type is said to be.
        for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "x"] {
            let body = "{\"stage\":\"nope\"}";
            let (first, second) = body.split_at(5);
            write!(
                stream,
                "POST /v1/restart HTTP/1.1\r\n{own}content-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n\
                 {:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
                first.len(),
                second.len()
            )
            .unwrap();
        }
        let chunk = format!("{BODY:x}\r\n{}\r\n", "x".repeat(BODY));
        let _ = write!(
            stream,
            "POST /v1/restart HTTP/1.1\r\n{own}transfer-encoding: chunked\r\n\r\n{chunk}1\r\nx\r\n0\r\n\r\n"
        );
        stream.end_writing();
        let all = answers(stream.as_mut());
        assert_eq!(all.len(), 5, "{over:?}: {all:?}");
        all[..4].iter().for_each(|answer| is_refused(answer, 404, "no-such-stage", "chunks"));
        is_refused(&all[4], 413, "too-large", "chunks");
    }
    server.is_unchanged();
}

#[test]
fn requests_in_one_write_are_answered_in_order_and_the_first_that_is_none_ends_the_connection() {
    let server = Server::start();
    for over in BOTH {
        let own = server.headers(over);
        let mut bytes = server.request(over, "GET", "/v1/audit", "", "");
        bytes.extend(server.request(over, "POST", "/v1/scale", "", "{\"stage\":\"nope\",\"by\":1}"));
        bytes.extend(server.request(over, "GET", "/v1/nothing", "", ""));
        bytes.extend(b"nonsense\r\n\r\n");
        bytes.extend(server.request(over, "POST", "/v1/pause", "", "{}"));
        let all = server.exchange(over, &bytes);
        let codes: Vec<u16> = all.iter().map(|answer| answer.code).collect();
        assert_eq!(codes, [200, 404, 404, 400], "{over:?}: {all:?}");
        is_refused(&all[3], 400, "malformed", "nonsense");
        // As old clients ask; without `Host` only on the socket.
        let old = format!("GET /v1/audit HTTP/1.0\r\n{own}\r\n");
        let all = server.exchange(over, old.as_bytes());
        assert_eq!((all.len(), all[0].code), (1, 200), "{all:?}");
        let without_host = own.lines().filter(|line| !line.starts_with("host"));
        let without_host: String = without_host.map(|line| format!("{line}\r\n")).collect();
        let all = server.exchange(over, format!("GET /v1/audit HTTP/1.0\r\n{without_host}\r\n").as_bytes());
        assert_eq!(all[0].code, if over == Over::Socket { 200 } else { 403 }, "{all:?}");
    }
    server.is_unchanged();
}

#[test]
fn a_request_that_stays_unfinished_is_refused_in_time_and_a_silent_client_gets_no_answer() {
    let server = Server::start();
    // All at once: each takes the time that a client has.
    let all = BOTH.map(|over| {
        let own = server.headers(over);
        let sent = [
            String::new(),
            "GET /v1/sta".to_owned(),
            format!("POST /v1/stop HTTP/1.1\r\n{own}content-length: 9\r\n\r\n{{"),
            format!("GET /v1/audit HTTP/1.1\r\n{own}\r\n"),
        ];
        sent.map(|text| {
            let mut stream = server.connect(over);
            stream.write_all(text.as_bytes()).unwrap();
            stream
        })
    });
    for [mut silent, head, body, mut between] in all {
        for mut stream in [head, body] {
            let all = answers(stream.as_mut());
            assert_eq!(all.len(), 1, "{all:?}");
            is_refused(&all[0], 408, "too-slow", "half a request");
        }
        assert!(answers(silent.as_mut()).is_empty());
        // The next request that never comes is no refusal of its own: a client might take it for an answer.
        assert_eq!(answers(between.as_mut()).len(), 1);
    }
    server.is_unchanged();
}
