//! Dead letters are tried again, in the running pipeline or in a run of their own: those of the right file, each exactly
//! once in the queues, whoever is killed.
//!
//! `MPRUN_TEST_LIVES=300 cargo test --test dead_retry storm` kills for longer than the few times that are enough for a
//! change.

mod support;

use serde_json::Value;
use std::fs::File;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;
use support::{Folder, Run, command, process, wait_until};

/// `work` fails on every item as long as there is a file `broken`.
fn fragile(items: u32, then: &str) -> String {
    format!(
        "[stages.number]\ncommand = 'seq 1 {items}{then}'\noutput = 'a'\n\
         [stages.work]\ncommand = 'read x; test ! -e broken && echo \"done $x\"'\nmode = 'each'\n\
         input = 'a'\nattempts = 1\nwhen_failing = 'dead-letter'\n"
    )
}

/// A folder in which a pipeline has left so many dead letters.
fn left_behind(text: &str, file: &str) -> Folder {
    let folder = Folder::new();
    let place = folder.file(file, text);
    std::fs::write(place.with_file_name("broken"), "").unwrap();
    let said = said(&folder, &["-q", file]);
    assert_eq!(said.code, Some(3), "{}", said.stderr);
    std::fs::remove_file(place.with_file_name("broken")).unwrap();
    folder
}

fn said(folder: &Folder, arguments: &[&str]) -> support::Said {
    let output = command(folder).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    support::Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn letters(folder: &Folder, file: &str) -> Vec<Value> {
    let said = said(folder, &["dead", "list", file, "--json"]);
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"))
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn files_without_letters_are_not_in_the_way_of_one_that_has_some() {
    let folder = left_behind(&fragile(1, ""), "a.toml");
    folder.file("b.toml", &fragile(2, ""));
    std::fs::write(folder.path().join("broken"), "").unwrap();
    assert_eq!(said(&folder, &["-q", "b.toml"]).code, Some(3));
    let both = said(&folder, &["dead", "list"]);
    assert!(both.code == Some(2) && both.stderr.contains("several pipelines have dead letters"), "{both:?}");
    assert_eq!(said(&folder, &["dead", "drop", "b", "--all"]).code, Some(0));
    let one = said(&folder, &["dead", "list", "--json"]);
    assert_eq!(one.stdout.matches("\"stage\"").count(), 1, "{one:?}");
    assert_eq!(said(&folder, &["dead", "drop", "--all"]).code, Some(0));
    for none in [said(&folder, &["dead", "list"]), said(&folder, &["dead", "list", "b"])] {
        let text = format!("no dead letters (looked in {}/state/mprun/", folder.path().display());
        assert!(none.code == Some(0) && none.stdout.starts_with(&text), "{none:?}");
    }
    let unknown = said(&folder, &["dead", "list", "nosuch"]);
    assert!(
        unknown.stderr.contains("no pipeline \"nosuch\" runs here or has had dead letters here"),
        "{unknown:?}"
    );
}

#[test]
fn without_a_run_one_is_started_that_only_works_them_off() {
    let folder = left_behind(&fragile(5, ""), "pipeline.toml");
    let some = said(&folder, &["dead", "retry", "pipeline.toml", "2", "4"]);
    assert_eq!(
        (some.code, sorted(&some.stdout)),
        (Some(0), vec!["done 2".into(), "done 4".into()]),
        "{some:?}"
    );
    assert!(some.stderr.contains("its sources are off"), "{}", some.stderr);
    assert!(some.stderr.contains("2 dead letters put back"), "{}", some.stderr);
    let left: Vec<u64> =
        letters(&folder, "pipeline.toml").iter().map(|letter| letter["line"].as_u64().unwrap()).collect();
    assert_eq!(left, [1, 3, 5]);
    // Those that fail once more are letters again, and the exit code says so.
    folder.file("broken", "");
    assert_eq!(said(&folder, &["dead", "retry", "pipeline.toml", "--all"]).code, Some(3));
    assert_eq!(letters(&folder, "pipeline.toml").len(), 3);
    std::fs::remove_file(folder.path().join("broken")).unwrap();
    let rest = said(&folder, &["dead", "retry", "pipeline.toml", "--all"]);
    assert_eq!((rest.code, rest.stdout.lines().count()), (Some(0), 3), "{rest:?}");
    assert!(letters(&folder, "pipeline.toml").is_empty());
    let none = said(&folder, &["dead", "retry", "pipeline.toml", "--all"]);
    assert!(
        none.code == Some(0) && none.stdout.starts_with("no dead letters to try again (looked in /"),
        "{none:?}"
    );
    assert!(!folder.path().join("state/mprun/pipeline/queues").exists(), "nothing is left to go on with");
}

#[test]
fn two_files_of_one_name_do_not_share_their_letters() {
    let folder = left_behind(&fragile(2, ""), "a/shop.toml");
    folder.file("b/shop.toml", &fragile(3, ""));
    folder.file("b/broken", "");
    assert_eq!(said(&folder, &["-q", "b/shop.toml"]).code, Some(3));
    std::fs::remove_file(folder.path().join("b/broken")).unwrap();
    assert_eq!([letters(&folder, "a/shop.toml").len(), letters(&folder, "b/shop.toml").len()], [2, 3]);
    let which = said(&folder, &["dead", "list", "shop"]);
    assert!(which.code == Some(2) && which.stderr.contains("b/shop.toml"), "{which:?}");
    let one = said(&folder, &["dead", "retry", "b/shop.toml", "--all"]);
    assert_eq!(sorted(&one.stdout), ["done 1", "done 2", "done 3"], "{one:?}");
    assert_eq!([letters(&folder, "a/shop.toml").len(), letters(&folder, "b/shop.toml").len()], [2, 0]);
    assert_eq!(
        said(&folder, &["dead", "drop", "shop.toml", "--all"]).code,
        Some(1),
        "there is no such file here"
    );
}

#[test]
fn letters_of_an_earlier_name_are_not_taken_for_a_run_of_another() {
    let named = |name: &str| format!("name = '{name}'\n{}", fragile(2, ""));
    let folder = left_behind(&named("old"), "shop.toml");
    folder.file("shop.toml", &named("new"));
    let refused = said(&folder, &["dead", "retry", "old", "--all"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{refused:?}");
    assert!(refused.stderr.contains("another name") && refused.stderr.contains("new"), "{refused:?}");
    folder.file("shop.toml", &named("old"));
    let done = said(&folder, &["dead", "retry", "old", "--all"]);
    assert_eq!(
        (done.code, sorted(&done.stdout)),
        (Some(0), vec!["done 1".into(), "done 2".into()]),
        "{done:?}"
    );
}

#[test]
fn a_header_of_the_run_before_does_not_come_again() {
    let text = fragile(3, "").replace("attempts = 1", "attempts = 1\noutput = 'b'")
        + "[stages.head]\nuse = 'format'\nwith = { header = 'HEAD', template = '{item}' }\ninput = 'b'\noutput = 'c'\n\
           [stages.write]\nuse = 'file'\nwith = { path = 'out.csv' }\ninput = 'c'\n";
    let folder = left_behind(&text, "pipeline.toml");
    let table = || std::fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert_eq!(table(), "HEAD\n");
    let retried = said(&folder, &["dead", "retry", "pipeline.toml", "--all"]);
    assert_eq!(retried.code, Some(0), "{retried:?}");
    assert_eq!(sorted(&table()), ["HEAD", "done 1", "done 2", "done 3"]);
}

#[test]
fn a_header_does_not_come_again_after_a_kill_before_its_stage_has_begun() {
    let text = fragile(3, "").replace("attempts = 1", "attempts = 1\noutput = 'b'");
    let whole = text.clone()
        + "[stages.head]\nuse = 'format'\nwith = { header = 'HEAD', template = '{item}' }\ninput = 'b'\noutput = 'c'\n\
           [stages.write]\nuse = 'file'\nwith = { path = 'out.csv' }\ninput = 'c'\n";
    let folder = left_behind(&whole, "pipeline.toml");
    // A stage that takes nothing in its place, so that the kill comes before `head` has begun.
    folder.file(
        "pipeline.toml",
        &(text + "[stages.hold]\ncommand = 'sleep 100'\nmode = 'each'\ninput = 'b'\n"),
    );
    let mut child = start(&folder, 0, &["dead", "retry", "pipeline.toml", "--all"]);
    let log = || String::from_utf8_lossy(&std::fs::read(folder.path().join("log-0")).unwrap()).into_owned();
    wait_until("the letters to be put back", || log().contains("3 dead letters put back").then_some(()));
    process::kill(child.id(), libc::SIGKILL);
    child.wait().unwrap();
    folder.file("pipeline.toml", &whole);
    let retried = said(&folder, &["dead", "retry", "pipeline.toml", "--all"]);
    assert_eq!(retried.code, Some(0), "{retried:?}");
    let table = std::fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert_eq!(sorted(&table), ["HEAD", "done 1", "done 2", "done 3"]);
}

#[test]
fn letters_of_an_earlier_version_are_shown_and_not_taken_for_this_files() {
    let folder = Folder::new();
    folder.file("pipeline.toml", &fragile(1, ""));
    let old = r#"{"time":"2026-01-01T00:00:00.000Z","run":"abc","stage":"work","worker":0,"queue":"a","id":1,"attempts":1,"cause":{"exit-code":1},"encoding":"utf-8","item":"old"}"#;
    let torn = r#"{"time":"2026-01-01T00:00:00.000Z","run":"ab"#;
    let file = r#"{"time":"2026-01-01T00:00:00.000Z","pipeline":"x","run":"abc","stage":"work","cause":"too-long","file":"in.txt","offset":7}"#;
    folder.file("state/mprun/pipeline/dead.jsonl", &format!("{old}\n{file}\n{torn}"));
    let list = said(&folder, &["dead", "list", "pipeline.toml"]);
    assert!(list.stdout.contains("old") && list.stdout.contains("can't be tried again"), "{list:?}");
    assert!(list.stderr.contains("line 3 of") && list.stderr.contains("is torn"), "{list:?}");
    assert_eq!(letters(&folder, "pipeline.toml")[1]["offset"], 7, "all that is known is shown");
    let all = said(&folder, &["dead", "retry", "pipeline.toml", "--all"]);
    assert!(
        all.stderr.contains("don't say which file") && all.stderr.contains("dead letter 2 stays"),
        "{all:?}"
    );
    assert_eq!((all.code, all.stdout.as_str()), (Some(1), ""));
    let one = said(&folder, &["dead", "retry", "pipeline.toml", "1"]);
    assert_eq!((one.code, one.stdout.as_str()), (Some(0), "done old\n"), "{one:?}");
}

#[test]
fn letters_are_grouped_by_what_they_have_in_common_and_a_traceback_says_what_happened() {
    let folder = Folder::new();
    let letter = |stage: &str, cause: &str| {
        format!(
            r#"{{"time":"2026-01-01T00:00:00.000Z","pipeline":"p","run":"0123456789","stage":"{stage}","queue":"a","cause":{{"error":"{cause}"}},"encoding":"utf-8","item":"x"}}"#
        )
    };
    let traceback =
        r#"Traceback (most recent call last):\n  File \"a.py\", line 3\nValueError: \u001b[31mno number"#;
    let text = [letter("one", traceback), letter("two", traceback), letter("two", "other")].join("\n");
    folder.file("state/mprun/shop/dead.jsonl", &format!("{text}\n"));
    let list = said(&folder, &["dead", "list", "shop", "--stage", "one"]);
    assert!(list.stdout.contains("error: ValueError: ") && !list.stdout.contains("Traceback"), "{list:?}");
    assert!(list.stdout.contains("RUN") && list.stdout.contains("01234567 "), "{list:?}");
    assert!(list.stdout.lines().count() == 2 && !list.stdout.contains('\u{1b}'), "{list:?}");
    let by = said(&folder, &["dead", "list", "shop", "--by", "cause"]);
    let first = by.stdout.lines().nth(1).unwrap();
    assert!(first.trim_start().starts_with('2') && first.contains("one, two"), "{by:?}");
    let malformed = |item: &str| {
        letter("one", &format!("`{item}` is no number")).replace("\"x\"", &format!("\"{item}\""))
    };
    folder
        .file("state/mprun/shop/dead.jsonl", &format!("{text}\n{}\n{}\n", malformed("a1"), malformed("b2")));
    let by = said(&folder, &["dead", "list", "shop", "--by", "cause"]);
    assert!(by.stdout.contains("error: `…` is no number") && by.stdout.lines().count() == 4, "{by:?}");
    folder.file("state/mprun/shop/dead.jsonl", &(text + "\n"));
    let by = said(&folder, &["dead", "list", "shop", "--by", "stage", "--json"]);
    let groups: Value = serde_json::from_str(&by.stdout).unwrap();
    assert_eq!((&groups["one"]["letters"], &groups["two"]["letters"]), (&1.into(), &2.into()));
}

fn wait_for_check(run: &Run, code: i32) {
    wait_until(&format!("status --check to end with {code}; log:\n{}", run.stderr()), || {
        (run.ask(&["status", "--check"]).code == Some(code)).then_some(())
    });
}

/// A letter that an earlier run has left is none of this one, however many there are.
#[test]
fn letters_of_an_earlier_run_do_not_count_for_this_one() {
    let folder = left_behind(&fragile(1, ""), "pipeline.toml");
    folder.file("pipeline.toml", &fragile(1, "; exec sleep 1000"));
    folder.file("broken", "");
    let mut run = Run::in_folder(folder, &[]);
    wait_for_check(&run, 3);
    assert_eq!(letters(&run.folder, "pipeline.toml").len(), 2);
    std::fs::remove_file(run.folder.path().join("broken")).unwrap();
    assert_eq!(run.tell(&["dead", "retry", "pipeline.toml", "2"]), "1 dead letter put back\n");
    wait_until("the item", || (run.lines().len() == 1).then_some(()));
    wait_for_check(&run, 0);
    assert_eq!(letters(&run.folder, "pipeline.toml").len(), 1, "that of the earlier run");
    assert_eq!(run.ask(&["stop", "--wait"]).code, Some(0), "{}", run.stderr());
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn letters_that_were_taken_away_with_their_file_do_not_count_any_more() {
    let folder = Folder::new();
    folder.file("pipeline.toml", &fragile(1, "; exec sleep 1000"));
    folder.file("broken", "");
    let mut run = Run::in_folder(folder, &[]);
    wait_for_check(&run, 3);
    let file = run.folder.path().join("state/mprun/pipeline/dead.jsonl");
    std::fs::rename(&file, file.with_extension("1")).unwrap();
    wait_for_check(&run, 0);
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn a_retry_goes_on_with_kept_queues_and_keeps_the_positions_of_sources() {
    // Its source is not through before the test lets an item go.
    let text = "[queues.a]\ndurable = true\ncapacity = 4\n[stages.number]\nuse = 'count'\nwith = { from = 1, to = 40 }\noutput = 'a'\n\
                [stages.work]\ncommand = 'read x; while test $x = 20 -a -e hold; do sleep 0.01; done; test ! -e broken$x && echo \"done $x\"'\n\
                mode = 'each'\ninput = 'a'\nattempts = 1\nwhen_failing = 'dead-letter'\n";
    let folder = Folder::new();
    folder.file("hold", "");
    for broken in 1..=5 {
        folder.file(&format!("broken{broken}"), "");
    }
    folder.file("pipeline.toml", text);
    let run = Run::in_folder(folder, &[]);
    wait_until("some items", || (run.lines().len() > 2).then_some(()));
    run.signal(libc::SIGKILL);
    wait_until("its end", || {
        (!process::is_alive(run.pid()) || process::state(run.pid()) == Some('Z')).then_some(())
    });
    let first = run.stdout();
    std::fs::remove_file(run.folder.path().join("hold")).unwrap();
    for broken in 1..=5 {
        std::fs::remove_file(run.folder.path().join(format!("broken{broken}"))).unwrap();
    }
    let retried = run.ask(&["dead", "retry", "pipeline.toml", "--all"]);
    assert_eq!(retried.code, Some(0), "{retried:?}");
    assert!(retried.stderr.contains("continues where an earlier run stopped"), "{retried:?}");
    let rest = run.ask(&["pipeline.toml"]);
    assert_eq!(rest.code, Some(0), "none of its letters is left: {rest:?}");
    let mut done = sorted(&(first + &retried.stdout + &rest.stdout));
    done.dedup(); // what a killed run was at is done outside at least once
    assert_eq!(done.len(), 40, "the source went on where it was: {retried:?} {rest:?}");
    assert!(rest.stdout.lines().count() < 40, "{rest:?}");
}

#[test]
fn a_retry_without_a_run_adds_to_the_file_that_the_run_has_written() {
    for (with, read) in [
        ("path = 'out.txt'", ["out.txt", "out.txt"]),
        ("path = 'out.txt', replace = true", [".out.txt.new", "out.txt"]),
    ] {
        let text = format!(
            "[stages.number]\ncommand = 'seq 1 6'\noutput = 'a'\n\
             [stages.work]\ncommand = 'read x; test ! -e broken -o $((x % 2)) = 1 && echo $x'\nmode = 'each'\n\
             input = 'a'\noutput = 'b'\nattempts = 1\nwhen_failing = 'dead-letter'\n\
             [stages.write]\nuse = 'file'\nwith = {{ {with} }}\ninput = 'b'\n"
        );
        let folder = left_behind(&text, "pipeline.toml");
        let rows = |name| sorted(&std::fs::read_to_string(folder.path().join(name)).unwrap());
        assert_eq!(rows(read[0]), ["1", "3", "5"], "{with}");
        let retried = said(&folder, &["dead", "retry", "pipeline.toml", "--all"]);
        assert_eq!(retried.code, Some(0), "{retried:?}");
        assert_eq!(rows(read[1]), ["1", "2", "3", "4", "5", "6"], "{with}: {retried:?}");
    }
}

/// Letters of 150 items, and a pipeline in which they take a while.
fn many() -> Folder {
    let folder = left_behind(&fragile(150, ""), "pipeline.toml");
    folder.file(
        "pipeline.toml",
        "[queues.a]\ncapacity = 4\n[stages.number]\ncommand = 'sleep 1000'\noutput = 'a'\n\
         [stages.work]\nuse = 'format'\nwith = { template = 'done {item}' }\nsleep = '2ms'\ninput = 'a'\noutput = 'b'\n\
         backoff = { initial = '1ms', max = '10ms' }\ngive_up = { restarts = 100000, within = '1m' }\n\
         [stages.gone]\nuse = 'discard'\ninput = 'b'\n",
    );
    folder
}

fn start(folder: &Folder, number: u32, arguments: &[&str]) -> Child {
    let output = File::create(folder.path().join(format!("log-{number}"))).unwrap();
    let mut command = command(folder);
    command.args(arguments).stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
    command.spawn().unwrap()
}

/// What the closing summary says was put into the queue `a`.
fn put(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("  queue a: "))?;
    line.split("queue a: ").nth(1)?.split(' ').next()?.parse().ok()
}

#[test]
fn a_storm_over_a_retry_without_a_run_puts_each_letter_exactly_once() {
    let lives: u32 = std::env::var("MPRUN_TEST_LIVES").map_or(8, |lives| lives.parse().unwrap());
    let (mut deaths, mut rounds) = (0, 0);
    while deaths < lives {
        let folder = many();
        let mut log = String::new();
        for life in 0.. {
            rounds += 1;
            let mut child = start(&folder, life, &["dead", "retry", "pipeline.toml", "--all"]);
            let path = folder.path().join(format!("log-{life}"));
            let read = || String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            let mut is_over = || child.try_wait().unwrap().is_some();
            // From its first step on, at any moment of what takes it some 300 ms.
            let is_last = life >= 5;
            wait_until("the run to be up", || {
                (read().contains("sources are off") || is_over()).then_some(())
            });
            if !is_last {
                thread::sleep(Duration::from_millis(fastrand(life + deaths) % 80));
                deaths += u32::from(child.try_wait().unwrap().is_none());
                process::kill(child.id(), libc::SIGKILL);
            }
            let status = child.wait().unwrap();
            log = read();
            if status.success() {
                break;
            }
            assert!(!is_last, "{status:?}: {log}");
        }
        assert_eq!(put(&log), Some(150), "each letter once, over all lives: {log}");
        assert!(letters(&folder, "pipeline.toml").is_empty());
        wait_until("all processes to be gone", || process::in_folder(folder.path()).is_empty().then_some(()));
    }
    assert!(deaths >= lives && rounds > deaths, "{deaths} deaths in {rounds} rounds");
}

/// Some number that differs from try to try.
fn fastrand(seed: u32) -> u64 {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
    u64::from((nanos / 1000) ^ seed.wrapping_mul(0x9e37_79b9))
}

#[test]
fn a_storm_over_workers_and_clients_of_a_running_pipeline_puts_each_letter_exactly_once() {
    let run = Run::in_folder(many(), &["--no-watch"]);
    run.wait_for_log("up after");
    let (mut deaths, mut tries) = (0, 0);
    while !letters(&run.folder, "pipeline.toml").is_empty() {
        tries += 1;
        assert!(tries < 100, "{}", run.stderr());
        let mut client = start(&run.folder, 1000 + tries, &["dead", "retry", "pipeline.toml", "--all"]);
        thread::sleep(Duration::from_millis(fastrand(tries) % 60));
        deaths += u32::from(client.try_wait().unwrap().is_none());
        process::kill(client.id(), libc::SIGKILL);
        client.wait().unwrap();
        for worker in run.workers("work") {
            deaths += u32::from(process::kill(worker, libc::SIGKILL));
        }
    }
    assert!(deaths > 2, "{deaths}");
    let audit: Value = serde_json::from_str(&run.tell(&["audit", "--json"])).unwrap();
    let queue = audit["queues"].as_array().unwrap().iter().find(|queue| queue["name"] == "a").unwrap();
    assert_eq!((&queue["put"], &audit["ok"]), (&150.into(), &true.into()), "{audit:#}");
    run.signal(libc::SIGINT);
}
