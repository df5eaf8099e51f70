//! Queues that lie in a broker: the hidden queues that their stages and the link need, and when a stage says its last word there.

use super::State;
use crate::broker::SharedQueue;
use crate::config::{self, Pipeline};
use crate::link::arena::{LinkLine, LinkQueue, LinkSpec};
use crate::queue::{QueueId, SharedQueues};
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::queue_state::QueueTable;
use crate::supervisor::machine::recovered::Label;
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::{Fate, StageState};
use crate::supervisor::machine::wanted::Wanted;

/// Whether all that a stage reads lies in a broker: what it has not begun is given back when this machine stops.
pub(super) fn takes_from_broker(queues: &QueueTable, stage: &StageState) -> bool {
    let inputs = &stage.version.inputs;
    !inputs.is_empty() && inputs.iter().all(|&queue| queues.is_shared(queue))
}

/// The hidden queues that a pipeline needs for its broker.
pub(super) fn labels(pipeline: &Pipeline) -> Vec<Label> {
    let mut labels = Vec::new();
    for spec in &pipeline.stages {
        let names = || spec.work.inputs.iter().chain(&spec.work.outputs);
        if names().any(|name| number(pipeline, name).is_some()) {
            labels.push(Label::Line(spec.name.clone()));
        }
        let inputs = spec.work.inputs.iter().filter(|name| number(pipeline, name).is_some());
        labels.extend(
            inputs
                .map(|name| Label::Held(name.clone()))
                .filter(|label| !labels.contains(label))
                .collect::<Vec<_>>(),
        );
    }
    labels
}

/// What the broker calls the queue, if it lies there.
fn number(pipeline: &Pipeline, name: &str) -> Option<SharedQueue> {
    let place = pipeline.broker.as_ref()?.queues.iter().position(|queue| queue.name == name)?;
    u16::try_from(place).ok().map(SharedQueue)
}

impl State {
    /// What the workers of a stage have to know of its shared queues; their hidden queues are made. `None`: it has none.
    pub(super) fn shared(
        &mut self,
        spec: &config::Stage,
        wanted: &Wanted,
        out: &mut Effects,
    ) -> Option<SharedQueues> {
        let pipeline = &wanted.pipeline;
        let names = spec.work.inputs.iter().chain(&spec.work.outputs);
        let shared = |name: &String| Some((self.queues.id(name)?, number(pipeline, name)?));
        let mut queues: Vec<(QueueId, SharedQueue)> = names.filter_map(shared).collect();
        queues.sort_unstable();
        queues.dedup();
        if queues.is_empty() {
            return None;
        }
        for name in spec.work.inputs.iter().filter(|name| number(pipeline, name).is_some()) {
            self.queues.kept(Label::Held(name.clone()), out);
        }
        let line = self.queues.kept(Label::Line(spec.name.clone()), out)?;
        Some(SharedQueues { line, queues, token: None })
    }

    /// What the link has to know of the arena; `None`: no stage here reads or writes a shared queue.
    pub(crate) fn link_spec(&self) -> Option<LinkSpec> {
        let mut spec = LinkSpec { queues: Vec::new(), lines: Vec::new() };
        for stage in self.stages.iter().filter(|stage| !matches!(stage.fate, Fate::Removed { .. })) {
            let Some(shared) = &stage.version.shared else { continue };
            let (name, token) = (stage.spec.name.clone(), shared.token);
            spec.lines.push(LinkLine { name, queue: shared.line, token });
            for &queue in &stage.version.inputs {
                let name = self.queues.name(queue).unwrap_or_default().to_owned();
                let is_new = spec.queues.iter().all(|known| known.queue != queue);
                if let (true, Some(shared), Some(held)) =
                    (is_new, shared.number(queue), self.queues.known(&Label::Held(name)))
                {
                    spec.queues.push(LinkQueue { shared, queue, held });
                }
            }
        }
        (!spec.lines.is_empty()).then_some(spec)
    }

    /// The line of a stage that has come to its end gets no more commits, which the link tells the broker. A stop is no such end.
    pub(super) fn end_lines(&mut self, out: &mut Effects) {
        if self.stopping() != Stopping::No {
            return;
        }
        for stage in &self.stages {
            if let Some(shared) = &stage.version.shared {
                self.queues.set_line_ended(shared.line, stage.has_ended(), out);
            }
        }
    }
}
