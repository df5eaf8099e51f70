//! What good pipeline files mean.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mprun::Registry;
use mprun::config::{self, LoadOptions, Loaded, OnGiveUp, Report, Restart, Stage, Task, WhenFull};

fn parameter(stage: &Stage, key: &str) -> serde_json::Value {
    match &stage.work.task {
        Task::Use { with, .. } => with[key].clone(),
        Task::Command(_) => panic!("a command"),
    }
}

/// A source that writes the queue `q`, and a sink that reads it.
const PAIR: &str = "\
[stages.produce]
use = \"count\"
output = \"q\"

[stages.consume]
use = \"discard\"
input = \"q\"
";

fn load_with(name: &str, text: &str, options: &LoadOptions) -> Result<Loaded, Report> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("config_good");
    fs::create_dir_all(&folder).expect("make the folder");
    let path = folder.join(format!("{name}.toml"));
    fs::write(&path, text).expect("write the file");
    config::load(&path, options, &Registry::builtin())
}

fn load(name: &str, text: &str) -> Loaded {
    load_with(name, text, &LoadOptions::default()).unwrap_or_else(|report| panic!("{report}"))
}

fn sets(sets: &[&str]) -> LoadOptions {
    LoadOptions {
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        stages: None,
        ..LoadOptions::default()
    }
}

#[test]
fn a_short_file_gets_the_documented_defaults() {
    let loaded = load("defaults here", PAIR);
    let pipeline = loaded.pipeline;
    assert!(loaded.warnings.is_empty() && loaded.texts.main == PAIR);
    assert_eq!((pipeline.name.as_str(), pipeline.drain_timeout), ("defaults_here", Duration::from_secs(30)));
    assert!(pipeline.folder.is_absolute() && pipeline.folder.ends_with("config_good"));

    let [queue] = pipeline.queues.as_slice() else { panic!("one queue") };
    assert_eq!(
        (queue.limits.capacity, queue.limits.max_bytes, queue.limits.max_item),
        (1024, 64 << 20, 16 << 20)
    );
    assert_eq!((queue.name.as_str(), queue.limits.when_full), ("q", WhenFull::Block));

    let Stage { processes, rules, tuning, recycle, .. } = &pipeline.stages[0];
    assert_eq!((*processes, rules.restart, rules.on_give_up), (1, Restart::OnFailure, OnGiveUp::Stop));
    let backoff = rules.backoff;
    assert_eq!((backoff.initial, backoff.max), (Duration::from_millis(100), Duration::from_secs(30)));
    assert_eq!((rules.give_up.restarts, rules.give_up.within), (10, Duration::from_secs(60)));
    assert_eq!(rules.stop_timeout, Duration::from_secs(10));
    assert_eq!((tuning.sleep, tuning.attempts, tuning.log_items), (Duration::ZERO, 3, false));
    assert_eq!((tuning.sleep_when_full, tuning.sleep_when_empty, tuning.item_timeout), (None, None, None));
    assert_eq!((recycle.items, recycle.memory, recycle.age), (None, None, None));
}

#[test]
fn a_stage_goes_before_the_defaults_key_by_key() {
    let text = "[defaults]\nprocesses = 3\nbackoff = { initial = \"1s\", max = \"5s\" }\nsleep = \"7s\"\n\n"
        .to_owned()
        + &PAIR.replace("[stages.consume]", "[stages.consume]\nprocesses = 2\nbackoff = { max = \"9s\" }");
    let stages = load("merged", &text).pipeline.stages;
    assert_eq!((stages[0].processes, stages[1].processes), (3, 2));
    let backoff = stages[1].rules.backoff;
    assert_eq!((backoff.initial, backoff.max), (Duration::from_secs(1), Duration::from_secs(9)));
    assert_eq!(stages[1].tuning.sleep, Duration::from_secs(7));
}

#[test]
fn a_default_gives_way_to_the_one_of_two_that_is_set() {
    let text =
        format!("[queues.q]\nmax_bytes = \"1MiB\"\n[defaults]\nbackoff = {{ initial = \"5m\" }}\n{PAIR}");
    let pipeline = load("lowered", &text).pipeline;
    assert_eq!((pipeline.queues[0].limits.max_bytes, pipeline.queues[0].limits.max_item), (1 << 20, 1 << 20));
    assert_eq!(pipeline.stages[0].rules.backoff.max, Duration::from_secs(300));
    let text = format!("[queues.q]\nmax_item = \"1GiB\"\n{PAIR}");
    assert_eq!(load("raised", &text).pipeline.queues[0].limits.max_bytes, 1 << 30);
}

#[test]
fn a_variable_may_stand_for_any_value() {
    let text =
        PAIR.replace("[stages.produce]", "[stages.produce]\nprocesses = \"${MPRUN_TEST_NONE:-4}\"").replace(
            "output",
            "with = { to = \"${MPRUN_TEST_NONE:-7}\" }\nlog_items = \"${MPRUN_TEST_NONE:-true}\"\noutput",
        );
    let stage = load("variables", &text).pipeline.stages.remove(0);
    assert_eq!((stage.processes, stage.tuning.log_items), (4, true));
    assert_eq!(parameter(&stage, "to"), 7);
}

#[test]
fn a_set_goes_before_the_file() {
    let options = sets(&[
        "stages.produce.processes=4",
        "stages.produce.processes=5",
        "stages.produce.sleep=10s",
        "stages.produce.sleep_when_full=\"1s\"",
        "stages.produce.with.to=3",
        "stages.\"consume\".enabled = true",
        "queues.q.capacity=2",
        "name=other",
        "drain_timeout=1s",
    ]);
    let pipeline = load_with("set", PAIR, &options).unwrap_or_else(|report| panic!("{report}")).pipeline;
    let stage = &pipeline.stages[0];
    assert_eq!((stage.processes, stage.tuning.sleep), (5, Duration::from_secs(10)));
    assert_eq!(stage.tuning.sleep_when_full, Some(Duration::from_secs(1)));
    assert_eq!(parameter(stage, "to"), 3);
    assert_eq!((pipeline.name.as_str(), pipeline.queues[0].limits.capacity), ("other", 2));
    assert_eq!(pipeline.drain_timeout, Duration::from_secs(1));
}

#[test]
fn a_disabled_stage_is_as_if_it_were_not_there() {
    let text = format!(
        "{PAIR}\n[queues.r]\n[stages.more]\nuse = \"discard\"\ninput = [\"q\", \"r\"]\nenabled = false\n"
    );
    let pipeline = load("disabled", &text).pipeline;
    assert_eq!((pipeline.stages.len(), pipeline.queues.len()), (2, 1));

    let options = LoadOptions { sets: vec![], stages: Some(vec!["say".into()]), ..LoadOptions::default() };
    let text = format!("{PAIR}[stages.say]\nuse = \"stdin\"\n");
    let pipeline =
        load_with("selected", &text, &options).unwrap_or_else(|report| panic!("{report}")).pipeline;
    assert_eq!(
        (pipeline.stages.len(), pipeline.stages[0].name.as_str(), pipeline.queues.len()),
        (1, "say", 0)
    );
}

#[test]
fn queues_come_in_the_order_of_first_mention() {
    let text = "[queues.z]\n[queues.a]\n[stages.s]\nuse = \"count\"\noutput = [\"m\", \"z\"]\n\
                [stages.t]\nuse = \"discard\"\ninput = [\"a\", \"z\", \"m\"]\n[stages.u]\nuse = \"stdin\"\noutput = \"a\"\n";
    let names: Vec<String> =
        load("order", text).pipeline.queues.into_iter().map(|queue| queue.name).collect();
    assert_eq!(names, ["m", "z", "a"]);
}

#[test]
fn a_ring_that_a_source_feeds_is_fine() {
    let text = "[stages.s]\nuse = \"count\"\noutput = \"a\"\n[stages.t]\nuse = \"words\"\ninput = \"a\"\noutput = \"b\"\n\
                [stages.u]\nuse = \"words\"\ninput = \"b\"\noutput = \"a\"\n";
    assert_eq!(load("fed", text).pipeline.stages.len(), 3);
}

#[test]
fn the_cpus_are_counted() {
    let text = PAIR.replace("[stages.produce]", "[stages.produce]\nprocesses = \"cpus\"");
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(load("cpus", &text).pipeline.stages[0].processes as usize, cpus);
}

#[test]
fn what_windows_editors_add_does_no_harm() {
    let text = format!("\u{feff}{}", PAIR.replace('\n', "\r\n"));
    assert_eq!(load("windows", &text).pipeline.stages.len(), 2);
}

#[test]
fn metrics_are_served_where_the_file_says() {
    let loaded = load("metrics", &format!("{PAIR}[metrics]\nlisten = \"[::1]:9464\"\n"));
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.pipeline.metrics, Some("[::1]:9464".parse().expect("an address")));
    assert_eq!(load("no metrics", PAIR).pipeline.metrics, None);
}
