use super::*;
use crate::status::fixture::{queue, snapshot, stage};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

fn seen() -> Snapshot {
    let mut parse = stage("parse", "in", "out", [0.5, 0.25, 0.25]);
    parse.restarts = BTreeMap::from([("crashed".to_owned(), 3), ("recycled".to_owned(), 1)]);
    let stages = vec![stage("read", "", "in", [1.0, 0.0, 0.0]), parse];
    Snapshot { stages, queues: vec![queue("in", 4), queue("out", 0)], dead_letters: 2, ..snapshot() }
}

/// The file is written anew where `UPDATE_GOLDEN` is set.
#[test]
fn the_text_is_golden() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics/golden.txt");
    let text = encode(seen(), Format::Text).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(path).unwrap_or_default());
}

#[test]
fn everything_that_can_be_counted_is_there() {
    let text = encode(seen(), Format::Text).unwrap();
    for line in [
        r#"mprun_build_info{pipeline="test",version="0.1.0"} 1"#,
        r#"mprun_stage_items_taken_total{pipeline="test",stage="parse"} 100"#,
        r#"mprun_stage_items_too_long_total{pipeline="test",stage="parse"} 0"#,
        r#"mprun_stage_restarts_total{pipeline="test",stage="parse",reason="crashed"} 3"#,
        r#"mprun_stage_worker_seconds_total{pipeline="test",stage="parse",state="blocked"} 2.5"#,
        r#"mprun_stage_item_duration_seconds_bucket{pipeline="test",stage="parse",le="0.01"} 99"#,
        r#"mprun_stage_item_duration_seconds_bucket{pipeline="test",stage="parse",le="+Inf"} 100"#,
        r#"mprun_stage_item_duration_seconds_sum{pipeline="test",stage="parse"} 0.5"#,
        r#"mprun_queue_waiting_items{pipeline="test",queue="in"} 4"#,
        r#"mprun_phase{pipeline="test",phase="running"} 1"#,
        r#"mprun_phase{pipeline="test",phase="draining"} 0"#,
        r#"mprun_config_state{pipeline="test",state="current"} 1"#,
        r#"mprun_dead_letters_total{pipeline="test"} 2"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    let ledger: u64 =
        ["done", "dead", "dropped"].iter().map(|end| value(&text, &format!("queue_items_{end}_total"))).sum();
    let there: u64 =
        ["waiting", "delayed", "leased"].iter().map(|end| value(&text, &format!("queue_{end}_items"))).sum();
    assert_eq!(ledger + there, value(&text, "queue_items_put_total"));
}

/// The value of a metric of the queue `in`.
fn value(text: &str, name: &str) -> u64 {
    let start = format!("mprun_{name}{{pipeline=\"test\",queue=\"in\"}} ");
    text.lines()
        .find_map(|line| line.strip_prefix(&start))
        .unwrap_or_else(|| panic!("{name}"))
        .parse()
        .unwrap()
}

#[test]
fn times_never_go_back() {
    let mut monotone = Monotone::default();
    let mut first = seen();
    monotone.raise(&mut first);
    let mut second = seen();
    second.stages[1].times = Times { working: 1.0, starved: 3.0, ..second.stages[1].times };
    monotone.raise(&mut second);
    let times = second.stages[1].times;
    assert_eq!((times.working, times.starved, times.blocked), (5.0, 3.0, 2.5));
}

use crate::status::Times;

#[test]
fn the_format_is_what_the_scraper_asks_for() {
    assert_eq!(Format::accepted("text/plain;version=0.0.4;q=0.5,*/*;q=0.1"), Format::Text);
    let modern = Format::accepted("application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert_eq!(modern, Format::OpenMetrics);
    let text = encode(seen(), modern).unwrap();
    assert!(text.ends_with("# EOF\n") && text.contains("# TYPE mprun_dead_letters counter\n"), "{text}");
}

/// Prometheus's own check of names, types and help texts, of Debian's package `prometheus`: `tests/run` installs it.
#[test]
fn promtool_finds_nothing_to_complain_about() {
    let mut check = Command::new("promtool");
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().expect("promtool is not there: install Debian's package `prometheus`");
    let text = encode(seen(), Format::Text).unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{complaints}\n{text}");
}

/// Every metric that the ready dashboard asks for is one that is exposed.
#[test]
fn the_dashboard_names_only_metrics_that_exist() {
    let dashboard = include_str!("../../dist/grafana-dashboard.json");
    let _: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let text = encode(seen(), Format::Text).unwrap();
    let names = dashboard
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("mprun_"));
    let names: std::collections::BTreeSet<&str> = names.collect();
    assert!(names.len() > 12, "{names:?}");
    for name in names {
        let exposed = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
        assert!(text.lines().any(exposed), "{name} is not exposed");
    }
}

#[test]
fn of_a_pipeline_with_shared_queues_each_metric_says_its_machine() {
    let broker = crate::status::BrokerStatus {
        machine: "3f".into(),
        run: Some(1),
        connected: false,
        away: Some(2.5),
        outage: None,
        full: None,
        held: 12,
        commits: 3,
    };
    let text = encode(Snapshot { broker: Some(broker), ..seen() }, Format::Text).unwrap();
    for line in [
        r#"mprun_stage_items_taken_total{pipeline="test",machine="3f",stage="parse"} 100"#,
        r#"mprun_broker_connected{pipeline="test",machine="3f"} 0"#,
        r#"mprun_broker_away_seconds{pipeline="test",machine="3f"} 2.5"#,
        r#"mprun_broker_full_seconds{pipeline="test",machine="3f"} 0.0"#,
        r#"mprun_broker_held_items{pipeline="test",machine="3f"} 12"#,
        r#"mprun_broker_waiting_commits{pipeline="test",machine="3f"} 3"#,
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    let of_samples = text.lines().filter(|line| !line.starts_with('#'));
    assert!(of_samples.into_iter().all(|line| line.contains(r#"machine="3f""#)), "{text}");
}

#[test]
fn a_file_of_services_has_no_series_about_dead_letters() {
    let mut web = stage("web", "", "", [0.0; 3]);
    (web.is_command, web.inputs, web.outputs) = (true, Vec::new(), Vec::new());
    let services = Snapshot { stages: vec![web], queues: Vec::new(), dead_letters: 0, ..snapshot() };
    assert!(!encode(services.clone(), Format::Text).unwrap().contains("dead_letter"));
    let earlier = Snapshot { dead_letters: 1, ..services };
    assert!(encode(earlier, Format::Text).unwrap().contains("mprun_dead_letters_total"));
}
