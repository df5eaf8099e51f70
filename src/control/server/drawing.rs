//! Where stages and queues stand in the page's drawing.

use crate::layout::{self, Flow, Joins, Point, flow};
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
    let queues: Vec<&str> = snapshot.queues.iter().map(|queue| queue.name.as_str()).collect();
    let joins: Vec<Joins<'_>> =
        stages.iter().map(|stage| Joins { inputs: &stage.inputs, outputs: &stage.outputs }).collect();
    let Flow { stages: stage_points, queues: queue_points, edges, length, breadth } = flow(&joins, &queues);
    let placed = |(name, at)| Placed { name, at };
    let named = |edge: layout::Edge| Edge {
        stage: &stages[edge.stage].name,
        queue: queues[edge.queue],
        reads: edge.reads,
        bends: edge.bends,
    };
    Drawing {
        stages: stages.iter().map(|stage| stage.name.as_str()).zip(stage_points).map(placed).collect(),
        edges: edges.into_iter().map(named).collect(),
        queues: queues.iter().copied().zip(queue_points).map(placed).collect(),
        length,
        breadth,
    }
}
