//! The broker of the shared queues, and what lies on this machine of them.

use super::State;
use crate::queue::QueueCounts;
use crate::status::BrokerStatus;
use crate::supervisor::machine::link_state::BrokerSight;
use crate::supervisor::machine::observe::{Counters, Moment, RunIdentity};

impl State {
    /// `None`: the pipeline has no shared queue.
    pub(super) fn describe_broker(
        &self,
        identity: &RunIdentity,
        moment: Moment,
        counters: &mut dyn Counters,
    ) -> Option<BrokerStatus> {
        let machine = identity.machine.clone().filter(|_| self.has_broker())?;
        let (connected, away) = match self.link.broker {
            BrokerSight::Unknown => (false, None),
            BrokerSight::Up { .. } => (self.has_link(), None),
            BrokerSight::Away { since, .. } => {
                (false, Some(moment.now.saturating_duration_since(since).as_secs_f64()))
            }
        };
        let all = |counts: QueueCounts| counts.items();
        let shared = self.queues.all().filter(|queue| self.queues.is_shared(queue.id));
        let held = shared.map(|queue| all(counters.queue(queue.id))).sum();
        let lines = self.stages.iter().filter_map(|stage| stage.version.shared.as_ref());
        let commits = lines.map(|shared| all(counters.queue(shared.line))).sum();
        Some(BrokerStatus { machine, run: self.link.run(), connected, away, held, commits })
    }
}
