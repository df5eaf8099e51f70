//! What a program says about its item: "not now" uses up no attempt, "never" is a dead letter at once.

mod support;

use serde_json::{Value, json};
use std::path::Path;
use support::{Folder, Run};

/// Runs `1` to `9` through the stage, with two attempts for each item: what came out, the dead letters, the log.
fn run(folder: Folder, stage: &str) -> (i32, Vec<String>, Vec<Value>, Run) {
    folder.file(
        "pipeline.toml",
        &format!(
            "[defaults]\nattempts = 2\nretry = {{ delay = '1ms', max = '5ms' }}\n\
             backoff = {{ initial = '1ms', max = '5ms' }}\n\
             [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 9 }}\noutput = 'a'\n\
             [stages.work]\ninput = 'a'\noutput = 'b'\n{stage}\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
        ),
    );
    let mut run = Run::in_folder(folder, &[]);
    let code = run.wait();
    let letters = std::fs::read_to_string(run.folder.path().join("state/mprun/pipeline/dead.jsonl"));
    let letters = letters.unwrap_or_default();
    let letters = letters.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut lines = run.lines();
    lines.sort();
    (code, lines, letters, run)
}

fn all_but(guilty: u32) -> Vec<String> {
    (1..=9).filter(|item| *item != guilty).map(|item| item.to_string()).collect()
}

fn tries(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("tries")).unwrap_or_default().lines().count()
}

/// A line of the shell that does `otherwise` for all items but 7, and for that one `then` as long as it was tried less
/// than six times.
fn seventh(item: &str, then: &str, otherwise: &str) -> String {
    format!(
        "if test {item} = 7 && echo >> tries && test $(wc -l < tries) -lt 6; then {then}; fi; {otherwise}"
    )
}

#[track_caller]
fn is_done_in_the_end(stage: &str) {
    let (code, lines, letters, run) = run(Folder::new(), stage);
    assert_eq!((code, lines, letters.len()), (0, all_but(0), 0), "{}", run.stderr());
    assert!(tries(run.folder.path()) >= 6);
    assert!(run.stderr().contains("`7` is put off: "), "{}", run.stderr());
    assert!(!run.stderr().contains("is failing"), "{}", run.stderr());
}

#[track_caller]
fn is_a_letter_at_once(stage: &str, cause: &Value) {
    let (code, lines, letters, run) = run(Folder::new(), stage);
    assert_eq!((code, lines, letters.len()), (3, all_but(7), 1), "{}", run.stderr());
    assert_eq!((&letters[0]["item"], &letters[0]["attempts"]), (&json!("7"), &json!(1)));
    assert_eq!(&letters[0]["cause"], cause);
    assert!(run.stderr().contains("`7` is a dead letter at once: "), "{}", run.stderr());
}

#[test]
fn exit_code_75_puts_an_item_off_however_often() {
    let line = seventh("\"$1\"", "echo half; exit 75", "echo \"$1\"");
    is_done_in_the_end(&format!("mode = 'each'\ncommand = '''{line}'''"));
}

#[test]
fn of_a_batch_only_the_item_that_says_so_is_put_off() {
    let line = seventh("$n", "exit 75", "echo $n");
    is_done_in_the_end(&format!("mode = 'each'\nbatch = 5\ncommand = '''while read n; do {line}; done'''"));
}

#[test]
fn a_program_that_ends_with_75_over_its_item_puts_it_off() {
    let line = seventh("$n", "exit 75", "echo $n");
    is_done_in_the_end(&format!("mode = 'reply'\ncommand = '''while read n; do {line}; done'''"));
}

#[test]
fn a_program_whose_first_word_is_75_can_be_started_all_the_same() {
    let line = "echo >> tries; test $(wc -l < tries) -ge 6 || exit 75; while read n; do echo $n; done";
    let stage =
        format!("mode = 'reply'\ngive_up = {{ restarts = 1, within = '1m' }}\ncommand = '''{line}'''");
    let (code, lines, letters, run) = run(Folder::new(), &stage);
    assert_eq!((code, lines, letters.len()), (0, all_but(0), 0), "{}", run.stderr());
}

#[test]
fn a_stream_that_ends_with_75_is_started_again_and_never_given_up() {
    let mut run = Run::start(
        "[stages.number]\ncommand = 'echo >> tries; test $(wc -l < tries) -ge 6 || exit 75; seq 9'\noutput = 'a'\n\
         give_up = { restarts = 1, within = '1m' }\nbackoff = { initial = '1ms', max = '5ms' }\n\
         [stages.show]\nuse = 'filter'\nwith = { contains = '' }\ninput = 'a'\n",
    );
    assert_eq!((run.wait(), run.lines()), (0, all_but(0)), "{}", run.stderr());
    assert_eq!(tries(run.folder.path()), 6);
}

#[test]
fn a_success_code_is_a_success() {
    let line = seventh("\"$1\"", "echo 7; exit 75", "echo \"$1\"");
    let stage = format!("mode = 'each'\nsuccess_codes = [0, 75]\ncommand = '''{line}'''");
    let (code, lines, _, run) = run(Folder::new(), &stage);
    assert_eq!((code, lines, tries(run.folder.path())), (0, all_but(0), 1), "{}", run.stderr());
}

#[test]
fn a_dead_code_is_a_dead_letter_at_once() {
    let line = "test \"$1\" != 7 || exit 66; echo \"$1\"";
    let stage = format!("mode = 'each'\ndead_codes = [65, 66]\ncommand = '''{line}'''");
    is_a_letter_at_once(&stage, &json!({ "exit-code": 66 }));
    let line = "while read n; do test $n != 7 || exit 65; echo $n; done";
    let stage = format!("mode = 'each'\nbatch = 5\ndead_codes = [65]\ncommand = '''{line}'''");
    is_a_letter_at_once(&stage, &json!({ "exit-code": 65 }));
    let stage = format!("mode = 'reply'\ndead_codes = [65]\ncommand = '''{line}'''");
    is_a_letter_at_once(&stage, &json!({ "error": "it ended with exit code 65 before it had answered" }));
}

#[test]
fn a_function_in_python_puts_off_and_rejects() {
    let stage = "framing = 'mprun'\ncommand = ['python3', 'work.py']";
    let folder = Folder::new();
    folder.file(
        "work.py",
        "import mprun\ntries = 0\n@mprun.stage\ndef work(text: str):\n    global tries\n    if text == '3':\n        \
         raise mprun.Reject('no number')\n    if text == '7' and tries < 6:\n        tries += 1\n        \
         raise mprun.Later('the server is away')\n    return text\n",
    );
    let (code, lines, letters, run) = run(folder, stage);
    assert_eq!((code, lines, letters.len()), (3, all_but(3), 1), "{}", run.stderr());
    assert_eq!(letters[0]["cause"], json!({ "error": "no number" }));
    let put_off = "`7` is put off: the server is away";
    assert_eq!(run.stderr().matches(put_off).count(), 6, "{}", run.stderr());
}
