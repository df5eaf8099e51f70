//! What the drawings have in common.

use crate::config::{Pipeline, Queue, Stage};
use crate::stage::Registry;

/// A pipeline with what its drawings have in common.
pub(super) struct Graph<'a> {
    pub pipeline: &'a Pipeline,
    pub registry: &'a Registry,
}

impl Graph<'_> {
    pub(super) fn queue_at(&self, name: &str) -> Option<usize> {
        self.pipeline.queues.iter().position(|queue| queue.name == name)
    }

    pub(super) fn readers<'a>(&'a self, queue: &'a Queue) -> impl Iterator<Item = usize> + 'a {
        let stages = self.pipeline.stages.iter().enumerate();
        stages.filter(|(_, stage)| stage.work.inputs.contains(&queue.name)).map(|(at, _)| at)
    }

    /// The stages that are started before this one.
    pub(super) fn before<'a>(&'a self, stage: &'a Stage) -> impl Iterator<Item = usize> + 'a {
        let place = |name: &String| self.pipeline.stages.iter().position(|stage| stage.name == *name);
        stage.after.iter().filter_map(place)
    }

    /// Whether what the stage writes goes to standard output.
    pub(super) fn prints(&self, stage: &Stage) -> bool {
        stage.work.prints(self.registry)
    }
}

/// The second line of a stage: what it does, by how many.
pub(super) fn what(stage: &Stage) -> String {
    format!("{} ×{}", stage.work.title(), stage.processes)
}
