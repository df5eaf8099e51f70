//! `[control] listen`: who may do what from where, each cell of the table in docs/page.md; and what hostile clients get.

mod support;

use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::{Run, wait_until};

const STAGES: &str = "[stages.tick]\nuse = 'tick'\nwith = { every = '5ms' }\noutput = 'a'\n\
                      [stages.show]\nuse = 'discard'\ninput = 'a'\n";

fn text(control: &str) -> String {
    format!("[control]\n{control}\n{STAGES}")
}

/// Where it says that it serves, the newest time.
fn address(run: &Run) -> String {
    wait_until("the address", || {
        let log = run.stderr();
        let rest = log.rsplit_once("control over TCP on http://")?.1;
        Some(rest.split_once('/')?.0.to_owned())
    })
}

fn up(control: &str) -> (Run, String) {
    let run = Run::start(&text(control));
    run.wait_for_log("up after");
    let address = address(&run);
    (run, address)
}

fn token(run: &Run, name: &str) -> String {
    let path = run.folder.path().join("state/mprun/pipeline").join(name);
    wait_until("the token", || fs::read_to_string(&path).ok()).trim().to_owned()
}

/// The code of an answer, and its body.
fn exchange(mut stream: impl Read + Write, request: &str) -> (u16, String, String) {
    let _ = stream.write_all(request.as_bytes());
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return (0, text, String::new()) };
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (code, head.to_ascii_lowercase(), body.to_owned())
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )
}

fn tcp(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String, String) {
    let headers = format!("host: {address}\r\n{headers}");
    exchange(TcpStream::connect(address).unwrap(), &request(method, path, &headers, body))
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// What looks, and what changes; with what the change is shown by.
const LOOKS: [&str; 4] = ["/v1", "/v1/status", "/v1/audit", "/metrics"];
const CHANGES: [(&str, &str); 7] = [
    ("/v1/pause", "{}"),
    ("/v1/resume", "{}"),
    ("/v1/scale", "{\"stage\":\"show\",\"processes\":2}"),
    ("/v1/restart", "{\"stage\":\"show\"}"),
    ("/v1/plan", "{}"),
    ("/v1/reload", "{}"),
    ("/v1/dead/retry", "{\"keys\":[]}"),
];

#[test]
fn a_stranger_gets_nothing_a_reader_looks_and_the_owner_does_all() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    let (full, read) = (bearer(&token(&run, "token")), bearer(&token(&run, "read-token")));
    let tokenless = [
        "",
        "authorization: Bearer\r\n",
        &bearer("x"),
        "authorization: Basic eDp4\r\n",
        &full.replace("Bearer", "Basic"),
    ];
    for path in LOOKS {
        for headers in tokenless {
            let (code, head, body) = tcp(&address, "GET", path, headers, "");
            assert_eq!((code, body.contains("no-token")), (401, true), "{path}: {body}");
            assert!(head.contains("www-authenticate: bearer"), "{head}");
        }
        assert_eq!(tcp(&address, "GET", path, &read, "").0, 200, "{path}");
        assert_eq!(tcp(&address, "GET", path, &full, "").0, 200, "{path}");
        let socket = UnixStream::connect(run.socket()).unwrap();
        assert_eq!(exchange(socket, &request("GET", path, "host: x\r\n", "")).0, 200, "{path}");
    }
    for (path, body) in CHANGES {
        assert_eq!(tcp(&address, "POST", path, "", body).0, 401, "{path}");
        let (code, _, said) = tcp(&address, "POST", path, &read, body);
        assert_eq!((code, said.contains("for looking only")), (403, true), "{path}: {said}");
    }
    let processes = |run: &Run| {
        let status: Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
        status["stages"][1]["processes"].as_u64().unwrap()
    };
    assert_eq!(processes(&run), 1, "nothing has changed");
    for (path, body) in CHANGES {
        let (code, _, said) = tcp(&address, "POST", path, &full, body);
        assert_eq!(code, 200, "{path}: {said}");
        let socket = UnixStream::connect(run.socket()).unwrap();
        assert_eq!(exchange(socket, &request("POST", path, "host: x\r\n", body)).0, 200, "{path}");
    }
}

#[test]
fn a_plan_of_any_file_is_made_on_the_socket_only() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    let secret = run.folder.file("secret.toml", "password = 'hunter2'\n");
    let body = format!("{{\"file\":\"{}\"}}", secret.display());
    let (code, _, said) = tcp(&address, "POST", "/v1/plan", &bearer(&token(&run, "token")), &body);
    assert_eq!((code, said.contains("hunter2")), (403, false), "{said}");
    let socket = UnixStream::connect(run.socket()).unwrap();
    let (_, _, said) = exchange(socket, &request("POST", "/v1/plan", "host: x\r\n", &body));
    assert!(said.contains("hunter2"), "{said}");
}

#[test]
fn another_site_can_neither_ask_nor_become_this_one() {
    let (run, address) = up("listen = '127.0.0.1:0'\nhosts = ['mprun.example.com']");
    let full = bearer(&token(&run, "token"));
    let ask = |headers: &str| {
        let all = format!("{headers}{full}");
        exchange(TcpStream::connect(&address).unwrap(), &request("POST", "/v1/pause", &all, "{}")).0
    };
    assert_eq!(ask("host: evil.example\r\n"), 403, "DNS rebinding");
    assert_eq!(ask(""), 403, "no host");
    assert_eq!(ask("host: localhost\r\norigin: http://evil.example\r\n"), 403, "CSRF");
    assert_eq!(ask("host: localhost\r\norigin: null\r\n"), 403, "CSRF from a sandbox");
    assert_eq!(ask("host: localhost:1\r\norigin: http://localhost:2\r\n"), 403, "CSRF from another port");
    assert_eq!(ask("host: localhost\r\nsec-fetch-site: same-site\r\nsec-fetch-mode: no-cors\r\n"), 403);
    assert_eq!(ask("host: mprun.example.com\r\norigin: https://mprun.example.com\r\n"), 200, "a proxy");
    let (_, head, _) = tcp(&address, "OPTIONS", "/v1/pause", "origin: http://evil.example\r\n", "");
    assert!(!head.contains("access-control"), "{head}");
    let (_, head, _) = tcp(&address, "GET", "/v1/status", &full, "");
    for header in ["content-security-policy: default-src 'self'", "nosniff", "no-store", "no-referrer"] {
        assert!(head.contains(header), "{head}");
    }
}

#[test]
fn tokens_are_for_their_owner_alone_stay_over_runs_and_are_never_logged() {
    let mut run = Run::start_with(&text("listen = '127.0.0.1:0'"), &["-vv"]);
    let address = address(&run);
    let tokens = [token(&run, "token"), token(&run, "read-token")];
    for name in ["token", "read-token"] {
        let path = run.folder.path().join("state/mprun/pipeline").join(name);
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(tokens[0].len() >= 43 && tokens[0] != tokens[1]);
    tcp(&address, "GET", "/v1/status", &bearer(&tokens[0]), "");
    tcp(&address, "POST", "/v1/pause", &bearer(&tokens[1]), "{}");
    run.signal(libc::SIGTERM);
    run.finish();
    for token in &tokens {
        assert!(!run.stderr().contains(token.as_str()), "{}", run.stderr());
    }
    let folder = std::mem::replace(&mut run.folder, support::Folder::new());
    let next = Run::in_folder(folder, &[]);
    next.wait_for_log("up after");
    assert_eq!(token(&next, "token"), tokens[0]);
}

#[test]
fn tokens_of_the_users_own_files_hold_and_a_bad_file_lets_no_client_in() {
    let folder = support::Folder::new();
    folder.file("full", "0123456789abcdef-full\n");
    folder.file("read", "short\n");
    folder.file(
        "pipeline.toml",
        &text("listen = '127.0.0.1:0'\ntoken_file = 'full'\nread_token_file = 'read'"),
    );
    let run = Run::in_folder(folder, &[]);
    run.wait_for_log("at least 16 characters");
    let address = address(&run);
    assert_eq!(tcp(&address, "GET", "/v1/status", &bearer("0123456789abcdef-full"), "").0, 200);
    for guess in ["short", "", "0123456789abcdef-ful", "0123456789abcdef-full2"] {
        assert_eq!(tcp(&address, "GET", "/v1/status", &bearer(guess), "").0, 401, "{guess}");
    }
    assert!(!run.folder.path().join("state/mprun/pipeline/token").exists());
    assert!(!run.stderr().contains("0123456789abcdef"), "{}", run.stderr());
}

#[test]
fn a_reload_moves_the_address_and_the_tokens_and_disconnects_the_old_clients() {
    let (run, first) = up("listen = '127.0.0.1:0'");
    let old = bearer(&token(&run, "token"));
    let mut open = TcpStream::connect(&first).unwrap();
    let asked = format!("GET /v1/tap?queue=a HTTP/1.1\r\nhost: x.localhost\r\nhost: {first}\r\n{old}\r\n");
    open.write_all(asked.replacen("host: x.localhost\r\n", "", 1).as_bytes()).unwrap();
    open.read_exact(&mut [0]).unwrap();
    run.folder.file("other", "0123456789abcdef-other");
    let port = first.rsplit_once(':').unwrap().1;
    // The same port at another address: the old listener must make room.
    run.edit(&text(&format!("listen = '127.0.0.2:{port}'\ntoken_file = 'other'")));
    run.tell(&["reload", "--wait"]);
    let second = address(&run);
    assert_eq!(second, format!("127.0.0.2:{port}"));
    let _ = open.read_to_end(&mut Vec::new()); // it ends
    assert!(TcpStream::connect(&first).is_err());
    assert_eq!(tcp(&second, "GET", "/v1/status", &old, "").0, 401);
    assert_eq!(tcp(&second, "GET", "/v1/status", &bearer("0123456789abcdef-other"), "").0, 200);
    assert!(run.stderr().contains("reload: control: listen: 127.0.0.1:0 -> 127.0.0.2"), "{}", run.stderr());
    run.edit(&text(""));
    run.tell(&["reload", "--wait"]);
    wait_until("the address to be closed", || TcpStream::connect(&second).is_err().then_some(()));
}

#[test]
fn an_upgrade_keeps_the_address_and_a_taken_one_is_a_warning() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    let full = bearer(&token(&run, "token"));
    run.tell(&["upgrade", "--wait"]);
    wait_until("an answer", || (tcp(&address, "GET", "/v1/status", &full, "").0 == 200).then_some(()));
    let other = Run::start(&text(&format!("listen = '{address}'")));
    other.wait_for_log("no control over TCP: failed to listen on");
    other.wait_for_log("up after");
}

#[test]
fn clients_that_send_a_byte_a_second_or_too_much_do_not_keep_others_out() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    let full = bearer(&token(&run, "token"));
    let slow: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            stream.write_all(b"GET /v1/st").unwrap();
            stream
        })
        .collect();
    assert_eq!(tcp(&address, "GET", "/v1/status", &full, "").0, 200);
    assert!(run.tell(&["status"]).contains("running"), "the socket has slots of its own");
    let long = format!("x: {}\r\n", "y".repeat(20_000));
    assert_eq!(tcp(&address, "GET", "/v1/status", &long, "").0, 431);
    // A stranger's body is not read: the refusal comes before it is there.
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "POST /v1/pause HTTP/1.1\r\nhost: {address}\r\ncontent-length: 200000\r\n\r\n").unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 401");
    drop(slow);
}

#[test]
fn the_sockets_group_and_permissions_can_be_given_and_taken_away() {
    let folder = support::Folder::new();
    // A group that this user may give the socket to: its own.
    let id = nix::unistd::getegid();
    let group = nix::unistd::Group::from_gid(id).unwrap().unwrap();
    folder.file("pipeline.toml", &text(&format!("socket_group = '{}'\nsocket_mode = '0660'", group.name)));
    let run = Run::in_folder(folder, &[]);
    run.wait_for_log("up after");
    let is = |mode: u32| {
        let found = fs::metadata(run.socket()).unwrap();
        (found.mode() & 0o777 == mode && found.gid() == id.as_raw()).then_some(())
    };
    wait_until("the socket to be shared", || is(0o660));
    run.edit(&text(""));
    run.tell(&["reload", "--wait"]);
    wait_until("the socket to be for its owner", || is(0o600));
    run.edit(&text("socket_group = 'no-such-group'\nsocket_mode = '0660'"));
    run.tell(&["reload", "--wait"]);
    run.wait_for_log("is for its owner alone: there is no group no-such-group");
    assert!(is(0o600).is_some());
}
