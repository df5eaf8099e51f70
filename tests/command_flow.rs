//! Any program is a stage: in every mode, with every framing, and without ever hanging on it.

mod support;

use std::time::{Duration, Instant};
use support::{Folder, Run, command, process, wait_until};

/// Lines that come out of the stage in the middle, when `seq n` goes in.
fn through(n: u64, stage: &str) -> Vec<String> {
    Run::start(&format!(
        "[stages.number]\ncommand = ['seq', '{n}']\noutput = 'a'\n\
         [stages.work]\ninput = 'a'\noutput = 'b'\n{stage}\n\
         [stages.show]\ncommand = ['cat']\ninput = 'b'\n"
    ))
    .finish()
}

fn numbers(from: u64, to: u64) -> Vec<String> {
    (from..=to).map(|n| n.to_string()).collect()
}

#[test]
fn a_stream_is_a_source_a_filter_and_a_sink() {
    let expected: Vec<String> = numbers(1, 30_000).into_iter().filter(|n| n.contains('7')).collect();
    assert_eq!(through(30_000, "command = ['grep', '7']"), expected);
    assert_eq!(through(30_000, "command = \"grep 7 | cat\""), expected);
    assert_eq!(through(1000, "command = ['sort', '-rn']")[0], "1000");
}

#[test]
fn each_and_reply_answer_every_item() {
    assert_eq!(through(50, "mode = 'each'\ncommand = ['cat']"), numbers(1, 50));
    assert_eq!(through(50, "mode = 'each'\ncommand = ['echo', '{}']"), numbers(1, 50));
    assert_eq!(through(5000, "mode = 'each'\nbatch = 1000\ncommand = ['cat']"), numbers(1, 5000));
    assert_eq!(through(5000, "mode = 'reply'\ncommand = ['sed', '-u', 's/^//']"), numbers(1, 5000));
    assert_eq!(
        through(30, "mode = 'each'\ncollect = 'whole'\ncommand = ['printf', '%s', '{}']"),
        numbers(1, 30)
    );
}

#[test]
fn a_batch_is_as_large_as_it_may_be_if_so_many_items_are_there() {
    let mut run = Run::start(
        "[stages.n]\nuse = 'count'\nwith = { to = 3000 }\noutput = 'a'\n\
         [queues.a]\ncapacity = 3000\n\
         [stages.c]\ncommand = 'until test -e go; do sleep 0.01; done; wc -l'\nmode = 'each'\nbatch = 1000\ninput = 'a'\n",
    );
    let all_are_out = |status: &str| {
        let status: serde_json::Value = serde_json::from_str(status).ok()?;
        (status["queues"][0]["put"] == 3000).then_some(())
    };
    wait_until("all items are put", || all_are_out(&run.ask(&["status", "--json"]).stdout));
    run.folder.file("go", "");
    let sizes: Vec<u32> = run.finish().iter().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!((sizes.iter().sum::<u32>(), sizes.iter().max()), (3000, Some(&1000)), "{sizes:?}");
}

#[test]
fn every_framing_carries_bytes_of_any_kind() {
    let folder = Folder::new();
    let script = "import sys,struct\n\
        i,o=sys.stdin.buffer,sys.stdout.buffer\n\
        while True:\n  h=i.read(4)\n  if not h: break\n  b=i.read(struct.unpack('>I',h)[0])\n  o.write(h+b); o.flush()\n";
    folder.file("echo.py", script);
    let bytes: Vec<u8> = (0..=255u8).cycle().take(1000).collect();
    let mut frames = Vec::new();
    for item in [&bytes[..], b"", b"\n\0\n"] {
        frames.extend_from_slice(format!("{}:", item.len()).as_bytes());
        frames.extend_from_slice(item);
        frames.push(b',');
    }
    std::fs::write(folder.path().join("frames"), &frames).unwrap();
    folder.file(
        "pipeline.toml",
        "[stages.read]\ncommand = ['cat', 'frames']\nout_framing = 'netstring'\noutput = 'a'\n\
         [stages.echo]\ncommand = ['python3', 'echo.py']\nmode = 'reply'\nframing = 'u32be'\ninput = 'a'\noutput = 'b'\n\
         [stages.whole]\ncommand = ['cat']\nmode = 'each'\ncollect = 'whole'\ninput = 'b'\noutput = 'c'\n\
         [stages.write]\ncommand = \"cat > out\"\nin_framing = 'netstring'\ninput = 'c'\n",
    );
    let mut run = Run::in_folder(folder, &[]);
    run.finish();
    assert_eq!(std::fs::read(run.folder.path().join("out")).unwrap(), frames);
}

#[test]
fn a_line_of_four_mebibytes_passes() {
    let folder = Folder::new();
    let long = "x".repeat(4 << 20);
    folder.file("in", &format!("{long}\nshort\n"));
    folder.file(
        "pipeline.toml",
        "[stages.read]\ncommand = ['cat', 'in']\noutput = 'a'\n\
         [stages.s]\ncommand = ['cat']\ninput = 'a'\noutput = 'b'\n\
         [stages.e]\ncommand = ['cat']\nmode = 'each'\ninput = 'b'\noutput = 'c'\n\
         [stages.r]\ncommand = ['sed', '-u', '']\nmode = 'reply'\ninput = 'c'\n",
    );
    let lines = Run::in_folder(folder, &[]).finish();
    assert_eq!((lines.len(), lines[0].len(), lines[1].as_str()), (2, 4 << 20, "short"));
}

/// The queue has ended before the program reads its last item, and the worker waits for both.
#[test]
fn a_sink_that_reads_its_last_item_late_ends_like_any_other() {
    let mut run = Run::start(
        "[stages.read]\ncommand = \"head -c 3000000 /dev/zero | tr '\\\\0' x; echo\"\noutput = 'a'\n\
         [stages.sink]\ncommand = \"until [ -e go ]; do sleep 0.02; done; wc -c\"\ninput = 'a'\n",
    );
    wait_until("the source to be over", || {
        run.ask(&["status"])
            .stdout
            .lines()
            .any(|l| l.starts_with("read ") && l.contains("finished"))
            .then_some(())
    });
    run.folder.file("go", "");
    assert_eq!(run.finish(), ["3000001"]);
}

/// A look that comes due while the worker still looks at everything else is as good as one that is waited for.
#[test]
fn a_look_again_that_is_due_at_once_is_no_wait_for_ever() {
    for mode in ["stream", "reply"] {
        let mut run = Run::start(&format!(
            "[stages.a]\ncommand = \"echo 1; until [ -e go ]; do sleep 0.02; done; echo 2\"\noutput = 'a'\n\
             [stages.b]\ncommand = ['cat']\nmode = '{mode}'\ninput = 'a'\nsleep_when_empty = '1ns'\n"
        ));
        wait_until("the first item", || (run.lines() == ["1"]).then_some(()));
        run.folder.file("go", "");
        assert_eq!(run.finish(), ["1", "2"], "{mode}");
    }
}

/// More than its worker reads at once, and no more than a pipe holds: the program is over long before its last item.
#[test]
fn all_that_a_source_with_a_pause_has_written_comes_after_its_end_too() {
    let lines = Run::start("[stages.a]\ncommand = \"seq -f %09999.0f 30\"\nsleep = '1ms'\n").finish();
    assert_eq!(lines.len(), 30);
}

#[test]
fn the_end_of_a_program_is_no_end_of_the_pauses_between_its_items() {
    let start = Instant::now();
    let text = "[stages.a]\ncommand = ['seq', '4']\nsleep = '100ms'\noutput = 'a'\n\
                [stages.b]\ncommand = ['cat']\ninput = 'a'\n";
    assert_eq!(Run::start(text).finish(), numbers(1, 4));
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
}

#[test]
fn a_pause_follows_a_change_of_the_file_beside_a_program_too() {
    let seq = "[stages.a]\ncommand = ['seq', '3']\n";
    let cat = |mode: &str| {
        format!("{seq}output = 'a'\n[stages.b]\ncommand = ['cat']\nmode = '{mode}'\ninput = 'a'\n")
    };
    let source =
        "[stages.c]\ncommand = ['cat']\ninput = 'a'\n[stages.a]\ncommand = ['seq', '3']\noutput = 'a'\n";
    for text in [source.to_owned(), cat("stream"), cat("reply")] {
        let mut run = Run::start(&format!("{text}sleep = '1h'\n"));
        wait_until("the first item", || (run.lines() == ["1"]).then_some(()));
        run.edit(&format!("{text}sleep = '1ms'\n"));
        assert_eq!(run.finish(), numbers(1, 3), "{text}");
    }
}

#[test]
fn several_inputs_and_outputs_are_wired_like_any_stages() {
    let mut run = Run::start(
        "[stages.a]\ncommand = ['seq', '100']\noutput = ['x', 'y']\n\
         [stages.b]\ncommand = ['cat']\ninput = ['x', 'y']\noutput = 'z'\n\
         [stages.c]\ncommand = ['cat']\nmode = 'each'\nbatch = 7\ninput = 'z'\n",
    );
    assert_eq!(run.finish().len(), 200);
}

#[test]
fn a_program_may_write_much_before_it_reads() {
    let stage =
        "command = \"dd if=/dev/zero bs=1M count=3 status=none | tr '\\\\0' 'x' | fold -w 1000; cat\"";
    let lines = through(100_000, stage);
    assert_eq!(lines.len(), 103_145); // the last line of the first part has no end
    let stage = format!("mode = 'each'\nbatch = 500\n{stage}");
    assert!(through(1000, &stage).len() > 3000);
}

#[test]
fn a_program_may_read_all_before_it_writes_or_never_write() {
    assert_eq!(through(200_000, "command = ['tac']")[0], "200000");
    assert!(through(200_000, "command = \"cat >/dev/null\"").is_empty());
}

#[test]
fn a_program_that_takes_only_some_ends_its_writers_quietly() {
    let mut run = Run::start(
        "[stages.y]\ncommand = ['yes']\noutput = 'a'\n[stages.h]\ncommand = ['head', '-n', '5']\ninput = 'a'\n",
    );
    assert_eq!(run.finish(), ["y"; 5]);
}

#[test]
fn a_program_that_never_reads_is_no_hindrance_to_a_stop() {
    let mut run = Run::start(
        "drain_timeout = '200ms'\n[defaults]\nstop_timeout = '500ms'\n\
         [stages.y]\ncommand = ['yes']\noutput = 'a'\n\
         [stages.s]\ncommand = ['sh', '-c', 'trap \"\" TERM; echo up >&2; while :; do sleep 1; done']\ninput = 'a'\n",
    );
    run.wait_for_log("up");
    run.signal(libc::SIGTERM);
    let start = Instant::now();
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_daemon_that_keeps_the_pipe_holds_nothing_up_and_does_not_outlive_its_item() {
    let script = "setsid sleep 1000 & (sleep 1000 &) ; echo done";
    for mode in ["mode = 'each'", "mode = 'each'\nbatch = 10"] {
        assert!(through(5, &format!("{mode}\ncommand = \"{script}\"")).iter().all(|line| line == "done"));
    }
    assert_eq!(through(5, &format!("command = \"cat; {script}\"")).len(), 6);
}

#[test]
fn a_process_without_queues_is_supervised() {
    let mut run = Run::start(
        "[defaults]\nbackoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n\
         [stages.job]\ncommand = \"test -e there || { touch there; echo not yet; exit 1; }; echo now\"\n",
    );
    assert_eq!(run.finish(), ["not yet", "now"]);
    assert!(run.stderr().contains("it ended with exit code 1"), "{}", run.stderr());
}

#[test]
fn a_program_that_ends_well_is_started_again_if_always_is_said() {
    let mut run = Run::start(
        "[stages.job]\ncommand = ['echo', 'once more']\nrestart = 'always'\n\
         backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\ngive_up = { restarts = 1000000, within = '1m' }\n",
    );
    wait_until("three runs", || (run.lines().len() >= 3).then_some(()));
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

#[test]
fn a_source_that_is_stopped_loses_no_line_that_it_has_written() {
    let mut run = Run::start(
        "[queues.a]\ncapacity = 2\n\
         [stages.s]\ncommand = ['python3', '-c', '''\nimport signal,sys\n\
         def stop(*_): print('last', flush=True); sys.exit(0)\nsignal.signal(signal.SIGTERM, stop)\n\
         for i in range(500): print(i, flush=True)\nprint('all', file=sys.stderr, flush=True)\nsignal.pause()\n''']\noutput = 'a'\n\
         [stages.w]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\nsleep = '1ms'\n",
    );
    run.wait_for_log("all");
    run.signal(libc::SIGTERM);
    let lines = run.finish();
    assert_eq!((lines.len(), lines.last().unwrap().as_str()), (501, "last"), "{}", run.stderr());
}

#[test]
fn half_an_item_of_a_killed_program_is_none_but_a_last_one_needs_no_end() {
    let source = |end: &str| {
        Run::start(&format!(
            "[stages.read]\ncommand = \"[ -e once ] && printf rest && exit; touch once; printf 'one\\nhal'; {end}\"\n\
             output = 'a'\n[stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'a'\n"
        ))
    };
    let mut torn = source("kill -9 $$$$");
    assert_eq!(torn.finish(), ["one", "rest"]);
    assert!(torn.stderr().contains("in the middle of an item: 3 bytes are left out"), "{}", torn.stderr());
    assert_eq!(source("exit 1").finish(), ["one", "hal", "rest"]);
    assert_eq!(source("exit 0").finish(), ["one", "hal"]);
}

#[test]
fn memory_stays_the_same_under_an_endless_input_with_a_slow_consumer() {
    let run = Run::start(
        "[queues.b]\nmax_bytes = '1MiB'\nmax_item = '64KiB'\n\
         [stages.y]\ncommand = ['yes']\noutput = 'a'\n\
         [stages.c]\ncommand = ['cat']\ninput = 'a'\noutput = 'b'\n\
         [stages.e]\ncommand = ['cat']\nmode = 'each'\nbatch = 100\ninput = 'b'\noutput = 'c'\n\
         [stages.slow]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'c'\nsleep = '100ms'\n",
    );
    wait_until("some output", || (run.lines().len() > 10).then_some(()));
    let memory = || -> u64 {
        let workers = ["y", "c", "e"].map(|stage| run.workers(stage)[0]);
        workers.iter().filter_map(|&pid| process::private_kib(pid)).sum()
    };
    let before = memory();
    let seen = run.lines().len();
    wait_until("more output", || (run.lines().len() > seen + 20).then_some(()));
    let after = memory();
    assert!(after < before + 4096, "{before} KiB, then {after} KiB");
}

#[test]
fn items_follow_each_other_at_the_pace_of_the_file() {
    for mode in ["mode = 'stream'", "mode = 'reply'", "mode = 'each'"] {
        let start = Instant::now();
        let lines = through(4, &format!("command = ['sed', '-u', '']\nsleep = '100ms'\n{mode}"));
        assert_eq!(lines, numbers(1, 4));
        assert!(start.elapsed() >= Duration::from_millis(300), "{mode}: {:?}", start.elapsed());
    }
}

#[test]
fn the_end_of_a_shell_pipe_is_the_end_of_the_run() {
    let folder = Folder::new();
    folder.file(
        "pipeline.toml",
        "[stages.y]\ncommand = ['yes']\noutput = 'a'\n[stages.c]\ncommand = ['cat']\ninput = 'a'\n",
    );
    let shell = format!("{} -q pipeline.toml | head -1; echo ${{PIPESTATUS[0]}}", support::binary());
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", &shell]).current_dir(folder.path()).env("XDG_STATE_HOME", folder.path());
    let output = bash.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "y\n0\n");
    let _ = command(&folder);
}

#[test]
fn what_was_collected_as_a_whole_is_printed_as_it_is() {
    let mut run = Run::start(
        "[stages.number]\nuse = 'count'\nwith = { from = 1, to = 3 }\noutput = 'a'\n\
         [stages.work]\nmode = 'each'\ncollect = 'whole'\ninput = 'a'\n\
         command = ['sh', '-c', 'case $1 in 1) printf \"a\\nb\\n\";; 2) ;; 3) printf \"c\\n\\nd\";; esac', 'sh', '{}']\n",
    );
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_eq!(run.stdout(), "a\nb\nc\n\nd");
}

#[test]
fn in_a_line_for_the_shell_the_item_is_a_word_and_never_code() {
    let items = ["plain", "two  words", "$(echo no)", "'; echo no; '", "it's", "*", "-n"];
    let text = "[stages.read]\nuse = 'lines'\nwith = { path = 'items' }\noutput = 'a'\n\
                [stages.say]\ncommand = \"\"\"printf '[%s]\\\\n' \"$1\"; cat\"\"\"\nmode = 'each'\ninput = 'a'\n";
    let folder = support::Folder::new();
    folder.file("items", &(items.join("\n") + "\n"));
    folder.file("pipeline.toml", text);
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.finish(), items.map(|item| format!("[{item}]")), "{}", run.stderr());
    // `awk` has a `$1` of its own: there the item is on standard input, as it was.
    let text = "[stages.in]\nuse = 'repeat'\nwith = { text = 'a b', times = 2 }\noutput = 'a'\n\
                [stages.say]\ncommand = \"awk '{ print $1 }'\"\nmode = 'each'\ninput = 'a'\n";
    assert_eq!(Run::start(text).finish(), ["a", "a"]);
}

#[test]
fn a_program_before_kept_queues_is_warned_of_at_a_check_and_at_the_start() {
    let text = "[queues.a]\ndurable = true\n[stages.in]\ncommand = ['seq', '3']\noutput = 'a'\n\
                [stages.out]\nuse = 'format'\nwith = { template = '{item}' }\ninput = 'a'\n";
    let mut run = Run::start(text);
    assert_eq!(run.finish(), ["1", "2", "3"]);
    let warning = "warning: the queues are kept, but the program of `in` begins anew at each start";
    assert!(run.stderr().contains(warning), "{}", run.stderr());
    let said = run.ask(&["check", "pipeline.toml"]);
    assert_eq!(said.code, Some(0));
    assert!(said.stderr.contains(warning), "{said:?}");
    run.edit(&text.replace("durable = true", "durable = false"));
    assert_eq!(run.ask(&["check", "pipeline.toml"]).stderr, "");
}
