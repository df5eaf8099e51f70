//! `mode = "stream"` with very much, with very long items, and with both: nothing is cut, held back or left over.

mod support;

use support::{Folder, Run, process, wait_until};

/// Items of 0 to 300 KB whose sizes never come in the same order; every fifth is long.
const MIXED: &str = "import sys\n\
    for i in range(1500):\n    size = i * 7919 % 300000 if i % 5 == 0 else i * 31 % 200\n    \
    sys.stdout.write(f'{i} ' + 'x' * size + '\\n')\n";

#[test]
fn short_and_long_items_pass_whole_and_in_their_order() {
    for framing in ["lines", "nul"] {
        let folder = Folder::new();
        folder.file("mixed.py", MIXED);
        folder.file(
            "pipeline.toml",
            &format!(
                "[stages.read]\ncommand = ['python3', 'mixed.py']\noutput = 'a'\n\
                 [stages.s]\ncommand = ['cat']\nmode = 'stream'\nframing = '{framing}'\ninput = 'a'\noutput = 'b'\n\
                 [stages.write]\ncommand = 'cat > out'\ninput = 'b'\n"
            ),
        );
        let mut run = Run::in_folder(folder, &[]);
        assert_eq!(run.wait(), 0, "{}", run.stderr());
        let out = std::fs::read_to_string(run.folder.path().join("out")).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 1500);
        for (i, line) in lines.iter().enumerate() {
            let size = if i % 5 == 0 { i * 7919 % 300_000 } else { i * 31 % 200 };
            let (number, rest) = line.split_once(' ').unwrap();
            assert_eq!((number, rest.len()), (i.to_string().as_str(), size));
        }
    }
}

/// A rest of some items waits for more of them, but only while more comes.
#[test]
fn a_few_answers_do_not_wait_for_the_end_of_an_endless_input() {
    let mut run = Run::start(
        "drain_timeout = '100ms'\n\
         [stages.y]\ncommand = ['yes', 'a line of some length']\noutput = 'a'\n\
         [stages.s]\ncommand = ['awk', 'NR <= 20000 { print NR } NR % 20000 == 0 { print \"mark\"; fflush() }']\n\
         mode = 'stream'\ninput = 'a'\noutput = 'b'\n\
         [stages.show]\ncommand = ['grep', '--line-buffered', 'mark']\ninput = 'b'\n",
    );
    wait_until("marks", || (run.lines().len() > 5).then_some(()));
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

/// All that is leased is in the worker's hands, but only what the program has begun to read may be lost with it.
#[test]
fn long_items_that_no_program_has_begun_come_back() {
    let text = |program: &str| {
        format!(
            "[stages.n]\ncommand = ['python3', '-c', 'for i in range(40): print(i, \"x\" * 200_000, flush=True)']\n\
             output = 'a'\n[defaults]\nstop_timeout = '100ms'\n\
             [stages.s]\ncommand = [{program}]\nmode = 'stream'\ninput = 'a'\noutput = 'b'\n\
             [stages.show]\ncommand = ['cut', '-d', ' ', '-f', '1']\ninput = 'b'\n"
        )
    };
    let mut run = Run::start(&text("'sh', '-c', 'echo up >&2; exec sleep 1000'"));
    run.wait_for_log("up");
    let put = |status: &str| {
        let status: serde_json::Value = serde_json::from_str(status).ok()?;
        (status["queues"][0]["put"] == 40).then_some(())
    };
    wait_until("all items are put", || put(&run.ask(&["status", "--json"]).stdout));
    run.edit(&text("'cat'"));
    let seen: Vec<u32> = run.finish().iter().map(|line| line.trim().parse().unwrap()).collect();
    // A pipe of 256 KiB holds one of them whole.
    assert!(seen.first().is_some_and(|&first| first <= 1), "{seen:?}");
    assert_eq!(seen, (seen[0]..40).collect::<Vec<u32>>(), "{}", run.stderr());
}

#[test]
fn the_memory_of_a_long_item_is_given_back() {
    let run = Run::start(
        "drain_timeout = '100ms'\n\
         [stages.n]\ncommand = ['python3', '-c', '''\nimport signal\nprint(\"x\" * 16_000_000, flush=True)\nsignal.pause()\n''']\n\
         output = 'a'\n[stages.show]\ncommand = 'cat > /dev/null'\ninput = 'a'\n",
    );
    let read = |status: &str| {
        let status: serde_json::Value = serde_json::from_str(status).ok()?;
        (status["queues"][0]["put"] == 1).then_some(())
    };
    wait_until("the item", || read(&run.ask(&["status", "--json"]).stdout));
    let worker = run.worker("n");
    let private = || process::private_kib(worker).filter(|&kib| kib < 8000);
    wait_until("the memory is given back", private);
}

/// 100 items that a program has at hand and does nothing with.
const AT_HAND: &str = "[stages.n]\nuse = 'count'\nwith = { to = 100 }\noutput = 'a'\n\
    [stages.hold]\ncommand = ['sh', '-c', 'test -e again && exec cat >/dev/null; exec sleep 1000']\nmode = 'stream'\n\
    input = 'a'\nstop_timeout = '100ms'\n";

fn is_at_hand(status: &str) -> Option<()> {
    let status: serde_json::Value = serde_json::from_str(status).ok()?;
    (status["queues"][0]["done"] == 100).then_some(())
}

#[track_caller]
fn hold(text: &str) -> Run {
    let run = Run::start_with(text, &["--report", "report.json"]);
    wait_until("the items are in the program's hands", || is_at_hand(&run.ask(&["status", "--json"]).stdout));
    run.folder.file("again", "");
    run
}

fn perhaps_lost(run: &Run) -> u64 {
    let report = std::fs::read(run.folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    report["stages"][1]["perhaps_lost"].as_u64().unwrap()
}

const LOST: &str = "hold[0]: about 100 items that its program was given may be lost";

#[test]
fn what_a_program_had_in_hand_is_counted_whoever_is_killed() {
    for victim in ["the worker", "the program"] {
        let mut run = hold(AT_HAND);
        let worker = run.worker("hold");
        let pid = if victim == "the worker" { worker } else { process::children(worker)[0] };
        assert!(process::kill(pid, libc::SIGKILL));
        assert_eq!(run.wait(), 0, "{victim}: {}", run.stderr());
        assert_eq!(run.stderr().matches(LOST).count(), 1, "{victim}: {}", run.stderr());
        assert!(
            run.stderr().contains("stage hold: 100 done, about 100 items perhaps lost, 0 emitted"),
            "{}",
            run.stderr()
        );
        assert_eq!(perhaps_lost(&run), 100, "{victim}");
    }
}

#[test]
fn what_a_program_had_in_hand_when_its_time_to_stop_was_over_is_counted() {
    let mut run = hold(AT_HAND);
    run.signal(libc::SIGTERM);
    run.wait();
    assert_eq!((perhaps_lost(&run), run.stderr().matches(LOST).count()), (100, 1), "{}", run.stderr());
}

#[test]
fn nothing_is_lost_of_a_program_that_works_off_what_it_has() {
    let text = "[stages.n]\nuse = 'count'\noutput = 'a'\nrate = '200/s'\n\
                [stages.work]\ncommand = ['sh', '-c', 'while read item; do : ; done']\nmode = 'stream'\n\
                input = 'a'\nprocesses = 2\n";
    let mut run = Run::start_with(text, &["--report", "report.json"]);
    run.wait_for_log("up after");
    run.edit(&text.replace(": ;", "true;"));
    run.wait_for_log("reloaded after");
    run.tell(&["restart", "pipeline", "work"]);
    run.tell(&["drain", "--wait"]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_eq!(perhaps_lost(&run), 0, "{}", run.stderr());
    assert!(!run.stderr().contains("may be lost"), "{}", run.stderr());
}

#[test]
fn what_has_been_done_long_ago_is_not_counted() {
    let mut run = Run::start(
        "[stages.n]\ncommand = ['sh', '-c', 'seq 50; sleep 2.5; seq 3; exec sleep 1000']\noutput = 'a'\n\
         [stages.work]\ncommand = ['sh', '-c', 'while read item; do echo $item >> seen; done']\nmode = 'stream'\ninput = 'a'\n",
    );
    let seen = || std::fs::read_to_string(run.folder.path().join("seen")).unwrap_or_default().lines().count();
    wait_until("all items", || (seen() == 53).then_some(()));
    process::kill(run.worker("work"), libc::SIGKILL);
    run.wait_for_log("work[0]: about 3 items that its program was given may be lost");
    run.tell(&["drain", "--wait"]);
    run.wait();
}

fn totals(said: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(said).unwrap()["stages"][1].clone()
}

/// Found with the status of a pipeline in which nothing had failed: it told of a loss.
#[test]
fn what_a_program_has_in_hand_is_no_loss_as_long_as_it_runs() {
    let mut run = hold(AT_HAND);
    assert_eq!(totals(&run.ask(&["status", "--json"]).stdout)["totals"]["perhaps_lost"], 0);
    let text = run.ask(&["status"]).stdout;
    assert!(!text.contains("may be lost"), "{text}");
    process::kill(process::children(run.worker("hold"))[0], libc::SIGKILL);
    run.wait();
    assert_eq!(perhaps_lost(&run), 100);
}

/// Reads so many lines, byte by byte, and ends with exit code 0.
const READS_SOME: &str = "import os\nfor i in range(10):\n    line = b''\n    while not line.endswith(END):\n        \
    byte = os.read(0, 1)\n        if not byte: raise SystemExit(0)\n        line += byte\n";

/// Found with a program that takes ten items and is started anew: the others of its pipe counted as done, without a word.
#[test]
fn what_a_program_that_ends_well_leaves_unread_is_counted() {
    for (framing, end) in [("lines", "b'\\n'"), ("nul", "b'\\0'")] {
        for (source, ends_first) in
            [("seq 100", true), ("seq 100; while test ! -e read; do sleep 0.01; done", false)]
        {
            let folder = Folder::new();
            folder.file("some.py", &(READS_SOME.replace("END", end) + "open('read', 'w').close()\n"));
            folder.file("pipeline.toml", &format!(
                "[stages.n]\ncommand = '{source}'\noutput = 'a'\n\
                 [stages.s]\ncommand = 'while test $(cat go | wc -l) = 0; do sleep 0.01; done; exec python3 some.py'\n\
                 mode = 'stream'\nframing = '{framing}'\ninput = 'a'\n"
            ));
            folder.file("go", "");
            let mut run = Run::in_folder(folder, &["--report", "report.json"]);
            wait_until("the items are in the program's hands", || {
                is_at_hand(&run.ask(&["status", "--json"]).stdout)
            });
            run.folder.file("go", "1\n");
            assert_eq!(run.wait(), 0, "{}", run.stderr());
            let log = run.stderr();
            assert!(
                log.contains(
                    "s[0] its program ended with exit code 0 before it had read all that it was given"
                ),
                "{log}"
            );
            assert!(log.contains("s[0]: about 90 items that its program was given may be lost"), "{log}");
            assert_eq!(perhaps_lost(&run), 90, "{framing}, {ends_first}: {log}");
        }
    }
}

#[test]
fn a_program_that_ends_well_only_after_a_signal_may_have_lost_what_it_had() {
    let program = "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(0))\n\
                   while os.read(0, 65536): pass\nopen('read', 'w').close()\nwhile True: signal.pause()\n";
    let folder = Folder::new();
    folder.file("hold.py", program);
    folder.file(
        "pipeline.toml",
        "[stages.n]\nuse = 'count'\nwith = { to = 100 }\noutput = 'a'\n\
         [stages.s]\ncommand = ['python3', 'hold.py']\nmode = 'stream'\ninput = 'a'\nstop_timeout = '100ms'\n",
    );
    let mut run = Run::in_folder(folder, &["--report", "report.json"]);
    wait_until("all is read", || run.folder.path().join("read").exists().then_some(()));
    run.signal(libc::SIGTERM);
    run.wait();
    assert_eq!(perhaps_lost(&run), 100, "{}", run.stderr());
}
