//! What there is to see: the state as a snapshot, with what the arena counts.

mod stage;
mod worker;

use super::State;
use crate::queue::QueueCounts;
use crate::status::{self, Config, ConfigState, Phase, Snapshot};
use crate::supervisor::machine::observe::{Counters, Moment, RunIdentity};
use crate::supervisor::machine::queue_state::QueueState;
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::StageState;

impl State {
    /// The pipeline as it is. `dead_before`: dead letters of queues that are gone.
    pub(crate) fn snapshot(
        &self,
        identity: &RunIdentity,
        moment: Moment,
        dead_before: u64,
        counters: &mut dyn Counters,
    ) -> Snapshot {
        let mut stages: Vec<_> =
            self.stages.iter().map(|stage| stage::describe(stage, moment, counters)).collect();
        let queues = self.describe_queues(counters);
        stages.iter_mut().for_each(|stage| note_lingering(stage, &queues));
        let mut totals = status::Totals::default();
        let removed = self.removed_totals.iter().map(|totals| totals.counts);
        stages.iter().map(|stage| stage.totals).chain(removed).for_each(|stage| totals += stage);
        Snapshot {
            pipeline: self.wanted.as_ref().map_or(String::new(), |wanted| wanted.pipeline.name.clone()),
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
        let named = |uses: &dyn Fn(&StageState) -> bool| {
            let stages = self.stages.iter().filter(|stage| uses(stage));
            stages.map(|stage| stage.spec.name.clone()).collect()
        };
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
                leaving: !queue.wanted,
                readers: named(&|stage| stage.version.inputs.contains(&queue.id)),
                writers: named(&|stage| stage.version.outputs.contains(&queue.id)),
            }
        };
        self.queues.all().map(describe).collect()
    }
}

/// A program has had all its input when its stage's queues have ended, and nothing of them is anybody's.
fn note_lingering(stage: &mut status::StageStatus, queues: &[status::QueueStatus]) {
    let is_through =
        |queue: &status::QueueStatus| queue.ended && queue.waiting + queue.delayed + queue.leased == 0;
    let mut inputs = queues.iter().filter(|queue| stage.inputs.contains(&queue.name)).peekable();
    if !stage.is_command || inputs.peek().is_none() || !inputs.all(is_through) {
        return;
    }
    for worker in &mut stage.workers {
        if worker.state == status::WorkerState::Working && worker.program.is_some() {
            worker.state = status::WorkerState::InputEnded;
        }
    }
}
