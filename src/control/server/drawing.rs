//! Where stages and queues stand in the page's drawing.

use crate::layout::{Point, lay_out};
use crate::status::{Snapshot, StageStatus};
use serde::Serialize;

/// What the drawing depends on: names, and which are joined.
#[derive(Debug, PartialEq)]
pub(super) struct Joined(String, Vec<String>, Vec<String>);

#[derive(Debug, Serialize)]
pub(super) struct Drawing<'a> {
    stages: Vec<Placed<'a>>,
    queues: Vec<Placed<'a>>,
    edges: Vec<Edge<'a>>,
    length: usize,
    breadth: f64,
}

#[derive(Debug, Serialize)]
struct Placed<'a> {
    name: &'a str,
    #[serde(flatten)]
    at: Point,
}

#[derive(Debug, Serialize)]
struct Edge<'a> {
    stage: &'a str,
    queue: &'a str,
    /// From the queue to the stage.
    reads: bool,
    bends: Vec<Point>,
}

/// See [`Joined`].
pub(super) fn shape(snapshot: &Snapshot) -> Vec<Joined> {
    let stages = flowing(snapshot)
        .map(|stage| Joined(stage.name.clone(), stage.inputs.clone(), stage.outputs.clone()));
    stages
        .chain(snapshot.queues.iter().map(|queue| Joined(queue.name.clone(), Vec::new(), Vec::new())))
        .collect()
}

/// Services stand apart.
fn flowing(snapshot: &Snapshot) -> impl Iterator<Item = &StageStatus> {
    snapshot.stages.iter().filter(|stage| !stage.is_service())
}

pub(super) fn of(snapshot: &Snapshot) -> Drawing<'_> {
    let stages: Vec<&StageStatus> = flowing(snapshot).collect();
    let queue = |name: &String| snapshot.queues.iter().position(|queue| queue.name == *name);
    let mut edges = Vec::new();
    for (s, stage) in stages.iter().enumerate() {
        edges.extend(stage.inputs.iter().filter_map(queue).map(|queue| (s, queue, true)));
        edges.extend(stage.outputs.iter().filter_map(queue).map(|queue| (s, queue, false)));
    }
    let joined = |(stage, queue, reads): &(usize, usize, bool)| {
        let queue = stages.len() + queue;
        if *reads { (queue, *stage) } else { (*stage, queue) }
    };
    let ends: Vec<(usize, usize)> = edges.iter().map(joined).collect();
    let layout = lay_out(stages.len() + snapshot.queues.len(), &ends);
    let (stage_points, queue_points) = layout.nodes.split_at(stages.len());
    Drawing {
        stages: stages
            .iter()
            .zip(stage_points)
            .map(|(stage, at)| Placed { name: &stage.name, at: *at })
            .collect(),
        queues: snapshot
            .queues
            .iter()
            .zip(queue_points)
            .map(|(queue, at)| Placed { name: &queue.name, at: *at })
            .collect(),
        edges: edges
            .iter()
            .zip(layout.bends)
            .map(|((stage, queue, reads), bends)| Edge {
                stage: &stages[*stage].name,
                queue: &snapshot.queues[*queue].name,
                reads: *reads,
                bends,
            })
            .collect(),
        length: layout.length,
        breadth: layout.breadth,
    }
}
