//! No request, however malformed, slow or large, disturbs the supervisor.

mod support;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::{Run, process, wait_until};

const TICKS: &str = "[stages.tick]\nuse = 'tick'\nwith = { every = '5ms' }\noutput = 'a'\n\
                     [stages.show]\nuse = 'discard'\ninput = 'a'\n";

fn up() -> Run {
    let run = Run::start(TICKS);
    run.wait_for_log("up after");
    run
}

fn connect(run: &Run) -> UnixStream {
    let stream = UnixStream::connect(run.socket()).unwrap();
    stream.set_read_timeout(Some(support::LIMIT)).unwrap();
    stream
}

/// Sends bytes, and reads the answer to its end.
fn exchange(run: &Run, request: &[u8]) -> String {
    let mut stream = connect(run);
    // The server may have had enough before all is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes()
}

#[track_caller]
fn is_well(run: &Run) {
    assert_eq!(run.tell(&["status", "--check"]), "pipeline: ok\n");
}

#[test]
fn only_its_user_may_connect() {
    let run = up();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&run.socket()), 0o600);
    assert_eq!(mode(run.socket().parent().unwrap()), 0o700);
}

#[test]
fn what_makes_no_sense_is_answered_with_a_reason() {
    let run = up();
    for (method, path, body, code, reason) in [
        ("GET", "/v1/nothing", "", 404, "no-such-path"),
        ("GET", "/v9/status", "", 404, "no-such-path"),
        ("DELETE", "/v1/status", "", 405, "wrong-method"),
        ("POST", "/v1/scale", "{", 400, "malformed"),
        ("POST", "/v1/scale", "{\"stage\":\"show\",\"processes\":-1}", 400, "malformed"),
        ("POST", "/v1/scale", "{\"stage\":\"show\",\"processes\":1e99}", 400, "malformed"),
        ("POST", "/v1/scale", "{\"stage\":\"show\",\"processes\":2,\"x\":1}", 400, "malformed"),
        ("POST", "/v1/scale", "{\"stage\":\"nope\",\"processes\":2}", 404, "no-such-stage"),
        ("POST", "/v1/scale", "{\"stage\":\"show\",\"processes\":4294967295}", 409, "too-many"),
        ("POST", "/v1/stop", "[]", 400, "malformed"),
        ("GET", "/v1/status?history=maybe", "", 400, "malformed"),
        ("POST", "/v1/plan", "{\"file\":\"/no/such/file\"}", 409, "bad-file"),
        ("POST", "/v1/dead/retry", "{\"keys\":[\"x\"]}", 200, "\"missing\":1"),
    ] {
        let answer = exchange(&run, &request(method, path, body));
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{method} {path} {body}: {answer}");
        assert!(answer.contains(reason), "{method} {path} {body}: {answer}");
    }
    is_well(&run);
}

#[test]
fn garbage_and_giants_are_turned_away() {
    let run = up();
    let long = "x".repeat(1 << 20);
    let deep = "[".repeat(100_000);
    let headers: String = (0..1000).map(|n| format!("h{n}: v\r\n")).collect();
    for bytes in [
        b"\0\0\0\0\r\n\r\n".to_vec(),
        b"hello there\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        format!("GET /{long} HTTP/1.1\r\n\r\n").into_bytes(),
        format!("GET /v1 HTTP/1.1\r\n{headers}\r\n").into_bytes(),
        format!("GET /v1 HTTP/1.1\r\nhost: {long}\r\n\r\n").into_bytes(),
        request("POST", "/v1/stop", &long),
        request("POST", "/v1/stop", &deep),
        b"POST /v1/stop HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec(),
        b"POST /v1/stop HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_vec(),
        b"POST /v1/stop HTTP/1.1\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
    ] {
        let answer = exchange(&run, &bytes);
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    is_well(&run);
}

#[test]
fn whoever_sends_slowly_or_never_reads_is_let_go_and_holds_up_nobody() {
    let run = up();
    let mut silent: Vec<UnixStream> = (0..20).map(|_| connect(&run)).collect();
    let mut halves: Vec<UnixStream> = (0..20).map(|_| connect(&run)).collect();
    for half in &mut halves {
        half.write_all(b"POST /v1/scale HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n{\"stage\"")
            .unwrap();
    }
    let mut deaf = connect(&run);
    // Asks on and on, and never reads.
    deaf.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    while deaf.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n").is_ok() {}
    is_well(&run);
    for half in halves.iter_mut().chain(&mut silent) {
        let mut answer = Vec::new();
        half.read_to_end(&mut answer).unwrap();
        assert!(!String::from_utf8_lossy(&answer).contains(" 200 "));
    }
    is_well(&run);
}

/// Reads up to the end of an answer's head.
fn head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// Clients that wait for the end of the run: no seat is taken from them.
fn waiting(run: &Run, count: usize) -> Vec<UnixStream> {
    let one = |_| {
        let mut stream = connect(run);
        stream.write_all(b"GET /v1/end HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 200 "));
        stream
    };
    (0..count).map(one).collect()
}

#[test]
fn too_many_who_wait_for_an_answer_are_told_when_to_come_again() {
    let run = up();
    let mut all = waiting(&run, 128);
    for body in ["", &"x".repeat(200_000)] {
        let mut stream = connect(&run);
        // All of the request is taken, though nothing is done about it: no broken pipe.
        stream.write_all(&request("POST", "/v1/stop", body)).unwrap();
        let refusal = head(&mut stream);
        assert!(refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("retry-after: "), "{refusal}");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("\"reason\":\"busy\""), "{rest}");
    }
    let said = run.ask(&["status", "--check"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("too many clients"), "{said:?}");
    all.pop();
    wait_until("a free seat", || (run.ask(&["status", "--check"]).code == Some(0)).then_some(()));
}

/// The items that the pipeline has done so far.
fn done(run: &Run) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
    status["stages"][1]["totals"]["done"].as_u64().unwrap()
}

#[test]
fn five_hundred_clients_that_send_a_byte_at_a_time_lock_nobody_out_and_work_goes_on() {
    let run = up();
    let _busy = waiting(&run, 60);
    let mut slow: Vec<UnixStream> = (0..500).map(|_| connect(&run)).collect();
    let before = done(&run);
    for byte in b"POST /v1/st" {
        for stream in &mut slow {
            // Some are sent away, and come again at once.
            if stream.write_all(&[*byte]).is_err() {
                *stream = connect(&run);
            }
        }
        is_well(&run);
    }
    assert!(done(&run) > before);
}

#[test]
fn who_asks_and_never_reads_locks_nobody_out() {
    let run = up();
    let deaf: Vec<UnixStream> = (0..128)
        .map(|_| {
            let mut stream = connect(&run);
            stream.set_nonblocking(true).unwrap();
            // Many answers that nobody reads, behind each other: the buffers are full soon.
            while stream.write(b"GET /v1/status?history=true HTTP/1.1\r\nhost: x\r\n\r\n").is_ok() {}
            stream
        })
        .collect();
    wait_until("an answer", || (run.ask(&["status", "--check"]).code == Some(0)).then_some(()));
    drop(deaf);
    is_well(&run);
}

#[test]
fn a_client_that_closes_its_writing_half_gets_its_answer() {
    let run = up();
    for (path, body) in [("pause", "{}"), ("resume", "{}"), ("restart", "{\"stage\":\"show\",\"wait\":true}")]
    {
        for _ in 0..5 {
            let mut stream = connect(&run);
            stream.write_all(&request("POST", &format!("/v1/{path}"), body)).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer:?}");
        }
    }
    // Without `connection: close` the end of what it sends is the end of the connection, too.
    let mut stream = connect(&run);
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("}\n"), "{answer:?}");
    is_well(&run);
}

#[test]
fn a_client_that_goes_in_the_middle_leaves_nothing_behind() {
    let run = up();
    let fds = || std::fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap().count();
    let before = fds();
    for _ in 0..50 {
        let mut stream = connect(&run);
        stream.write_all(&request("POST", "/v1/restart", "{\"stage\":\"show\",\"wait\":true}")).unwrap();
        let mut waits = connect(&run);
        waits.write_all(&request("GET", "/v1/end", "")).unwrap();
    }
    wait_until("all connections to be gone", || (fds() <= before + 1).then_some(()));
    is_well(&run);
}

#[test]
fn the_supervisor_stays_small_and_sleeps_while_nobody_asks() {
    let folder = support::Folder::new();
    folder.file(
        "pipeline.toml",
        "[stages.in]\nuse = 'stdin'\noutput = 'a'\n[stages.out]\nuse = 'discard'\ninput = 'a'\n",
    );
    let mut command = support::command(&folder);
    command.arg("pipeline.toml").stdin(std::process::Stdio::piped());
    let mut run = Run::of(folder, command);
    run.wait_for_log("up after");
    for _ in 0..200 {
        exchange(&run, &request("GET", "/v1/status?history=true", ""));
    }
    // Without the pages of the program's own file: how many of those are in memory is the kernel's choice.
    let private = process::private_kib(run.pid()).unwrap();
    assert!(private < 8 << 10, "{private} KiB");
    wait_until("two quiet seconds", || {
        let before = process::context_switches(run.pid());
        std::thread::sleep(Duration::from_secs(2));
        (process::context_switches(run.pid()) == before).then_some(())
    });
    drop(run.child.stdin.take());
    assert_eq!(run.wait(), 0);
}
