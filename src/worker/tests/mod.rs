//! The loops on real queues, in one process: the thread is the worker, an unwinding its death.

mod crash;
mod routes;
mod shared;
mod sources;
mod stages;

use super::builtin::source_loop::SourceLoop;
use super::builtin::stage_loop::StageLoop;
use super::context::WorkerContext;
use super::spec::WorkerSpec;
use super::stop::Stop;
use crate::append::UndoLog;
use crate::config::pipeline::{Recycle, Work};
use crate::logs::{LogStyle, Logging};
use crate::queue::inject;
use crate::queue::{
    Arena, Ending, FailureAttribution, Limits, QueueAdmin, QueueId, SharedQueues, SlotId, StageId, Taken,
    Tuning, Wait, WhenFull, WorkerHandle,
};
use crate::stage::{Persistence, Source, Stage};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::thread::JoinHandle;

const IN: QueueId = QueueId(0);
const OUT: QueueId = QueueId(1);
const TOKEN: QueueId = QueueId(2);

/// The slot of the worker under test, and that of a reader of its outputs.
const WORKER: SlotId = SlotId(0);
const READER: SlotId = SlotId(1);
const STAGE: StageId = StageId(0);

struct Bench {
    arena: Arena,
    admin: QueueAdmin,
    tuning: Tuning,
    recycle: Recycle,
    has_output: bool,
    /// Outputs that get only the items that are for them, in place of the one.
    apart: Vec<(u16, String)>,
    shared: Option<SharedQueues>,
    dead: Vec<(Vec<u8>, u32)>,
    dead_letters: PathBuf,
    /// The next life ends at its store of this number.
    dies_at: Option<u64>,
}

impl Bench {
    fn new() -> Bench {
        let arena = Arena::create().unwrap();
        let mut admin = QueueAdmin::open(arena.clone()).unwrap();
        for (queue, capacity) in [(IN, 10_000), (OUT, 10_000), (TOKEN, 2)] {
            admin.set_queue(queue, &limits(capacity)).unwrap();
        }
        admin.seed(TOKEN, b"").unwrap();
        let tuning = Tuning { attempts: 100, ..Tuning::default() };
        Bench {
            arena,
            admin,
            tuning,
            recycle: Recycle::default(),
            has_output: true,
            apart: Vec::new(),
            shared: None,
            dead: Vec::new(),
            dead_letters: std::env::temp_dir()
                .join(format!("mprun-worker-dead-{}.jsonl", std::process::id())),
            dies_at: None,
        }
    }

    /// Puts the input, and ends it.
    fn input(&mut self, items: &[&str]) {
        self.admin.open_slot(READER, &Tuning::default()).unwrap();
        let mut queues = WorkerHandle::open(self.arena.clone(), READER).unwrap();
        for item in items {
            queues.put(&[IN], item.as_bytes(), None).unwrap();
            queues.commit(0, Wait::No).unwrap();
        }
        queues.give_back_all().unwrap();
        self.admin.set_ended(IN, true).unwrap();
    }

    fn worker(&mut self) -> WorkerContext {
        self.admin.open_stage(STAGE).unwrap();
        self.admin.open_slot(WORKER, &self.tuning).unwrap();
        let queues = WorkerHandle::open(self.arena.clone(), WORKER).unwrap();
        WorkerContext::new(self.spec(), self.arena.clone(), UndoLog::create().unwrap(), queues)
    }

    fn spec(&self) -> WorkerSpec {
        let task = crate::config::Task::of("demo");
        let work = Work { task, inputs: vec![], outputs: vec![], apart: self.apart.len(), routes: vec![] };
        WorkerSpec {
            pipeline: "test".into(),
            stage: "demo".into(),
            worker: 0,
            slot: WORKER.0,
            stage_id: Some(STAGE.0),
            run: "run".into(),
            continues: false,
            works_off: false,
            shared_run: None,
            supervisor_pid: 0,
            folder: PathBuf::new(),
            work,
            recycle: self.recycle,
            inputs: vec![(IN.0, "in".into())],
            outputs: match (self.has_output, &self.apart[..]) {
                (true, []) => vec![(OUT.0, "out".into())],
                (true, apart) => apart.to_vec(),
                (false, _) => vec![],
            },
            spill_queue: None,
            shared: self.shared.clone(),
            stop_timeout: std::time::Duration::ZERO,
            token: Some(TOKEN.0),
            print_token: None,
            dead_letters: crate::dead_letter::Store::at(
                self.dead_letters.clone(),
                std::path::Path::new("/p/test.toml"),
            ),
            log: Logging { filter: "off".into(), style: LogStyle::Plain },
            log_file: None,
            recent_logs: None,
            soft_open_files: None,
            holding_pipe: false,
        }
    }

    /// One worker's life; `None`: it was killed, and what it held went back.
    fn live(&mut self, life: impl FnOnce(&mut WorkerContext) -> Stop) -> Option<Ending> {
        let mut worker = self.worker();
        inject::arm(self.dies_at.take().unwrap_or(u64::MAX));
        let ended = catch_unwind(AssertUnwindSafe(|| life(&mut worker)));
        inject::arm(u64::MAX);
        match ended {
            Ok(Stop(ending)) => {
                worker.queues.give_back_all().unwrap();
                drop(worker);
                self.release(FailureAttribution::Nobody);
                Some(ending)
            }
            Err(_) => {
                worker.queues.die();
                drop(worker);
                self.release(FailureAttribution::Begun);
                None
            }
        }
    }

    fn release(&mut self, attribution: FailureAttribution) {
        let dead = &mut self.dead;
        let mut keep_letter = |candidate: crate::queue::DeadLetterCandidate<'_>| {
            dead.push((candidate.item.to_vec(), candidate.attempts));
            Ok(())
        };
        self.admin.release(WORKER, attribution, self.tuning.attempts, &mut keep_letter).unwrap();
    }

    fn run_source(&mut self, source: impl Source + 'static, memory: Persistence) -> Option<Ending> {
        self.live(|worker| SourceLoop::new(worker, Box::new(source), memory).run())
    }

    fn run_stage(&mut self, stage: impl Stage + 'static, memory: Persistence) -> Option<Ending> {
        self.live(|worker| StageLoop::new(worker, Box::new(stage), memory).run())
    }

    /// Reads the output in a thread of its own, until it ends.
    fn reader(&mut self) -> JoinHandle<Vec<String>> {
        self.admin.open_slot(READER, &Tuning::default()).unwrap();
        let arena = self.arena.clone();
        std::thread::spawn(move || {
            let mut queues = WorkerHandle::open(arena, READER).unwrap();
            let mut seen = Vec::new();
            loop {
                queues.order();
                if queues.take(&[OUT], 3, Wait::Forever).unwrap() == Taken::Ended {
                    return seen;
                }
                for i in 0..queues.len() {
                    seen.push(String::from_utf8(queues.item(i).unwrap().bytes.to_vec()).unwrap());
                }
                queues.commit(queues.len(), Wait::Forever).unwrap();
            }
        })
    }

    /// What is in the output, once nobody writes it any more.
    fn output(&mut self) -> Vec<String> {
        self.admin.set_ended(OUT, true).unwrap();
        self.reader().join().unwrap()
    }

    /// The ledger adds up, and nothing is left or lost on the way.
    fn check(&mut self) {
        for (queue, counts) in self.admin.audit().unwrap() {
            assert_eq!(counts.leased, 0, "{queue:?} {counts:?}");
        }
    }
}

fn limits(capacity: u64) -> Limits {
    Limits { capacity, max_bytes: 1 << 20, max_item: 1 << 20, when_full: WhenFull::Block }
}
