//! `[stages.NAME]`, and `[defaults]`, which holds most of the same keys.

use serde_json::Value;

use super::{BackoffKeys, GiveUpKeys, RecycleKeys, pause};
use crate::config::diagnostic::{Diagnostic, Report};
use crate::config::document::{Content, Node};
use crate::config::elements::{Count, Element, Pause, Period, Processes, QueueNames, With, Word, table};
use crate::config::pipeline::{OnGiveUp, Restart};

table! {
    /// `[stages.NAME]`.
    StageKeys = "a stage" {
        /// What the stage does: a built-in, or a stage registered from Rust.
        r#use: Option<Word> = None, also "uses" "type" "kind" "builtin" "run" "exec";
        /// The parameters of `use`.
        with: With = With::default(), also "params" "parameters" "args" "options" "config";
        /// The queue that the stage reads, or a list of them. Without it the stage is a source.
        input: QueueNames = QueueNames::default(), also "inputs" "from" "in" "reads" "source";
        /// The queue that the stage writes, or a list: each gets every item. Without it, lines on standard output.
        output: QueueNames = QueueNames::default(), also "outputs" "to" "out" "writes" "target";
        /// How many worker processes the stage has: a number, or "cpus" for as many as there are CPUs.
        processes: Processes = Processes::Count(1), also "workers" "process" "numprocs" "replicas" "instances" "concurrency";
        /// A pause after each item.
        sleep: Pause = pause(0), also "delay" "pause" "interval";
        /// Look again after this long when the output is full. Without it, wait until there is room.
        sleep_when_full: Option<Period> = None;
        /// Look again after this long when the input is empty. Without it, wait until there is an item.
        sleep_when_empty: Option<Period> = None;
        /// Log the way of each item, with the queue's size before and after.
        log_items: bool = false, also "verbose" "trace";
        /// When an ended worker is started again: always, only after a failure, or never.
        restart: Restart = Restart::OnFailure, also "autorestart" "restart_policy";
        /// How long to wait before a restart: doubling from `initial` to `max`.
        backoff: BackoffKeys = BackoffKeys::default();
        /// When too many restarts are too many.
        give_up: GiveUpKeys = GiveUpKeys::default(), also "giveup" "max_restarts" "retries";
        /// What a stage that gives up does to the pipeline: it stops, or goes on without the stage.
        on_give_up: OnGiveUp = OnGiveUp::Stop;
        /// How often one item is tried before it becomes a dead letter.
        attempts: Count<1, 1_000_000> = Count(3), also "tries" "max_attempts";
        /// The longest that one item may take. Without it, any time.
        item_timeout: Option<Period> = None, also "timeout";
        /// How long a worker that is told to stop may take before it is killed.
        stop_timeout: Pause = pause(10), also "stopwaitsecs" "kill_timeout" "grace";
        /// When a worker is replaced by a fresh one.
        recycle: RecycleKeys = RecycleKeys::default(), also "max_requests";
        /// `false` takes the stage out, as if it were not in the file.
        enabled: bool = true, also "enable" "disabled" "active" "autostart";
    }
    later "command" "mode" "framing" "in_framing" "out_framing" "reply" "collect" "batch" "success_codes" "env"
        "env_file" "cwd" "user" "group" "umask" "nice" "limits"
}

/// `[defaults]`: the keys of a stage, but for those that make it this stage and no other.
#[derive(Clone, Debug, Default)]
pub struct Defaults(pub StageKeys);

impl StageKeys {
    /// This stage's keys, over those that hold for all.
    #[must_use]
    pub fn merged(self, defaults: &Defaults) -> StageKeys {
        self.over(defaults.0.clone())
    }
}

const OWN: [&str; 4] = ["use", "with", "input", "output"];

impl Element for Defaults {
    fn read(node: &Node, report: &mut Report) -> Option<Self> {
        if let Content::Table(table) = &node.content {
            for entry in table.entries.iter().filter(|entry| OWN.contains(&entry.key.as_str())) {
                let title = format!("`{}` is each stage's own: it has no default for all", entry.key);
                report.push(Diagnostic::error(title).at(&entry.key_place));
            }
        }
        StageKeys::read(node, report).map(Defaults)
    }

    fn accepted() -> String {
        "a table of keys that a stage takes".into()
    }

    fn schema() -> Value {
        let mut schema = StageKeys::schema();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.retain(|key, _| !OWN.contains(&key.as_str()));
        }
        schema
    }

    fn written(&self) -> Value {
        Value::Null
    }

    fn over(self, beneath: Self) -> Self {
        Defaults(self.0.over(beneath.0))
    }
}
