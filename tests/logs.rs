//! What workers and their programs say, beside standard error.

mod support;

use std::fs;
use support::{Folder, Run, command, process, wait_until};

/// A program that says a line to standard error for each item, and a built-in that logs its items.
const TALKERS: &str = "\
[defaults]
log_file = { path = 'logs/{stage}.log', max_size = '4KiB', keep = 1000 }
[stages.number]
use = 'count'
with = { from = 1, to = 900 }
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
    assert_eq!(said, (1..=900).collect::<Vec<_>>(), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours in a file");
    // Standard error has them, too.
    assert_eq!(run.stderr().matches("] saw ").count(), 900);
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
    // The file gets them first: between the two it may be killed, too.
    assert!(written.contains("talk[0] last words") || !heard, "{written}\n{}", run.stderr());
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
fn what_a_program_says_is_in_the_file_however_little_is_said_on_standard_error() {
    let file = "[stages.a]\ncommand = 'echo out; echo err >&2'\nstdout = 'log'\nlog_file.path = 'a.log'\n";
    let mut run = Run::start_with(file, &["-qq"]);
    assert_eq!(run.wait(), 0);
    let log = std::fs::read_to_string(run.folder.path().join("a.log")).unwrap();
    assert!(log.contains("a[0] out\n") && log.contains("a[0] err\n"), "{log}");
    assert_eq!(run.stderr(), "");
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

/// What `mprun logs` prints: nothing before the run is up.
fn logs(run: &Run, arguments: &[&str]) -> String {
    let output = support::command(&run.folder).arg("logs").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

const BEATS: &str = "\
[stages.one]
command = ['sh', '-c', 'n=0; while :; do n=$((n+1)); echo \"one $n\" >&2; sleep 0.02; done']
[stages.two]
command = ['sh', '-c', 'n=0; while :; do n=$((n+1)); echo \"two $n\" >&2; sleep 0.02; done']
";

#[test]
fn the_last_lines_of_all_or_of_one_stage_are_shown_without_any_log_file() {
    let run = Run::start(BEATS);
    wait_until("lines of both", || {
        let all = logs(&run, &["-n", "1000"]);
        (all.contains("one[0] one 5") && all.contains("two[0] two 5")).then_some(())
    });
    let only = logs(&run, &["two", "-n", "3"]);
    assert!(only.lines().count() == 3 && only.lines().all(|line| line.contains(" two[0] ")), "{only}");
    let all = logs(&run, &["-n", "1000"]);
    let times: Vec<&str> = all.lines().map(|line| &line[..24]).collect();
    assert!(times.is_sorted(), "{all}");
    let said = run.ask(&["logs", "twp"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("there is no stage twp: did you mean two?"), "{said:?}");
    run.signal(libc::SIGINT);
}

#[test]
fn lines_are_followed_as_they_come_until_the_run_is_over() {
    let run = Run::start(BEATS);
    wait_until("lines", || logs(&run, &[]).contains("one 1").then_some(()));
    let path = run.folder.path().join("followed");
    let mut follow = support::command(&run.folder);
    follow.args(["logs", "-f", "one"]).stdout(fs::File::create(&path).unwrap());
    let mut follow = follow.spawn().unwrap();
    let followed = || fs::read_to_string(&path).unwrap();
    wait_until("more lines", || (followed().lines().count() > 60).then_some(()));
    run.signal(libc::SIGINT);
    let status = wait_until("the end of it", || follow.try_wait().unwrap());
    assert!(status.success());
    let numbers: Vec<u32> =
        followed().lines().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "every line once: {numbers:?}");
}

#[test]
fn what_a_killed_run_said_last_is_still_there() {
    let run = Run::start(BEATS);
    wait_until("lines", || logs(&run, &[]).contains("one 5").then_some(()));
    run.signal(libc::SIGKILL);
    wait_until("the end of its workers", || run.workers("one").is_empty().then_some(()));
    let left = logs(&run, &["pipeline", "one"]);
    assert!(left.contains("one[0] one 5"), "{left}");
}

#[test]
fn nothing_that_a_program_says_reaches_a_terminal_as_a_control_character() {
    // A title, a screen that is cleared, text that is turned round, a progress bar, and an item like that.
    let mut run = Run::start(
        "[stages.say]\ncommand = \"printf 'a\\\\033]0;x\\\\007b\\\\342\\\\200\\\\256c\\\\n10%%\\\\r20%%\\\\r\\\\n' >&2; printf 'i\\\\033[2J\\\\342\\\\200\\\\256\\\\n'; sleep 1000\"\n\
         output = 'a'\n[stages.fail]\nmode = 'each'\ncommand = ['sh', '-c', 'printf \"w\\\\033[1mx\\\\342\\\\200\\\\256\" >&2; exit 1']\n\
         attempts = 1\nwhen_failing = 'dead-letter'\ninput = 'a'\n",
    );
    run.wait_for_log("dead letter");
    let log = run.stderr();
    assert!(log.contains("say[0] a\\u{1b}]0;x\\u{7}b\\u{202e}c\n"), "{log}");
    assert!(log.contains("say[0] 10%\n") && log.contains("say[0] 20%\n"), "{log}");
    assert!(log.contains("its last words: w\\u{1b}[1mx\\u{202e}"), "{log}");
    let mut shown = vec![log];
    for verb in [
        &["why"][..],
        &["status"],
        &["logs"],
        &["dead", "list"],
        &["dead", "show", "--all"],
        &["status", "--json"],
        &["dead", "list", "--json"],
    ] {
        shown.push(run.ask(verb).stdout);
    }
    for text in shown {
        let risky = |c: char| c != '\n' && c != '\t' && (c.is_control() || c == '\u{202e}');
        assert!(!text.contains(risky), "{text:?}");
    }
    run.signal(libc::SIGQUIT);
    run.wait();
}

#[test]
fn a_log_in_the_folder_of_the_file_is_not_fed_by_its_own_lines() {
    let folder = Folder::new();
    folder.file("pipeline.toml", "[stages.a]\ncommand = 'exec sleep 1000'\n");
    let log = folder.path().join("all.log");
    let mut run = command(&folder);
    run.args(["run", "-vv", "pipeline.toml"]).stderr(fs::File::create(&log).unwrap());
    let mut run = run.spawn().unwrap();
    let text = || fs::read_to_string(&log).unwrap();
    wait_until("its start", || text().contains("up after").then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(!text().contains("inotify"), "{}", text());
    process::kill(run.id(), libc::SIGTERM);
    run.wait().unwrap();
}
