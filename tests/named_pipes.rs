//! `lines` of what is no file on a disk: a named pipe, a device.

mod support;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use support::{Folder, Run, command, process, wait_until};

/// A run that reads the named pipe. Its worker must not be one that has to be killed: there is no end to its patience.
fn reading(processes: u32) -> (Run, PathBuf) {
    let folder = Folder::new();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    folder.file(
        "pipeline.toml",
        &format!(
            "[stages.r]\nuse = 'lines'\nwith = {{ path = 'fifo' }}\nstop_timeout = '1h'\nprocesses = {processes}\n\
             backoff = {{ initial = '1ms', max = '5ms' }}\ngive_up = {{ restarts = 1000, within = '1m' }}\n"
        ),
    );
    let run = Run::in_folder(folder, &[]);
    run.wait_for_log("up after");
    (run, fifo)
}

fn writer(fifo: &PathBuf) -> File {
    File::options().write(true).open(fifo).unwrap()
}

/// Opens it as soon as somebody reads it, and without a wait in `open`.
fn writer_once_read(fifo: &PathBuf) -> File {
    use std::os::unix::fs::OpenOptionsExt;
    wait_until("a reader", || File::options().write(true).custom_flags(libc::O_NONBLOCK).open(fifo).ok())
}

/// What is printed before a kill may be printed once more after it.
fn printed(run: &mut Run) -> Vec<String> {
    let mut lines = run.finish();
    lines.dedup();
    lines
}

/// One that is read by a worker which was started after this one's death.
fn kill_reader(run: &Run) {
    let old = run.worker("r");
    process::kill(old, libc::SIGKILL);
    wait_until("another worker", || run.workers("r").first().filter(|&&pid| pid != old).copied());
}

#[test]
fn one_that_nobody_writes_ends_with_the_first_word() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let (mut run, _) = reading(1);
        let status = run.tell(&["status"]);
        assert!(!status.contains("bottleneck"), "{status}");
        run.signal(signal);
        run.wait();
        assert!(!run.stderr().contains("SIGKILL"), "{}", run.stderr());
    }
}

#[test]
fn it_ends_when_its_writers_have_ended_as_for_cat() {
    let (mut run, fifo) = reading(2);
    let (mut first, mut second) = (writer(&fifo), writer(&fifo));
    first.write_all(b"one\ntwo\n").unwrap();
    drop(first);
    wait_until("the first lines", || (run.lines() == ["one", "two"]).then_some(()));
    second.write_all(b"three\nno end").unwrap();
    drop(second);
    assert_eq!(run.finish(), ["one", "two", "three", "no end"]);
}

#[test]
fn a_reader_killed_before_the_first_writer_waits_for_it_again() {
    let (mut run, fifo) = reading(1);
    for _ in 0..3 {
        kill_reader(&run);
    }
    writer(&fifo).write_all(b"one\n").unwrap();
    assert_eq!(run.finish(), ["one"]);
}

#[test]
fn a_reader_killed_between_two_lines_is_followed_by_one_that_reads_the_second() {
    let (mut run, fifo) = reading(1);
    let mut writer = writer(&fifo);
    writer.write_all(b"one\n").unwrap();
    wait_until("the first line", || (run.lines() == ["one"]).then_some(()));
    kill_reader(&run);
    drop(writer_once_read(&fifo));
    writer.write_all(b"two\n").unwrap();
    drop(writer);
    assert_eq!(printed(&mut run), ["one", "two"]);
}

#[test]
fn a_reader_killed_after_the_writer_has_gone_is_followed_by_one_that_ends() {
    let (mut run, fifo) = reading(1);
    let mut writer = writer(&fifo);
    writer.write_all(b"one\n").unwrap();
    wait_until("the first line", || (run.lines() == ["one"]).then_some(()));
    let reader = run.worker("r");
    process::kill(reader, libc::SIGSTOP);
    drop(writer);
    process::kill(reader, libc::SIGKILL);
    assert_eq!(printed(&mut run), ["one"]);
}

#[test]
fn an_empty_device_is_an_empty_file_and_a_descriptor_is_a_fault() {
    let mut run = Run::start("[stages.r]\nuse = 'lines'\nwith = { path = '/dev/null' }\n");
    assert!(run.finish().is_empty());
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.r]\nuse = 'lines'\nwith = { path = '/dev/stdin' }\n");
    let said = command(&folder).args(["check", "pipeline.toml"]).output().unwrap();
    assert_eq!(said.status.code(), Some(2));
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(text.contains("the stage `stdin` reads standard input"), "{text}");
}
