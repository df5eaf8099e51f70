//! No dead letter is lost where it can't be written, and nobody but its item waits for it.

mod support;

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use support::{Folder, Run, wait_until};

/// The worker dies of item 7, and the stage goes on with the others.
const KILLED_BY_ITEM: &str = "\
[stages.number]
use = 'count'
with = { from = 1, to = 20 }
output = 'a'
[stages.work]
command = ['sh', '-c', 'read n; [ $n = 7 ] && { kill -9 $PPID; sleep 1000; }; echo $n']
mode = 'each'
attempts = 1
when_failing = 'dead-letter'
input = 'a'
";

/// Every second item fails.
const ODD: &str = "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 10 }\noutput = 'a'\n\
                   [stages.work]\nuse = 'filter'\nwith = { keep = 'even' }\nattempts = 1\nwhen_failing = 'dead-letter'\ninput = 'a'\n";

/// Words where numbers are wanted: all of them fail.
fn words(items: u32) -> String {
    format!("{ODD}[queues.a]\ncapacity = 100\n")
        .replace("to = 10", &format!("to = {items}, format = 'x{{item}}'"))
}

fn dead_file(folder: &Folder) -> PathBuf {
    folder.path().join("state/mprun/pipeline/dead.jsonl")
}

fn prepared(text: &str) -> Folder {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    folder.file("state/mprun/pipeline/dead.jsonl", "");
    folder
}

/// Has the lock of the letters, as a stopped `mprun dead drop` would have it.
fn held(folder: &Folder) -> Flock<File> {
    Flock::lock(File::open(dead_file(folder)).unwrap(), FlockArg::LockExclusive).unwrap()
}

#[test]
fn who_holds_the_lock_holds_up_only_the_item_and_not_the_supervisor() {
    let folder = prepared(KILLED_BY_ITEM);
    let lock = held(&folder);
    let mut run = Run::in_folder(folder, &[]);
    run.wait_for_log("its item stays leased");
    wait_until("the other items", || (run.lines().len() == 19).then_some(()));
    let status = wait_until("the status to tell it", || {
        let said = run.tell(&["status"]);
        said.contains("is not written").then_some(said)
    });
    assert!(status.contains("holds its lock"), "{status}");
    assert!(run.tell(&["why"]).contains("is not written"));
    drop(lock);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(fs::read_to_string(dead_file(&run.folder)).unwrap().lines().count(), 1);
}

#[test]
fn a_stop_does_not_wait_for_ever_for_a_letter_and_a_durable_queue_keeps_its_item() {
    let folder = prepared(&format!("drain_timeout = '300ms'\n[queues.a]\ndurable = true\n{KILLED_BY_ITEM}"));
    let lock = held(&folder);
    let mut run = Run::in_folder(folder, &[]);
    run.wait_for_log("its item stays leased");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("1 dead letter could not be written: its item stays"), "{}", run.stderr());
    drop(lock);
    // The next run goes on with it, and writes it.
    let said = run.ask(&["pipeline.toml"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    let letters = fs::read_to_string(dead_file(&run.folder)).unwrap();
    assert_eq!(letters.matches("\"item\":\"7\"").count(), 1, "{letters}");
}

#[test]
fn a_worker_waits_for_the_lock_and_still_obeys() {
    let folder = prepared(&words(3));
    let lock = held(&folder);
    let mut run = Run::in_folder(folder, &[]);
    run.wait_for_log("its item waits");
    assert!(run.stderr().contains("holds its lock"), "{}", run.stderr());
    drop(lock);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(fs::read_to_string(dead_file(&run.folder)).unwrap().lines().count(), 3);

    let folder = prepared(&format!("[queues.a]\ndurable = true\n{}", words(3).replace("[queues.a]\n", "")));
    let text =
        fs::read_to_string(folder.path().join("pipeline.toml")).unwrap().replace("capacity = 100\n", "");
    folder.file("pipeline.toml", &text);
    let _lock = held(&folder);
    let mut run = Run::in_folder(folder, &[]);
    run.wait_for_log("its item waits");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(run.stderr().contains("left waiting"), "{}", run.stderr());
}

/// What the descriptors of a process that are sockets lead to.
fn sockets(pid: u32) -> BTreeSet<PathBuf> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let links = links.filter_map(|link| fs::read_link(link.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).collect()
}

/// The body of an answer, on a connection that stays.
fn asked(stream: &mut UnixStream, head: &str) -> String {
    stream.write_all(format!("{head} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).unwrap();
        text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && body.ends_with('\n')
        {
            return body.to_owned();
        }
    }
}

#[test]
fn of_a_client_that_has_left_only_the_letter_under_way_is_put_back() {
    let run = Run::start(&format!("{}[stages.stay]\ncommand = 'sleep 1000'\noutput = 'a'\n", words(6)));
    let file = dead_file(&run.folder);
    let letters = || fs::read_to_string(&file).unwrap_or_default().matches("{\"time\"").count();
    wait_until("six letters", || (letters() == 6).then_some(()));
    run.tell(&["pause", "--wait"]);
    let before = sockets(run.pid());
    let mut stream = UnixStream::connect(run.socket()).unwrap();
    let keys: Vec<Value> = serde_json::from_str(&asked(&mut stream, "GET /v1/dead?keys=true")).unwrap();
    let keys: Vec<&Value> = keys.iter().map(|letter| &letter["key"]).collect();
    assert_eq!(keys.len(), 6);
    let own: BTreeSet<PathBuf> = sockets(run.pid()).difference(&before).cloned().collect();
    // The first letter waits for the lock.
    let lock = held(&run.folder);
    let request = |keys: &[&Value]| {
        let body = serde_json::json!({ "keys": keys }).to_string();
        let length = body.len();
        format!("POST /v1/dead/retry HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    stream.write_all(request(&keys).as_bytes()).unwrap();
    drop(stream);
    wait_until("the client to be given up", || sockets(run.pid()).is_disjoint(&own).then_some(()));
    drop(lock);
    // One retry at a time: this one is answered after the other.
    let mut next = UnixStream::connect(run.socket()).unwrap();
    next.write_all(request(&[]).as_bytes()).unwrap();
    assert!(next.read(&mut [0]).unwrap() > 0);
    assert!(letters() >= 5, "{}", letters());
}

#[test]
fn a_helper_that_is_killed_is_followed_by_another() {
    let folder = prepared(KILLED_BY_ITEM);
    let lock = held(&folder);
    let mut run = Run::in_folder(folder, &[]);
    let mut killed = Vec::new();
    while killed.len() < 3 {
        let helper = wait_until("a helper", || {
            let helpers = support::process::children(run.pid()).into_iter().filter(|pid| {
                fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.starts_with(b"mprun:letters\0"))
            });
            helpers.into_iter().find(|pid| !killed.contains(pid))
        });
        support::process::kill(helper, libc::SIGKILL);
        killed.push(helper);
    }
    run.wait_for_log("was killed");
    drop(lock);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(fs::read_to_string(dead_file(&run.folder)).unwrap().lines().count(), 1);
}

#[test]
fn a_pipe_in_the_place_of_the_letters_is_told_at_the_start_and_loses_none() {
    for (text, message) in
        [(KILLED_BY_ITEM, "its item stays leased"), (&words(3), ": a dead letter can't be written")]
    {
        let folder = Folder::new();
        folder.file(
            "pipeline.toml",
            &format!("drain_timeout = '1s'\n[defaults]\ngive_up = {{ restarts = 1, within = '1m' }}\n{text}"),
        );
        fs::create_dir_all(dead_file(&folder).parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&dead_file(&folder), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut run = Run::in_folder(folder, &[]);
        run.wait_for_log("dead letters can't be written");
        run.wait_for_log("it is no regular file");
        run.wait_for_log(message);
        run.signal(libc::SIGTERM);
        assert_eq!(run.wait(), 1, "{}", run.stderr());
        assert!(
            run.stderr().contains("left waiting") && !run.stderr().contains(" dead,"),
            "{}",
            run.stderr()
        );
    }
}

#[test]
fn a_state_folder_that_cannot_be_written_is_told_at_the_start_with_what_to_do() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.a]\nuse = 'count'\nwith = { to = 3 }\n");
    folder.file("state", "no folder");
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.finish().len(), 3);
    assert!(
        run.stderr().contains("dead letters can't be written") && run.stderr().contains("XDG_STATE_HOME"),
        "{}",
        run.stderr()
    );
}

#[test]
fn letters_that_are_as_many_as_they_may_be_make_items_wait_until_there_is_room() {
    let mut run = Run::start(&format!("[dead_letters]\nmax_size = '1KiB'\n{}", words(12)));
    run.wait_for_log("its item waits");
    let status = wait_until("the status to tell it", || {
        let said = run.tell(&["status"]);
        said.contains("no room for more dead letters").then_some(said)
    });
    assert!(
        status.contains("max_size is 1024") && run.tell(&["why"]).contains("no room for more"),
        "{status}"
    );
    assert_eq!(run.ask(&["status", "--check"]).code, Some(1));
    let mut dropped = 0;
    wait_until("the end", || {
        let said = run.ask(&["dead", "drop", "pipeline.toml", "--all"]);
        dropped += said.stdout.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        run.child.try_wait().unwrap()
    });
    let left = fs::read_to_string(dead_file(&run.folder)).unwrap().lines().count();
    let code = run.wait();
    // The last ones may be dropped before the run ends: then it has none.
    let is_true = code == 3 || code == 0 && left == 0;
    assert!(is_true && dropped + left == 12, "{code} {dropped} {left}: {}", run.stderr());
}

#[test]
fn old_letters_are_dropped_only_where_that_is_asked_for_and_are_counted() {
    let bounds =
        "[dead_letters]\nmax_size = '2KiB'\nwhen_full = 'drop-old'\n[metrics]\nlisten = '127.0.0.1:0'\n";
    let text = format!("{bounds}{}", words(30)).replace("use = 'count'", "use = 'count'\nrestart = 'never'");
    let run = Run::start(&format!("{text}[stages.stay]\ncommand = 'sleep 1000'\noutput = 'a'\n"));
    wait_until("thirty", || run.stderr().contains("`x30` is a dead letter").then_some(()));
    assert!(run.stderr().contains("dropped, the oldest first: [dead_letters] max_size"), "{}", run.stderr());
    let letters = fs::read_to_string(dead_file(&run.folder)).unwrap();
    let kept = letters.matches("\"item\":").count();
    let address =
        run.stderr().split("metrics on http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let metrics = wait_until("metrics that know them all", || {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.contains(&format!("mprun_dead_letters_kept{{pipeline=\"pipeline\"}} {kept}\n")).then_some(text)
    });
    let dropped = format!("mprun_dead_letters_dropped{{pipeline=\"pipeline\"}} {}\n", 30 - kept);
    assert!(kept > 2 && metrics.contains(&dropped), "{kept}: {metrics}");
    assert!(
        metrics
            .contains(&format!("mprun_dead_letters_kept_bytes{{pipeline=\"pipeline\"}} {}\n", letters.len()))
    );
    run.signal(libc::SIGINT);
}

#[test]
fn a_full_disk_makes_their_items_wait_and_loses_none() {
    let folder = Folder::new();
    folder.file("pipeline.toml", &words(40));
    fs::create_dir(folder.path().join("state")).unwrap();
    let plain = support::command(&folder);
    // A mount name space of one's own needs no privilege inside a user name space of one's own.
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    let script =
        "mount -t tmpfs -o size=64k none state && head -c 56k /dev/zero > state/ballast && exec \"$@\"";
    command.args([script, "sh"]).arg(support::binary()).args(["run", "pipeline.toml"]);
    command.current_dir(folder.path()).stdin(std::process::Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut run = Run::of(folder, command);
    run.wait_for_log("its item waits");
    let seen = |name: &str| {
        PathBuf::from(format!(
            "/proc/{}/root{}",
            run.pid(),
            run.folder.path().join("state").join(name).display()
        ))
    };
    fs::remove_file(seen("ballast")).unwrap();
    let letters = seen("mprun/pipeline/dead.jsonl");
    let mut last = String::new();
    wait_until("all forty", || {
        if let Ok(text) = fs::read_to_string(&letters) {
            last = text;
        }
        run.child.try_wait().unwrap()
    });
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert!(run.stderr().contains("40 dead letters"), "{}", run.stderr());
    assert!(last.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "none is torn: {last}");
}
