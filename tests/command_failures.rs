//! What becomes of items whose program fails: only the guilty one suffers, and the dead letter says why.

mod support;

use serde_json::Value;
use support::Run;

/// Runs `1` to `n` through the stage; the exit code, the lines, and the dead letters.
fn run(n: u64, stage: &str) -> (i32, Vec<String>, Vec<Value>, String) {
    let mut run = Run::start(&format!(
        "[defaults]\nattempts = 2\nbackoff = {{ initial = '1ms', max = '5ms', reset_after = '1ms' }}\n\
         [queues.b]\nmax_bytes = '2MiB'\nmax_item = '1MiB'\n\
         [stages.number]\nuse = 'count'\nwith = {{ from = 1, to = {n} }}\noutput = 'a'\n\
         [stages.work]\ninput = 'a'\noutput = 'b'\n{stage}\n\
         [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
    ));
    let code = run.wait();
    let letters = std::fs::read_to_string(run.folder.path().join("state/mprun/pipeline/dead.jsonl"));
    let letters =
        letters.unwrap_or_default().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (code, run.lines(), letters, run.stderr())
}

fn without(n: u64, guilty: u64) -> Vec<String> {
    (1..=n).filter(|&i| i != guilty).map(|i| i.to_string()).collect()
}

/// The one dead letter is item 7's; its cause.
#[track_caller]
fn only_seven(result: (i32, Vec<String>, Vec<Value>, String), n: u64) -> Value {
    let (code, lines, letters, log) = result;
    assert_eq!(lines, without(n, 7), "{log}");
    assert_eq!((code, letters.len()), (3, 1), "{log}");
    assert_eq!((&letters[0]["item"], &letters[0]["attempts"]), (&"7".into(), &2.into()));
    letters[0].clone()
}

#[test]
fn a_non_zero_exit_is_a_failed_attempt_with_its_last_words() {
    let stage = "mode = 'each'\ncommand = ['sh', '-c', 'echo half; test $1 != 7 || { echo alas >&2; exit 5; }', 'sh', '{}']";
    let (code, lines, letters, log) = run(20, stage);
    assert_eq!((code, lines.len(), letters.len()), (3, 19, 1), "{log}");
    assert_eq!(letters[0]["cause"], serde_json::json!({ "exit-code": 5 }));
    assert_eq!(letters[0]["stderr"], serde_json::json!(["alas"]));
    assert!(log.contains("its last words: alas"), "{log}");
}

#[test]
fn of_a_batch_only_the_guilty_item_is_blamed() {
    let stage =
        "mode = 'each'\nbatch = 50\ncommand = \"while read n; do test $n != 7 || exit 9; echo $n; done\"";
    let letter = only_seven(run(200, stage), 200);
    assert_eq!(letter["cause"], serde_json::json!({ "exit-code": 9 }));
}

#[test]
fn a_signal_is_told_by_its_name() {
    let stage =
        "mode = 'reply'\ncommand = \"while read n; do test $n != 7 || kill -SEGV $$$$; echo $n; done\"";
    let letter = only_seven(run(100, stage), 100);
    assert_eq!(letter["cause"], serde_json::json!({ "signal": "SIGSEGV" }));
}

#[test]
fn an_item_that_takes_too_long_is_ended_though_its_program_ignores_term() {
    let script = "trap \"\" TERM; if [ $1 = 7 ]; then while :; do sleep 1; done; fi; echo $1";
    let stage = format!(
        "mode = 'each'\nitem_timeout = '300ms'\nstop_timeout = '100ms'\ncommand = ['sh', '-c', '{script}', 'sh', '{{}}']"
    );
    let letter = only_seven(run(10, &stage), 10);
    assert_eq!(letter["cause"], "timed-out");
    let stage = "mode = 'reply'\nitem_timeout = '300ms'\nstop_timeout = '100ms'\n\
                 command = \"while read n; do test $n != 7 || sleep 100; echo $n; done\"";
    let letter = only_seven(run(50, stage), 50);
    assert_eq!(letter["cause"], "timed-out");
}

#[test]
fn an_answer_too_few_is_the_items_fault() {
    // It skips the answer to 7 and goes: an end-of-file in the middle.
    let stage = "mode = 'reply'\ncommand = \"while read n; do test $n != 7 || exit 0; echo $n; done\"";
    let letter = only_seven(run(30, stage), 30);
    assert!(
        letter["cause"]["error"].as_str().unwrap().contains("exit code 0 before it had answered"),
        "{letter}"
    );
}

#[test]
fn an_answer_too_many_is_never_taken_for_anothers() {
    let stage = "mode = 'reply'\ncommand = \"while read n; do if [ $n = 7 ]; then printf '7\\\\n7\\\\n'; else echo $n; fi; done\"";
    let letter = only_seven(run(12, stage), 12);
    assert!(letter["cause"]["error"].as_str().unwrap().contains("more than one item"), "{letter}");
}

#[test]
fn an_answer_without_end_is_bounded() {
    let stage = "mode = 'reply'\ncommand = \"while read n; do test $n != 7 || cat /dev/zero; echo $n; done\"";
    let letter = only_seven(run(10, stage), 10);
    assert!(letter["cause"]["error"].as_str().unwrap().contains("max_item"), "{letter}");
    let stage = "mode = 'reply'\nreply = 'until-empty'\n\
                 command = \"while read n; do test $n != 7 || yes; echo $n; echo; done\"";
    let letter = only_seven(run(10, stage), 10);
    assert!(letter["cause"]["error"].as_str().unwrap().contains("no output queue holds"), "{letter}");
    let stage = "mode = 'each'\ncommand = ['sh', '-c', 'test $1 != 7 || exec yes; echo $1', 'sh', '{}']";
    let letter = only_seven(run(10, stage), 10);
    assert!(letter["cause"]["error"].as_str().unwrap().contains("no output queue holds"), "{letter}");
}

#[test]
fn a_frame_that_makes_no_sense_or_is_cut_off_fails_its_item() {
    let stage = "mode = 'each'\nout_framing = 'netstring'\n\
                 command = ['sh', '-c', 'test $1 != 7 && printf %d:%s, $${#1} $1 || printf rubbish', 'sh', '{}']";
    let letter = only_seven(run(10, stage), 10);
    assert!(letter["cause"]["error"].as_str().unwrap().contains("no netstring"), "{letter}");
    let stage = "mode = 'each'\nout_framing = 'netstring'\n\
                 command = ['sh', '-c', 'test $1 != 7 && printf %d:%s, $${#1} $1 || printf 100:cut', 'sh', '{}']";
    let letter = only_seven(run(10, stage), 10);
    assert!(letter["cause"]["error"].as_str().unwrap().contains("in the middle of a netstring"), "{letter}");
}

#[test]
fn a_program_that_closes_its_output_early_fails_its_item() {
    let stage = "mode = 'reply'\ncommand = \"while read n; do test $n != 7 || { exec >&-; sleep 100; }; echo $n; done\"";
    let letter = only_seven(run(10, stage), 10);
    assert!(letter["cause"]["error"].as_str().unwrap().contains("closed its standard output"), "{letter}");
}

#[test]
fn a_program_that_does_not_read_its_input_is_judged_by_its_exit() {
    let (code, lines, _, log) = run(20, "mode = 'each'\ncommand = 'echo x'");
    assert_eq!((code, lines.len()), (0, 20), "{log}");
    let (code, lines, _, log) = run(3000, "mode = 'each'\nbatch = 500\ncommand = 'head -n 1'");
    assert_eq!(code, 0, "{log}");
    assert!(!lines.is_empty() && lines.len() < 3000);
}

#[test]
fn success_codes_make_grep_a_filter() {
    let stage = "mode = 'each'\nsuccess_codes = [0, 1]\ncommand = ['grep', '7']";
    let (code, lines, letters, log) = run(30, stage);
    assert_eq!((code, lines, letters.len()), (0, ["7", "17", "27"].map(str::to_owned).to_vec(), 0), "{log}");
}

#[test]
fn a_program_that_is_not_there_is_a_fault_of_the_file() {
    let (code, lines, letters, log) = run(10, "mode = 'each'\ncommand = ['no-such-program']");
    assert_eq!((code, lines.len(), letters.len()), (2, 0, 0), "{log}");
    assert!(log.contains("there is no program `no-such-program` in the PATH"), "{log}");
    assert!(log.contains("pipeline.toml:15:12"), "{log}");
}

/// A program that is there, and can't be executed; why, as the log tells it.
fn unfit_programs(folder: &support::Folder) -> Vec<(String, &'static str)> {
    let program = |name: &str, text: &str| {
        let path = folder.file(name, text);
        std::process::Command::new("chmod").arg("+x").arg(&path).status().unwrap();
        path.display().to_string()
    };
    let command = |path: String| format!("command = ['{path}']");
    // The one that the script names is there; a start looks no further.
    let inner = program("inner", "#!/no/such/interpreter\n");
    let large: String = (0..30).map(|n| format!("V{n}={}\n", "x".repeat(30_000))).collect();
    let large = folder.file("large.env", &large);
    vec![
        (command(program("script", &format!("#!{inner}\n"))), "what its `#!` line names must be missing"),
        (command(program("text", "no program")), "has it a `#!` line?"),
        // The last variable alone is larger than any may be.
        (
            format!(
                "command = ['true']\nenv_file = '{}'\nenv = {{ W = '{}' }}",
                large.display(),
                "y".repeat(140_000)
            ),
            "make `env_file`, `env` or mprun's own environment smaller",
        ),
    ]
}

#[test]
fn a_program_that_can_never_start_ends_the_run_with_one_line_and_blames_no_item() {
    let folder = support::Folder::new();
    for (keys, why) in unfit_programs(&folder) {
        for mode in ["stream", "reply", "each"] {
            let (code, lines, letters, log) = run(10, &format!("mode = '{mode}'\nprocesses = 3\n{keys}"));
            assert_eq!((code, lines.len(), letters.len()), (1, 0, 0), "{mode}: {log}");
            let said: Vec<&str> = log.lines().filter(|line| line.contains("can't start")).collect();
            assert!(said.len() == 1 && said[0].contains(why), "{mode}: {log}");
        }
    }
}

#[test]
fn a_program_that_can_never_start_may_take_its_stage_alone() {
    let folder = support::Folder::new();
    let (keys, why) = unfit_programs(&folder).swap_remove(0);
    let mut run = Run::start(&format!(
        "[stages.number]\nuse = 'count'\nwith = {{ to = 100 }}\noutput = 'a'\n\
         [stages.bad]\n{keys}\non_give_up = 'continue'\n\
         [stages.show]\nuse = 'format'\nwith = {{ template = '{{item}}' }}\ninput = 'a'\n"
    ));
    assert_eq!((run.wait(), run.lines().len()), (1, 100), "{}", run.stderr());
    assert!(run.stderr().contains(why), "{}", run.stderr());
}

#[test]
fn a_program_that_goes_away_later_is_waited_for_and_blames_no_item() {
    let folder = support::Folder::new();
    let script = folder.file("once", "#!/bin/sh\nrm $0; echo $1\n");
    std::process::Command::new("chmod").arg("+x").arg(&script).status().unwrap();
    let stage = format!(
        "mode = 'each'\ncommand = ['{}', '{{}}']\ngive_up = {{ restarts = 2, within = '1m' }}",
        script.display()
    );
    let (code, lines, letters, log) = run(10, &stage);
    assert_eq!((code, lines, letters.len()), (1, vec!["1".to_owned()], 0), "{log}");
    assert!(log.contains("it starts again") && log.contains("more than 2 restarts within"), "{log}");
}

#[test]
fn an_item_that_is_too_long_for_an_argument_fails_alone_also_beside_a_large_environment() {
    let stage = format!(
        "mode = 'each'\ncommand = ['sh', '-c', 'echo $${{#1}}', 'sh', '{{}}']\nenv = {{ W = '{}' }}",
        "y".repeat(100_000)
    );
    let mut run = Run::start(&format!(
        "[defaults]\nattempts = 1\n\
         [stages.number]\ncommand = \"echo a; head -c 200000 /dev/zero | tr '\\\\0' b; echo; echo c\"\noutput = 'a'\n\
         [stages.work]\ninput = 'a'\n{stage}\n"
    ));
    assert_eq!((run.wait(), run.lines()), (3, vec!["1".to_owned(), "1".to_owned()]), "{}", run.stderr());
    assert!(run.stderr().contains("the item is too long for an argument"), "{}", run.stderr());
}

#[test]
fn a_reply_program_that_never_answers_anything_stops_the_stage() {
    let (code, lines, letters, log) =
        run(1000, "mode = 'reply'\ncommand = 'exit 3'\ngive_up = { restarts = 3, within = '1m' }");
    assert_eq!((code, lines.len()), (1, 0), "{log}");
    assert!(letters.is_empty(), "{} dead letters", letters.len());
    assert!(log.contains("3 programs in a row failed before they had read any item"), "{log}");
}

#[test]
fn an_item_that_cannot_be_handed_over_as_a_line_fails_alone() {
    let mut run = Run::start(
        "[defaults]\nattempts = 1\n\
         [stages.read]\ncommand = ['printf', 'a\\0b\\nc\\0d\\0']\noutput = 'a'\nout_framing = 'nul'\n\
         [stages.work]\ncommand = ['cat']\ninput = 'a'\noutput = 'b'\nmode = 'reply'\n\
         [stages.show]\nuse = 'filter'\nwith = { contains = '' }\ninput = 'b'\n",
    );
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(run.lines(), ["a", "d"]);
    assert!(run.stderr().contains("holds a line end"), "{}", run.stderr());
}

const KEEPS: &str = "mode = 'each'\nkeep_failed_output = true\nattempts = 1\nwhen_failing = 'dead-letter'\n\
     command = ['sh', '-c', 'echo $1a; echo $1b; exit $(($1 % 2))', 'sh', '{}']";

#[test]
fn what_a_failed_program_wrote_counts_where_that_is_asked_for() {
    let both: Vec<String> = (1..=6).flat_map(|n| [format!("{n}a"), format!("{n}b")]).collect();
    let (code, lines, letters, log) = run(6, KEEPS);
    assert_eq!((code, letters.len(), lines), (3, 3, both.clone()), "{log}");
    let (code, lines, letters, log) = run(6, &format!("{KEEPS}\norder = 'input'\nprocesses = 3"));
    assert_eq!((code, letters.len(), lines), (3, 3, both), "{log}");
    let retried = KEEPS.replace("attempts = 1", "attempts = 3\nretry = { delay = '1ms' }");
    let (code, mut lines, letters, log) = run(2, &retried);
    lines.sort();
    assert_eq!((code, letters.len(), lines.join(" ")), (3, 1, "1a 1b 2a 2b".to_owned()), "{log}");
}

#[test]
fn what_a_failed_program_wrote_comes_out_with_its_letter_and_once_whoever_is_killed_before() {
    let text = |when_full: &str| {
        format!(
            "[dead_letters]\nmax_size = '1B'\nwhen_full = '{when_full}'\n\
             [stages.number]\nuse = 'list'\nwith = {{ items = ['1', '3'] }}\noutput = 'a'\n\
             [stages.work]\ninput = 'a'\noutput = 'b'\n{KEEPS}\n\
             backoff = {{ initial = '1ms', max = '5ms', reset_after = '1ms' }}\n\
             [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
        )
    };
    let mut run = Run::start(&text("block"));
    run.wait_for_log("a dead letter can't be written");
    run.edit(&text("drop-old"));
    run.wait_for_log("dead letters: at most 1 bytes, then drop-old");
    assert_eq!(run.lines(), ["1a", "1b"], "the letter of 3 is not written yet");
    support::process::kill(run.worker("work"), 9);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    assert_eq!(run.lines(), ["1a", "1b", "3a", "3b"], "{}", run.stderr());
}

#[test]
fn in_order_a_failed_program_waits_for_nobody() {
    let mut run = Run::start(&format!(
        "[stages.number]\nuse = 'count'\nwith = {{ to = 9 }}\noutput = 'a'\n\
         [stages.work]\ninput = 'a'\noutput = 'b'\nprocesses = 2\norder = 'input'\n{}\n\
         [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n",
        KEEPS.replace("echo $1a;", "[ $1 -gt 1 ] || until [ -e go ]; do sleep 0.02; done; echo $1a;")
    ));
    run.wait_for_log("`9` is a dead letter");
    assert_eq!(run.lines(), [""; 0]);
    std::fs::write(run.folder.path().join("go"), "").unwrap();
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let all: Vec<String> = (1..=9).flat_map(|n| [format!("{n}a"), format!("{n}b")]).collect();
    assert_eq!(run.lines(), all);
}
