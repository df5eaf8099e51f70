//! `--report FILE`: how a run went, for programs and for people.

mod support;

use std::fs;
use support::Run;

const SUM: &str = "\
[stages.number]
use = 'count'
with = { from = 1, to = 1000 }
output = 'a'
[stages.fussy]
command = ['sh', '-c', 'read n; if [ $n = 7 ]; then exit 1; fi; echo $n']
mode = 'each'
attempts = 1
when_failing = 'dead-letter'
input = 'a'
output = 'b'
processes = 2
[stages.gone]
use = 'discard'
input = 'b'
";

#[test]
fn the_report_says_where_every_item_is_and_the_exit_code_agrees() {
    let text = SUM.replace("1000", "20");
    let mut run = Run::start_with(&text, &["--report", "report.json"]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let report = fs::read_to_string(run.folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["outcome"], &report["exit_code"]), (&"done".into(), &3.into()), "{report:#}");
    assert_eq!((&report["dead_letters"], &report["adds_up"]), (&1.into(), &true.into()));
    let queue = &report["queues"][0];
    assert_eq!((&queue["put"], &queue["done"], &queue["dead"]), (&20.into(), &19.into(), &1.into()));
    let fussy = &report["stages"][1];
    assert_eq!((&fussy["name"], &fussy["emitted"]), (&"fussy".into(), &19.into()));
    let measured: u64 =
        fussy["item_seconds"]["counts"].as_array().unwrap().iter().filter_map(|n| n.as_u64()).sum();
    assert_eq!(measured, 20);
    assert!(fussy["seconds"]["working"].as_f64().unwrap() > 0.0, "{report:#}");
    assert!(run.stdout().is_empty());
}

#[test]
fn what_stages_did_adds_up_with_the_ledgers_also_after_deaths() {
    let text = "\
[stages.number]
use = 'count'
with = { from = 1, to = 1800 }
output = 'a'
[stages.deadly]
command = ['sh', '-c', 'while read n; do case $n in *777) kill -9 $PPID; sleep 1000;; esac; echo $n; done']
mode = 'reply'
processes = 2
attempts = 2
input = 'a'
output = 'b'
give_up = { restarts = 1000, within = '1s' }
backoff = { initial = '1ms' }
[stages.gone]
use = 'discard'
input = 'b'
";
    let mut run = Run::start_with(text, &["--report", "report.json"]);
    assert_eq!(run.wait(), 3, "{}", run.stderr());
    let report = fs::read_to_string(run.folder.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    for (stage, queue) in [(1, 0), (2, 1)] {
        let (stage, queue) = (&report["stages"][stage], &report["queues"][queue]);
        assert_eq!((&stage["done"], &stage["dead"]), (&queue["done"], &queue["dead"]), "{report:#}");
    }
    assert_eq!(report["stages"][1]["dead"], 2);
    assert!(report["stages"][1]["taken"].as_u64() > Some(1800), "some were taken twice");
    assert!(run.stderr().contains("stage deadly: 1798 done, 2 dead, 1798 emitted"), "{}", run.stderr());
}

#[test]
fn a_report_in_markdown_is_for_people() {
    let mut run = Run::start_with(&SUM.replace("1000", "3"), &["--report", "report.md"]);
    run.finish();
    let report = fs::read_to_string(run.folder.path().join("report.md")).unwrap();
    assert!(report.contains("| a | 3 | 3 | 0 | 0 | 0 | 0 | 0 | yes |"), "{report}");
}

#[test]
fn a_report_that_can_not_be_written_is_bad_usage_before_and_a_failure_after_the_run() {
    let mut run = Run::start_with(SUM, &["--report", "report.txt"]);
    assert_eq!(run.wait(), 2);
    assert!(run.stderr().contains(".json or .md"), "{}", run.stderr());
    let folder = support::Folder::new();
    folder.file("pipeline.toml", &SUM.replace("1000", "3"));
    fs::create_dir(folder.path().join("taken.json")).unwrap();
    nix::unistd::mkfifo(&folder.path().join("pipe.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut command = support::command(&folder);
    let taken = command.args(["run", "pipeline.toml", "--report", "taken.json"]).output().unwrap();
    assert_eq!(taken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&taken.stderr).contains("it is a directory"));
    let mut run = Run::in_folder(folder, &["--report", "pipe.json"]);
    assert_eq!(run.wait(), 1);
    assert!(
        run.stderr().contains("failed to write the report pipe.json: it has no reader"),
        "{}",
        run.stderr()
    );
}
