//! Exactly once into standard output, where that is a regular file, whoever is killed in the middle of a write.

mod support;

use std::fs::{self, File, OpenOptions};
use std::process::{Child, Stdio};
use support::once::{ALL, PARTS, STORMY, assert_once, assert_stormed, assert_there, feed, item, whole_lines};
use support::{Folder, Run, command};

/// Two stages print, the workers of one of them are killed.
const PRINTING: &str = "[stages.read]\nuse = 'stdin'\noutput = ['a', 'b']\n\
                        [queues.a]\n[queues.b]\n\
                        [stages.print]\nuse = 'filter'\nwith = { matches = '[02468] ', invert = true }\ninput = 'a'\nprocesses = 2\n\
                        [stages.other]\nuse = 'filter'\nwith = { matches = '[02468] ' }\ninput = 'b'\nprocesses = 2\n";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.file("pipeline.toml", &format!("{STORMY}{PRINTING}"));
    folder
}

fn read(folder: &Folder) -> String {
    fs::read_to_string(folder.path().join("printed")).unwrap_or_default()
}

fn open(folder: &Folder) -> File {
    OpenOptions::new().create(true).append(true).open(folder.path().join("printed")).unwrap()
}

/// Kills the workers of one stage that prints until all is written.
fn storm(folder: Folder, out: File, err: File) -> Run {
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped()).stdout(out).stderr(err);
    let child = typed.spawn().unwrap();
    let mut run = Run::adopt(folder, child);
    let kills = support::storm::storm(&mut run, "print", PARTS, feed);
    assert_eq!(run.wait(), 0);
    assert_stormed(kills);
    run
}

fn log(folder: &Folder) -> File {
    File::create(folder.path().join("stderr")).unwrap()
}

#[test]
fn stages_that_share_a_file_print_each_line_once() {
    let folder = folder();
    fs::write(folder.path().join("printed"), "from before\n").unwrap();
    let (out, err) = (open(&folder), log(&folder));
    let run = storm(folder, out, err);
    assert_once(read(&run.folder).strip_prefix("from before\n").unwrap(), ALL);
}

#[test]
fn with_a_position_that_all_share_each_line_is_printed_once() {
    let folder = folder();
    let (out, err) = (File::create(folder.path().join("printed")).unwrap(), log(&folder));
    let run = storm(folder, out, err);
    assert_once(&read(&run.folder), ALL);
}

/// The log is another writer of the file.
#[test]
fn with_the_log_in_the_same_file_nothing_is_lost_and_a_line_comes_twice_only_with_a_warning() {
    for appends in [true, false] {
        let folder = folder();
        let out = if appends { open(&folder) } else { File::create(folder.path().join("printed")).unwrap() };
        let err = out.try_clone().unwrap();
        let run = storm(folder, out, err);
        let text = read(&run.folder);
        assert!(!text.contains('\0'), "a hole");
        let (twice, torn) = assert_there(&text, ALL, |line| line.starts_with("20"));
        assert!(text.contains("up after"));
        let warned = text.contains("come twice");
        assert!(warned || twice + torn == 0, "{twice} lines come twice and {torn} are torn, and no warning");
        assert!(!warned || text.contains(" perhaps twice, "), "the summary counts what the warning says");
    }
}

#[test]
fn over_upgrades_in_place_each_line_is_printed_once() {
    let folder = folder();
    let (out, err) = (open(&folder), log(&folder));
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped()).stdout(out).stderr(err);
    let child = typed.spawn().unwrap();
    let mut run = Run::adopt(folder, child);
    run.wait_for_log("up after");
    let (kills, upgrades) = support::storm::storm_with_upgrades(&mut run, "print", PARTS, feed);
    assert_eq!(run.wait(), 0);
    assert_stormed(kills);
    assert!(upgrades > 1, "{}", run.stderr());
    assert_once(&read(&run.folder), ALL);
}

fn durable(n: u32, more: &str) -> Folder {
    let folder = Folder::new();
    let input: String = (1..=n).map(|n| item(n) + "\n").collect();
    folder.file("input.txt", &input);
    let text = format!(
        "drain_timeout = '20ms'\n{STORMY}[stages.read]\nuse = 'lines'\nwith = {{ path = 'input.txt' }}\noutput = 'a'\n\
         [stages.print]\nuse = 'filter'\nwith = {{ contains = '<' }}\ninput = 'a'\nprocesses = 4\n{more}[queues.a]\ndurable = true\ncapacity = 100\n"
    );
    folder.file("pipeline.toml", &text);
    folder
}

fn start(folder: &Folder) -> Child {
    let mut command = command(folder);
    command.arg("pipeline.toml").stdin(Stdio::null()).stdout(open(folder)).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_durable_run_that_appends_over_deaths_of_everything_has_each_line_once() {
    const N: u32 = 200_000;
    let folder = durable(N, "");
    let written = (|| whole_lines(&read(&folder)), N as usize);
    let deaths = support::storm::deaths_of_everything(&folder, 40, || start(&folder), written);
    assert!(deaths > 5, "only {deaths} deaths");
    assert_once(&read(&folder), N);
}

#[test]
fn a_stop_right_behind_a_kill_leaves_each_line_once_for_the_run_that_resumes() {
    const N: u32 = 500;
    let folder = durable(N, "sleep = '1ms'\n");
    let written = (|| whole_lines(&read(&folder)), N as usize);
    let stops = support::storm::stops_behind_kills(&folder, "print", || start(&folder), written);
    assert!(stops > 3, "only {stops} stops");
    assert_once(&read(&folder), N);
}
