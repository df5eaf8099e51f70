use super::*;
use crate::broker::QueueSettings;
use crate::config::BrokerUrl;
use crate::config::pipeline::{
    Backoff, Control, GiveUp, OnGiveUp, OrderOf, OutputOrder, Queue, Recycle, Restart, Rules, Stage, Tuning,
    WhenFull, Work,
};

fn stage(name: &str) -> Stage {
    let seconds = Duration::from_secs;
    Stage {
        name: name.into(),
        folder: None,
        work: Work {
            task: crate::config::Task::of("filter"),
            inputs: vec!["q".into()],
            outputs: vec![],
            apart: 0,
            routes: vec![],
        },
        processes: 1,
        after: Vec::new(),
        ready: None,
        health: None,
        rules: Rules {
            restart: Restart::OnFailure,
            backoff: Backoff { initial: seconds(1), max: seconds(30), reset_after: seconds(60) },
            give_up: GiveUp { restarts: 10, within: seconds(60) },
            on_give_up: OnGiveUp::Stop,
            stop_timeout: seconds(10),
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

fn queue(name: &str) -> Queue {
    Queue {
        name: name.into(),
        limits: Limits { capacity: 1024, max_bytes: 1 << 26, max_item: 1 << 24, when_full: WhenFull::Block },
        durable: false,
        sync: Sync::Never,
        shared: false,
    }
}

fn pipeline() -> Pipeline {
    Pipeline {
        name: "p".into(),
        folder: "/p".into(),
        stages: vec![stage("a"), stage("b")],
        disabled: Vec::new(),
        queues: vec![queue("q"), queue("r")],
        drain_timeout: Duration::from_secs(30),
        control: Control::default(),
        metrics: None,
        dead_letters: crate::config::DeadLetters::default(),
        broker: None,
    }
}

/// The diff of a pipeline and one with a change.
fn after(change: impl FnOnce(&mut Pipeline)) -> Diff {
    let mut new = pipeline();
    change(&mut new);
    diff(&pipeline(), &new)
}

fn stage_change(change: impl FnOnce(&mut Stage)) -> StageChange {
    match after(|new| change(&mut new.stages[0])).stages.remove(0) {
        Named::Changed(_, change) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_changed_is_nothing_to_do() {
    assert!(after(|_| {}) == Diff::default());
    assert!(after(|new| new.stages.reverse()) == Diff::default());
}

#[test]
fn what_belongs_to_the_whole_is_told() {
    let diff = after(|new| {
        new.name = "other".into();
        new.folder = "/other".into();
        new.drain_timeout = Duration::from_secs(1);
    });
    assert_eq!(diff.name.map(|change| change.to_string()).as_deref(), Some("p -> other"));
    assert!(diff.folder.is_some() && diff.drain_timeout.is_some());
}

#[test]
fn stages_and_queues_come_and_go() {
    let diff = after(|new| {
        new.stages[0] = stage("c");
        new.queues[1] = queue("s");
    });
    assert_eq!(diff.stages, [Named::Removed("a".into()), Named::Added("c".into())]);
    assert_eq!(diff.queues, [Named::Removed("r".into()), Named::Added("s".into())]);
}

#[test]
fn a_count_alone_touches_no_worker() {
    let change = stage_change(|stage| stage.processes = 4);
    assert_eq!(change.processes.as_ref().map(ValueChange::to_string).as_deref(), Some("1 -> 4"));
    assert!(change.live.is_empty() && change.replaced.is_empty());
}

#[test]
fn live_keys_are_told_as_a_file_writes_them() {
    let change = stage_change(|stage| {
        stage.tuning.sleep = Duration::from_millis(1500);
        stage.tuning.item_timeout = Some(Duration::from_secs(90));
        stage.rules.restart = Restart::Never;
        stage.rules.give_up.restarts = 3;
        stage.order = OutputOrder { order: Some(OrderOf::Input), order_window: 8 };
        stage.recycle.memory = Some(64 << 20);
    });
    let said: Vec<String> = change.live.iter().map(KeyChange::to_string).collect();
    assert_eq!(
        said,
        [
            "sleep: 0s -> 1s500ms",
            "item_timeout: unset -> 1m30s",
            "order: unset -> input",
            "order_window: 64 -> 8",
            "restart: on-failure -> never",
            "give_up.restarts: 10 -> 3",
        ]
    );
    assert_eq!(change.replaced[0].to_string(), "recycle.memory: unset -> 64MiB");
    assert!(change.replaced.len() == 1 && change.processes.is_none());
}

#[test]
fn another_work_is_told_apart() {
    let change = stage_change(|stage| {
        if let crate::config::Task::Use { with, .. } = &mut stage.work.task {
            with.insert("keep".into(), "odd".into());
        }
        stage.work.outputs.push("r".into());
    });
    let said: Vec<String> = change.replaced.iter().map(KeyChange::to_string).collect();
    assert_eq!(said, [r#"with: {} -> {"keep":"odd"}"#, "output: unset -> r"]);
    assert!(change.live.is_empty());
}

#[test]
fn which_broker_it_is_and_which_queues_it_holds_is_told_apart_from_their_bounds() {
    let access = BrokerAccess {
        credentials_file: None,
        tls_ca: None,
        prefix: "p".into(),
        ack_wait: Duration::from_secs(30),
        allow_loss: false,
        stream_replicas: 1,
    };
    let queue =
        |name: &str, capacity| QueueSettings { name: name.into(), capacity, when_full: WhenFull::Block };
    let broker = |url: &str, queues| Broker {
        url: BrokerUrl::parse(url).unwrap(),
        access: access.clone(),
        queues,
        before: Vec::new(),
    };
    let old = Pipeline { broker: Some(broker("redis://a", vec![queue("q", 1)])), ..pipeline() };
    for (new, is_other) in [
        (Some(broker("redis://a", vec![queue("q", 2)])), false),
        (Some(broker("redis://:new@a", vec![queue("q", 1)])), false),
        (Some(broker("redis://a", vec![queue("r", 1)])), true),
        (None, true),
    ] {
        let new = Pipeline { broker: new, ..pipeline() };
        assert_eq!(
            (diff(&old, &new).is_other_broker, diff(&new, &old).is_other_broker),
            (is_other, is_other)
        );
    }
}

#[test]
fn the_bounds_of_a_queue_are_told() {
    let diff = after(|new| {
        new.queues[0].limits.capacity = 2;
        new.queues[0].limits.when_full = WhenFull::DropOld;
    });
    let [Named::Changed(name, keys)] = diff.queues.as_slice() else { panic!("{diff:?}") };
    assert_eq!((name.as_str(), keys.len()), ("q", 2));
    assert_eq!(keys[1].to_string(), "when_full: block -> drop-old");
}
