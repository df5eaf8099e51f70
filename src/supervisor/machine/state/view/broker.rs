//! The broker of the shared queues, and what lies on this machine of them.

use super::State;
use crate::queue::QueueCounts;
use crate::status::{BrokerFull, BrokerStatus};
use crate::supervisor::machine::link_state::BrokerSight;
use crate::supervisor::machine::observe::{Counters, Moment, RunIdentity};
use std::time::Instant;

impl State {
    /// `None`: the pipeline has no shared queue.
    pub(super) fn describe_broker(
        &self,
        identity: &RunIdentity,
        moment: Moment,
        counters: &mut dyn Counters,
    ) -> Option<BrokerStatus> {
        let machine = identity.machine.clone().filter(|_| self.has_broker())?;
        let age = |since: Instant| moment.now.saturating_duration_since(since).as_secs_f64();
        let (connected, away, outage) = match self.link.broker {
            BrokerSight::Unknown => (false, None, None),
            BrokerSight::Up { .. } => (self.has_link(), None, None),
            BrokerSight::Away { since, outage, .. } => (false, Some(age(since)), Some(outage)),
        };
        let all = |counts: QueueCounts| counts.items();
        let shared = self.queues.all().filter(|queue| self.queues.is_shared(queue.id));
        let held = shared.map(|queue| all(counters.queue(queue.id))).sum();
        let lines = self.stages.iter().filter_map(|stage| stage.version.shared.as_ref());
        let commits = lines.map(|shared| all(counters.queue(shared.line))).sum();
        let full = self.describe_full_broker(age);
        Some(BrokerStatus { machine, run: self.link.run(), connected, away, outage, full, held, commits })
    }

    fn describe_full_broker(&self, age: impl Fn(Instant) -> f64) -> Option<BrokerFull> {
        let (broker, full) = (self.broker()?, &self.link.full);
        let since = full.values().map(|full| full.since).min()?;
        Some(BrokerFull {
            broker: broker.url.to_string(),
            limit: broker.url.kind().limit().to_owned(),
            seconds: age(since),
            stages: full.keys().cloned().collect(),
            stuck: full.iter().filter(|(_, full)| full.is_stuck).map(|(stage, _)| stage.clone()).collect(),
        })
    }
}
