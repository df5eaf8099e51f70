//! `ready` and `health`: when a service counts as started, and what becomes of one that hangs.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::{Folder, Run, process, wait_until};

fn helper(run: &Run) -> Option<u32> {
    let is_it = |pid: &u32| process::command_line(*pid).starts_with("mprun __check");
    process::children(run.pid()).into_iter().find(is_it)
}

fn next_of(run: &Run, stage: &str, before: u32) -> u32 {
    wait_until(&format!("another process of {stage}: {}", run.stderr()), || {
        run.workers(stage).into_iter().find(|pid| *pid != before)
    })
}

fn stage(run: &Run, name: &str) -> serde_json::Value {
    // It answers once it is set up, and has stages once it has read its file.
    wait_until("an answer with the stage", || {
        let said = Some(run.ask(&["status", "--json"])).filter(|said| said.code == Some(0))?;
        let status: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        status["stages"].as_array()?.iter().find(|stage| stage["name"] == name).cloned()
    })
}

/// What checks tell of the stage's first process.
fn check(run: &Run, name: &str) -> String {
    let stage = stage(run, name);
    stage["workers"][0]["check"]["state"].as_str().unwrap_or("none").to_owned()
}

fn wait_for_check(run: &Run, name: &str, state: &str) {
    wait_until(&format!("{name} to be {state}: {}", run.stderr()), || {
        (check(run, name) == state).then_some(())
    });
}

/// A service of the web in this process: it answers with a status that can be changed; 0: not at all.
struct Site {
    port: u16,
    status: Arc<AtomicU16>,
}

impl Site {
    fn new(status: u16) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, status) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU16::new(status)));
        let answer = Arc::clone(&status);
        thread::spawn(move || {
            let mut unanswered = Vec::new();
            for stream in listener.incoming().flatten() {
                match answer.load(Ordering::SeqCst) {
                    0 => unanswered.push(stream),
                    status => answer_with(stream, status),
                }
            }
        });
        Site { port, status }
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

fn answer_with(mut stream: TcpStream, status: u16) {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    // Who asks may be killed in the middle of it.
    let is_whole = request.ends_with(b"\r\n\r\n");
    let is_good = request.starts_with(b"GET /health?x=1 HTTP/1.1\r\nhost: localhost:");
    assert!(is_good || !is_whole, "{}", String::from_utf8_lossy(&request));
    let _ = write!(stream, "HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn what_comes_after_it_waits_until_a_command_says_that_it_is_ready() {
    let mut run = Run::start(
        "[stages.web]\ncommand = 'test -e up && echo web; exec sleep 1000'\nafter = 'db'\n\
         [stages.db]\ncommand = ['sleep', '1000']\nready = { command = 'echo not yet >&2; test -e up', every = '50ms' }\n",
    );
    wait_until("a try", || {
        run.ask(&["why", "pipeline.toml", "db"]).stdout.contains("its last words: not yet").then_some(())
    });
    assert!(run.workers("web").is_empty() && !run.stderr().contains("up after"), "{}", run.stderr());
    let status = run.tell(&["status"]);
    let state = |name: &str| status.lines().find(|line| line.starts_with(name)).map(str::to_owned).unwrap();
    assert!(state("db ").contains(" starting ") && state("web ").contains(" waiting "), "{status}");
    assert!(status.contains("\nweb waits for db to be ready (after)\n"), "{status}");
    let unwell = run.ask(&["status", "--check"]);
    assert_eq!(unwell.code, Some(1), "{}", unwell.stdout);
    assert!(
        unwell.stdout.contains("db[0] is not ready yet: its command ended with exit code 1"),
        "{}",
        unwell.stdout
    );
    assert!(run.tell(&["why", "pipeline.toml", "web"]).contains("it waits for db to be ready"));
    run.folder.file("up", "");
    run.wait_for_log("up after");
    wait_until("web", || (run.lines() == ["web"]).then_some(()));
    let status = run.tell(&["status"]);
    assert!(status.contains(" ready ") && !status.contains("wait"), "{status}");
    let why = run.tell(&["why", "pipeline.toml", "web"]);
    assert!(why.contains("started: it waits for no other stage any more (after)"), "{why}");
    run.tell(&["status", "--check"]);
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}

#[test]
fn a_connection_or_an_answer_makes_it_ready() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let site = Site::new(503);
    let run = Run::start(&format!(
        "[stages.tcp]\ncommand = ['sleep', '1000']\nready = {{ tcp = {port}, every = '20ms' }}\n\
         [stages.http]\ncommand = ['sleep', '1000']\n\
         ready = {{ http = 'http://localhost:{}/health?x=1', every = '20ms' }}\n",
        site.port
    ));
    let says = |stage: &str, text: &str| {
        wait_until(text, || run.ask(&["why", "pipeline.toml", stage]).stdout.contains(text).then_some(()));
    };
    says("tcp", &format!("it is not ready yet: localhost:{port}: connection refused"));
    says("http", "answers 503 Service Unavailable");
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    wait_for_check(&run, "tcp", "ready");
    site.answer(302);
    wait_for_check(&run, "http", "ready");
    run.wait_for_log("up after");
}

#[test]
fn a_line_makes_it_ready_whichever_way_it_comes() {
    let run = Run::start(
        "[defaults]\nrestart = 'never'\n\
         [stages.out]\ncommand = 'echo starting; sleep 0.1; echo ready at 80; exec sleep 1000'\nready = { line = '^ready at \\d+$' }\n\
         [stages.err]\ncommand = 'echo ready at 80 >&2; exec sleep 1000'\nready = { line = 'ready at' }\n\
         [stages.log]\ncommand = 'echo ready at 80; exec sleep 1000'\nstdout = 'log'\nready = { line = 'at 80' }\n\
         [stages.late]\ncommand = 'seq 200000; echo at last; exec sleep 1000'\nready = { line = 'at last' }\n",
    );
    run.wait_for_log("up after");
    assert!(helper(&run).is_none(), "nothing is to be looked at");
}

/// Sends a message from this process to the service's socket.
fn send_as_another(name: &[u8], message: &str) {
    let name = SocketAddr::from_abstract_name(name).unwrap();
    UnixDatagram::unbound().unwrap().send_to_addr(message.as_bytes(), &name).unwrap();
}

#[test]
fn only_its_own_processes_can_say_that_it_is_ready() {
    const SEND: &str = "import os,socket; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); \
                        s.sendto(b'STATUS=up\\nREADY=1', chr(0)+os.environ['NOTIFY_SOCKET'][1:])";
    let run = Run::start(&format!(
        "[stages.db]\ncommand = '''while ! test -e go; do sleep 0.02; done; python3 -c \"{SEND}\"; exec sleep 1000'''\n\
         ready = {{ notify = true }}\n"
    ));
    let pid = run.worker("db");
    let socket = wait_until("its socket", || {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        let mut entries = environment.split(|byte| *byte == 0);
        entries.find_map(|entry| entry.strip_prefix(b"NOTIFY_SOCKET=@")).map(<[u8]>::to_vec)
    });
    send_as_another(&socket, "READY=1");
    run.tell(&["status"]);
    assert_eq!(check(&run, "db"), "starting", "it came from outside");
    run.folder.file("go", "");
    wait_for_check(&run, "db", "ready");
    // It is read on, so that nobody waits for room in it.
    (0..2000).for_each(|n| send_as_another(&socket, &format!("STATUS={n}")));
    assert_eq!(run.workers("db"), [pid]);
}

#[test]
fn one_that_is_not_ready_in_time_is_a_failed_start() {
    let mut run = Run::start(
        "[stages.db]\ncommand = 'echo started; exec sleep 1000'\nready = { line = 'never', timeout = '100ms' }\n\
         backoff = { initial = '10ms', max = '20ms' }\ngive_up = { restarts = 2, within = '1h' }\n\
         [stages.web]\ncommand = 'echo web'\nafter = 'db'\n",
    );
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert_eq!(run.lines(), ["started"; 3], "{}", run.stderr());
    let log = run.stderr();
    assert!(log.contains("db[0] failed after 1"), "{log}");
    assert!(
        log.contains(": it was not ready within 100ms: it has written no line that has \"never\" in it"),
        "{log}"
    );
    assert!(log.contains("the stage db gives up: more than 2 restarts"), "{log}");
}

#[test]
fn a_reload_to_what_is_not_ready_in_time_goes_back() {
    let text = |line: &str| {
        format!(
            "[stages.db]\ncommand = 'echo {line}; exec sleep 1000'\nready = {{ line = 'good', timeout = '300ms' }}\n"
        )
    };
    let run = Run::start(&text("good"));
    run.wait_for_log("up after");
    let before = run.worker("db");
    run.edit(&text("bad"));
    run.wait_for_log("going back to the pipeline as it was");
    run.wait_for_log("back as it was after");
    assert_ne!(run.worker("db"), before);
    assert_eq!(run.lines(), ["good", "bad", "good"]);
}

#[test]
fn one_that_hangs_is_restarted_and_says_why() {
    let site = Site::new(200);
    let run = Run::start(&format!(
        "[stages.db]\ncommand = \"trap '' TERM; echo up; while :; do sleep 0.05; done\"\nstop_timeout = '100ms'\n\
         health = {{ http = 'http://localhost:{}/health?x=1', every = '50ms', timeout = '100ms', failures = 3 }}\n\
         [stages.web]\ncommand = ['sleep', '1000']\nafter = 'db'\n",
        site.port
    ));
    wait_for_check(&run, "db", "healthy");
    assert!(run.tell(&["status"]).contains("healthy"));
    let (db, web) = (run.worker("db"), run.worker("web"));
    site.answer(0);
    run.wait_for_log("db[0] failed a health check (1 of 3): http://localhost:");
    run.wait_for_log("db[0] is terminated: it is unhealthy");
    let next = next_of(&run, "db", db);
    run.wait_for_log(": it was unhealthy, 3 checks in a row failed: http://localhost:");
    site.answer(200);
    wait_for_check(&run, "db", "healthy");
    assert_eq!(
        (run.workers("web"), run.tell(&["status", "--check"]).as_str()),
        (vec![web], "pipeline: ok\n")
    );
    assert!(stage(&run, "db")["restarts"]["unhealthy"].as_u64() >= Some(1), "{}", stage(&run, "db"));
    assert!(run.tell(&["why", "pipeline.toml", "db"]).contains("the one before it was unhealthy"));
    assert!(next > 0 && stage(&run, "db")["failed_checks"].as_u64() >= Some(3));
}

#[test]
fn nothing_is_restarted_because_of_the_helper() {
    let site = Site::new(200);
    let run = Run::start(&format!(
        "[stages.db]\ncommand = ['sleep', '1000']\nprocesses = 5\n\
         health = {{ http = 'http://localhost:{}/health?x=1', every = '20ms', timeout = '2s', failures = 1 }}\n\
         [stages.slow]\ncommand = ['sleep', '1000']\nhealth = {{ command = 'sleep 0.2', every = '10ms', timeout = '2s', failures = 1 }}\n\
         ready = {{ command = 'test -e ready', every = '20ms', timeout = '2s' }}\nrestart = 'never'\n",
        site.port
    ));
    let first = wait_until("a helper", || helper(&run));
    // Before `slow` is ready, for longer than any limit: its time must not pass meanwhile.
    assert!(process::kill(first, libc::SIGSTOP));
    thread::sleep(Duration::from_millis(2500));
    process::kill(first, libc::SIGCONT);
    run.folder.file("ready", "");
    wait_for_check(&run, "slow", "healthy");
    wait_for_check(&run, "db", "healthy");
    let all = [run.workers("db"), run.workers("slow")];
    for _ in 0..2 {
        let before = wait_until("a helper", || helper(&run));
        process::kill(before, libc::SIGKILL);
        wait_until("another helper", || helper(&run).filter(|pid| *pid != before));
    }
    run.wait_for_log("the process that makes checks has ended: another one starts ");
    for _ in 0..5 {
        let helper = wait_until("a helper", || helper(&run));
        process::kill(helper, libc::SIGSTOP);
        thread::sleep(Duration::from_millis(300));
        let before = process::context_switches(helper);
        process::kill(helper, libc::SIGCONT);
        wait_until("the helper to go on", || (process::context_switches(helper) > before).then_some(()));
    }
    assert_eq!([run.workers("db"), run.workers("slow")], all, "{}", run.stderr());
    // And it still sees what there is.
    site.answer(500);
    run.wait_for_log(": it was unhealthy, 1 check in a row failed");
    assert_eq!(run.workers("slow"), all[1], "{}", run.stderr());
}

#[test]
fn a_check_that_hangs_is_killed_with_all_that_it_has_started() {
    let mut run = Run::start(
        "[stages.db]\ncommand = 'exec sleep 1000'\nenv = { SECRET = 'x' }\n\
         health = { command = 'test $SECRET$MPRUN_STAGE = xdb -a $MPRUN_CHECK -gt 0 || exit 7; \
         (setsid sleep 2000 &); sleep 2000 & echo waits for a lock; sleep 2000', every = '20ms', timeout = '200ms', failures = 2 }\n",
    );
    run.wait_for_log("failed a health check (1 of 2): its command has not ended within 200ms; its last words: waits for a lock");
    run.wait_for_log(": it was unhealthy");
    run.wait_for_log("failed a health check (1 of 2)");
    let sleepers = |run: &Run| {
        let all = process::in_folder(run.folder.path());
        all.into_iter().filter(|pid| process::command_line(*pid).contains("sleep 2000")).count()
    };
    // Three of each check, the one that is being made included; what has left its group is ended with the next one.
    for _ in 0..20 {
        let left = sleepers(&run);
        assert!(left <= 6, "{left} are left of checks that are over");
    }
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0);
}

#[test]
fn a_check_whose_output_never_ends_holds_up_no_other() {
    let run = Run::start(
        "[stages.loud]\ncommand = ['sleep', '1000']\n\
         health = { command = 'setsid yes & echo once >>loud', every = '20ms' }\n\
         [stages.other]\ncommand = ['sleep', '1000']\nhealth = { command = 'echo >>other', every = '20ms' }\n",
    );
    let tries = |name: &str| std::fs::read(run.folder.path().join(name)).map_or(0, |bytes| bytes.len());
    for name in ["loud", "other"] {
        wait_until(&format!("tries of {name}"), || (tries(name) > 20).then_some(()));
    }
    wait_for_check(&run, "loud", "healthy");
}

#[test]
fn kill_9_of_the_supervisor_leaves_no_check_behind() {
    let mut run = Run::start(
        "[stages.db]\ncommand = 'exec sleep 1000'\nprocesses = 3\n\
         health = { command = '(setsid sleep 2000 &); touch looked; sleep 2000', every = '10ms' }\n",
    );
    wait_until("a check", || run.folder.path().join("looked").exists().then_some(()));
    run.signal(libc::SIGKILL);
    run.wait();
    let folder = run.folder.path().to_owned();
    wait_until("all of it to be gone", || process::in_folder(&folder).is_empty().then_some(()));
}

/// By a program that can be replaced, as an upgrade does it.
fn start_replaceable(text: &str) -> Run {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    let copy = folder.path().join("mprun");
    support::copy_program(support::binary().as_ref(), &copy);
    let plain = support::command(&folder);
    let mut command = Command::new(&copy);
    command.current_dir(folder.path()).args(["run", "pipeline.toml"]);
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Run::of(folder, command)
}

#[test]
fn one_that_is_not_ready_yet_can_say_so_under_the_next_program() {
    const SEND: &str = "import os,socket; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); \
                        s.sendto(b'READY=1', chr(0)+os.environ['NOTIFY_SOCKET'][1:])";
    const WAIT: &str = "while ! test -e go; do sleep 0.02; done";
    let run = start_replaceable(&format!(
        "[stages.line]\ncommand = 'printf rea >&2; {WAIT}; echo dy >&2; exec sleep 1000'\nready = {{ line = '^ready$' }}\n\
         [stages.notify]\ncommand = \"\"\"{WAIT}; python3 -c \\\"{SEND}\\\"; exec sleep 1000\"\"\"\nready = {{ notify = true }}\n"
    ));
    let go = run.folder.file("go", "");
    run.wait_for_log("up after");
    std::fs::remove_file(&go).unwrap();
    for stage in ["line", "notify"] {
        let before = run.worker(stage);
        process::kill(before, libc::SIGKILL);
        next_of(&run, stage, before);
        wait_for_check(&run, stage, "starting");
    }
    run.signal(libc::SIGUSR2);
    run.wait_for_log("took over, with 2 processes");
    let all = [run.worker("line"), run.worker("notify")];
    assert_eq!((check(&run, "line").as_str(), check(&run, "notify").as_str()), ("starting", "starting"));
    run.folder.file("go", "");
    wait_for_check(&run, "line", "ready");
    wait_for_check(&run, "notify", "ready");
    assert_eq!([run.worker("line"), run.worker("notify")], all);
}

#[test]
fn a_reload_of_checks_alone_and_an_upgrade_restart_nothing() {
    let site = Site::new(200);
    let text = |rest: &str| {
        format!(
            "[stages.db]\ncommand = 'echo up; exec sleep 1000'\nready = {{ line = 'up' }}\n{rest}\n\
             [stages.web]\ncommand = 'exec sleep 1000'\nready = {{ notify = true, timeout = '1h' }}\non_give_up = 'continue'\n"
        )
    };
    let health = format!("health = {{ http = 'http://localhost:{}/health?x=1', every = '20ms' }}", site.port);
    let run = start_replaceable(&text(""));
    wait_for_check(&run, "db", "ready");
    let all = [run.worker("db"), run.worker("web")];
    run.edit(&text(&health).replace("notify = true, timeout = '1h'", "command = 'true'"));
    wait_for_check(&run, "db", "healthy");
    wait_for_check(&run, "web", "ready");
    let before = wait_until("a helper", || helper(&run));
    run.wait_for_log("stage db: take over health: unset -> http http://localhost:");
    run.wait_for_log("up after");
    run.signal(libc::SIGUSR2);
    run.wait_for_log("took over, with 2 processes");
    assert_ne!(wait_until("a helper", || helper(&run)), before);
    wait_for_check(&run, "db", "healthy");
    run.edit(&text(""));
    wait_until("the helper's end", || helper(&run).is_none().then_some(()));
    assert_eq!([run.workers("db"), run.workers("web")], all.map(|pid| vec![pid]));
}

#[test]
fn a_paused_one_is_not_checked() {
    let run = Run::start(
        "[stages.db]\ncommand = 'exec sleep 1000'\n\
         health = { command = 'test ! -e sick', every = '10ms', timeout = '20s', failures = 1 }\n",
    );
    wait_for_check(&run, "db", "healthy");
    let db = run.worker("db");
    run.tell(&["pause", "pipeline.toml", "db", "--wait"]);
    run.folder.file("sick", "");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(300) {
        run.tell(&["status"]);
    }
    assert_eq!(run.workers("db"), [db]);
    run.tell(&["resume", "pipeline.toml", "db"]);
    next_of(&run, "db", db);
}
