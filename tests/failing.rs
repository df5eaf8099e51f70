//! `when_failing`: a broken program, bad items among good ones, and what ends a run.

mod support;

use serde_json::Value;
use std::time::{Duration, Instant};
use support::{Folder, LIMIT, Run, process, wait_until};

fn file(folder: &Folder, queue: &str, source: &str, stage: &str) {
    folder.file(
        "pipeline.toml",
        &format!(
            "{queue}\n[stages.number]\nuse = 'count'\nwith = {{ {source} }}\noutput = 'a'\n\
             [stages.work]\ninput = 'a'\noutput = 'b'\n{stage}\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
        ),
    );
}

fn status(run: &Run) -> Value {
    serde_json::from_str(&run.tell(&["status", "--json"])).unwrap()
}

fn tries(run: &Run) -> usize {
    std::fs::read_to_string(run.folder.path().join("tries")).unwrap_or_default().lines().count()
}

fn letters(run: &Run) -> usize {
    let list = run.ask(&["dead", "list", "pipeline.toml", "--json"]);
    serde_json::from_str::<Value>(&list.stdout).unwrap().as_array().map_or(0, Vec::len)
}

const BROKEN: &str = "mode = 'each'\ncommand = 'echo $$ >> tries; echo the library is missing >&2; exit 1'";

const DURABLE: &str = "[queues.a]\ndurable = true\ncapacity = 10000";

#[test]
fn a_broken_script_stops_the_run_after_a_few_items_and_all_are_still_there() {
    for processes in [1, 4] {
        let folder = Folder::new();
        let stage = format!("{}\nprocesses = {processes}\nwhen_failing = 'stop'", BROKEN);
        file(&folder, DURABLE, "to = 5000", &stage);
        let mut run = Run::in_folder(folder, &[]);
        assert_eq!(run.wait(), 1, "{}", run.stderr());
        assert!(tries(&run) <= 20 + processes, "{} items were tried", tries(&run));
        let stderr = run.stderr();
        let said: Vec<&str> =
            stderr.lines().filter(|line| line.contains("is failing, so the run ends")).collect();
        assert_eq!(said.len(), 1, "{stderr}");
        assert!(
            said[0].contains("when_failing = \"stop\"") && said[0].contains("the library is missing"),
            "{said:?}"
        );
        assert!(stderr.contains("items stay in the queues: the next run continues with them"), "{stderr}");
        assert_eq!(letters(&run), 0);
        // The script is mended: all of them go through.
        let mended = format!("mode = 'each'\nbatch = 500\ncommand = 'cat'\nprocesses = {processes}");
        file(&run.folder, DURABLE, "to = 5000", &mended);
        let next = support::command(&run.folder).args(["run", "pipeline.toml"]).output().unwrap();
        let lines = String::from_utf8(next.stdout).unwrap();
        let mut lines: Vec<usize> = lines.lines().map(|line| line.parse().unwrap()).collect();
        lines.sort_unstable();
        assert_eq!(lines, (1..=5000).collect::<Vec<_>>());
    }
}

#[test]
fn where_queues_are_in_memory_only_it_says_how_many_are_lost() {
    let folder = Folder::new();
    file(&folder, "", "to = 50", &format!("{}\nwhen_failing = 'stop'", BROKEN));
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 1);
    assert!(run.stderr().contains("50 items are lost with the queues"), "{}", run.stderr());
}

#[test]
fn a_stage_that_is_failing_for_too_long_ends_the_run() {
    let folder = Folder::new();
    file(&folder, "", "to = 50", &format!("{}\nfailing_timeout = '1s'", BROKEN));
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 1);
    assert!(run.stderr().contains("so the run ends (failing_timeout, 1s"), "{}", run.stderr());
    assert!(tries(&run) < 15, "{} tries", tries(&run));
}

/// "Not now" of different items is an outage as any other.
#[test]
fn what_says_not_now_of_every_item_is_failing_and_ends_the_run_after_a_few_tries() {
    let later = "import mprun\n@mprun.stage\ndef work(text: str):\n    open('tries', 'a').write('.\\n')\n    \
                 raise mprun.Later('away')\n";
    let kinds = [
        "mode = 'each'\ncommand = 'echo >> tries; exit 75'",
        "mode = 'reply'\ncommand = 'read n; echo >> tries; exit 75'",
        "framing = 'mprun'\ncommand = ['python3', 'work.py']",
    ];
    for kind in kinds {
        for (when, setting) in [
            ("when_failing = 'stop'", "when_failing = \"stop\""),
            ("failing_timeout = '1s'", "failing_timeout, 1s"),
        ] {
            let folder = Folder::new();
            folder.file("work.py", later);
            file(&folder, "", "to = 50", &format!("{kind}\n{when}\nprocesses = 2\nattempts = 1"));
            let mut run = Run::in_folder(folder, &[]);
            assert_eq!(run.wait(), 1, "{kind}: {}", run.stderr());
            let stderr = run.stderr();
            assert!(stderr.contains("the stage work is failing, so the run ends"), "{kind}: {stderr}");
            assert!(stderr.contains(setting), "{kind}: {stderr}");
            assert!(tries(&run) < 20, "{kind}: {} tries", tries(&run));
            assert_eq!(letters(&run), 0);
        }
    }
}

/// The server is away, then it is there and refuses what is left: that is an answer.
#[test]
fn the_last_few_items_that_said_not_now_and_fail_then_are_letters() {
    for kind in ["mode = 'each'\ncommand = 'for n in $1", "mode = 'reply'\ncommand = 'while read n"] {
        let folder = Folder::new();
        let stage = format!(
            "{kind}; do test $n -lt 40 && {{ echo $n; continue; }}; test -e up && exit 1; exit 75; done'\nattempts = 2\n\
             processes = 2\nretry = {{ delay = '100ms', max = '200ms' }}\nfailing_timeout = '5m'"
        );
        file(&folder, "", "from = 20, to = 42", &stage);
        let mut run = Run::in_folder(folder, &[]);
        run.wait_for_log("the stage work is failing");
        run.folder.file("up", "");
        assert_eq!(run.wait(), 3, "{kind}: {}", run.stderr());
        assert_eq!((run.lines().len(), letters(&run)), (20, 3), "{kind}: {}", run.stderr());
    }
}

/// Half of the items, or the last one alone: others are done before, so nothing tells at first that it is no bad item.
#[test]
fn what_says_not_now_for_ever_ends_the_run_once_nothing_else_is_left() {
    for (items, later) in [(40, "[ $(($1 % 2)) = 1 ]"), (6, "[ $1 != 6 ]"), (1, "false")] {
        for when in ["failing_timeout = '300ms'", "when_failing = 'stop'"] {
            let folder = Folder::new();
            let stage = format!(
                "mode = 'each'\nprocesses = 3\n{when}\ncommand = '{later} || {{ echo away >&2; exit 75; }}; echo $1'\n\
                 retry = {{ delay = '100ms', max = '200ms' }}"
            );
            file(&folder, DURABLE, &format!("from = 1, to = {items}"), &stage);
            let mut run = Run::in_folder(folder, &[]);
            assert_eq!(run.wait(), 1, "{}", run.stderr());
            let done = run.lines().len();
            let left = items - done;
            assert_eq!(done, if items == 40 { 20 } else { items - 1 }, "{}", run.stderr());
            let kept = if left == 1 { "1 item stays" } else { &format!("{left} items stay") };
            let kept = format!("{kept} in the queues");
            assert!(run.stderr().contains(&kept), "{kept}: {}", run.stderr());
            assert_eq!(letters(&run), 0);
        }
    }
}

#[test]
fn what_says_not_now_of_every_item_is_shown_as_failing_and_is_done_once_it_can_be() {
    let folder = Folder::new();
    let stage = "mode = 'each'\nprocesses = 2\nretry = { max = '1s' }\nattempts = 1\n\
                 command = 'read n; echo >> tries; test -e up || { echo the server is away >&2; exit 75; }; echo $n'";
    file(&folder, "", "to = 50", stage);
    let mut run = Run::in_folder(folder, &[]);
    for (verb, code) in [(vec!["status"], 0), (vec!["why"], 0), (vec!["status", "--check"], 1)] {
        wait_until(&format!("{verb:?} to say so"), || {
            let said = run.ask(&verb);
            let says_so = said.stdout.contains("failing (for ") && said.stdout.contains("the server is away");
            (says_so && said.code == Some(code)).then_some(())
        });
    }
    let headline = "work is the bottleneck: it is failing, and tries one item at a time until one is done.";
    wait_until("the headline", || run.ask(&["why"]).stdout.contains(headline).then_some(()));
    run.folder.file("up", "");
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_eq!((run.lines().len(), letters(&run)), (50, 0), "{}", run.stderr());
}

/// What is finished and waits for an item that fails does not come any more: those behind it don't wait for that.
#[test]
fn a_full_window_does_not_hold_up_the_end_of_a_run_whose_stage_is_failing_for_too_long() {
    let folder = Folder::new();
    let stage = "mode = 'each'\ncommand = 'read x; test $x -gt 1 -a $x -lt 8 && echo $x'\nattempts = 100\n\
                 order = 'input'\norder_window = 6\nfailing_timeout = '1s'";
    file(&folder, "drain_timeout = '10m'", "to = 50", stage);
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 1);
    assert!(run.stderr().contains("so the run ends (failing_timeout, 1s"), "{}", run.stderr());
    assert!(run.stderr().contains("50 items are lost with the queues"), "{}", run.stderr());
}

#[test]
fn six_malformed_lines_among_good_ones_are_six_letters_and_the_rest_is_through_in_time() {
    let kinds = [
        "mode = 'each'\ncommand = 'read n; test $n -lt 100 -o $n -gt 105 && echo $n'",
        "mode = 'reply'\ncommand = 'while read n; do test $n -lt 100 -o $n -gt 105 || exit 1; echo $n; done'",
    ];
    for kind in kinds {
        for processes in [1, 3] {
            let folder = Folder::new();
            file(&folder, "", "to = 400", &format!("{kind}\nprocesses = {processes}"));
            let began = Instant::now();
            let mut run = Run::in_folder(folder, &[]);
            assert_eq!(run.wait(), 3, "{}", run.stderr());
            // Four hundred shells of a busy machine take most of it.
            assert!(began.elapsed() < Duration::from_secs(40), "{kind}: {:?}", began.elapsed());
            assert_eq!((run.lines().len(), letters(&run)), (394, 6), "{kind}: {}", run.stderr());
        }
    }
}

#[test]
fn a_built_in_stage_is_failing_too_and_a_reload_of_the_setting_is_obeyed_at_once() {
    let folder = Folder::new();
    let stage = "use = 'filter'\nwith = { keep = 'even' }\nprocesses = 2";
    let words = "[stages.words]\ncommand = 'seq -f word%g 40; sleep 1000'\noutput = 'a'\n";
    let text = |when| format!("{words}[stages.work]\ninput = 'a'\n{stage}\nwhen_failing = '{when}'\n");
    folder.file("pipeline.toml", &text("wait"));
    let mut run = Run::in_folder(folder, &[]);
    run.wait_for_log("the stage work is failing");
    assert!(status(&run)["stages"][1]["failing"]["since"].is_number());
    assert_eq!(status(&run)["totals"]["dead"], 0);
    run.folder.file("pipeline.toml", &text("dead-letter"));
    wait_until("forty letters", || (status(&run)["totals"]["dead"] == 40).then_some(()));
    wait_until("no word of failing", || status(&run)["stages"][1]["failing"].is_null().then_some(()));
    // All processes go by the new setting at once.
    assert_eq!(run.stderr().matches("the stage work is failing").count(), 1, "{}", run.stderr());
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 3);
}

#[test]
fn kills_of_all_processes_again_and_again_while_a_stage_fails_lose_nothing() {
    let folder = Folder::new();
    let stage = "mode = 'each'\nprocesses = 3\nretry = { max = '1s' }\nbackoff = { initial = '1ms', max = '50ms' }\n\
                 command = 'read n; test -e up || exit 1; echo $n'";
    file(&folder, "", "to = 500", stage);
    let mut run = Run::in_folder(folder, &[]);
    run.wait_for_log("the stage work is failing");
    assert!(status(&run)["stages"][1]["failing"]["since"].is_number());
    let (mut killed, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_secs(6) || killed < 30 && began.elapsed() < LIMIT {
        for worker in run.workers("work") {
            killed += usize::from(process::kill(worker, libc::SIGKILL));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(killed >= 30, "only {killed} kills");
    assert_eq!(status(&run)["totals"]["dead"], 0);
    run.folder.file("up", "");
    let mut lines: Vec<usize> = run.finish().iter().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (1..=500).collect::<Vec<_>>(), "{}", run.stderr());
}

#[test]
fn programs_that_die_each_over_another_item_wait_for_the_end_of_the_outage_and_do_not_give_up() {
    for processes in [1, 3] {
        let folder = Folder::new();
        let stage = format!(
            "mode = 'reply'\nprocesses = {processes}\nretry = {{ max = '1s' }}\ngive_up = {{ restarts = 2, within = '1m' }}\n\
             backoff = {{ initial = '1ms', max = '100ms' }}\n\
             command = 'while read n; do test -e down && exit 1; sleep 0.01; echo $n; done'"
        );
        file(&folder, "", "to = 300", &stage);
        let mut run = Run::in_folder(folder, &[]);
        wait_until("some answers", || (run.lines().len() >= 20).then_some(()));
        run.folder.file("down", "");
        run.wait_for_log("the stage work is failing");
        let since = Instant::now();
        wait_until("some programs to die", || (since.elapsed() > Duration::from_secs(2)).then_some(()));
        std::fs::remove_file(run.folder.path().join("down")).unwrap();
        let mut lines: Vec<usize> = run.finish().iter().map(|line| line.parse().unwrap()).collect();
        lines.sort_unstable();
        assert_eq!(lines, (1..=300).collect::<Vec<_>>(), "{}", run.stderr());
    }
}

#[test]
fn a_run_that_is_killed_while_a_stage_fails_goes_on_with_all_its_items() {
    let folder = Folder::new();
    let stage = "mode = 'each'\nprocesses = 3\ncommand = 'read n; test -e up || exit 1; echo $n'";
    file(&folder, DURABLE, "to = 200", stage);
    let mut run = Run::in_folder(folder, &[]);
    run.wait_for_log("the stage work is failing");
    run.signal(libc::SIGKILL);
    run.wait();
    run.folder.file("up", "");
    let next = support::command(&run.folder).args(["run", "pipeline.toml"]).output().unwrap();
    assert_eq!(next.status.code(), Some(0), "{}", String::from_utf8_lossy(&next.stderr));
    let lines = String::from_utf8(next.stdout).unwrap();
    let mut lines: Vec<usize> = lines.lines().map(|line| line.parse().unwrap()).collect();
    lines.sort_unstable();
    assert_eq!(lines, (1..=200).collect::<Vec<_>>());
}

#[test]
fn the_last_few_items_are_letters_though_the_stage_began_to_fail_while_more_could_come() {
    let mut run = Run::start(
        "[stages.a]\ncommand = 'echo 1; echo 2; while [ ! -e go ]; do sleep 0.01; done'\noutput = 'q'\n\
         [stages.b]\ncommand = ['false']\nmode = 'each'\ninput = 'q'\nattempts = 2\nprocesses = 2\n",
    );
    wait_until("the stage to be failing", || run.ask(&["status"]).stdout.contains("failing").then_some(()));
    std::fs::write(run.folder.path().join("go"), "").unwrap();
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(run.stderr().matches("is a dead letter").count(), 2, "{}", run.stderr());
}

/// A stage whose items fail if their number is in `bad`, after a while; what came out, in its order.
fn with_bad(bad: &str, slow: &str, stage: &str) -> (Run, Vec<u32>) {
    with_bad_in("", bad, slow, stage)
}

fn with_bad_in(queue: &str, bad: &str, slow: &str, stage: &str) -> (Run, Vec<u32>) {
    let mut run = Run::start(&format!(
        "{queue}[stages.n]\nuse = 'count'\nwith = {{ to = 100 }}\noutput = 'q'\n\
         [stages.work]\nmode = 'each'\ninput = 'q'\noutput = 'r'\nretry = {{ delay = '20ms' }}\nfailing_timeout = '1m'\n{stage}\n\
         command = 'case $1 in {bad}) {slow} exit 1;; esac; echo $1'\n\
         [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'r'\n"
    ));
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let lines = run.lines().iter().map(|line| line.parse().unwrap()).collect();
    (run, lines)
}

fn but(bad: std::ops::RangeInclusive<u32>) -> Vec<u32> {
    (1..=100).filter(|n| !bad.contains(n)).collect()
}

#[test]
fn a_slow_bad_item_does_not_hold_an_order_for_ever_though_the_window_is_full_behind_it() {
    let (run, lines) =
        with_bad("3", "sleep 0.5;", "processes = 2\norder = 'input'\norder_window = 2\nattempts = 2");
    assert_eq!(lines, but(3..=3));
    assert_eq!(run.stderr().matches("is a dead letter").count(), 1);
}

#[test]
fn nor_do_several_that_make_the_stage_fail() {
    let (run, lines) =
        with_bad("1[0-4]", "sleep 0.3;", "processes = 6\norder = 'input'\norder_window = 2\nattempts = 1");
    assert_eq!(lines, but(10..=14));
    assert_eq!(run.stderr().matches("is a dead letter").count(), 5);
}

#[test]
fn delayed_items_keep_no_new_one_out_of_a_small_queue_while_the_stage_fails() {
    for (capacity, bad, range) in [(1, "1[0-1]", 10..=11), (2, "1[0-2]", 10..=12), (5, "1[0-7]", 10..=17)] {
        let (run, lines) =
            with_bad_in(&format!("[queues.q]\ncapacity = {capacity}\n"), bad, "", "attempts = 2");
        assert_eq!(lines, but(range.clone()), "capacity {capacity}");
        assert_eq!(run.stderr().matches("is a dead letter").count(), range.count());
    }
}

#[test]
fn a_long_run_of_bad_items_is_through_in_about_as_many_seconds() {
    let start = Instant::now();
    let (run, lines) = with_bad("[2-3]?", "", "attempts = 2");
    assert_eq!(lines, but(20..=39));
    assert_eq!(run.stderr().matches("is a dead letter").count(), 20);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn a_time_that_never_runs_is_told() {
    let folder = Folder::new();
    let check = |setting: &str| {
        let text = format!(
            "[stages.n]\nuse = 'count'\noutput = 'a'\n\
             [stages.work]\nuse = 'discard'\ninput = 'a'\nfailing_timeout = '1m'\n{setting}\n"
        );
        folder.file("pipeline.toml", &text);
        let output = support::command(&folder).args(["check", "pipeline.toml"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8_lossy(&output.stderr).contains("`failing_timeout` has no effect here")
    };
    assert!(check("when_failing = 'stop'") && check("when_failing = 'dead-letter'") && !check(""));
}
