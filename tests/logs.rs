//! What workers and their programs say, beside standard error.

mod support;

use std::fs;
use support::{Run, wait_until};

/// A program that says a line to standard error for each item, and a built-in that logs its items.
const TALKERS: &str = "\
[defaults]
log_file = { path = 'logs/{stage}.log', max_size = '4KiB', keep = 1000 }
[stages.number]
use = 'count'
with = { from = 1, to = 1500 }
output = 'a'
[stages.talk]
command = ['sh', '-c', 'while read n; do echo \"saw $n\" >&2; echo $n; done']
mode = 'reply'
processes = 3
input = 'a'
output = 'b'
[stages.gone]
use = 'discard'
input = 'b'
";

fn whole(run: &Run, stage: &str) -> (usize, String) {
    let folder = run.folder.path().join("logs");
    let name = |n: usize| if n == 0 { format!("{stage}.log") } else { format!("{stage}.log.{n}") };
    let texts: Vec<String> = (0..).map_while(|n| fs::read_to_string(folder.join(name(n))).ok()).collect();
    (texts.len(), texts.concat())
}

#[test]
fn every_line_of_three_programs_is_once_in_the_stages_file_through_its_rotations() {
    let mut run = Run::start(TALKERS);
    run.finish();
    let (files, text) = whole(&run, "talk");
    assert!(files > 3, "{files} files");
    let mut said: Vec<u32> =
        text.lines().filter_map(|line| line.split_once("] saw ")?.1.parse().ok()).collect();
    said.sort_unstable();
    assert_eq!(said, (1..=1500).collect::<Vec<_>>(), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours in a file");
    // Standard error has them, too.
    assert_eq!(run.stderr().matches("] saw ").count(), 1500);
}

#[test]
fn the_last_words_of_a_killed_worker_are_in_the_file() {
    let text = "\
[stages.talk]
command = ['sh', '-c', 'echo last words >&2; kill -9 $PPID; sleep 100']
restart = 'never'
on_give_up = 'continue'
log_file = { path = 'talk.log' }
";
    let mut run = Run::start(text);
    run.wait();
    // The worker is killed by its own program, perhaps before it has read the words: then nobody has heard them.
    let heard = run.stderr().contains("talk[0] last words");
    let written = fs::read_to_string(run.folder.path().join("talk.log")).unwrap_or_default();
    assert_eq!(written.contains("talk[0] last words"), heard, "{written}\n{}", run.stderr());
}

#[test]
fn a_log_file_that_can_not_be_written_is_said_once_and_stops_nobody() {
    let text = TALKERS.replace("logs/{stage}.log", "pipeline.toml/x.log");
    let mut run = Run::start(&text);
    run.finish();
    let complaints = run.stderr().matches("failed to write the log file").count();
    assert!((1..=3).contains(&complaints), "{complaints}:\n{}", run.stderr());
}

#[test]
fn a_changed_log_file_is_taken_over_by_new_workers() {
    let text = "\
[stages.talk]
command = ['sh', '-c', 'while :; do echo tick >&2; sleep 0.05; done']
log_file = { path = 'one.log' }
";
    let run = Run::start(text);
    let has =
        |name: &str| fs::read_to_string(run.folder.path().join(name)).unwrap_or_default().contains("tick");
    wait_until("lines in the first file", || has("one.log").then_some(()));
    run.edit(&text.replace("one.log", "two.log"));
    wait_until("lines in the second file", || has("two.log").then_some(()));
    run.signal(libc::SIGTERM);
}
