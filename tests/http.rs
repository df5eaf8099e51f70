//! The sink `http`: what it sends, what an answer means, and that each item arrives whatever server, network and workers do.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::nginx::{Nginx, free_port};
use support::server::{Asked, Reply, Server};
use support::storm::storm;
use support::{Folder, Run, command, process, wait_until};

/// Items 1 to `to`; keys of the stage and of `with` are added.
fn sending(to: usize, url: &str, with: &str, keys: &str) -> String {
    format!(
        "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {to} }}\noutput = 'a'\n\
         [stages.send]\nuse = 'http'\nwith = {{ url = '{url}'{with} }}\ninput = 'a'\n{keys}\n"
    )
}

/// Keys with the bodies that came with them: of one key only one.
fn by_key(asked: &[Asked]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for one in asked {
        let before = all.insert(one.key(), one.body.clone());
        assert!(before.is_none_or(|before| before == one.body), "{} names two bodies", one.key());
    }
    all
}

#[track_caller]
fn assert_all_arrived(asked: &[Asked], to: usize) {
    let all = by_key(asked);
    let mut bodies: Vec<usize> = all.values().map(|body| body.parse().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, (1..=to).collect::<Vec<_>>(), "each item has one key, and each has come");
}

#[test]
fn an_item_is_a_request_and_the_connection_is_kept() {
    let server = Server::start(|_| Reply::body("201 Created", "thanks"));
    let with = ", method = 'PUT', headers = { X-Tag = 'a b' }";
    let mut run = Run::start(&sending(20, &server.url(), with, ""));
    run.finish();
    let asked = server.asked();
    assert_all_arrived(&asked, 20);
    assert!(asked.iter().all(|one| one.connection == 0), "one connection will do");
    let first = &asked[0];
    assert_eq!(first.head.lines().next(), Some("PUT /in HTTP/1.1"));
    assert_eq!(first.header("host"), Some(format!("127.0.0.1:{}", server.port)));
    assert_eq!(first.header("x-tag").as_deref(), Some("a b"));
    assert_eq!(first.header("content-type").as_deref(), Some("application/octet-stream"));
    let key = first.key();
    let (birth, rest) = key.split_at(16);
    assert!(u64::from_str_radix(birth, 16).is_ok() && rest == "/a/0", "{key}");
}

#[test]
fn several_items_in_a_request_are_lines_and_their_key_names_them_all() {
    let server =
        Server::start(
            |one| if one.body.contains("7\n") { Reply::status("400 Bad Request") } else { Reply::ok() },
        );
    let mut run = Run::start(&sending(
        400,
        &server.url(),
        ", max_items = 50",
        "attempts = 1\nwhen_failing = 'dead-letter'",
    ));
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let asked = server.asked();
    let (mut done, mut largest) = (BTreeSet::new(), 0);
    for one in asked.iter().filter(|one| !one.body.contains("7\n")) {
        assert_eq!(one.header("content-type").as_deref(), Some("application/x-ndjson"));
        assert!(one.body.ends_with('\n'));
        let items: Vec<usize> = one.body.lines().map(|line| line.parse().unwrap()).collect();
        largest = largest.max(items.len());
        let (first, last) = (items[0] - 1, items[items.len() - 1] - 1);
        let numbers = if first == last { first.to_string() } else { format!("{first}-{last}") };
        assert!(one.key().ends_with(&format!("/a/{numbers}")), "{} for {items:?}", one.key());
        done.extend(items);
    }
    assert!((2..=50).contains(&largest), "{largest}");
    let refused: Vec<usize> = (1..=400).filter(|n| n % 10 == 7).collect();
    assert_eq!(done, (1..=400).filter(|n| !refused.contains(n)).collect());
    assert_eq!(run.tell(&["dead", "list", "pipeline.toml"]).lines().count(), 1 + refused.len());
}

#[test]
fn a_refusal_is_a_failed_attempt_with_status_and_the_beginning_of_the_answer_and_no_secret() {
    let server = Server::start(|one| match one.body.as_str() {
        "2" => {
            let echo =
                format!("bad token {}\n{}", one.header("authorization").unwrap(), "long ".repeat(20_000));
            Reply::body("422 Unprocessable Entity", &echo)
        }
        "3" => Reply::Say(
            "HTTP/1.1 303 See Other\r\nLocation: /login?s3cret\r\nContent-Length: 0\r\n\r\n".into(),
        ),
        _ => Reply::ok(),
    });
    let with = ", headers = { Authorization = 'Bearer s3cret' }";
    let mut run = Run::start(&sending(4, &server.url(), with, "attempts = 2\nwhen_failing = 'dead-letter'"));
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_all_arrived(&server.asked(), 4);
    let letters = run.tell(&["dead", "list", "pipeline.toml", "--json"]);
    let both = letters + &run.stderr();
    assert!(both.contains("HTTP 422 Unprocessable Entity: bad token *** long long"), "{both}");
    assert!(both.contains("HTTP 303 See Other to `/login`: not followed"), "{both}");
    assert!(both.contains("after 2 of 2 attempts") && !both.contains("s3cret"), "{both}");
}

#[test]
fn a_server_that_wants_to_be_left_alone_is_left_alone_for_that_long_and_no_attempt_is_used_up() {
    let begun = Instant::now();
    let times = std::sync::Mutex::new(Vec::new());
    let server = Server::start(move |one| {
        times.lock().unwrap().push((one.number, begun.elapsed()));
        let busy = |after: &str| {
            Reply::Say(format!("HTTP/1.1 429 Too Many\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n"))
        };
        match one.number {
            0 => busy("1"),
            1 => {
                let times = times.lock().unwrap();
                assert!(times[1].1 - times[0].1 >= Duration::from_secs(1), "{times:?}");
                busy("3600") // bounded by `retry.max`
            }
            _ => Reply::ok(),
        }
    });
    let mut run =
        Run::start(&sending(3, &server.url(), "", "attempts = 1\nretry = { delay = '100ms', max = '1s' }"));
    run.finish();
    assert_all_arrived(&server.asked(), 3);
    assert_eq!(server.asked().len(), 5, "{}", run.stderr());
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_connection_that_the_server_has_closed_costs_no_attempt_and_no_wait() {
    let server = Server::start(|one| match one.number % 3 {
        0 => Reply::Last("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into()),
        _ => Reply::ok(),
    });
    let mut run =
        Run::start(&sending(30, &server.url(), "", "sleep = '5ms'\nretry = { delay = '1h', max = '1h' }"));
    run.finish();
    assert_all_arrived(&server.asked(), 30);
    assert!(!run.stderr().contains("put off"), "{}", run.stderr());
}

/// What no good server does: nothing of it is the items' fault, nor takes a worker's memory or time for ever.
#[test]
fn a_hostile_server_is_borne_and_every_item_arrives_once_it_is_good() {
    let server = Server::start(|one| match one.number {
        0 => Reply::Last("ghastly garbage\r\n\r\n".into()),
        1 => Reply::Last(String::new()),
        2 => Reply::Last("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".into()),
        3 => Reply::Endless("HTTP/1.1 200 OK\r\n".into(), "X-More: and more and more and more\r\n"),
        4 => Reply::Endless(String::new(), "HTTP/1.1 103 Early Hints\r\n\r\n"),
        5 => Reply::Drip("HTTP/1.1 200 OK\r\nX: ".into()),
        6 => Reply::Drip("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".into()),
        7 => Reply::Silence,
        8 => Reply::Last("HTTP/1.1 200 OK\r\nContent-Le".into()),
        // A good status, and an answer that is of no interest.
        9 => Reply::Endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(), "5\r\nhello\r\n"),
        _ => Reply::ok(),
    });
    let keys = "attempts = 1\nitem_timeout = '300ms'\nretry = { delay = '1ms', max = '1ms' }";
    let mut run = Run::start(&sending(40, &server.url(), "", keys));
    run.finish();
    assert_all_arrived(&server.asked(), 40);
    let log = run.stderr();
    for said in ["took too long", "broke off", "put off"] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(log.contains("stage send: 40 done, 0 emitted, 0 restarts"), "no worker dies of it: {log}");
}

#[test]
fn a_stop_waits_for_no_server_longer_than_for_any_item() {
    let server = Server::start(|_| Reply::Silence);
    let text = format!("drain_timeout = '500ms'\n{}", sending(1000, &server.url(), "", ""));
    let mut run = Run::start(&text);
    wait_until("a request", || (!server.asked().is_empty()).then_some(()));
    let begun = Instant::now();
    run.signal(libc::SIGTERM);
    run.wait();
    // A server that is silent may be so for 30 s.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(run.stderr().contains(" left waiting"), "{}", run.stderr());
}

#[test]
fn a_pause_waits_for_the_request_at_hand_and_lets_no_other_begin() {
    let server = Server::start(|_| {
        std::thread::sleep(Duration::from_millis(20));
        Reply::ok()
    });
    let mut run = Run::start(&sending(100, &server.url(), "", ""));
    wait_until("a request", || (!server.asked().is_empty()).then_some(()));
    run.tell(&["pause", "pipeline.toml", "send", "--wait"]);
    let asked = server.asked().len();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.asked().len(), asked);
    run.tell(&["resume", "pipeline.toml", "send"]);
    run.finish();
    assert_all_arrived(&server.asked(), 100);
}

#[test]
fn another_url_is_taken_over_live() {
    let (first, second) = (Server::start(|_| Reply::ok()), Server::start(|_| Reply::ok()));
    let mut run = Run::start(&sending(200, &first.url(), "", "sleep = '5ms'"));
    wait_until("requests", || (first.asked().len() >= 10).then_some(()));
    let next = sending(200, &second.url().replace("127", "ann:s3cret@127"), "", "sleep = '5ms'");
    run.folder.file("next.toml", &next);
    let plan = run.tell(&["plan", "-p", "pipeline", "next.toml"]);
    assert!(plan.contains("url") && !plan.contains("s3cret"), "{plan}");
    run.edit(&next);
    run.tell(&["reload", "pipeline.toml"]);
    run.finish();
    let both = [first.asked(), second.asked()].concat();
    assert_all_arrived(&both, 200);
    assert!(second.asked().len() > 50);
    assert_eq!(second.asked()[0].header("authorization").as_deref(), Some("Basic YW5uOnMzY3JldA=="));
    assert!(!run.stderr().contains("s3cret"), "{}", run.stderr());
}

/// Workers are killed again and again, while the server dies in the middle of its answers: each item arrives, and whatever
/// comes twice has the same key.
#[test]
fn whatever_is_killed_each_item_arrives_and_one_that_comes_twice_has_the_same_key() {
    const PART: usize = 100;
    let server = Server::start(|one| match one.number % 10 {
        3 => Reply::Last("HTTP/1.1 200 OK\r\nContent-Le".into()),
        5 => Reply::Last("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into()),
        7 => Reply::status("503 Service Unavailable"),
        _ => Reply::ok(),
    });
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        &format!(
            "[stages.read]\nuse = 'stdin'\noutput = 'a'\n\
             [stages.send]\nuse = 'http'\nwith = {{ url = '{}' }}\ninput = 'a'\nprocesses = 3\nattempts = 100\n\
             retry = {{ delay = '1ms', max = '50ms' }}\nbackoff = {{ initial = '1ms', max = '10ms' }}\n",
            server.url()
        ),
    );
    let mut command = command(&folder);
    command.args(["run", "pipeline.toml"]).stdin(Stdio::piped());
    let mut run = Run::of(folder, command);
    let part = |i: u32| {
        let first = i as usize * PART + 1;
        (first..first + PART).map(|n| format!("{n}\n")).collect::<String>().into_bytes()
    };
    let kills = storm(&mut run, "send", 10, part);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(kills >= 18, "only {kills} kills are no storm");
    let asked = server.asked();
    assert_all_arrived(&asked, 10 * PART);
    assert!(asked.len() > 10 * PART, "something came twice");
}

/// A letter is tried again in another run, whose queue has other numbers and another birth.
#[test]
fn a_dead_letter_that_is_tried_again_keeps_its_key() {
    let server = Server::start(|one| match (one.body.as_str(), one.number) {
        ("3" | "5", 0..20) => Reply::status("400 Bad Request"),
        _ => Reply::ok(),
    });
    let mut run = Run::start(&sending(20, &server.url(), "", "attempts = 1\nwhen_failing = 'dead-letter'"));
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(server.asked().len(), 20);
    run.tell(&["dead", "retry", "pipeline.toml", "--all"]);
    let asked = server.asked();
    let mut again: Vec<&str> = asked[20..].iter().map(|one| one.body.as_str()).collect();
    again.sort_unstable();
    assert_eq!(again, ["3", "5"]);
    assert_all_arrived(&asked, 20);
}

/// A real server that goes away and comes back: no dead letter, and the stage says so meanwhile.
#[test]
fn a_real_server_that_is_away_for_a_while_gets_all_items() {
    const ITEMS: usize = 3000;
    let (folder, port) = (Folder::new(), free_port());
    let log = folder.path().join("keys");
    let does = format!("access_log {} key; return 200 'ok';", log.display());
    let nginx = Nginx::start(&folder, port, &does);
    let url = format!("http://localhost:{port}/");
    folder.file(
        "pipeline.toml",
        &sending(ITEMS, &url, "", "processes = 2\nrate = '600/s'\nretry = { delay = '100ms', max = '1s' }"),
    );
    let mut run = Run::in_folder(folder, &[]);
    let keys = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_until("some requests", || (keys().lines().count() > 100).then_some(()));
    nginx.stop();
    for (verb, code) in [(vec!["status"], 0), (vec!["why"], 0), (vec!["status", "--check"], 1)] {
        wait_until(&format!("{verb:?} to say so"), || {
            let said = run.ask(&verb);
            let says_so = said.stdout.contains("failing (for ") && said.stdout.contains("can't connect");
            (says_so && said.code == Some(code)).then_some(())
        });
    }
    let nginx = Nginx::start(&run.folder, port, &does);
    run.finish();
    assert!(run.stderr().contains("the stage send is no longer failing"), "{}", run.stderr());
    nginx.stop();
    let keys = keys();
    let different: BTreeSet<&str> = keys.lines().filter_map(|line| line.strip_suffix(" 200")).collect();
    assert_eq!(different.len(), ITEMS);
}

/// A certificate for localhost that vouches for itself, and a server with it.
#[cfg(feature = "https")]
fn encrypted(folder: &Folder, port: u16, authority: bool) -> Nginx {
    let at = folder.path().display();
    let mut openssl = std::process::Command::new("openssl");
    openssl.current_dir(folder.path()).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    openssl.args([
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]);
    openssl.args([
        "-addext",
        "subjectAltName=DNS:localhost",
        "-addext",
        if authority { "basicConstraints=critical,CA:TRUE" } else { "basicConstraints=critical,CA:FALSE" },
    ]);
    assert!(openssl.stderr(Stdio::null()).status().unwrap().success());
    let does = format!(
        "listen 127.0.0.1:{port} ssl; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem; \
         access_log {at}/keys key; return 200 'ok';"
    );
    Nginx::start(folder, free_port(), &does)
}

#[cfg(feature = "https")]
#[test]
fn https_is_spoken_with_a_server_that_is_vouched_for_and_with_no_other() {
    let (folder, port) = (Folder::new(), free_port());
    let nginx = encrypted(&folder, port, false);
    let at = folder.path().to_owned();
    let keys = "retry = { delay = '50ms', max = '100ms' }";
    let text = sending(200, &format!("https://localhost:{port}/"), "", keys);
    folder.file("pipeline.toml", &format!("drain_timeout = '100ms'\n{text}"));
    let start = |folder: Folder, authority: &str| {
        let mut command = command(&folder);
        command
            .args(["run", "pipeline.toml"])
            .env("SSL_CERT_FILE", at.join(authority))
            .env_remove("SSL_CERT_DIR");
        Run::of(folder, command)
    };
    let mut run = start(folder, "cert.pem");
    run.finish();
    nginx.stop();
    assert_eq!(std::fs::read_to_string(at.join("keys")).unwrap().lines().count(), 200);
    // Another one of the same name.
    let folder = Folder::new();
    let nginx = encrypted(&folder, port, false);
    std::fs::copy(at.join("pipeline.toml"), folder.path().join("pipeline.toml")).unwrap();
    let other = folder.path().to_owned();
    let mut run = start(folder, "cert.pem");
    run.wait_for_log("no TLS: the server's certificate was not signed by");
    run.signal(libc::SIGTERM);
    run.wait();
    nginx.stop();
    assert_eq!(std::fs::read_to_string(other.join("keys")).unwrap_or_default(), "", "nothing was said to it");
}

/// Each of them is the fault of a certificate that was made for a trial.
#[cfg(feature = "https")]
#[test]
fn a_certificate_that_is_not_trusted_is_said_to_be_wrong_in_plain_words() {
    for (host, authority, said) in [
        ("localhost", true, "is that of a certificate authority"),
        ("127.0.0.1", false, "certificate is for localhost, not for the host in `url`"),
    ] {
        let (folder, port) = (Folder::new(), free_port());
        let nginx = encrypted(&folder, port, authority);
        let at = folder.path().to_owned();
        let keys = "retry = { delay = '50ms', max = '100ms' }";
        let text = sending(1, &format!("https://{host}:{port}/"), "", keys);
        folder.file("pipeline.toml", &format!("drain_timeout = '100ms'\n{text}"));
        let mut command = command(&folder);
        command
            .args(["run", "pipeline.toml"])
            .env("SSL_CERT_FILE", at.join("cert.pem"))
            .env_remove("SSL_CERT_DIR");
        let mut run = Run::of(folder, command);
        run.wait_for_log(said);
        run.signal(libc::SIGTERM);
        run.wait();
        nginx.stop();
    }
}

/// All processes are killed, and the next run goes on: the items that come again have the keys that they had.
#[test]
fn a_durable_run_that_is_killed_as_a_whole_sends_the_same_keys_again() {
    let server = Server::start(|one| {
        std::thread::sleep(Duration::from_millis(5));
        if one.number.is_multiple_of(4) { Reply::status("500 Oh No") } else { Reply::ok() }
    });
    let folder = Folder::new();
    let keys = "processes = 4\nretry = { delay = '10ms', max = '50ms' }\n[queues.a]\ndurable = true\n";
    folder.file("pipeline.toml", &sending(400, &server.url(), "", keys));
    let start = || {
        let mut command = command(&folder);
        command.args(["run", "pipeline.toml"]).stdout(Stdio::null());
        command.stderr(File::create(folder.path().join("stderr")).unwrap()).spawn().unwrap()
    };
    let mut kills = 0;
    for round in 1..=4 {
        let mut run = start();
        wait_until("requests", || (server.asked().len() >= round * 40).then_some(()));
        process::kill(run.id(), libc::SIGKILL);
        run.wait().unwrap();
        wait_until("all of it to be gone", || process::in_folder(folder.path()).is_empty().then_some(()));
        kills += 1;
    }
    assert!(start().wait().unwrap().success());
    assert_eq!(kills, 4);
    assert_all_arrived(&server.asked(), 400);
}
