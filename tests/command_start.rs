//! Programs that never get to work, and what a program says that nobody asked for: no innocent item suffers.

mod support;

use serde_json::Value;
use support::{Folder, Run, project};

/// Runs `1` to `n` through `work.py`.
fn python(n: u64, keys: &str, script: &str) -> Run {
    let folder = Folder::new();
    folder.file("work.py", script);
    start(folder, n, &format!("command = ['python3', 'work.py']\n{keys}"))
}

/// Runs `1` to `n` through the stage.
fn start(folder: Folder, n: u64, stage: &str) -> Run {
    folder.file(
        "pipeline.toml",
        &format!(
            "[defaults]\nattempts = 2\nbackoff = {{ initial = '1ms', max = '5ms', reset_after = '1ms' }}\n\
             [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {n} }}\noutput = 'a'\n\
             [stages.work]\n{stage}\ninput = 'a'\noutput = 'b'\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
        ),
    );
    Run::in_folder(folder, &[])
}

fn shell(n: u64, line: &str) -> Run {
    start(Folder::new(), n, &format!("mode = 'reply'\ncommand = '''{line}'''"))
}

fn letters(run: &Run) -> Vec<Value> {
    let path = run.folder.path().join("state/mprun/pipeline/dead.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(range: impl Iterator<Item = u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// The run ended with code 1, no item suffered, and one message says why.
#[track_caller]
fn ends_with_one_message(run: &mut Run, n: u64, message: &str) {
    assert_eq!(run.wait(), 1, "{}", run.stderr());
    assert_eq!(letters(run), Vec::<Value>::new(), "{}", run.stderr());
    let log = run.stderr();
    let reported: Vec<&str> =
        log.lines().filter(|line| line.contains(" ERROR ") || line.contains(" WARN ")).collect();
    assert!(matches!(reported[..], [only] if only.contains(message)), "{log}");
    assert!(log.contains(&format!("queue a: {n} put, 0 done, ")) && log.contains(" left waiting"), "{log}");
}

#[test]
fn a_program_that_fails_to_boot_ends_the_run_and_blames_no_item() {
    let message = "3 programs in a row failed before they had read any item: it ended with exit code 3";
    ends_with_one_message(&mut shell(50, "echo no config >&2; exit 3"), 50, message);
    let mut run = python(50, "mode = 'reply'\nprocesses = 2", "import sys\nimport no_such_module\n");
    ends_with_one_message(&mut run, 50, "last words: ModuleNotFoundError: No module named 'no_such_module'");
}

#[test]
fn programs_that_die_of_every_item_they_read_end_the_run_and_blame_no_item() {
    let message = "3 programs in a row failed before they had answered anything: it ended with exit code 3";
    ends_with_one_message(&mut shell(50, "read n; exit 3"), 50, message);
    let message = "what it wrote is no answer in framing \"mprun\": it begins with `Hello";
    let mut run = python(
        50,
        "framing = 'mprun'",
        "import sys\nfor line in sys.stdin.buffer.raw.read(9), b'':\n    print('Hello', flush=True)",
    );
    ends_with_one_message(&mut run, 50, message);
}

#[test]
fn an_item_that_ends_the_first_program_is_charged_once_another_is_answered() {
    let mut run = shell(10, "while read n; do test $n != 1 || exit 3; echo $n; done");
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(run.lines(), numbers(2..=10));
    let letters = letters(&run);
    assert_eq!((letters.len(), &letters[0]["item"], &letters[0]["attempts"]), (1, &"1".into(), &2.into()));
}

#[test]
fn an_item_that_is_the_only_one_has_its_attempts() {
    let mut run = shell(1, "while read n; do exit 3; done");
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let letters = letters(&run);
    assert_eq!((letters.len(), &letters[0]["attempts"]), (1, &2.into()), "{}", run.stderr());
}

#[test]
fn a_program_may_make_room_for_a_fresh_one_though_the_next_item_is_in_its_pipe() {
    let mut run = shell(100, "for i in 1 2 3; do read n || exit 0; echo $n; done; sleep 0.01");
    assert_eq!(run.finish(), numbers(1..=100));
    assert!(!run.stderr().contains("failed"), "{}", run.stderr());
}

#[test]
fn a_forked_child_of_a_python_program_answers_nothing() {
    let script = "
import os, mprun

@mprun.stage
def work(text):
    if int(text) % 5 == 0 and os.fork() == 0:
        return 'stray'
    return text
";
    let folder_with_module =
        format!("framing = 'mprun'\nenv = {{ PYTHONPATH = '{}' }}", project().join("python").display());
    let mut run = python(60, &folder_with_module, script);
    assert_eq!(run.finish(), numbers(1..=60));
    assert!(run.stderr().contains("only that program may answer"), "{}", run.stderr());
}

/// Speaks version 2 by itself. `answer(number, text)` is called for each item.
const SPEAKS_NUMBERS: &str = "
import os, struct, sys
send = lambda kind, number, payload=b'': os.write(1, struct.pack('>IcI', 5 + len(payload), kind, number) + payload)
def exactly(n):
    data = b''
    while len(data) < n:
        more = os.read(0, n - len(data))
        if not more:
            sys.exit(0)
        data += more
    return data
assert int(os.environ['MPRUN_PROTOCOL']) >= 2
os.write(1, b'\\0\\0\\0\\2v\\2')
numbered, count = False, 0
while True:
    length, = struct.unpack('>I', exactly(4))
    frame = exactly(length)
    if length == 1:
        assert frame == b'\\2' and not numbered
        numbered = True
        continue
    count += 1
    if numbered:
        number, = struct.unpack('>I', frame[:4])
        assert number == count, (number, count)
        frame = frame[4:]
    answer(count, int(frame[4:]))
";

#[test]
fn a_program_that_numbers_its_answers_is_heard() {
    let answer = "def answer(number, n):\n    send(b'o', number, b'%d' % n)\n    send(b'e', number)\n";
    let mut run = python(3000, "framing = 'mprun'", &format!("{answer}{SPEAKS_NUMBERS}"));
    assert_eq!(run.finish(), numbers(1..=3000));
}

#[test]
fn an_answer_to_another_item_fails_the_attempt_and_the_program_is_replaced() {
    // It answers 20 twice, as a forked child would, and 30 with the number of the item behind it.
    let answer = "
seen = set()
def answer(number, n):
    first = not os.path.exists(f'seen-{n}')
    open(f'seen-{n}', 'w').close()
    send(b'o', number + (n == 30 and first), b'%d' % n)
    send(b'e', number)
    if n == 20 and first:
        send(b'o', number, b'stray')
        send(b'e', number)
";
    let mut run = python(60, "framing = 'mprun'", &format!("{answer}{SPEAKS_NUMBERS}"));
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    // A failed item waits for its next attempt, and the others pass it.
    let mut lines = run.lines();
    lines.sort_by_key(|line| line.parse::<u32>().unwrap());
    assert_eq!(lines, numbers(1..=60), "{}", run.stderr());
    assert!(run.stderr().contains("does another process, a fork of it,"), "{}", run.stderr());
}
