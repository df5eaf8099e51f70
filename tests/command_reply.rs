//! A program that answers: whose fault its death is, what it can say of a failure, and that silence is told of.

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use support::{Folder, Run, process, project, wait_until};

const QUICK: &str = "drain_timeout = '100ms'\n[defaults]\nattempts = 2\nretry = { delay = '0s' }\nbackoff = { initial = '1ms', max = '5ms', reset_after = '1ms' }\n";

/// Runs `1` to `n` through a script in Python.
fn start(n: u64, keys: &str, script: &str) -> Run {
    let folder = Folder::new();
    folder.file("work.py", script);
    folder.file(
        "pipeline.toml",
        &format!(
            "{QUICK}[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {n} }}\noutput = 'a'\n\
             [stages.work]\ncommand = ['python3', 'work.py']\nenv = {{ PYTHONPATH = '{}' }}\n{keys}\n\
             input = 'a'\noutput = 'b'\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n",
            project().join("python").display()
        ),
    );
    Run::in_folder(folder, &[])
}

fn letters(run: &Run) -> Vec<Value> {
    let path = run.folder.path().join("state/mprun/pipeline/dead.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_by_key(|line| (line.len(), line.clone()));
    lines
}

fn without(n: u64, guilty: &[u64]) -> Vec<String> {
    (1..=n).filter(|i| !guilty.contains(i)).map(|i| i.to_string()).collect()
}

/// Equal, or where they first differ.
#[track_caller]
fn same(run: &Run, lines: &[String], expected: &[String]) {
    let differs = (0..lines.len().max(expected.len())).find(|&i| lines.get(i) != expected.get(i));
    if let Some(i) = differs {
        panic!("line {i} is {:?}, not {:?}; the log:\n{}", lines.get(i), expected.get(i), run.stderr());
    }
}

/// Reads as much as there is, answers when all of it is done, and dies over two of the items.
const READS_AHEAD: &str = "
import os, sys
while data := os.read(0, 65536):
    held = []
    for item in data.split():
        if item in (b'700', b'703'):
            print('over', item.decode(), file=sys.stderr)
            os._exit(9)
        held.append(item + b'\\n')
    os.write(1, b''.join(held))
";

#[test]
fn a_program_that_reads_ahead_dies_of_the_guilty_items_alone() {
    let mut run = start(3000, "mode = 'reply'\nprocesses = 2", READS_AHEAD);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    same(&run, &sorted(run.lines()), &without(3000, &[700, 703]));
    let mut guilty: Vec<String> =
        letters(&run).iter().map(|letter| letter["item"].as_str().unwrap().to_owned()).collect();
    guilty.sort();
    assert_eq!(guilty, ["700", "703"], "{}", run.stderr());
    // Nobody else was blamed even once, and a letter waits at most for another item to be done.
    let log = run.stderr();
    let blamed: Vec<&str> = log.lines().filter(|line| line.contains("failed (attempt")).collect();
    assert!((2..=4).contains(&blamed.len()), "{log}");
    assert!(blamed.iter().all(|line| line.contains("`700`") || line.contains("`703`")), "{log}");
}

#[test]
fn a_time_limit_with_several_items_on_their_way_blames_the_one_that_takes_too_long() {
    let script = "
import os, time
while data := os.read(0, 65536):
    held = []
    for item in data.split():
        if item == b'700':
            time.sleep(1000)
        held.append(item + b'\\n')
    os.write(1, b''.join(held))
";
    let mut run = start(1500, "mode = 'reply'\nitem_timeout = '3s'\nstop_timeout = '100ms'", script);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    same(&run, &run.lines(), &without(1500, &[700]));
    let letters = letters(&run);
    assert_eq!((letters.len(), &letters[0]["cause"]), (1, &"timed-out".into()), "{}", run.stderr());
}

#[test]
fn many_bad_items_in_a_row_do_not_stop_a_program_that_works() {
    let script = "
import sys
for line in sys.stdin:
    if 100 <= int(line) < 108:
        sys.exit(3)
    print(line.strip())
";
    let mut run = start(200, "mode = 'reply'", script);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    same(&run, &run.lines(), &without(200, &(100..108).collect::<Vec<_>>()));
    assert_eq!(letters(&run).len(), 8);
}

#[test]
fn a_python_loop_that_does_not_flush_is_heard_all_the_same() {
    let script = "import sys\nfor line in sys.stdin:\n    print(line.strip())\n";
    let mut run = start(300, "mode = 'reply'", script);
    let lines = run.finish();
    same(&run, &lines, &without(300, &[]));
}

const FUNCTION: &str = "
import os, mprun

print('a stray word')

@mprun.stage
def work(item: mprun.Item):
    number = int(item.text)
    if number % 100 == 7 and item.attempt == 1:
        raise mprun.Fail('not at first')
    yield f'{number} {os.getpid()}'
    if number == 50:
        raise ValueError('fifty is too many')
    if number % 2:
        yield 'odd'
";

#[test]
fn a_python_function_fails_an_item_and_lives_on() {
    let mut run = start(1000, "framing = 'mprun'", FUNCTION);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let lines = run.lines();
    let odd = lines.iter().filter(|line| *line == "odd").count();
    let mut pids = BTreeMap::<&str, u32>::new();
    let mut numbers = Vec::new();
    for (number, pid) in lines.iter().filter_map(|line| line.split_once(' ')) {
        numbers.push(number.to_owned());
        *pids.entry(pid).or_default() += 1;
    }
    assert_eq!(odd, 500);
    same(&run, &sorted(numbers), &without(1000, &[50]));
    assert_eq!(pids.len(), 1, "one program did it all: {pids:?}\n{}", run.stderr());
    let letters = letters(&run);
    assert_eq!((letters.len(), &letters[0]["item"]), (1, &"50".into()));
    let cause = letters[0]["cause"]["error"].as_str().unwrap();
    assert!(cause.starts_with("Traceback") && cause.ends_with("ValueError: fifty is too many"), "{cause}");
    assert!(cause.contains("work.py\", line 13, in work") && !cause.contains("_serve.py"), "{cause}");
    let log = run.stderr();
    assert!(log.contains("`50` failed (attempt 1 of 2): ValueError: fifty is too many"), "{log}");
    assert!(log.contains("`107` failed (attempt 1 of 2): not at first"), "{log}");
    assert!(log.contains("a stray word"), "{log}");
}

#[test]
fn a_python_program_that_dies_over_an_item_is_alone_with_it() {
    let script = "
import os, mprun

@mprun.stage
def work(line: str) -> str:
    if line == '700':
        os.kill(os.getpid(), 11)
    return line
";
    let mut run = start(3000, "framing = 'mprun'\nprocesses = 2", script);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    same(&run, &sorted(run.lines()), &without(3000, &[700]));
    let letters = letters(&run);
    assert_eq!((letters.len(), &letters[0]["item"]), (1, &"700".into()), "{}", run.stderr());
    assert_eq!(letters[0]["cause"], serde_json::json!({ "signal": "SIGSEGV" }));
}

#[test]
fn a_python_function_may_return_more_than_an_item_can_hold() {
    let script = "
import mprun

@mprun.stage
def work(line: str):
    yield 'x' * (2 << 20 if line == '7' else 1)
    yield line
";
    let folder = Folder::new();
    folder.file("work.py", script);
    folder.file(
        "pipeline.toml",
        &format!(
            "{QUICK}[queues.b]\nmax_item = '1MiB'\n\
             [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 20 }}\noutput = 'a'\n\
             [stages.work]\ncommand = ['python3', 'work.py']\nenv = {{ PYTHONPATH = '{}' }}\nframing = 'mprun'\n\
             input = 'a'\noutput = 'b'\n\
             [stages.show]\nuse = 'filter'\nwith = {{ matches = '[0-9]' }}\ninput = 'b'\n",
            project().join("python").display()
        ),
    );
    let mut run = Run::in_folder(folder, &[]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    same(&run, &run.lines(), &without(20, &[7]));
    let letters = letters(&run);
    let cause = letters[0]["cause"]["error"].as_str().unwrap();
    assert!(letters.len() == 1 && cause.contains("an item of 2097152 bytes or more"), "{cause}");
    assert!(!run.stderr().contains("which of them it failed on is not known"), "{}", run.stderr());
}

#[test]
fn a_program_that_does_not_know_the_protocol_is_told_so() {
    let mut run =
        start(20, "framing = 'mprun'", "print('hello, world', flush=True)\nimport time\ntime.sleep(1000)\n");
    run.wait_for_log("is no answer in framing \"mprun\": it begins with `hello, world");
    run.signal(libc::SIGTERM);
    run.wait();
}

#[test]
fn a_program_that_answers_nothing_is_told_of() {
    let script = "import sys\nfor line in sys.stdin.readlines():\n    print(line.strip())\n";
    let mut run = start(20, "mode = 'reply'\nstop_timeout = '100ms'", script);
    run.wait_for_log("1 item that its program got 5s ago has no answer yet");
    assert!(run.stderr().contains("stdbuf -oL"), "{}", run.stderr());
    run.signal(libc::SIGINT);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
}

/// Is killed, the first time, with half of an answer written.
const TORN: &str = "
import os, sys
for line in sys.stdin:
    if line == '3\\n' and not os.path.exists('once'):
        open('once', 'w').close()
        os.write(1, b'ans')
        os.kill(os.getpid(), 9)
    print('answer', line, end='', flush=True)
";

#[test]
fn half_an_answer_of_a_killed_program_is_none() {
    let mut run = start(5, "mode = 'reply'", TORN);
    let lines = run.finish();
    let whole: Vec<String> = (1..=5).map(|i| format!("answer {i}")).collect();
    same(&run, &lines, &whole);
}

#[test]
fn the_last_answer_of_a_program_that_ends_well_needs_no_end() {
    let mut run = start(
        1,
        "mode = 'reply'",
        "import sys\nfor line in sys.stdin:\n    sys.stdout.write(line.strip() + '!')\n    break\n",
    );
    assert_eq!(run.finish(), ["1!"]);
}

#[test]
fn a_program_that_ends_without_a_question_is_not_started_for_ever() {
    let mut run = Run::start(
        "drain_timeout = '100ms'\n[stages.wait]\ncommand = ['sleep', '1000']\noutput = 'a'\n\
         [stages.work]\ncommand = ['true']\nmode = 'reply'\ninput = 'a'\n\
         backoff = { initial = '1ms', max = '2ms', reset_after = '1m' }\ngive_up = { restarts = 3, within = '1m' }\n",
    );
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert!(run.stderr().contains("it should run until its input ends"), "{}", run.stderr());
}

#[test]
fn an_idle_stage_is_stopped_at_once() {
    for mode in ["mode = 'each'", "mode = 'each'\nbatch = 5", "mode = 'reply'", "mode = 'stream'"] {
        let mut run = Run::start(&format!(
            "drain_timeout = '100ms'\n\
             [stages.wait]\ncommand = ['sh', '-c', 'trap \"\" TERM; echo up >&2; while :; do sleep 1; done']\noutput = 'a'\n\
             [stages.work]\ncommand = ['cat']\n{mode}\ninput = 'a'\nstop_timeout = '1h'\n"
        ));
        run.wait_for_log("wait[0] up");
        run.wait_for_log("up after");
        run.signal(libc::SIGINT);
        // The source takes its ten seconds; the others don't wait for that.
        wait_until("the worker to be gone", || run.workers("work").is_empty().then_some(()));
        assert_eq!(run.workers("wait").len(), 1, "{mode}");
        run.signal(libc::SIGQUIT);
        run.wait();
    }
}

/// A stage whose outputs never fit at once, and a reader that is slow, or is stopped.
fn crowded(middle: &str) -> String {
    format!(
        "drain_timeout = '1h'\n[queues.a]\ncapacity = 4\n[queues.b]\ncapacity = 2\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 40 }}\noutput = 'a'\n{middle}\
         [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\nsleep = '5ms'\n"
    )
}

const MANY: &str = "[stages.work]\ncommand = ['sh', '-c', 'for i in 1 2 3 4 5 6; do echo $1-$i; done', 'sh', '{}']\n\
                    mode = 'each'\ninput = 'a'\noutput = 'b'\nprocesses = 2\n";
const OTHER: &str = "[stages.other]\ncommand = ['sh', '-c', 'for i in 1 2 3 4 5 6; do echo $1-$i; done', 'sh', '{}']\n\
                     mode = 'each'\ninput = 'a'\noutput = 'b'\n";

fn all_of_forty() -> Vec<String> {
    sorted((1..=40).flat_map(|n| (1..=6).map(move |i| format!("{n}-{i}"))).collect())
}

#[test]
fn outputs_that_wait_for_room_outlive_the_removal_of_their_stage() {
    let mut run = Run::start(&crowded(MANY));
    wait_until("some output", || (run.lines().len() > 5).then_some(()));
    run.edit(&crowded(OTHER));
    run.wait_for_log("reloaded after");
    run.edit(&crowded(&format!("{MANY}{OTHER}")));
    let lines = sorted(run.finish());
    same(&run, &lines, &all_of_forty());
}

#[test]
fn outputs_that_wait_for_room_outlive_the_death_of_a_worker_that_was_to_go() {
    let mut run = Run::start(&crowded(MANY));
    wait_until("some output", || (run.lines().len() > 5).then_some(()));
    let show = run.worker("show");
    process::kill(show, libc::SIGSTOP);
    run.edit(&crowded(OTHER));
    run.wait_for_log("stage work: drain and stop");
    // Nobody reads: they can't get rid of what they have.
    wait_until("they are killed", || {
        let left = run.workers("work");
        left.into_iter().for_each(|pid| _ = process::kill(pid, libc::SIGKILL));
        run.stderr().contains("have no room yet").then_some(())
    });
    process::kill(show, libc::SIGCONT);
    let lines = sorted(run.finish());
    same(&run, &lines, &all_of_forty());
}

/// One that has nothing to do reads the end of its input at once, and may fail for that: again at every restart.
#[test]
fn no_program_is_started_for_an_input_that_has_ended_after_the_death_of_the_last_one() {
    for attempts in [1, 3] {
        let mut run = Run::start(&format!(
            "[stages.number]\nuse = 'count'\nwith = {{ to = 1 }}\noutput = 'a'\n\
             [stages.work]\ncommand = 'echo x >> begun; read x; exit 1'\nmode = 'reply'\nattempts = {attempts}\n\
             backoff = {{ initial = '1ms', max = '1ms' }}\ninput = 'a'\n"
        ));
        assert_eq!(run.wait(), 3, "{}", run.stderr());
        let log = run.stderr();
        assert!(!log.contains("after its last answer"), "{log}");
        let begun = std::fs::read_to_string(run.folder.path().join("begun")).unwrap().lines().count();
        assert!((1..=attempts).contains(&begun), "{begun} programs for {attempts} attempts: {log}");
    }
}
