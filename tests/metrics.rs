//! `[metrics]`: read by hand, checked by promtool, and scraped by a real Prometheus.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use support::{Folder, Run, wait_until};

const PIPELINE: &str = "\
name = 'measured'
[metrics]
listen = '127.0.0.1:0'
[stages.beat]
use = 'count'
sleep = '5ms'
output = 'a'
[stages.fussy]
command = ['sh', '-c', 'read n; case $n in *7) exit 1;; esac; echo $n']
mode = 'each'
attempts = 1
input = 'a'
output = 'b'
[stages.gone]
use = 'discard'
input = 'b'
";

/// Where it says that it serves.
fn address(run: &Run) -> String {
    wait_until("the address of the metrics", || {
        let log = run.stderr();
        let rest = log.split_once("metrics on http://")?.1;
        Some(rest.split_once('/')?.0.to_owned())
    })
}

fn get(address: &str, path: &str, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

/// The sum of all samples of a metric that have this label.
fn value(text: &str, name: &str, label: &str) -> f64 {
    let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn a_running_pipeline_is_measured_and_its_ledger_adds_up() {
    let run = Run::start(PIPELINE);
    let address = address(&run);
    let text = wait_until("a dead letter in the metrics", || {
        let (head, text) = get(&address, "/metrics", "*/*");
        assert!(head.contains("200 ok") && head.contains("text/plain; version=0.0.4"), "{head}");
        (value(&text, "mprun_dead_letters_total", "measured") > 0.0).then_some(text)
    });
    let queue = |name: &str| value(&text, &format!("mprun_queue_{name}"), "queue=\"a\"");
    let ends = queue("items_done_total") + queue("items_dead_total") + queue("items_dropped_total");
    let here = queue("waiting_items") + queue("delayed_items") + queue("leased_items");
    assert_eq!(queue("items_put_total"), ends + here, "{text}");
    let seconds = |state: &str| {
        let lines = text.lines().filter(|line| line.contains("stage=\"beat\"") && line.contains(state));
        lines.filter(|line| line.starts_with("mprun_stage_worker_seconds_total")).count()
    };
    assert_eq!(seconds("state=\"paused\""), 1);
    assert!(value(&text, "mprun_stage_item_duration_seconds_count", "fussy") > 0.0, "{text}");
    assert_eq!(value(&text, "mprun_phase", "phase=\"running\""), 1.0);
    let (head, text) = get(&address, "/metrics", "application/openmetrics-text;version=1.0.0");
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0") && text.ends_with("# EOF\n"),
        "{head}"
    );
    assert!(get(&address, "/nothing", "*/*").0.contains("404"));
    run.signal(libc::SIGINT);
}

#[test]
fn scrapers_that_never_finish_a_request_lock_nobody_out_and_half_a_connection_is_enough() {
    let run = Run::start(PIPELINE);
    let address = address(&run);
    let slow: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for mut stream in &slow {
        let _ = stream.write_all(b"GET /met"); // some are sent away
    }
    for _ in 0..5 {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("mprun_"), "{answer}");
    }
}

/// All that is answered to these bytes, by a server that then closes.
fn answer(address: &str, bytes: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(support::LIMIT)).unwrap();
    // The server may have had enough before all is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

#[test]
fn a_bad_request_is_answered_with_a_sentence() {
    let run = Run::start(PIPELINE);
    let address = address(&run);
    let long = format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let many: String = (0..100).map(|n| format!("h{n}: v\r\n")).collect();
    for (bytes, code, sentence) in [
        ("nonsense\r\n\r\n", 400, "this is no request of HTTP/1.1"),
        ("\0\u{1}\u{2}\r\n\r\n", 400, "this is no request of HTTP/1.1"),
        ("GET /metrics HTT", 400, "the request ends in the middle of its head"),
        (long.as_str(), 431, "the head of a request has at most 16384 bytes and 64 headers"),
        (&format!("GET /metrics HTTP/1.1\r\n{many}\r\n"), 431, "the head of a request has at most"),
        ("POST /metrics HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}", 405, "metrics are read with GET"),
        ("GET /v1/status HTTP/1.1\r\n\r\n", 404, "there is no such path: see /metrics"),
        ("GET / HTTP/1.1\r\n\r\n", 200, "mprun: see /metrics"),
    ] {
        let (head, body) = answer(&address, bytes.as_bytes());
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{bytes:.40}: {head}");
        assert!(head.to_ascii_lowercase().contains("content-type: text/plain"), "{bytes:.40}: {head}");
        assert!(body.starts_with(sentence) && body.ends_with('\n'), "{bytes:.40}: {body}");
        assert_eq!(body.lines().count(), 1, "{bytes:.40}: {body}");
        assert_eq!(head.contains("allow: GET, HEAD"), code == 405, "{bytes:.40}: {head}");
    }
}

#[test]
fn an_address_that_is_taken_is_a_warning_and_had_once_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = Run::start(&PIPELINE.replace("127.0.0.1:0", &address));
    run.wait_for_log("no metrics until this works: failed to listen on");
    drop(taken);
    run.wait_for_log(&format!("metrics on http://{address}/metrics"));
    assert!(get(&address, "/metrics", "*/*").1.contains("mprun_uptime_seconds"));
    run.signal(libc::SIGINT);
}

/// A program of Debian's package `prometheus`, which `tests/run` installs.
fn program(name: &str) -> Command {
    let version = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(version.is_ok(), "{name} is not there: install Debian's package `prometheus`");
    Command::new(name)
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let mut promtool = program("promtool");
    let run = Run::start(PIPELINE);
    let (_, text) = get(&address(&run), "/metrics", "*/*");
    let mut check = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
    run.signal(libc::SIGINT);
}

/// Ended with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_prometheus_scrapes_it() {
    let mut prometheus = program("prometheus");
    let run = Run::start(PIPELINE);
    let target = address(&run);
    let own = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = Folder::new();
    let config = format!(
        "global:\n  scrape_interval: 250ms\nscrape_configs:\n  - job_name: mprun\n    static_configs:\n      - targets: ['{target}']\n"
    );
    let file = folder.file("prometheus.yml", &config);
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let _server = Server(
        prometheus
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={own}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    let ask = |query: &str| {
        let mut stream = TcpStream::connect(own).ok()?;
        let head =
            format!("GET /api/v1/query?query={query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let body = text.split_once("\r\n\r\n")?.1;
        let json = &body[body.find('{')?..=body.rfind('}')?];
        let answer: serde_json::Value = serde_json::from_str(json).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse::<f64>().ok()
    };
    wait_until("Prometheus to know what was done", || {
        ask("mprun_stage_items_done_total%7Bstage=%22fussy%22%7D").filter(|done| *done > 0.0)
    });
    assert_eq!(ask("up%7Bjob=%22mprun%22%7D"), Some(1.0));
    run.signal(libc::SIGINT);
}
