//! Made-up snapshots, for tests.

use super::*;
use crate::model::WhenFull;
use std::collections::BTreeMap;

/// A pipeline with nothing in it.
pub fn snapshot() -> Snapshot {
    Snapshot {
        upgrades: 0,
        pipeline: "test".into(),
        file: "/p/test.toml".into(),
        pid: 7,
        run: "5a".into(),
        version: "0.1.0".into(),
        phase: Phase::Running,
        paused: false,
        time: "2026-11-24T02:29:11.000Z".into(),
        started: "2026-11-24T02:29:01.000Z".into(),
        uptime: 10.0,
        config: Config { generation: 1, state: ConfigState::Current, refusal: None, changed: Vec::new() },
        stages: Vec::new(),
        queues: Vec::new(),
        totals: Totals::default(),
        dead_letters: 0,
        dead_letter_file: "/s/dead.jsonl".into(),
        letters: Letters::default(),
        bottleneck: None,
        broker: None,
        page: None,
        page_fault: None,
        save_fault: None,
    }
}

/// A stage of one worker between these queues, that has spent ten seconds in these shares: working, starved, blocked.
pub fn stage(name: &str, input: &str, output: &str, times: [f64; 3]) -> StageStatus {
    let queue = |name: &str| if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
    let [working, starved, blocked] = times.map(|share| share * 10.0);
    StageStatus {
        name: name.into(),
        kind: "filter".into(),
        is_command: false,
        order: None,
        rate_limit: None,
        scheduled: false,
        inputs: queue(input),
        outputs: queue(output),
        processes: 1,
        running: 1,
        waits_for: Vec::new(),
        paused: false,
        fate: Fate::Wanted,
        totals: Totals {
            taken: 100,
            done: 99,
            emitted: 50,
            dead: 0,
            too_long: 0,
            repeated: 0,
            perhaps_lost: 0,
        },
        rate: Rate { taken: 10.0, done: 9.9, emitted: 5.0, over: 10.0 },
        progress: None,
        times: Times { working, starved, blocked, ..Times::default() },
        item_seconds: Histogram { bounds: vec![0.001, 0.01], counts: vec![90, 9, 1], sum: 0.5 },
        restarts: BTreeMap::new(),
        killed_in_a_row: None,
        failing: None,
        failed_checks: 0,
        workers: Vec::new(),
    }
}

/// Worker 3 of a stage, process 77, that rests for this reason.
pub fn worker(reason: &str) -> WorkerStatus {
    WorkerStatus {
        index: 3,
        pid: Some(77),
        program: None,
        state: WorkerState::Resting,
        since: None,
        until: Some(1.0),
        reason: Some(reason.into()),
        taken: 0,
        done: 0,
        emitted: 0,
        times: Times::default(),
        obstacle: None,
        check: None,
        has_finished: false,
        lost_reader: false,
        transitions: Vec::new(),
    }
}

/// A queue that holds `waiting` of ten items.
pub fn queue(name: &str, waiting: u64) -> QueueStatus {
    QueueStatus {
        name: name.into(),
        capacity: 10,
        max_bytes: 1 << 20,
        when_full: WhenFull::Block,
        put: 100 + waiting,
        waiting,
        delayed: 0,
        leased: 1,
        done: 98,
        dropped: 0,
        dead: 1,
        bytes: 0,
        ended: false,
        closed: false,
        shared: false,
        leaving: false,
        readers: Vec::new(),
        writers: Vec::new(),
    }
}
