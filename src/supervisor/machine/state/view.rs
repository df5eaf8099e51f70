//! What there is to see: the state as a snapshot, with what the arena counts.

mod broker;
mod stage;
mod worker;

use super::State;
use crate::queue::{QueueCounts, QueueId};
use crate::status::{self, Config, ConfigState, Phase, Snapshot};
use crate::supervisor::machine::observe::{Counters, Moment, RunIdentity};
use crate::supervisor::machine::queue_state::QueueState;
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::StageState;
use std::collections::BTreeMap;

impl State {
    /// As verbs name it; empty before its file is read.
    pub(super) fn pipeline_name(&self) -> String {
        self.wanted.as_ref().map_or(String::new(), |wanted| wanted.pipeline.name.clone())
    }

    /// The pipeline as it is. `dead_before`: dead letters of queues that are gone.
    pub(crate) fn snapshot(
        &self,
        identity: &RunIdentity,
        moment: Moment,
        dead_before: u64,
        counters: &mut dyn Counters,
    ) -> Snapshot {
        let named = |queue: QueueId| self.queues.name(queue).map(str::to_owned);
        let mut stages: Vec<_> = self
            .stages
            .iter()
            .map(|stage| {
                let outage = self.failing.get(&stage.key);
                let mut described =
                    stage::describe(stage, outage, &self.waits_for(stage), moment, counters, &named);
                if self.waits_for_broker(stage) {
                    described.waits_for = vec!["the broker".to_owned()];
                }
                // A stop starts no worker of a stage that had none.
                let has_none = stage.workers.is_empty() && described.fate == status::Fate::Wanted;
                if has_none && self.stopping() != Stopping::No {
                    described.fate = status::Fate::Stopped;
                }
                described
            })
            .collect();
        let queues = self.describe_queues(counters);
        let all = stages.iter_mut().zip(&self.stages).filter(|(_, stage)| !stage.reads_others_first());
        note_lingering(all.map(|(stage, _)| stage), &queues);
        let mut totals = status::Totals::default();
        let removed = self.removed_totals.iter().map(|totals| totals.counts);
        stages.iter().map(|stage| stage.totals).chain(removed).for_each(|stage| totals += stage);
        Snapshot {
            pipeline: self.pipeline_name(),
            file: identity.file.clone(),
            pid: std::process::id(),
            run: identity.run.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            upgrades: self.counters.upgrades,
            phase: self.how_far(),
            paused: self.paused,
            time: moment.at(moment.now),
            started: moment.at(identity.started),
            uptime: moment.now.saturating_duration_since(identity.started).as_secs_f64(),
            config: self.config(moment),
            dead_letters: dead_before + queues.iter().map(|queue| queue.dead).sum::<u64>(),
            dead_letter_file: identity.dead_letter_file.clone(),
            letters: status::Letters { waiting: self.dead_letters.overdue(moment.now), ..Default::default() },
            bottleneck: None,
            broker: self.describe_broker(identity, moment, counters),
            page: None,
            page_fault: None,
            save_fault: None,
            stages,
            queues,
            totals,
        }
    }

    fn how_far(&self) -> Phase {
        match (self.stopping(), self.phase.reload(), &self.good) {
            (Stopping::Killing, ..) => Phase::Stopping,
            (Stopping::Draining, ..) => Phase::Draining,
            (Stopping::No, _, None) => Phase::Starting,
            (Stopping::No, Some(_), Some(_)) => Phase::Reloading,
            (Stopping::No, None, Some(_)) => Phase::Running,
        }
    }

    fn config(&self, moment: Moment) -> Config {
        let refusal = self.file.refusal.as_ref();
        let state = match (self.phase.reload(), refusal) {
            (_, Some(_)) => ConfigState::Refused,
            (Some(_), None) => ConfigState::Pending,
            (None, None) => ConfigState::Current,
        };
        let refusal = refusal.map(|(at, text)| status::Refusal { time: moment.at(*at), text: text.clone() });
        Config { generation: self.counters.generation, state, refusal, changed: self.changed_by_hand() }
    }

    fn changed_by_hand(&self) -> Vec<String> {
        let Some(wanted) = &self.wanted else { return Vec::new() };
        let scaled = wanted.pipeline.stages.iter().filter(|spec| wanted.by_hand.contains_key(&spec.name));
        scaled.map(|spec| format!("scale {}={}", spec.name, spec.processes)).collect()
    }

    fn describe_queues(&self, counters: &mut dyn Counters) -> Vec<status::QueueStatus> {
        let mut readers = self.names_by_queue(|stage| &stage.version.inputs);
        let mut writers = self.names_by_queue(|stage| &stage.version.outputs);
        let describe = |queue: &QueueState| {
            let QueueCounts { put, waiting, delayed, leased, done, dropped, dead, bytes } =
                counters.queue(queue.id);
            status::QueueStatus {
                name: queue.spec.name.clone(),
                capacity: queue.spec.limits.capacity,
                max_bytes: queue.spec.limits.max_bytes,
                when_full: queue.spec.limits.when_full,
                put,
                waiting,
                delayed,
                leased,
                done,
                dropped,
                dead,
                bytes,
                ended: queue.ended,
                closed: queue.closed,
                shared: self.queues.is_shared(queue.id),
                leaving: !queue.wanted,
                readers: readers.remove(&queue.id).unwrap_or_default(),
                writers: writers.remove(&queue.id).unwrap_or_default(),
            }
        };
        self.queues.all().map(describe).collect()
    }

    /// The stages that have a queue among `queues`.
    fn names_by_queue(
        &self,
        queues: impl Fn(&StageState) -> &Vec<QueueId>,
    ) -> BTreeMap<QueueId, Vec<String>> {
        let mut names: BTreeMap<QueueId, Vec<String>> = BTreeMap::new();
        for stage in &self.stages {
            for &queue in queues(stage) {
                names.entry(queue).or_default().push(stage.spec.name.clone());
            }
        }
        names
    }
}

/// A program has had all its input when its stage's queues have ended, and nothing of them is anybody's.
fn note_lingering<'a>(
    stages: impl Iterator<Item = &'a mut status::StageStatus>,
    queues: &[status::QueueStatus],
) {
    let is_through =
        |queue: &status::QueueStatus| queue.ended && queue.waiting + queue.delayed + queue.leased == 0;
    let through: BTreeMap<&str, bool> =
        queues.iter().map(|queue| (queue.name.as_str(), is_through(queue))).collect();
    let had_all = |stage: &&mut status::StageStatus| {
        let mut inputs = stage.inputs.iter().filter_map(|name| through.get(name.as_str())).peekable();
        stage.is_command && inputs.peek().is_some() && inputs.all(|through| *through)
    };
    for worker in stages.filter(had_all).flat_map(|stage| &mut stage.workers) {
        if worker.state == status::WorkerState::Working && worker.program.is_some() {
            worker.state = status::WorkerState::InputEnded;
        }
    }
}
