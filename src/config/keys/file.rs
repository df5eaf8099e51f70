//! The top of the file.

use super::{ControlKeys, DeadLetterKeys, Defaults, MetricsKeys, QueueKeys, StageKeys, pause};
use crate::config::elements::{Named, Pause, PipelineName, Tables, table};

table! {
    /// A pipeline file.
    FileKeys = "a pipeline file" {
        /// The pipeline's name. Default: the file's name without `.toml`.
        name: Option<PipelineName> = None;
        /// The longest time that a stop drains the queues.
        drain_timeout: Pause = pause(30), also "drain" "timeout" "shutdown_timeout";
        /// Defaults for the keys of all stages. A stage's own keys override them.
        defaults: Defaults = Defaults::default(), also "default";
        /// The stages, each under its name: `[stages.NAME]`.
        stages: Named<StageKeys> = Named::default(), also "stage" "steps" "processes" "programs" "tasks";
        /// The queues that need more than the defaults, each under its name: `[queues.NAME]`.
        queues: Named<QueueKeys> = Named::default(), also "queue" "channels";
        /// The control socket of the running pipeline.
        control: ControlKeys = ControlKeys::default();
        /// Where metrics are served, for Prometheus.
        metrics: MetricsKeys = MetricsKeys::default();
        /// The limit of the file of dead letters.
        dead_letters: DeadLetterKeys = DeadLetterKeys::default(), also "dead_letter" "dlq";
    }
}

impl Tables for StageKeys {
    const KEY: &'static str = "stages";
}

impl Tables for QueueKeys {
    const KEY: &'static str = "queues";
}
