//! Every line of a file is an item, and every item is there: whoever is killed in the middle of a write, whoever else
//! writes to the file, and when the disk is full.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use support::{Folder, Run, command};

const STORMY: &str = "[defaults]\nattempts = 200\nretry = { delay = '1ms', max = '5ms' }\ngive_up = { restarts = 1000000, within = '1m' }\n\
                      backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n";

/// An item of several pages' worth in a batch, and one that shows whether it is whole.
fn item(n: u32) -> String {
    format!("<{n} {}>", "-".repeat(n as usize % 50))
}

/// At least once: a killed worker's items may come twice, but each line is an item, and none is missing.
#[track_caller]
fn assert_whole(text: &str, n: u32) {
    let lines: BTreeSet<&str> = text.lines().collect();
    let items: BTreeSet<String> = (1..=n).map(item).collect();
    let strange: Vec<_> = lines.iter().filter(|line| !items.contains(**line)).take(3).collect();
    assert_eq!(strange, Vec::<&&str>::new(), "these are no items");
    assert_eq!(lines.len(), items.len(), "some are missing");
    assert!(text.ends_with('\n'));
}

fn input(folder: &Folder, n: u32) {
    let lines: String = (1..=n).map(|n| item(n) + "\n").collect();
    folder.file("input.txt", &lines);
}

const READ: &str = "[stages.read]\nuse = 'lines'\nwith = { path = 'input.txt' }\noutput = 'a'\n";

/// Items come from standard input, one part after each few kills, and at the end of the run all are in the file.
const PARTS: u32 = 30;
const PART: u32 = 1000;
const TYPED: &str = "[stages.read]\nuse = 'stdin'\noutput = 'a'\n";

/// Feeds the run, and kills the workers of a stage again and again until the run has ended.
fn storm(mut run: Run, stage: &str) -> Run {
    support::storm::storm(&mut run, stage, PARTS, |part| {
        let items = part * PART + 1..=(part + 1) * PART;
        items.flat_map(|n| (item(n) + "\n").into_bytes()).collect()
    });
    assert_eq!(run.wait(), 0);
    run
}

#[test]
fn a_file_is_emptied_once_a_run_and_has_every_line_whoever_is_killed() {
    let folder = Folder::new();
    folder.file("out.txt", "from the run before\n");
    folder.file(
        "pipeline.toml",
        &format!(
            "{STORMY}{TYPED}[stages.write]\nuse = 'file'\nwith = {{ path = 'out.txt' }}\ninput = 'a'\nprocesses = 3\n"
        ),
    );
    let mut typed = command(&folder);
    typed.arg("pipeline.toml").stdin(Stdio::piped());
    let run = storm(Run::of(folder, typed), "write");
    assert_whole(&fs::read_to_string(run.folder.path().join("out.txt")).unwrap(), PARTS * PART);
}

/// Standard output opened as `> out` or as `>> out` opens it.
fn storm_on_standard_output(append: bool, before: &str) -> String {
    let folder = Folder::new();
    let out = folder.file("out.txt", before);
    folder.file(
        "pipeline.toml",
        &format!(
            "{STORMY}{TYPED}[stages.show]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\nprocesses = 3\n"
        ),
    );
    let mut open = fs::OpenOptions::new();
    open.write(true).custom_flags(if append { libc::O_APPEND } else { libc::O_TRUNC });
    let mut onto_file = command(&folder);
    onto_file.args(["-q", "pipeline.toml"]).stdin(Stdio::piped());
    let child = onto_file.stdout(open.open(&out).unwrap()).stderr(Stdio::null()).spawn().unwrap();
    let _run = storm(Run::adopt(folder, child), "show");
    fs::read_to_string(out).unwrap()
}

#[test]
fn standard_output_into_a_file_has_every_line_whoever_is_killed() {
    assert_whole(&storm_on_standard_output(false, "from the run before\n"), PARTS * PART);
}

#[test]
fn what_stood_in_the_file_before_is_never_touched() {
    let seen = storm_on_standard_output(true, "a prompt: ");
    assert_whole(seen.strip_prefix("a prompt: ").unwrap(), PARTS * PART);
}

#[test]
fn append_begins_on_a_line_of_its_own() {
    for (before, after) in [("", ""), ("old\n", "old\n"), ("half", "half\n")] {
        let folder = Folder::new();
        folder.file("out.txt", before);
        folder.file(
            "pipeline.toml",
            "[stages.say]\nuse = 'repeat'\nwith = { text = 'new', times = 2 }\noutput = 'a'\n\
             [stages.write]\nuse = 'file'\nwith = { path = 'out.txt', append = true }\ninput = 'a'\nprocesses = 2\n",
        );
        let mut run = Run::in_folder(folder, &[]);
        run.finish();
        let seen = fs::read_to_string(run.folder.path().join("out.txt")).unwrap();
        assert_eq!(seen, format!("{after}new\nnew\n"));
    }
}

#[test]
fn two_stages_that_write_one_file_lose_nothing_to_its_emptying() {
    let folder = Folder::new();
    folder.file("out.txt", "from the run before\n");
    folder.file(
        "pipeline.toml",
        "[stages.a]\nuse = 'repeat'\nwith = { text = 'a', times = 1 }\noutput = 'a'\n\
         [stages.write_a]\nuse = 'file'\nwith = { path = 'out.txt' }\ninput = 'a'\n\
         [stages.b]\nuse = 'repeat'\nwith = { text = 'b', times = 1 }\noutput = 'b'\n\
         [stages.write_b]\nuse = 'file'\nwith = { path = './out.txt' }\ninput = 'b'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    run.finish();
    let seen = fs::read_to_string(run.folder.path().join("out.txt")).unwrap();
    assert!(["a\nb\n", "b\na\n"].contains(&seen.as_str()), "{seen:?}");
}

#[test]
fn a_full_disk_leaves_whole_lines_and_what_did_not_fit_comes_later() {
    let folder = Folder::new();
    input(&folder, 20_000);
    folder.file(
        "pipeline.toml",
        &format!(
            "{STORMY}{READ}[stages.write]\nuse = 'file'\nwith = {{ path = 'disk/out.txt' }}\ninput = 'a'\nprocesses = 2\n"
        ),
    );
    fs::create_dir(folder.path().join("disk")).unwrap();
    // A disk of its own in a mount namespace. The run waits while it is full, and goes on when the disk has grown.
    let script = "mount -t tmpfs -o size=256k tmpfs disk; \
                  \"$1\" run pipeline.toml 2>log & \
                  until grep -q 'No space left on device (os error 28); waits' log; do sleep 0.02; done; \
                  until cp disk/out.txt full.txt && test -z \"$(tail -c 1 full.txt)\"; do :; done; mount -o remount,size=64m disk; \
                  wait $!; code=$?; cp disk/out.txt out.txt; exit $code";
    let mut namespace = Command::new("unshare");
    namespace.args(["-Urm", "sh", "-c", script, "sh", &support::binary()]);
    let plain = command(&folder);
    namespace.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    namespace.current_dir(folder.path()).stdin(Stdio::null());
    let mut run = Run::of(folder, namespace);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let read = |name| fs::read_to_string(run.folder.path().join(name)).unwrap();
    let full = read("full.txt");
    assert!(full.len() > 100_000 && full.ends_with('\n') && full.lines().all(|line| line.ends_with(">")));
    assert_whole(&read("out.txt"), 20_000);
    assert_eq!(read("out.txt").lines().count(), 20_000, "nobody was killed, so none came twice");
    assert!(read("log").contains("it can be written again"));
}
