//! Pipelines for tests.

use crate::config::{
    Backoff, GiveUp, OnGiveUp, OutputOrder, Pipeline, Queue, Recycle, Restart, Rules, Stage, Texts, Tuning,
    WhenFull, Work,
};
use crate::model::Limits;
use crate::supervisor::machine::wanted::Wanted;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// With the defaults of the file format.
pub fn stage(name: &str, inputs: &[&str], outputs: &[&str]) -> Stage {
    let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    Stage {
        name: name.to_owned(),
        folder: None,
        work: Work {
            task: crate::config::Task::of("x"),
            inputs: owned(inputs),
            outputs: owned(outputs),
            apart: 0,
            routes: Vec::new(),
        },
        processes: 1,
        after: Vec::new(),
        ready: None,
        health: None,
        rules: Rules {
            restart: Restart::OnFailure,
            backoff: Backoff {
                initial: Duration::from_millis(100),
                max: Duration::from_secs(30),
                reset_after: Duration::from_secs(60),
            },
            give_up: GiveUp { restarts: 10, within: Duration::from_secs(60) },
            on_give_up: OnGiveUp::Stop,
            stop_timeout: Duration::from_secs(10),
            schedule: None,
            failing_timeout: None,
            autostart: true,
        },
        tuning: Tuning { attempts: 3, ..Tuning::default() },
        order: OutputOrder { order: None, order_window: 64 },
        placed: None,
        recycle: Recycle::default(),
        log_file: None,
    }
}

/// A program with neither input nor output.
pub fn service(name: &str) -> Stage {
    let invocation = crate::config::pipeline::Invocation::Direct(vec!["x".to_owned()]);
    let command = crate::config::pipeline::Command { invocation, ..Default::default() };
    let mut stage = stage(name, &[], &[]);
    stage.work.task = crate::config::Task::Command(Box::new(command));
    stage
}

/// With the defaults of the file format.
pub fn queue(name: &str) -> Queue {
    Queue {
        name: name.to_owned(),
        limits: Limits {
            capacity: 1024,
            max_bytes: 64 << 20,
            max_item: 16 << 20,
            when_full: WhenFull::Block,
        },
        durable: false,
        sync: crate::config::Sync::Never,
        shared: false,
    }
}

/// With every queue that its stages name.
pub fn pipeline(stages: Vec<Stage>) -> Pipeline {
    let mut names: Vec<&String> = Vec::new();
    for name in stages.iter().flat_map(|stage| stage.work.inputs.iter().chain(&stage.work.outputs)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let queues = names.into_iter().map(|name| queue(name)).collect();
    Pipeline {
        name: "test".to_owned(),
        folder: "/".into(),
        stages,
        disabled: Vec::new(),
        queues,
        drain_timeout: Duration::from_secs(30),
        control: crate::config::Control::default(),
        metrics: None,
        dead_letters: crate::config::DeadLetters::default(),
        broker: None,
    }
}

/// As if read from a file whose text shows every difference. `stateful`: the stages with a position.
pub fn wanted(pipeline: Pipeline, stateful: &[&str]) -> Wanted {
    let stateful: BTreeSet<String> = stateful.iter().map(|name| name.to_string()).collect();
    let texts = Texts { main: format!("{pipeline:?} {stateful:?}"), ..Texts::default() };
    Wanted {
        pipeline,
        texts,
        stateful,
        watched: Default::default(),
        printing: BTreeSet::new(),
        ending: Default::default(),
        by_hand: Default::default(),
    }
}

/// Compares with a golden file of this module, or writes it where `UPDATE_GOLDEN` is set.
#[track_caller]
pub fn assert_golden(written: &str, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/supervisor/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, written).unwrap();
    }
    assert_eq!(written, std::fs::read_to_string(path).unwrap_or_default(), "{name}");
}
