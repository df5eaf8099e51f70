//! Who may do what from where: each cell of the table in docs/page.md, for every route that there is.

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use support::control_api::{address, bearer, exchange, request, tcp, text, token};
use support::{Run, wait_until};

/// Rows of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Row {
    Look,
    Neighbours,
    Change,
    SocketOnly,
}

use Row::{Change, Look, Neighbours, SocketOnly};

/// Every route, with a request that is a good one.
const ROUTES: [(Row, &str, &str, &str); 24] = [
    (Look, "GET", "/v1", ""),
    (Look, "GET", "/v1/status", ""),
    (Look, "GET", "/v1/audit", ""),
    (Look, "GET", "/v1/tap?queue=a", ""),
    (Look, "GET", "/v1/end", ""),
    (Look, "GET", "/metrics", ""),
    (Look, "GET", "/v1/events", ""),
    (Look, "GET", "/v1/logs?stage=show", ""),
    (Look, "GET", "/v1/dead", ""),
    (Look, "GET", "/v1/dead/groups", ""),
    (Look, "GET", "/v1/machines", ""),
    (Neighbours, "GET", "/v1/pipelines", ""),
    (Change, "POST", "/v1/plan", "{}"),
    (Change, "POST", "/v1/scale", "{\"stage\":\"show\",\"processes\":2}"),
    (Change, "POST", "/v1/restart", "{\"stage\":\"show\"}"),
    (Change, "POST", "/v1/pause", "{}"),
    (Change, "POST", "/v1/resume", "{}"),
    (Change, "POST", "/v1/reload", "{}"),
    (Change, "POST", "/v1/stop-stage", "{\"stage\":\"show\"}"),
    (Change, "POST", "/v1/start-stage", "{\"stage\":\"show\"}"),
    (Change, "POST", "/v1/dead/retry", "{\"keys\":[]}"),
    (Change, "POST", "/v1/dead/drop", "{\"keys\":[]}"),
    (SocketOnly, "POST", "/v1/open", "{}"),
    (SocketOnly, "POST", "/v1/plan", "{\"file\":\"pipeline.toml\"}"),
];
/// Changes that end the process, or replace its program.
const ENDINGS: [&str; 3] = ["/v1/stop", "/v1/drain", "/v1/upgrade"];

/// Columns of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shown {
    Nothing,
    TokenForLooking,
    TokenForEverything,
}

use Shown::{Nothing, TokenForEverything, TokenForLooking};

struct Server {
    run: Run,
    /// On loopback, and on an address that other machines reach, if this one has such.
    addresses: Vec<String>,
}

impl Server {
    fn start() -> Server {
        let run = Run::start(&text("listen = '0.0.0.0:0'\nallow_plain = true"));
        run.wait_for_log("up after");
        let port = address(&run).rsplit_once(':').unwrap().1.to_owned();
        let mut hosts = vec!["127.0.0.1".to_owned()];
        match address_of_this_machine() {
            Some(own) => hosts.push(own.to_string()),
            None => eprintln!("this machine has no other address than loopback: only that is tested"),
        }
        Server { run, addresses: hosts.iter().map(|host| format!("{host}:{port}")).collect() }
    }

    fn header(&self, shown: Shown) -> String {
        match shown {
            Nothing => String::new(),
            TokenForLooking => bearer(&token(&self.run, "read-token")),
            TokenForEverything => bearer(&token(&self.run, "token")),
        }
    }

    fn over_tcp(&self, address: &str, shown: Shown, (method, path, body): (&str, &str, &str)) -> u16 {
        let headers = format!("host: {address}\r\n{}", self.header(shown));
        code(TcpStream::connect(address).unwrap(), &request(method, path, &headers, body))
    }

    fn over_the_socket(&self, (method, path, body): (&str, &str, &str)) -> u16 {
        let stream = UnixStream::connect(self.run.socket()).unwrap();
        code(stream, &request(method, path, "host: x\r\n", body))
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run.tell(&["status", "--json"])).unwrap()
    }
}

/// By which it reaches others; no packet is sent.
fn address_of_this_machine() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

/// Of an answer that may have no end; 0: the connection ended before it.
fn code(mut stream: impl Read + Write, request: &str) -> u16 {
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n") && stream.read(&mut byte).is_ok_and(|length| length > 0) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// What a cell of the table says: `None`: yes.
fn refusal(row: Row, shown: Shown) -> Option<u16> {
    match (row, shown) {
        (_, Nothing) => Some(401),
        (Look, _) | (Neighbours | Change, TokenForEverything) => None,
        (Neighbours | Change, TokenForLooking) | (SocketOnly, _) => Some(403),
    }
}

#[test]
fn the_table_here_has_every_route() {
    let server = Server::start();
    let socket = UnixStream::connect(server.run.socket()).unwrap();
    let hello: Value =
        serde_json::from_str(&exchange(socket, &request("GET", "/v1", "host: x\r\n", "")).2).unwrap();
    let there: BTreeSet<String> =
        hello["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned()).collect();
    let plain = |path: &str| path.split('?').next().unwrap().to_owned();
    let own = ROUTES.iter().map(|(_, method, path, _)| format!("{method} {}", plain(path)));
    let endings = ENDINGS.iter().map(|path| format!("POST {path}"));
    assert_eq!(own.chain(endings).collect::<BTreeSet<_>>(), there);
}

#[test]
fn each_cell_of_the_table_holds_on_loopback_and_from_elsewhere() {
    let server = Server::start();
    let no_broker = |path: &str| if path == "/v1/machines" { 409 } else { 200 };
    // First what is refused: it must change nothing.
    let before = server.status()["stages"].clone();
    for address in &server.addresses {
        for shown in [Nothing, TokenForLooking, TokenForEverything] {
            for (row, method, path, body) in ROUTES {
                if let Some(expected) = refusal(row, shown) {
                    let code = server.over_tcp(address, shown, (method, path, body));
                    assert_eq!(code, expected, "{row:?} {path} {shown:?} at {address}");
                }
            }
            for path in ENDINGS {
                if let Some(expected) = refusal(Change, shown) {
                    let code = server.over_tcp(address, shown, ("POST", path, "{}"));
                    assert_eq!(code, expected, "{path} {shown:?} at {address}");
                }
            }
        }
    }
    let after = server.status();
    assert_eq!((&after["phase"], &after["upgrades"]), (&"running".into(), &0.into()), "{after}");
    for key in ["name", "processes", "paused", "fate", "restarts"] {
        for (one, other) in before.as_array().unwrap().iter().zip(after["stages"].as_array().unwrap()) {
            assert_eq!(one[key], other[key]);
        }
    }
    for (row, method, path, body) in ROUTES {
        for address in &server.addresses {
            for shown in [TokenForLooking, TokenForEverything] {
                if refusal(row, shown).is_none() {
                    let code = server.over_tcp(address, shown, (method, path, body));
                    assert_eq!(code, no_broker(path), "{row:?} {path} {shown:?} at {address}");
                }
            }
        }
        assert_eq!(server.over_the_socket((method, path, body)), no_broker(path), "{row:?} {path}");
    }
}

#[test]
fn no_other_way_of_writing_a_path_gives_more_rights() {
    let server = Server::start();
    for address in &server.addresses {
        for shown in [Nothing, TokenForLooking, TokenForEverything] {
            for (row, method, asked, body) in ROUTES {
                let Some(expected) = refusal(row, shown) else { continue };
                let (path, query) = asked.split_once('?').map_or((asked, ""), |(path, query)| (path, query));
                let ways = [
                    format!("{path}/?{query}"),
                    format!("{path}//?{query}"),
                    format!("/{path}?{query}"),
                    format!("{}?{query}", path.replacen("/v1/", "/v1//", 1)),
                    format!("{}?{query}", path.replacen("/v1/", "/v1/./", 1)),
                    format!("{}?{query}", path.replacen("/v1/", "/v1%2f", 1)),
                    format!("{}?{query}", path.replacen("/v1", "/V1", 1)),
                    format!("http://{address}{path}/?{query}"),
                ];
                for way in ways {
                    let code = server.over_tcp(address, shown, (method, &way, body));
                    assert!(code == expected || code == 404, "{method} {way} {shown:?}: {code}");
                }
            }
        }
    }
    assert_eq!(server.status()["phase"], "running");
}

#[test]
fn the_socket_and_the_token_for_everything_end_a_run_and_upgrade_it() {
    for path in ENDINGS {
        for way in 0..3 {
            let mut server = Server::start();
            let ask = ("POST", path, "{}");
            match (way, server.addresses.get(1)) {
                (0, _) => server.over_the_socket(ask),
                (2, Some(elsewhere)) => server.over_tcp(elsewhere, TokenForEverything, ask),
                _ => server.over_tcp(&server.addresses[0], TokenForEverything, ask),
            };
            if path == "/v1/upgrade" {
                wait_until("the upgrade", || {
                    let status: Value =
                        serde_json::from_str(&server.run.ask(&["status", "--json"]).stdout).ok()?;
                    (status["upgrades"] == 1).then_some(())
                });
            } else {
                assert_eq!(server.run.wait(), 0, "{path}, {way}");
            }
        }
    }
}

#[test]
fn an_address_that_other_machines_reach_is_refused_without_a_word_for_it() {
    let folder = support::Folder::new();
    folder.file("pipeline.toml", &text("listen = '0.0.0.0:0'"));
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 2);
    assert!(run.stderr().contains("other machines reach 0.0.0.0:0"), "{}", run.stderr());
    assert!(run.stderr().contains("allow_plain"), "{}", run.stderr());
}

#[test]
fn a_token_for_looking_of_the_users_own_file_looks_and_makes_links_for_looking() {
    let folder = support::Folder::new();
    folder.file("looking", "0123456789abcdef-looking\n");
    folder.file("pipeline.toml", &text("listen = '127.0.0.1:0'\nread_token_file = 'looking'"));
    let run = Run::in_folder(folder, &[]);
    run.wait_for_log("up after");
    let address = address(&run);
    let looking = bearer("0123456789abcdef-looking");
    assert_eq!(tcp(&address, "GET", "/v1/status", &looking, "").0, 200);
    assert_eq!(tcp(&address, "GET", "/metrics", &looking, "").0, 200);
    assert_eq!(tcp(&address, "POST", "/v1/pause", &looking, "{}").0, 403);
    assert!(!run.folder.path().join("state/mprun/pipeline/read-token").exists());
    let link = run.tell(&["open", "--print", "--read-only"]);
    let code = link.trim().rsplit_once('#').unwrap().1.to_owned();
    let (code, _, said) = tcp(&address, "POST", "/open", "", &format!("{{\"code\":\"{code}\"}}"));
    assert_eq!((code, said.contains("\"read_only\":true")), (200, true), "{said}");
    assert!(!run.stderr().contains("0123456789abcdef"), "{}", run.stderr());
}

#[test]
fn a_name_of_another_site_is_refused_from_elsewhere_too() {
    let server = Server::start();
    let full = server.header(TokenForEverything);
    for address in &server.addresses {
        for headers in [
            "host: evil.example\r\n".to_owned(),
            format!("host: {address}\r\norigin: http://evil.example\r\n"),
            format!("host: {address}\r\nsec-fetch-site: cross-site\r\nsec-fetch-mode: cors\r\n"),
        ] {
            let asked = request("POST", "/v1/pause", &format!("{headers}{full}"), "{}");
            assert_eq!(code(TcpStream::connect(address).unwrap(), &asked), 403, "{headers}");
        }
        assert_eq!(tcp(address, "POST", "/v1/resume", &full, "{}").0, 200, "{address}");
    }
    assert_eq!(server.status()["paused"], false);
}
