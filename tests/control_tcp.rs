//! `[control] listen`: who may do what from where, each cell of the table in docs/page.md; and what hostile clients get.

mod support;

use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::control_api::{address, bearer, exchange, request, tcp, text, token, up};
use support::pty::Pty;
use support::{Run, wait_until};

/// What looks, and what changes; with what the change is shown by.
const LOOKS: [&str; 7] =
    ["/v1", "/v1/status", "/v1/audit", "/metrics", "/v1/logs", "/v1/dead", "/v1/dead/groups"];
const CHANGES: [(&str, &str); 8] = [
    ("/v1/dead/drop", "{\"keys\":[]}"),
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
    let secret = run.folder.file("secret.toml", "pieces = 'hunter2'\n");
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
    // A token with a slip of the pen is a secret, too; so are the code of a link, and what it is exchanged for.
    let slip = tokens[0].replacen(&tokens[0][..1], "~", 1);
    assert_eq!(tcp(&address, "GET", &format!("/v1/status?token={slip}"), &bearer(&slip), "").0, 401);
    let link = run.tell(&["open", "--print"]);
    let code = link.trim().rsplit_once('#').unwrap().1.to_owned();
    assert_eq!(tcp(&address, "POST", "/open", "", &format!("{{\"code\":\"{code}\"}}")).0, 200);
    let (cookie, body) = session(&address, &run, &["open", "--print"]);
    let key: Value = serde_json::from_str(&body).unwrap();
    let key = key["key"].as_str().unwrap().to_owned();
    tcp(&address, "GET", "/v1/status", &format!("cookie: {cookie}\r\nx-mprun-key: {key}\r\n"), "");
    let cookie = cookie.split_once('=').unwrap().1.to_owned();
    run.signal(libc::SIGTERM);
    run.finish();
    for secret in tokens.iter().chain([&slip, &code, &key, &cookie]) {
        assert!(!run.stderr().contains(secret.as_str()), "{}", run.stderr());
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
    // A token of its own that something has spoilt since the last run.
    folder.file("state/mprun/pipeline/read-token", "short\n");
    folder.file("pipeline.toml", &text("listen = '127.0.0.1:0'\ntoken_file = 'full'"));
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
fn a_token_file_that_holds_none_is_a_fault_of_check_of_a_start_and_of_a_reload() {
    let good = text("listen = '127.0.0.1:0'");
    let bad = text("listen = '127.0.0.1:0'\ntoken_file = 'mine'");
    let (run, _) = up("listen = '127.0.0.1:0'");
    run.folder.file("mine", "secret\n");
    run.edit(&bad);
    let place = "pipeline.toml:3:14";
    for verb in [["check", "pipeline.toml"], ["reload", "--wait"]] {
        let said = run.ask(&verb);
        assert_eq!(said.code, Some(2), "{said:?}");
        for part in ["there is no token in ", "at least 16 characters", place, "head -c 24 /dev/urandom"] {
            assert!(said.stderr.contains(part), "{part}: {said:?}");
        }
        assert!(!said.stderr.contains("secret"), "{said:?}");
    }
    run.edit(&good);
    // What the help says to write makes a good file.
    let help = run.ask(&["check", "--syntax", "pipeline.toml"]);
    assert_eq!(help.code, Some(0), "{help:?}");
    run.edit(&bad);
    let said = run.ask(&["check", "pipeline.toml"]).stderr;
    let line = said.split_once("help: `").unwrap().1.split_once('`').unwrap().0;
    let made = std::process::Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(made.status.success(), "{line}");
    let mine = run.folder.path().join("mine");
    fs::write(&mine, made.stdout).unwrap();
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o600)).unwrap();
    let said = run.ask(&["check", "pipeline.toml"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o644)).unwrap();
    let said = run.ask(&["check", "pipeline.toml"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in ["warning: every user of this machine can read ", "(mode 0644)", place, "chmod o= "] {
        assert!(said.stderr.contains(part), "{part}: {said:?}");
    }
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
    let second = format!("127.0.0.2:{port}");
    // The log comes by a process of its own.
    wait_until("the new address", || (address(&run) == second).then_some(()));
    let _ = open.read_to_end(&mut Vec::new()); // it ends
    assert!(TcpStream::connect(&first).is_err());
    assert_eq!(tcp(&second, "GET", "/v1/status", &old, "").0, 401);
    assert_eq!(tcp(&second, "GET", "/v1/status", &bearer("0123456789abcdef-other"), "").0, 200);
    run.wait_for_log("reload: control: listen: 127.0.0.1:0 -> 127.0.0.2");
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
    other.wait_for_log("no control over TCP until this works: failed to listen on");
    other.wait_for_log("up after");
}

#[test]
fn an_address_that_is_taken_is_served_once_it_is_free_and_open_and_status_say_so_meanwhile() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let wanted = taken.local_addr().unwrap().to_string();
    let run = Run::start(&text(&format!("listen = '{wanted}'")));
    run.wait_for_log("up after");
    let fault = format!("there is no page: failed to listen on {wanted}: Address already in use");
    let said = run.ask(&["open", "--print"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains(&fault) && said.stderr.contains("tries it again every 5 s"), "{said:?}");
    assert!(run.tell(&["status"]).contains(&fault));
    assert_eq!(run.ask(&["status", "--check"]).code, Some(0));
    drop(taken);
    wait_until("the page", || (run.ask(&["open", "--print"]).code == Some(0)).then_some(()));
    assert_eq!(address(&run), wanted);
    let full = bearer(&token(&run, "token"));
    assert_eq!(tcp(&wanted, "GET", "/v1/status", &full, "").0, 200);
    assert!(!run.tell(&["status"]).contains("there is no page"));
    // The address stays through a change of another key, and through an upgrade.
    run.edit(&text(&format!("listen = '{wanted}'\nhosts = ['shop.example']")));
    run.tell(&["reload", "--wait"]);
    wait_until("the new name", || {
        let other = request("GET", "/v1/status", &format!("host: shop.example\r\n{full}"), "");
        (exchange(TcpStream::connect(&wanted).unwrap(), &other).0 == 200).then_some(())
    });
    run.tell(&["upgrade", "--wait"]);
    wait_until("an answer", || (tcp(&wanted, "GET", "/v1/status", &full, "").0 == 200).then_some(()));
    // The same for an address that a reload brings.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let next = other.local_addr().unwrap().to_string();
    run.edit(&text(&format!("listen = '{next}'")));
    run.tell(&["reload", "--wait"]);
    run.wait_for_log(&format!("until this works: failed to listen on {next}"));
    drop(other);
    wait_until("the next address", || (address(&run) == next).then_some(()));
    assert_eq!(tcp(&next, "GET", "/v1/status", &full, "").0, 200);
}

#[test]
fn a_reload_takes_another_token_over_from_the_same_file_and_ends_the_sessions_of_the_old_one() {
    let folder = support::Folder::new();
    folder.file("mine", "0123456789abcdef-one");
    folder.file("pipeline.toml", &text("listen = '127.0.0.1:0'\ntoken_file = 'mine'"));
    let run = Run::in_folder(folder, &[]);
    run.wait_for_log("up after");
    let address = address(&run);
    let code = |token: &str| tcp(&address, "GET", "/v1/status", &bearer(token), "").0;
    assert_eq!((code("0123456789abcdef-one"), code("0123456789abcdef-two")), (200, 401));
    let (cookie, body) = session(&address, &run, &["open", "--print"]);
    let key: Value = serde_json::from_str(&body).unwrap();
    let session = format!("cookie: {cookie}\r\nx-mprun-key: {}\r\n", key["key"].as_str().unwrap());
    // One that changes nothing leaves clients where they are.
    let mut open = TcpStream::connect(&address).unwrap();
    let asked = request("GET", "/v1/end", &format!("host: {address}\r\n{session}"), "");
    open.write_all(asked.as_bytes()).unwrap();
    open.read_exact(&mut [0; 12]).unwrap();
    run.tell(&["reload"]);
    assert_eq!(tcp(&address, "GET", "/v1/status", &session, "").0, 200);
    fs::write(run.folder.path().join("mine"), "0123456789abcdef-two").unwrap();
    run.tell(&["reload"]);
    run.wait_for_log("a token is another one");
    assert_eq!((code("0123456789abcdef-one"), code("0123456789abcdef-two")), (401, 200));
    assert_eq!(tcp(&address, "GET", "/v1/status", &session, "").0, 401);
    let _ = open.read_to_end(&mut Vec::new()); // it ends
    // Whatever else is wrong in the pipeline file: a token is taken back.
    fs::write(run.folder.path().join("mine"), "0123456789abcdef-three").unwrap();
    run.edit("[stages.tick]\ncapasity = 1\n");
    assert_eq!(run.ask(&["reload"]).code, Some(2));
    wait_until("the third token", || (code("0123456789abcdef-three") == 200).then_some(()));
    assert_eq!(code("0123456789abcdef-two"), 401);
    run.edit(&text("listen = '127.0.0.1:0'\ntoken_file = 'mine'"));
    // One that mprun has made: another one is made.
    let made = token(&run, "read-token");
    fs::remove_file(run.folder.path().join("state/mprun/pipeline/read-token")).unwrap();
    run.tell(&["reload"]);
    wait_until("another token", || (code(&made) == 401).then_some(()));
    assert_ne!(token(&run, "read-token"), made);
}

#[test]
fn a_pipe_in_the_place_of_a_token_is_logged_and_other_clients_are_served() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    let full = bearer(&token(&run, "token"));
    let path = run.folder.path().join("state/mprun/pipeline/read-token");
    let reader = bearer(&token(&run, "read-token"));
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    run.tell(&["reload"]);
    run.wait_for_log("this is no file");
    wait_until("the end of its right", || {
        (tcp(&address, "GET", "/v1/status", &reader, "").0 == 401).then_some(())
    });
    assert_eq!(tcp(&address, "GET", "/v1/status", &full, "").0, 200);
}

#[test]
fn a_link_outlives_a_reload_that_leaves_the_token() {
    let (run, first) = up("listen = '127.0.0.1:0'");
    let made = |run: &Run| {
        let link = run.tell(&["open", "--print"]);
        format!("{{\"code\":\"{}\"}}", link.trim().rsplit_once('#').unwrap().1)
    };
    let (body, other) = (made(&run), made(&run));
    let host = "host: shop.example\r\n";
    run.edit(&text("listen = '127.0.0.1:0'\nhosts = ['shop.example']"));
    run.tell(&["reload", "--wait"]);
    let open =
        |body: &str| exchange(TcpStream::connect(&first).unwrap(), &request("POST", "/open", host, body)).0;
    wait_until("the new name", || (open("{\"code\":\"x\"}") == 403).then_some(()));
    wait_until("the new name", || {
        let asked = request("GET", "/v1/status", &format!("{host}{}", bearer(&token(&run, "token"))), "");
        (exchange(TcpStream::connect(&first).unwrap(), &asked).0 == 200).then_some(())
    });
    assert_eq!(open(&body), 200);
    // Its right was that of the old token.
    fs::remove_file(run.folder.path().join("state/mprun/pipeline/token")).unwrap();
    run.tell(&["reload"]);
    run.wait_for_log("a token is another one");
    let (code, _, said) = tcp(&first, "POST", "/open", "", &other);
    assert_eq!(code, 403);
    assert!(said.contains("a change of its token"), "{said}");
}

#[test]
fn a_link_to_all_addresses_of_the_machine_names_one_that_a_browser_can_open() {
    let (run, address) = up("listen = '0.0.0.0:0'\nallow_plain = true");
    let link = run.tell(&["open", "--print"]);
    let port = address.rsplit_once(':').unwrap().1;
    assert!(link.starts_with(&format!("http://127.0.0.1:{port}/open#")), "{link}");
}

#[test]
fn names_that_look_like_numbers_or_flags_are_names() {
    let stages = "[stages.true]\nuse = 'tick'\nwith = { every = '5ms' }\noutput = '007'\n\
                  [stages.1e5]\nuse = 'format'\nwith = { template = '{item}' }\ninput = '007'\noutput = 'false'\n\
                  [stages.null]\nuse = 'discard'\ninput = 'false'\n";
    let run = Run::start(stages);
    run.wait_for_log("up after");
    for queue in ["false", "007"] {
        assert_eq!(run.ask(&["tap", queue, "-n", "1"]).code, Some(0), "{queue}");
    }
    let socket = || UnixStream::connect(run.socket()).unwrap();
    for stage in ["true", "1e5", "null"] {
        let path = format!("/v1/logs?stage={stage}&lines=5");
        assert_eq!(exchange(socket(), &request("GET", &path, "host: x\r\n", "")).0, 200, "{path}");
    }
    for group in ["6698699609063556", "true", "0"] {
        let path = format!("/v1/dead?group={group}&most=20&keys=true");
        assert_eq!(exchange(socket(), &request("GET", &path, "host: x\r\n", "")).0, 200, "{path}");
    }
    let said = run.ask(&["tap", "a queue & more"]);
    assert!(said.code == Some(1) || said.code == Some(2), "{said:?}");
    assert!(said.stderr.contains("no queue") && said.stderr.contains("a queue & more"), "{said:?}");
}

#[test]
fn the_answer_about_many_large_letters_is_bounded() {
    let folder = support::Folder::new();
    // Among good items, each large one is a dead letter.
    folder.file("make.sh", "n=0; while [ $n -lt 30 ]; do head -c 60000 /dev/zero | tr '\\0' '\\1'; echo; echo good; n=$((n+1)); done; sleep 1000");
    folder.file("fail.sh", "while read -r item; do [ \"$item\" = good ] || exit 1; echo; done");
    folder.file(
        "pipeline.toml",
        "[stages.make]\ncommand = ['sh', 'make.sh']\noutput = 'a'\n\
         [stages.fail]\ncommand = ['sh', 'fail.sh']\nmode = 'reply'\nattempts = 1\nretry = { max = '10ms' }\ninput = 'a'\noutput = 'b'\n\
         [stages.end]\nuse = 'discard'\ninput = 'b'\n",
    );
    let run = Run::in_folder(folder, &[]);
    run.wait_for_log("up after");
    let letters = |most: u32| {
        let stream = UnixStream::connect(run.socket()).unwrap();
        exchange(stream, &request("GET", &format!("/v1/dead?most={most}"), "host: x\r\n", "")).2
    };
    let found = wait_until("30 letters", || {
        let body = letters(1000);
        (serde_json::from_str::<Vec<Value>>(&body).ok()?.len() == 30).then_some(body)
    });
    assert!(found.len() < 6 * 512 * 1024 + 100_000, "{} bytes", found.len());
    assert!(found.len() > 512 * 1024, "{} bytes", found.len());
}

#[test]
fn what_programs_have_said_is_a_part_of_the_bounded_answer() {
    let folder = support::Folder::new();
    let words = "n=0; while [ $n -lt 20 ]; do head -c 2900 /dev/zero | tr '\\0' x >&2; echo \" word-$n\" >&2; n=$((n+1)); done; exit 1";
    folder.file("fail.sh", words);
    folder.file(
        "pipeline.toml",
        "[stages.make]\nuse = 'count'\nwith = { from = 1, to = 100 }\noutput = 'a'\n\
         [stages.stay]\ncommand = 'sleep 1000'\noutput = 'a'\n\
         [stages.fail]\ncommand = ['sh', 'fail.sh']\nmode = 'each'\nattempts = 1\nwhen_failing = 'dead-letter'\ninput = 'a'\n",
    );
    let run = Run::in_folder(folder, &[]);
    run.wait_for_log("up after");
    let asked = |path: &str| {
        let stream = UnixStream::connect(run.socket()).unwrap();
        exchange(stream, &request("GET", path, "host: x\r\n", "")).2
    };
    let found = wait_until("100 letters", || {
        let body = asked("/v1/dead?most=1000");
        let letters = serde_json::from_str::<Vec<Value>>(&body).ok()?;
        (letters.len() == 100).then_some((body.len(), letters))
    });
    let (length, letters) = found;
    assert!(length < 600 * 1024, "{length} bytes");
    let first: Vec<&str> =
        letters[0]["stderr"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(first.last().unwrap().ends_with(" word-19") && first.len() == 3, "{first:?}");
    assert!(first[0].ends_with('…'), "{first:?}");
    let logged = asked("/v1/logs?lines=1000");
    assert!(logged.len() < 600 * 1024, "{} bytes", logged.len());
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

/// One who may use the socket, and read no file of the run.
fn as_a_member(run: &Run, arguments: &[&str]) -> support::Said {
    let socket = run.folder.path().join("team.sock");
    let arguments = [arguments, &["--socket", socket.to_str().unwrap()]].concat();
    let logs = run.folder.path().join("team.logs");
    if !nix::unistd::geteuid().is_root() {
        fs::set_permissions(&logs, fs::Permissions::from_mode(0o0)).unwrap();
        let said = run.ask(&arguments);
        fs::set_permissions(&logs, fs::Permissions::from_mode(0o700)).unwrap();
        return said;
    }
    let program = run.folder.path().join("member");
    support::copy_program(support::binary().as_ref(), &program);
    for path in [run.folder.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = std::process::Command::new("setpriv");
    let group = nix::unistd::getegid().to_string();
    command.args(["--reuid", "65534", "--regid", &group, "--clear-groups"]).arg(&program).args(arguments);
    let output = command.current_dir("/").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    support::Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_member_of_the_sockets_group_reads_the_log_by_the_socket() {
    let run = Run::start(&text("socket = 'team.sock'\nsocket_mode = '0660'"));
    run.wait_for_log("up after");
    let socket = run.folder.path().join("team.sock");
    wait_until("the socket to be shared", || {
        (fs::metadata(&socket).ok()?.permissions().mode() & 0o777 == 0o660).then_some(())
    });
    let said = as_a_member(&run, &["logs"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("up after"), "{said:?}");
    let said = as_a_member(&run, &["logs", "--follow"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("without `--follow`"), "{said:?}");
}

#[test]
fn other_pipelines_are_listed_for_the_token_for_everything_and_the_socket_and_no_other_users_is_asked() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    let socket = || UnixStream::connect(run.socket()).unwrap();
    // A pipeline that this user has, or, if root can give it away, another one.
    let place = run.socket().parent().unwrap().to_owned();
    let theirs = std::os::unix::net::UnixListener::bind(place.join("theirs.sock")).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let is_root = nix::unistd::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(place.join("theirs.sock"), Some(65534), Some(65534)).unwrap();
    }
    let holder = serde_json::json!({
        "name": "theirs", "pid": std::process::id(), "file": "/x.toml", "socket": place.join("theirs.sock")
    });
    fs::write(place.join("theirs.lock"), holder.to_string()).unwrap();
    let list = |text: &str| -> Vec<Value> { serde_json::from_str(text).unwrap() };
    let (code, _, said) = tcp(&address, "GET", "/v1/pipelines", &bearer(&token(&run, "token")), "");
    assert_eq!(code, 200, "{said}");
    let names: Vec<Value> = list(&said).into_iter().map(|one| one["name"].clone()).collect();
    assert!(!names.contains(&"pipeline".into()), "its own: {names:?}");
    assert_eq!(names.contains(&"theirs".into()), !is_root, "{names:?}");
    assert_eq!(theirs.accept().is_ok(), !is_root);
    let (code, _, said) = tcp(&address, "GET", "/v1/pipelines", &bearer(&token(&run, "read-token")), "");
    assert_eq!((code, said.contains("this pipeline only")), (403, true), "{said}");
    assert_eq!(tcp(&address, "GET", "/v1/pipelines", "", "").0, 401);
    assert_eq!(exchange(socket(), &request("GET", "/v1/pipelines", "host: x\r\n", "")).0, 200);
    // All machines are those of this pipeline: who may look at it may look at them. Here is no broker.
    for (headers, expected) in [(bearer(&token(&run, "read-token")), 409), (String::new(), 401)] {
        assert_eq!(tcp(&address, "GET", "/v1/machines", &headers, "").0, expected);
    }
}

#[test]
fn a_link_is_exchanged_once_for_a_session_whose_cookie_alone_reads_nothing() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    for (arguments, code_of_change) in
        [(&["open", "--print"][..], 200), (&["open", "--print", "--read-only"], 403)]
    {
        let link = run.tell(arguments);
        let code = link.trim().rsplit_once("/open#").unwrap().1;
        let body = format!("{{\"code\":\"{code}\"}}");
        assert_eq!(tcp(&address, "POST", "/open", "", "{\"code\":\"x\"}").0, 403);
        let (status, head, said) = tcp(&address, "POST", "/open", "", &body);
        assert_eq!(status, 200, "{said}");
        assert_eq!(tcp(&address, "POST", "/open", "", &body).0, 403, "a second time");
        assert!(head.contains("; httponly; samesite=strict"), "{head}");
        let (cookie, body) = session(&address, &run, arguments);
        let key: Value = serde_json::from_str(&body).unwrap();
        let cookie = format!("cookie: other=1; {cookie}\r\n");
        let session = format!("{cookie}x-mprun-key: {}\r\n", key["key"].as_str().unwrap());
        assert_eq!(tcp(&address, "GET", "/v1/status", &cookie, "").0, 401, "the cookie alone");
        assert_eq!(tcp(&address, "GET", "/", &cookie, "").0, 200, "the page itself");
        assert_eq!(
            tcp(&address, "GET", "/v1/status", &session.replace(&cookie, ""), "").0,
            401,
            "the key alone"
        );
        assert_eq!(tcp(&address, "GET", "/v1/status", &session, "").0, 200);
        let behind_a_password = format!("authorization: Basic YTpi\r\n{session}");
        assert_eq!(tcp(&address, "GET", "/v1/status", &behind_a_password, "").0, 200);
        assert_eq!(tcp(&address, "POST", "/v1/resume", &session, "{}").0, code_of_change);
        let from_a_page = format!("{session}origin: http://evil.example\r\n");
        assert_eq!(tcp(&address, "POST", "/v1/resume", &from_a_page, "{}").0, 403);
    }
    let (code, head, page) = tcp(&address, "GET", "/", "", "");
    assert_eq!(code, 401, "{head}");
    assert!(page.contains("mprun open") && !page.contains("main.js"), "{page}");
    assert_eq!(tcp(&address, "GET", "/page/main.js", "", "").0, 401);
    // What a client without a right sends is not held.
    let large = format!("{{\"code\":\"{}\"}}", "x".repeat(2000));
    let refused = tcp(&address, "POST", "/open", "", &large);
    assert_eq!(refused.0, 413, "{}", refused.2);
    assert!(refused.2.contains("at most 1024 bytes"), "{}", refused.2);
    assert_eq!(tcp(&address, "GET", "/page/page.css", "", &large).0, 413);
    assert_eq!(tcp(&address, "POST", "/v1/open", &bearer(&token(&run, "token")), "{}").0, 403);
}

/// A session of a new link: its cookie, and the body.
fn session(address: &str, run: &Run, arguments: &[&str]) -> (String, String) {
    let link = run.tell(arguments);
    let body = format!("{{\"code\":\"{}\"}}", link.trim().rsplit_once('#').unwrap().1);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request("POST", "/open", &format!("host: {address}\r\n"), &body).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    (cookie.split(';').next().unwrap().to_owned(), body.to_owned())
}

/// `mprun open` on a terminal with a screen, where this script opens pages.
fn opened(run: &Run, opener: &str) -> String {
    let script = run.folder.file("opener", &format!("#!/bin/sh\n{opener}\n"));
    let path = run.folder.file("bin/xdg-open", "");
    fs::remove_file(&path).unwrap();
    support::copy_program(&script, &path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = support::command(&run.folder);
    command.args(["open"]).env("DISPLAY", ":9");
    let folder = path.parent().unwrap().display().to_string();
    command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()));
    let mut pty = Pty::open();
    pty.take(&mut command);
    let mut child = command.spawn().unwrap();
    drop(command);
    assert!(child.wait().unwrap().success());
    pty.end()
}

#[test]
fn open_leaves_the_shell_to_its_user_and_says_what_it_has_done() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    let said = opened(&run, "exit 4");
    assert!(said.contains("/open#") && said.contains("\nthis link is good once"), "{said}");
    assert!(!said.contains("error"), "{said}");
    // Without a desktop, the browser itself, which stays. The wait ends though it does.
    let said = opened(&run, "echo $$ > browser; exec sleep 1000 > /dev/null 2>&1");
    assert!(said.contains(&format!("the page at http://{address} opens in the browser")), "{said}");
    let browser: u32 = fs::read_to_string(run.folder.path().join("browser")).unwrap().trim().parse().unwrap();
    assert!(support::process::is_alive(browser));
    assert!(support::process::kill(browser, libc::SIGKILL));
    let said = run.ask(&["open", "--base", "mprun.example.com"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("like https://mprun.example.com"), "{said:?}");
}

#[test]
fn without_listen_open_says_what_to_add() {
    let run = Run::start(&text(""));
    run.wait_for_log("up after");
    let said = run.ask(&["open"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("add `[control] listen"), "{said:?}");
}
