//! The stream of events: what comes, what a client costs that never reads, and that nobody looking costs nothing.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::control_api::{address, bearer, tcp, text, token, up};
use support::{Run, wait_until};

/// A stream of events, up to `count` snapshots.
fn events(mut stream: impl Read + Write, headers: &str, count: usize) -> String {
    write!(stream, "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").unwrap();
    let (mut text, mut part) = (String::new(), [0; 65536]);
    while text.matches("event: snapshot").count() < count {
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&part[..length]));
    }
    text
}

#[test]
fn the_event_stream_has_the_layout_first_and_a_snapshot_a_second_on_both_transports() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    let read = bearer(&token(&run, "read-token"));
    let over_tcp = events(TcpStream::connect(&address).unwrap(), &read, 2);
    let socket = events(UnixStream::connect(run.socket()).unwrap(), "", 1);
    for text in [over_tcp, socket] {
        let at = |event: &str| {
            text.find(&format!("event: {event}\ndata: {{")).unwrap_or_else(|| panic!("{event}: {text}"))
        };
        assert!(at("layout") < at("history") && at("history") < at("snapshot"), "{text}");
        assert!(text.contains("text/event-stream") && text.contains("\"pipeline\":\"pipeline\""), "{text}");
    }
    let (code, _, _) = tcp(&address, "GET", "/v1/events", "", "");
    assert_eq!(code, 401);
}

/// A proxy ends a stream that is silent for a minute.
#[test]
fn a_stream_in_which_nothing_comes_has_an_empty_line_now_and_then() {
    let run = Run::start(&text(""));
    run.wait_for_log("up after");
    run.tell(&["pause", "--wait"]);
    let open = |path: &str| {
        let mut stream = UnixStream::connect(run.socket()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        stream
    };
    for mut stream in [open("/v1/tap?queue=a"), open("/v1/end")] {
        let mut text = String::new();
        while !text.contains("\r\n1\r\n\n\r\n") {
            let mut part = [0; 4096];
            let length = stream.read(&mut part).unwrap();
            assert!(length > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&part[..length]));
        }
    }
}

/// Connections that the run's process has, and the bytes of memory that it has needed at most.
fn cost(run: &Run) -> (usize, u64) {
    let fds = fs::read_dir(format!("/proc/{}/fd", run.pid())).unwrap().filter_map(Result::ok);
    let is_socket = |fd: &fs::DirEntry| {
        fs::read_link(fd.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    let status = fs::read_to_string(format!("/proc/{}/status", run.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    (fds.filter(is_socket).count(), kilobytes * 1024)
}

#[test]
fn a_client_that_never_reads_its_events_is_disconnected_costs_bounded_memory_and_holds_up_no_other() {
    const CLIENTS: usize = 40;
    // A snapshot of many stages is long.
    let stages: String = (0..30)
        .map(|n| {
            format!(
                "[stages.t{n}]\nuse = 'tick'\nwith = {{ every = '1h' }}\noutput = 'q{n}'\n\
                 [stages.d{n}]\nuse = 'discard'\ninput = 'q{n}'\n"
            )
        })
        .collect();
    let run = Run::start(&format!("[control]\nlisten = '127.0.0.1:0'\n{stages}"));
    run.wait_for_log("up after");
    let address = address(&run);
    let read = bearer(&token(&run, "read-token"));
    let length = events(TcpStream::connect(&address).unwrap(), &read, 2).len() as u64 / 2;
    let (before, memory) = cost(&run);
    let slow: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| {
            let mut stream = TcpStream::connect(&address).unwrap();
            // The kernel at this end takes little, too.
            nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::RcvBuf, &4096).unwrap();
            write!(stream, "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n{read}\r\n").unwrap();
            stream
        })
        .collect();
    wait_until("the clients to be served", || (cost(&run).0 >= before + CLIENTS).then_some(()));
    // Another one gets its events meanwhile, one a second.
    let started = std::time::Instant::now();
    events(TcpStream::connect(&address).unwrap(), &read, 6);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    wait_until("the end of their connections", || (cost(&run).0 < before + CLIENTS / 4).then_some(()));
    // Events are shared: what waits costs as much for all as for one, and a little for each.
    let grown = cost(&run).1 - memory;
    let bound = 16 * length + CLIENTS as u64 * 256 * 1024;
    assert!(grown < bound, "{grown} bytes more for {CLIENTS} clients and events of {length} bytes");
    drop(slow);
}

/// Seconds of processor time that the thread for clients has had.
fn control_seconds(run: &Run) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", run.pid())).unwrap().filter_map(Result::ok);
    let control = tasks
        .map(|task| task.path())
        .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "control"));
    let text = fs::read_to_string(control.unwrap().join("schedstat")).unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[test]
fn fifty_clients_of_the_stream_have_an_event_a_second_for_less_than_two_percent_of_a_processor() {
    const CLIENTS: usize = 50;
    const EVENTS: usize = 6;
    let (run, address) = up("listen = '127.0.0.1:0'");
    let read = bearer(&token(&run, "read-token"));
    let streams: Vec<TcpStream> = (0..CLIENTS).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let (before, started) = (control_seconds(&run), std::time::Instant::now());
    let readers: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            let read = read.clone();
            std::thread::spawn(move || events(stream, &read, EVENTS))
        })
        .collect();
    readers.into_iter().for_each(|reader| assert!(reader.join().unwrap().contains("event: layout")));
    let cost = (control_seconds(&run) - before) / started.elapsed().as_secs_f64();
    eprintln!("{CLIENTS} clients: {:.1} ms of processor time a second", cost * 1e3);
    assert!(cost < 0.02, "{cost} s a second");
}

#[test]
fn without_a_listener_the_server_sleeps() {
    let (run, address) = up("listen = '127.0.0.1:0'");
    run.tell(&["pause", "--wait"]);
    events(TcpStream::connect(&address).unwrap(), &bearer(&token(&run, "token")), 2);
    // The stream is closed: within a moment there is no timer left.
    let switches = || {
        let tasks = fs::read_dir(format!("/proc/{}/task", run.pid())).unwrap().filter_map(Result::ok);
        let control = tasks
            .map(|task| task.path())
            .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "control"));
        let status = fs::read_to_string(control.unwrap().join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    wait_until("a quiet server", || {
        let before = switches();
        std::thread::sleep(Duration::from_millis(2500));
        (switches() == before).then_some(())
    });
}
