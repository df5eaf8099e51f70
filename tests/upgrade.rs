//! SIGUSR2 puts the program that is on the disk in the place of the one that runs: same pid, same workers, same
//! queues, no item lost or doubled.

mod support;

use nix::fcntl::{Flock, FlockArg};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use support::{Folder, Run, process, wait_until};

/// By its file it is this pipeline and no other that runs here.
const FILE: &str = "pipeline.toml";

/// A run by a copy of the program that the test may replace.
fn run_by_copy(text: &str) -> (Run, PathBuf) {
    let folder = Folder::new();
    folder.file("pipeline.toml", text);
    let copy = folder.path().join("mprun");
    support::copy_program(Path::new(&support::binary()), &copy);
    let plain = support::command(&folder);
    let mut command = Command::new(&copy);
    command.current_dir(folder.path()).stdin(std::process::Stdio::null());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.args(["run", "pipeline.toml"]);
    (Run::of(folder, command), copy)
}

/// Another file in its place, as a package manager does it.
fn replace(program: &Path, with: &Path) {
    let new = program.with_extension("new");
    support::copy_program(with, &new);
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, program).unwrap();
}

fn counting(to: u64, sleep: &str) -> String {
    format!(
        "[queues.a]\ncapacity = 100\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {to} }}\noutput = 'a'\n\
         [stages.pass]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\noutput = 'b'\n\
         sleep = '{sleep}'\nprocesses = 2\n\
         [stages.total]\nuse = 'sum'\ninput = 'b'\n"
    )
}

fn all_workers(run: &Run) -> Vec<u32> {
    ["number", "pass", "total"].iter().flat_map(|stage| run.workers(stage)).collect()
}

fn takeovers(run: &Run) -> usize {
    run.stderr().matches("took over, with 4 workers").count()
}

/// The verb may have its answer before the writer of the log has written the line.
fn wait_for_takeovers(run: &Run, expected: usize) {
    wait_until(&format!("takeover {expected}: {}", run.stderr()), || {
        (takeovers(run) == expected).then_some(())
    });
}

#[test]
fn workers_and_items_go_on_under_the_next_program() {
    let n = 40_000;
    let (mut run, program) = run_by_copy(&counting(n, "2ms"));
    run.wait_for_log("up after");
    let (pid, workers) = (run.pid(), all_workers(&run));
    assert_eq!(workers.len(), 4);
    for round in 1..=5 {
        replace(&program, Path::new(&support::binary()));
        run.signal(libc::SIGUSR2);
        wait_for_takeovers(&run, round);
        assert_eq!(all_workers(&run), workers, "nobody was restarted");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(run.pid(), pid);
    // A worker that dies under the new program is seen and replaced, and a change of the file is taken over.
    process::kill(run.worker("pass"), libc::SIGKILL);
    run.wait_for_log("it starts again");
    run.edit(&counting(n, "0s"));
    assert_eq!(run.finish(), [(n * (n + 1) / 2).to_string()]);
    assert!(run.stderr().contains(&format!("queue a: {n} put, {n} done")), "{}", run.stderr());
}

/// Asks for `path` again and again until it is told to end; how often nobody listened, and how many answers came.
fn ask_all_the_time(socket: PathBuf, is_over: Arc<AtomicBool>) -> JoinHandle<(u32, u32)> {
    std::thread::spawn(move || {
        let (mut refused, mut answers) = (0, 0);
        while !is_over.load(Ordering::Relaxed) {
            let Ok(mut stream) = UnixStream::connect(&socket) else {
                refused += 1;
                continue;
            };
            let mut text = String::new();
            let request = b"GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(request).and_then(|()| stream.read_to_string(&mut text));
            answers += u32::from(text.starts_with("HTTP/1.1 200"));
        }
        (refused, answers)
    })
}

#[test]
fn requests_all_the_time_neither_keep_a_program_from_taking_over_nor_are_refused() {
    const UPGRADES: usize = 10;
    let (mut run, program) = run_by_copy(&counting(1_000_000, "1ms"));
    run.wait_for_log("up after");
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4).map(|_| ask_all_the_time(run.socket(), Arc::clone(&is_over))).collect();
    replace(&program, Path::new(&support::binary()));
    for round in 1..=UPGRADES {
        let (code, said) = verb(&run, &["upgrade", FILE]);
        assert_eq!(code, Some(0), "{said}\n{}", run.stderr());
        wait_for_takeovers(&run, round);
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        let (refused, answers) = client.join().unwrap();
        assert_eq!(refused, 0, "of {answers} and more");
        assert!(answers > 20, "{answers}");
    }
    run.signal(libc::SIGINT);
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn a_program_that_can_not_go_on_is_not_executed() {
    let n = 20_000;
    let (mut run, program) = run_by_copy(&counting(n, "1ms"));
    run.wait_for_log("up after");
    let workers = all_workers(&run);
    replace(&program, Path::new("/bin/false"));
    run.signal(libc::SIGUSR2);
    run.wait_for_log("can't go on from here (exit code 1): nothing said; this program continues");
    // A program that only ends well has not understood anything.
    replace(&program, Path::new("/bin/true"));
    run.signal(libc::SIGUSR2);
    run.wait_for_log("can't go on from here (exit code 0): nothing said; this program continues");
    let broken = run.folder.file("broken", "#!/bin/sh\necho 'libfoo.so.1: not found' >&2\nexit 127\n");
    replace(&program, &broken);
    let (code, said) = verb(&run, &["upgrade", FILE]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("can't go on from here (exit code 127): libfoo.so.1: not found;"), "{said}");
    let text = run.folder.file("text", "this is no program");
    replace(&program, &text);
    run.signal(libc::SIGUSR2);
    run.wait_for_log("upgrade failed: failed to execute the program: Exec format error");
    fs::remove_file(&program).unwrap();
    run.signal(libc::SIGUSR2);
    run.wait_for_log("upgrade failed: failed to execute the program: No such file");
    // The source may be done by now.
    let left = all_workers(&run);
    assert!(left.iter().all(|pid| workers.contains(pid)), "{left:?} are not all of {workers:?}");
    assert_eq!(run.finish(), [(n * (n + 1) / 2).to_string()]);
}

fn verb(run: &Run, arguments: &[&str]) -> (Option<i32>, String) {
    let output = support::command(&run.folder).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_verb_says_that_the_next_program_took_over_and_nothing_is_forgotten() {
    let (mut run, program) = run_by_copy(&counting(1_000_000, "2ms"));
    run.wait_for_log("up after");
    process::kill(run.worker("pass"), libc::SIGKILL);
    run.wait_for_log("it starts again");
    wait_until("all to be up", || verb(&run, &["status", FILE, "--check"]).0.filter(|&code| code == 0));
    let workers = all_workers(&run);
    for (round, word) in ["", "--wait", "--json"].into_iter().enumerate() {
        replace(&program, Path::new(&support::binary()));
        let arguments: Vec<&str> =
            ["upgrade", FILE, word].into_iter().filter(|word| !word.is_empty()).collect();
        let (code, said) = verb(&run, &arguments);
        assert_eq!(code, Some(0), "{said}{}", run.stderr());
        let expected = format!(
            "took over from mprun {} in process {}, with 4 workers as they were",
            env!("CARGO_PKG_VERSION"),
            run.pid()
        );
        assert!(said.contains(&expected), "{said}");
        wait_for_takeovers(&run, round + 1);
        assert_eq!(all_workers(&run), workers);
    }
    let (_, why) = verb(&run, &["why", FILE, "pass"]);
    assert!(why.contains("restarts: 1 killed") && why.contains("was killed by SIGKILL"), "{why}");
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let (code, said) = verb(&run, &["upgrade", FILE]);
    assert!(code == Some(1) && said.contains("runs here"), "{said}");
}

#[test]
fn a_stop_that_comes_with_an_upgrade_is_not_lost() {
    for pause in [0, 5, 20, 40, 60, 80] {
        let (mut run, _) = run_by_copy(&counting(1_000_000, "1ms"));
        run.wait_for_log("up after");
        run.signal(libc::SIGUSR2);
        std::thread::sleep(Duration::from_millis(pause));
        run.signal(libc::SIGTERM);
        assert_eq!(run.wait(), 0, "{}", run.stderr());
        assert!(run.stderr().contains("stopped (SIGTERM)"), "{}", run.stderr());
    }
}

/// The main thread alone can hold a signal back for the program that comes next. An exec ends the others, with what they
/// were about to pass on.
/// In a folder and those below it.
fn lock_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| match path.is_dir() {
        true => lock_files(&path),
        false => vec![path],
    };
    paths.flat_map(of).filter(|path| path.extension().is_some_and(|end| end == "lock")).collect()
}

#[test]
fn the_locks_of_a_run_are_free_at_no_moment_of_an_upgrade() {
    let (mut run, _) = run_by_copy(&counting(1_000_000_000, "1ms"));
    wait_until("workers", || (run.workers("pass").len() == 2).then_some(()));
    let files = lock_files(run.folder.path());
    assert_eq!(files.len(), 2, "one beside the socket, one in the state folder: {files:?}");
    let is_over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_over);
    let looks = std::thread::spawn(move || {
        let (mut looks, mut free) = (0, 0);
        while !seen.load(Ordering::Relaxed) {
            for path in &files {
                let file = fs::File::open(path).unwrap();
                free += u32::from(Flock::lock(file, FlockArg::LockSharedNonblock).is_ok());
                looks += 1;
            }
        }
        (looks, free)
    });
    for n in 1..=3 {
        run.signal(libc::SIGUSR2);
        wait_for_takeovers(&run, n);
    }
    is_over.store(true, Ordering::Relaxed);
    let (looks, free) = looks.join().unwrap();
    assert!(looks > 1000 && free == 0, "{free} of {looks}: {}", run.stderr());
    run.signal(libc::SIGTERM);
    run.wait();
}

#[test]
fn no_other_thread_takes_a_signal() {
    let page = "[control]\nlisten = '127.0.0.1:0'\n";
    let (mut run, _) = run_by_copy(&format!("{page}{}", counting(1_000_000, "1ms")));
    for round in 0..2 {
        let threads = wait_until("all threads", || {
            let threads = threads_with_blocked_signals(run.pid());
            let is_there = |name: &str| threads.iter().any(|(_, thread, _)| thread == name);
            ["signals", "control", "progress", "notify-rs inoti"].into_iter().all(is_there).then_some(threads)
        });
        let (main, others): (Vec<_>, Vec<_>) = threads.into_iter().partition(|(id, ..)| *id == run.pid());
        let stop = 1_u64 << (libc::SIGTERM - 1);
        assert!(others.iter().all(|(.., blocked)| blocked & stop != 0), "{others:?}");
        run.wait_for_log("up after");
        assert_eq!(main.len(), 1, "{main:?}");
        if round == 0 {
            run.signal(libc::SIGUSR2);
            wait_for_takeovers(&run, 1);
        }
    }
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

/// The number, the name and the mask of each.
fn threads_with_blocked_signals(pid: u32) -> Vec<(u32, String, u64)> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|entry| entry.unwrap().path());
    // One may end meanwhile.
    let statuses =
        entries.filter_map(|path| Some((path.clone(), fs::read_to_string(path.join("status")).ok()?)));
    let field = |status: &str, name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].trim().to_owned()
    };
    statuses
        .map(|(path, status)| {
            let id = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let blocked = u64::from_str_radix(&field(&status, "SigBlk:"), 16).unwrap();
            (id, field(&status, "Name:"), blocked)
        })
        .collect()
}

#[test]
fn what_a_source_has_read_of_standard_input_is_not_lost() {
    let text = |sleep: &str| {
        format!(
            "[queues.a]\ncapacity = 5\n[stages.read]\nuse = 'stdin'\noutput = 'a'\n\
             [stages.slow]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\noutput = 'b'\nsleep = '{sleep}'\n\
             [stages.total]\nuse = 'sum'\ninput = 'b'\n"
        )
    };
    let (mut run, _) = {
        let folder = Folder::new();
        folder.file("pipeline.toml", &text("5ms"));
        let mut command = support::command(&folder);
        command.args(["run", "pipeline.toml"]).stdin(std::process::Stdio::piped());
        command.stdout(fs::File::create(folder.path().join("stdout")).unwrap());
        command.stderr(fs::File::create(folder.path().join("stderr")).unwrap());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            use std::io::Write;
            (1..=10_000).try_for_each(|n| writeln!(input, "{n}")).unwrap();
        });
        (Run::adopt(folder, child), writer)
    };
    run.wait_for_log("up after");
    for round in 1..=3 {
        run.signal(libc::SIGUSR2);
        wait_until("the upgrade", || {
            (run.stderr().matches("took over, with 3 workers").count() == round).then_some(())
        });
        let reader = run.worker("read");
        process::kill(reader, libc::SIGKILL);
        wait_until("another reader", || run.workers("read").first().filter(|&&pid| pid != reader).copied());
        wait_until("it to be up", || process::children(run.pid()).len().ge(&4).then_some(()));
    }
    run.edit(&text("0s"));
    assert_eq!(run.finish(), ["50005000"]);
}
