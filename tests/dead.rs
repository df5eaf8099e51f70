//! Dead letters are listed, shown, tried again and dropped; why a worker died is told with the item it had.

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use support::{Run, wait_until};

/// `work` fails on every item as long as there is a file `broken`, else it passes them on.
const FRAGILE: &str = "[stages.number]\ncommand = 'seq 1 6; sleep 1000'\noutput = 'a'\n\
                       [stages.work]\ncommand = 'read x; test ! -e broken && echo \"done $x\"'\nmode = 'each'\n\
                       input = 'a'\nattempts = 2\nwhen_failing = 'dead-letter'\nbackoff = { initial = '1ms' }\n";

fn broken() -> Run {
    let folder = support::Folder::new();
    folder.file("broken", "");
    folder.file("pipeline.toml", FRAGILE);
    let run = Run::in_folder(folder, &[]);
    wait_until(&format!("six dead letters; log:\n{}", run.stderr()), || {
        let said = run.ask(&["dead", "list", "--json"]);
        let letters: Option<Value> = serde_json::from_str(&said.stdout).ok();
        letters.filter(|letters| letters.as_array().is_some_and(|all| all.len() == 6))
    });
    run
}

fn lines(run: &Run) -> Vec<u64> {
    let letters: Value =
        serde_json::from_str(&run.tell(&["dead", "list", "pipeline.toml", "--json"])).unwrap();
    letters.as_array().unwrap().iter().map(|letter| letter["line"].as_u64().unwrap()).collect()
}

#[test]
fn dead_letters_are_listed_shown_dropped_and_tried_again_each_once() {
    let mut run = broken();
    assert_eq!(lines(&run), [1, 2, 3, 4, 5, 6]);
    let status = run.ask(&["status", "--check"]);
    assert!(status.stdout.contains("6 dead letters, in "), "{status:?}");
    let seen: Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
    assert_eq!((&seen["stages"][1]["totals"]["dead"], &seen["dead_letters"]), (&6.into(), &6.into()));
    let text = run.tell(&["dead", "list"]);
    assert!(text.starts_with("LINE") && text.contains("work") && text.contains("exit-code: 1"), "{text}");
    let shown = run.tell(&["dead", "show", "3"]);
    assert!(shown.contains("dead letter 3 of work") && shown.contains("after 2 tries"), "{shown}");
    assert_eq!(run.tell(&["dead", "drop", "2"]), "1 dropped\n");
    assert_eq!(lines(&run), [1, 3, 4, 5, 6]);

    std::fs::remove_file(run.folder.path().join("broken")).unwrap();
    assert_eq!(run.tell(&["dead", "retry", "pipeline", "1", "3"]), "2 dead letters put back\n");
    wait_until("two items", || (run.lines().len() == 2).then_some(()));
    assert_eq!(run.tell(&["dead", "retry", "--all"]), "3 dead letters put back\n");
    wait_until("all items", || (run.lines().len() == 5).then_some(()));
    let mut done = run.lines();
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 5, "each of them once");
    assert!(run.tell(&["dead", "list"]).starts_with("no dead letters (looked in /"));
    assert_eq!(run.tell(&["audit"]).lines().last(), Some("every item is accounted for"));
    let status = run.tell(&["status"]);
    assert!(!status.contains("dead letter"), "none is there any more: {status}");
    assert_eq!(run.ask(&["status", "--check"]).code, Some(0));
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(!run.stderr().contains("6 dead letters"), "{}", run.stderr());
}

#[test]
fn dead_letters_of_a_run_that_is_over_are_found_by_its_name_or_file() {
    let fails = "[stages.a]\nuse = 'count'\nwith = { to = 2 }\noutput = 'q'\n\
                 [stages.b]\nuse = 'filter'\nwith = { keep = 'even' }\nattempts = 1\nwhen_failing = 'dead-letter'\ninput = 'q'\n";
    let mut plain = Run::start(&fails.replace("to = 2 }", "to = 2, format = 'x{item}' }"));
    assert_eq!(plain.wait(), 3, "{}", plain.stderr());
    let mut named =
        Run::start(&format!("name = 'shop'\n{}", fails.replace("to = 2 }", "to = 2, format = 'x' }")));
    assert_eq!(named.wait(), 3, "{}", named.stderr());
    for (run, name, item) in [(&plain, "pipeline", "x2"), (&named, "shop", "x")] {
        for whom in [name, "pipeline.toml"] {
            let text = run.tell(&["dead", "list", whom]);
            assert!(text.lines().nth(2).is_some_and(|line| line.ends_with(item)), "{whom}: {text}");
        }
    }
    assert_eq!(named.ask(&["dead", "list", "other"]).code, Some(1));
}

#[test]
fn letters_are_not_taken_for_those_of_a_namesake_that_runs_elsewhere() {
    let run = broken();
    let line = r#"{"time":"2026-01-01T00:00:00.000Z","run":"abc","stage":"work","queue":"a","cause":"timed-out","encoding":"utf-8","item":"other"}"#;
    let other = run.folder.file("other/mprun/pipeline/dead.jsonl", &format!("{line}\n"));
    let ask = |arguments: &[&str]| {
        let mut command = support::command(&run.folder);
        let output = command.env("XDG_STATE_HOME", run.folder.path().join("other")).args(arguments).output();
        let output = output.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for verb in ["list", "drop"] {
        let all: &[&str] = if verb == "drop" { &["--all"] } else { &[] };
        let (code, stdout, stderr) = ask(&[&["dead", verb, "pipeline"], all].concat());
        assert!(code == Some(2) && stdout.is_empty(), "{verb}: {stdout}{stderr}");
        assert!(
            stderr.contains("say which by its file") && stderr.contains("state/mprun/pipeline/dead.jsonl"),
            "{stderr}"
        );
    }
    assert_eq!(lines(&run).len(), 6);
    assert_eq!(std::fs::read_to_string(&other).unwrap().lines().count(), 1);
    let (code, stdout, stderr) = ask(&["dead", "list", "pipeline.toml", "--by", "stage"]);
    assert!(code == Some(0) && stdout.contains("     6  "), "{stdout}{stderr}");
    let (code, stdout, _) = ask(&["dead", "drop", "--all", "--file", other.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (Some(0), "1 dropped\n"));
}

#[test]
fn tap_ends_when_nobody_reads_what_it_shows() {
    let run = Run::start(
        "[stages.tick]\nuse = 'count'\nsleep = '2ms'\noutput = 'a'\n[stages.drop]\nuse = 'discard'\ninput = 'a'\n",
    );
    run.wait_for_log("up after");
    let mut tap = support::command(&run.folder);
    let mut tap = tap.args(["tap", "a"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(tap.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    drop(reader);
    let ended = wait_until("the end of tap", || tap.try_wait().unwrap());
    assert!(ended.success(), "{ended}");
    run.signal(libc::SIGINT);
}

#[test]
fn tap_shows_items_as_they_pass_and_takes_none() {
    let run = Run::start(
        "[stages.tick]\nuse = 'count'\nwith = { from = 1 }\nsleep = '2ms'\noutput = 'a'\n\
         [stages.show]\nuse = 'format'\nwith = { template = 'item {item}' }\ninput = 'a'\n",
    );
    run.wait_for_log("up after");
    let seen = run.tell(&["tap", "a", "-n", "3", "--json"]);
    let seen: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(seen.len(), 3);
    for item in &seen {
        // Numbers start at 1, ids at 0.
        assert_eq!(item["text"], (item["id"].as_u64().unwrap() + 1).to_string());
    }
    assert!(run.tell(&["tap", "pipeline", "a", "-n", "1"]).contains(" bytes): "));
    let said = run.ask(&["tap", "b"]);
    assert!(said.code == Some(2) && said.stderr.contains("no queue b"), "{said:?}");
    let last = seen[2]["id"].as_u64().unwrap();
    wait_until("all items to come out", || (run.lines().len() as u64 > last + 1).then_some(()));
    let lines = run.lines();
    assert!(lines.iter().enumerate().all(|(i, line)| *line == format!("item {}", i + 1)), "none is missing");
}

#[test]
fn what_is_not_there_is_no_mistake_made() {
    let mut run = broken();
    for wrong in [&["dead", "drop", "9"][..], &["dead", "retry"], &["dead", "drop", "pipeline", "x"]] {
        assert_eq!(run.ask(wrong).code, Some(2), "{wrong:?}");
    }
    assert_eq!(lines(&run).len(), 6);
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 3);
    assert_eq!(lines(&run).len(), 6);
    assert_eq!(run.tell(&["dead", "drop", "pipeline.toml", "--stage", "work"]), "6 dropped\n");
}

#[test]
fn why_tells_how_a_worker_died_and_the_item_it_had() {
    let run = Run::start(
        "[stages.number]\ncommand = 'seq 1 3; sleep 1000'\noutput = 'a'\n\
         [stages.work]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nsleep = '1h'\n",
    );
    run.wait_for_log("up after");
    wait_until("an item", || (run.lines().len() == 1).then_some(()));
    let first = run.worker("work");
    support::process::kill(first, libc::SIGABRT);
    run.wait_for_log("SIGABRT");
    let seen: Value = wait_until("the death in the history", || {
        let seen: Value = serde_json::from_str(&run.tell(&["why", "work", "--json"])).unwrap();
        let transitions = seen["stages"][0]["workers"][0]["transitions"].as_array().unwrap().clone();
        transitions.iter().any(|transition| transition["signal"] == "SIGABRT").then_some(seen)
    });
    let transitions = seen["stages"][0]["workers"][0]["transitions"].as_array().unwrap();
    assert_eq!(transitions[0]["change"], "started");
    assert!(seen["bottleneck"]["text"].is_string(), "{seen:#}");
    assert_eq!((&transitions[1]["change"], &transitions[1]["signal"]), (&"failed".into(), &"SIGABRT".into()));
    assert!(transitions[1]["lived"].as_f64().unwrap() > 0.0);
    let text = run.tell(&["why", "work"]);
    assert!(text.contains("work: restarts: 1 killed") && text.contains("was killed by SIGABRT"), "{text}");
    assert!(run.tell(&["why"]).contains("number: no restarts"));
    assert_eq!(run.ask(&["why", "wrok"]).code, Some(2));
}

/// A program that says what it is about to do, and then its worker dies of the item.
const KILLED_BY_ITEM: &str = "\
[stages.number]
use = 'count'
with = { from = 1, to = 20 }
output = 'a'
[stages.work]
command = ['sh', '-c', 'read n; echo \"at   $n\" >&2; echo of it >&2; sleep 0.1; \
  [ $n = 7 ] && { kill -9 $PPID; sleep 1000; }; echo $n']
mode = 'each'
attempts = 2
when_failing = 'dead-letter'
input = 'a'
output = 'b'
[stages.gone]
use = 'discard'
input = 'b'
[stages.stay]
command = 'sleep 1000'
output = 'b'
";

#[test]
fn the_last_words_of_a_killed_worker_are_told_however_quiet_the_run_is() {
    let run = Run::start_with(KILLED_BY_ITEM, &["-qq"]);
    let dead = wait_until("two deaths", || {
        let said = run.ask(&["why", "work", "--json"]);
        let seen: Value = serde_json::from_str(&said.stdout).ok()?;
        let transitions = seen["stages"][0]["workers"][0]["transitions"].as_array()?.clone();
        let dead: Vec<Value> = transitions.into_iter().filter(|past| past["signal"] == "SIGKILL").collect();
        (dead.len() == 2).then_some(dead)
    });
    for death in dead {
        let words = death["stderr"].as_array().unwrap();
        assert!(words.ends_with(&["at   7".into(), "of it".into()]), "{words:?}");
    }
    let text = run.tell(&["why", "work"]);
    assert!(text.contains("| at   7\n") && text.contains("| of it\n"), "{text}");
    let letter = wait_until("its letter", || {
        let all = run.tell(&["dead", "list", "pipeline.toml", "--json"]);
        serde_json::from_str::<Vec<Value>>(&all).ok()?.into_iter().next()
    });
    assert!(letter["stderr"].as_array().unwrap().contains(&"of it".into()), "{letter:#}");
    // A letter that the supervisor has written is its stage's, too, and what was done adds up with the ledger.
    wait_until("the others", || {
        let seen: Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
        let (stage, queue) = (&seen["stages"][1]["totals"], &seen["queues"][0]);
        assert_eq!((&stage["dead"], &queue["dead"]), (&1.into(), &1.into()));
        (stage["done"] == 19 && queue["done"] == 19).then_some(())
    });
}

#[test]
fn the_item_that_a_worker_died_of_is_shown() {
    let run = Run::start(
        "[stages.number]\ncommand = \"printf 'poison pill\\\\n'; sleep 1000\"\noutput = 'a'\n\
         [stages.work]\ncommand = 'sleep 1000'\nmode = 'each'\ninput = 'a'\n",
    );
    run.wait_for_log("up after");
    wait_until("the program to run", || {
        let seen: Value = serde_json::from_str(&run.tell(&["status", "--json"])).unwrap();
        seen["stages"][1]["workers"][0]["program"].is_u64().then_some(())
    });
    support::process::kill(run.worker("work"), libc::SIGKILL);
    let item = wait_until("the item in the history", || {
        let seen: Value = serde_json::from_str(&run.tell(&["why", "work", "--json"])).unwrap();
        let transitions = seen["stages"][0]["workers"][0]["transitions"].as_array().unwrap().clone();
        transitions.into_iter().map(|transition| transition["item"].clone()).find(|item| !item.is_null())
    });
    assert_eq!(
        (&item["text"], &item["queue"], &item["attempt"]),
        (&"poison pill".into(), &"a".into(), &1.into())
    );
}

#[test]
fn the_list_shows_what_a_program_has_said_last() {
    let script = "echo Traceback >&2; echo ValueError: 3 is no order >&2; exit 1";
    let mut run = Run::start(&format!(
        "[stages.n]\nuse = 'count'\nwith = {{ to = 1 }}\noutput = 'q'\n\
         [stages.work]\ncommand = ['sh', '-c', '{script}']\nmode = 'each'\ninput = 'q'\nattempts = 1\nwhen_failing = 'dead-letter'\n"
    ));
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let list = run.tell(&["dead", "list", "pipeline.toml"]);
    assert!(list.contains("exit-code: 1: ValueError: 3 is no order"), "{list}");
}
