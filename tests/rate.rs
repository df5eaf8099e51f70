//! `rate`: no stage begins more items than the file says, whatever its kind and however many workers it has.

mod support;

use std::time::{Duration, Instant};
use support::{Run, wait_until};

/// 41 items at 100 a second take 0.4 s: the bucket begins empty, so only the first one waits for nothing.
const LEAST: Duration = Duration::from_millis(400);

/// Runs `1` to `41` through the stage.
fn pipeline(source: &str, stage: &str) -> String {
    format!(
        "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 41 }}\noutput = 'a'\n{source}\n\
         [stages.work]\ninput = 'a'\noutput = 'b'\n{stage}\n\
         [stages.show]\nuse = 'filter'\nwith = {{ contains = '' }}\ninput = 'b'\n"
    )
}

#[track_caller]
fn keeps_to_the_rate(source: &str, stage: &str) {
    let start = Instant::now();
    let mut run = Run::start(&pipeline(source, stage));
    assert_eq!((run.wait(), run.lines().len()), (0, 41), "{}", run.stderr());
    assert!(start.elapsed() >= LEAST, "{stage}: {:?}", start.elapsed());
}

#[test]
fn all_workers_of_a_stage_share_one_rate() {
    keeps_to_the_rate("", "use = 'filter'\nwith = { contains = '' }\nrate = '100/s'\nprocesses = 3");
}

#[test]
fn a_program_for_each_item_or_batch_keeps_to_it() {
    keeps_to_the_rate("", "command = ['echo', '{}']\nmode = 'each'\nrate = '100/s'\nprocesses = 2");
    keeps_to_the_rate("", "command = 'cat'\nmode = 'each'\nbatch = 20\nrate = '100/s'\nprocesses = 2");
}

#[test]
fn a_program_that_answers_keeps_to_it() {
    keeps_to_the_rate("", "command = ['sed', '-u', '']\nmode = 'reply'\nrate = '100/s'\nprocesses = 2");
}

#[test]
fn a_program_that_reads_a_stream_keeps_to_it() {
    keeps_to_the_rate("", "command = ['sed', '-u', '']\nrate = '100/s'\nprocesses = 2");
}

#[test]
fn a_source_keeps_to_it() {
    let stage = "use = 'filter'\nwith = { contains = '' }";
    keeps_to_the_rate("rate = '100/s'\nprocesses = 2", stage);
    let start = Instant::now();
    let mut run = Run::start(
        "[stages.number]\ncommand = 'seq 41'\nrate = '100/s'\noutput = 'a'\n\
                              [stages.show]\nuse = 'filter'\nwith = { contains = '' }\ninput = 'a'\n",
    );
    assert_eq!((run.wait(), run.lines().len()), (0, 41), "{}", run.stderr());
    assert!(start.elapsed() >= LEAST, "{:?}", start.elapsed());
}

#[test]
fn the_end_of_an_input_is_seen_though_the_rate_lets_no_item_begin() {
    let show = "use = 'filter'\nwith = { contains = '' }\ninput = 'a'";
    for stage in [
        format!("{show}\nrate = '1/h'"),
        "command = ['cat']\nmode = 'reply'\ninput = 'a'\nrate = '1/h'".to_owned(),
        "command = ['cat']\ninput = 'a'\nrate = '1/h'".to_owned(),
        "command = 'cat'\nmode = 'each'\ninput = 'a'\nrate = '1/h'".to_owned(),
    ] {
        let mut run = Run::start(&format!(
            "[stages.number]\nuse = 'count'\nwith = {{ from = 1, to = 1 }}\nrate = '1/h'\noutput = 'a'\n\
             [stages.work]\n{stage}\n"
        ));
        assert_eq!((run.wait(), run.lines().len()), (0, 1), "{stage}: {}", run.stderr());
    }
    let mut run = Run::start(&format!(
        "[stages.number]\ncommand = 'echo 1'\nrate = '1/h'\noutput = 'a'\n[stages.show]\n{show}\n"
    ));
    assert_eq!((run.wait(), run.lines().len()), (0, 1), "{}", run.stderr());
}

#[test]
fn a_restart_adds_nothing_to_the_rate() {
    let stage = "command = ['cat']\nmode = 'reply'\nrate = '100/s'\nrecycle = { items = 1 }";
    keeps_to_the_rate("", stage);
}

#[test]
fn a_new_rate_holds_at_once_without_new_processes() {
    for stage in [
        "use = 'filter'\nwith = { contains = '' }",
        "command = ['cat']\nmode = 'reply'",
        "command = ['cat']",
        "command = 'cat'\nmode = 'each'",
    ] {
        let mut run = Run::start(&pipeline("", &format!("{stage}\nrate = '1/h'")));
        wait_until("the first item", || (!run.lines().is_empty()).then_some(()));
        let workers = run.workers("work");
        run.folder.file("next.toml", &pipeline("", &format!("{stage}\nrate = '500/s'")));
        let plan = run.tell(&["plan", "next.toml", "-p", "pipeline"]);
        assert!(plan.contains("rate: 1/h -> 500/s") && !plan.contains("replace"), "{plan}");
        let status = run.tell(&["status", "--json"]);
        assert!(status.contains("\"rate_limit\":\"1/h\"") || status.contains("\"rate_limit\": \"1/h\""));
        assert_eq!(run.lines().len(), 1);
        run.edit(&pipeline("", stage));
        assert_eq!((run.wait(), run.lines().len()), (0, 41), "{}", run.stderr());
        assert!(!workers.is_empty() && !run.stderr().contains("starts again"), "{}", run.stderr());
    }
}

#[test]
fn a_drain_keeps_to_it_and_a_stop_does_not_wait_for_ever() {
    let source = "[stages.wait]\nuse = 'tick'\nwith = { every = '1h' }\noutput = 'a'\n";
    let text = |rate: &str| {
        let stage = format!("use = 'filter'\nwith = {{ contains = '' }}\nrate = '{rate}'");
        format!("drain_timeout = '100ms'\n{}", pipeline(source, &stage))
    };
    let mut run = Run::start(&text("50/s"));
    wait_until("the first item", || (!run.lines().is_empty()).then_some(()));
    let (start, before) = (Instant::now(), run.lines().len());
    run.tell(&["drain"]);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    let left = u32::try_from(run.lines().len() - before).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(15) * left.saturating_sub(4), "{left}");

    let mut run = Run::start(&text("1/h"));
    wait_until("the first item", || (!run.lines().is_empty()).then_some(()));
    run.signal(libc::SIGTERM);
    assert_eq!(run.wait(), 0, "{}", run.stderr());
    assert_eq!(run.lines().len(), 1);
}

#[test]
fn why_names_the_rate_as_the_limit() {
    let source = "[stages.wait]\nuse = 'tick'\nwith = { every = '1h' }\noutput = 'a'\n";
    let run = Run::start(&pipeline(source, "use = 'filter'\nwith = { contains = '' }\nrate = '20/s'"));
    wait_until("why", || run.ask(&["why"]).stdout.contains("it is limited by rate = \"20/s\"").then_some(()));
}
