//! Signals in the first moments of a process: a run obeys them once it can, any other verb ends by them at once.

mod support;

use std::os::unix::process::CommandExt;
use support::{Folder, Run, process, wait_until};

const ENDLESS: &str = "[stages.number]\nuse = 'count'\nwith = { from = 1 }\noutput = 'a'\n\
                       [stages.end]\nuse = 'discard'\ninput = 'a'\n";

/// A run that is sent this signal as soon as it holds signals back; on a busy machine it may have let them in by then.
fn struck(signal: i32) -> Run {
    let run = Run::start(ENDLESS);
    let is_safe = || has(run.pid(), "SigBlk:", signal) || has(run.pid(), "SigCgt:", signal);
    wait_until("it to hold signals back", || is_safe().then_some(()));
    run.signal(signal);
    run
}

fn has(pid: u32, mask: &str, signal: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix(mask)).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

#[test]
fn a_stop_in_the_first_moments_is_obeyed() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT].repeat(7) {
        let mut run = struck(signal);
        assert!([0, 1].contains(&run.wait()), "signal {signal}: {}", run.stderr());
        assert!(run.stderr().contains("SIG"), "signal {signal} was obeyed without a word: {}", run.stderr());
    }
}

#[test]
fn no_other_signal_ends_a_run_that_begins() {
    for signal in [libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGHUP, libc::SIGUSR1] {
        let mut run = struck(signal);
        wait_until("a worker", || (!run.workers("end").is_empty()).then_some(()));
        run.signal(libc::SIGTERM);
        assert_eq!(run.wait(), 0, "signal {signal}: {}", run.stderr());
    }
}

/// Sent between the fork and the first instruction of the program, and held back by whoever started it.
#[test]
fn a_signal_from_before_the_program_is_obeyed_too() {
    for signal in [libc::SIGTERM, libc::SIGINT].repeat(5) {
        let folder = Folder::new();
        folder.file("pipeline.toml", ENDLESS);
        let mut command = support::command(&folder);
        command.args(["run", "pipeline.toml"]);
        // SAFETY: two system calls on a set of this stack.
        unsafe {
            command.pre_exec(move || {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, signal);
                libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
                Ok(())
            });
        }
        let mut run = Run::of(folder, command);
        run.signal(signal);
        assert_eq!(run.wait(), 0, "signal {signal}: {}", run.stderr());
    }
}

/// Whoever writes the file may never come.
#[test]
fn a_run_that_reads_its_file_from_a_pipe_ends_by_the_keyboard() {
    let folder = Folder::new();
    let fifo = folder.path().join("pipeline.toml");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut run = Run::in_folder(folder, &[]);
    // The writer's open returns as soon as there is a reader.
    let writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    run.signal(libc::SIGINT);
    assert_ne!(run.wait(), 0);
    drop(writer);
}

#[test]
fn another_verb_ends_at_once() {
    let folder = Folder::new();
    let fifo = folder.path().join("pipeline.toml");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut command = support::command(&folder);
    command.args(["check", "pipeline.toml"]);
    let mut run = Run::of(folder, command);
    let writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 128 + libc::SIGTERM);
    drop(writer);
}

#[test]
fn programs_begin_with_no_signal_blocked() {
    let mut run = Run::start("[stages.job]\ncommand = ['grep', 'SigBlk', '/proc/self/status']\n");
    assert_eq!(run.finish(), ["SigBlk:\t0000000000000000"]);
}

/// `process::kill` of a process that is gone is no error of the test.
#[test]
fn a_stop_that_comes_twice_in_the_first_moments_is_obeyed() {
    let mut run = struck(libc::SIGINT);
    process::kill(run.pid(), libc::SIGINT);
    assert!([0, 1].contains(&run.wait()), "{}", run.stderr());
}
