//! The drawing of a pipeline: stages and queues are the nodes, inputs and outputs the edges.

use super::{Point, lay_out};

/// What joins a stage to the others, by the names of queues.
pub(crate) struct Joins<'a> {
    pub inputs: &'a [String],
    pub outputs: &'a [String],
}

/// See [`super::Layout`].
pub(crate) struct Flow {
    pub stages: Vec<Point>,
    pub queues: Vec<Point>,
    pub edges: Vec<Edge>,
    pub length: usize,
    pub breadth: f64,
}

/// A line between a stage and a queue, by their places in the lists.
pub(crate) struct Edge {
    pub stage: usize,
    pub queue: usize,
    /// From the queue to the stage.
    pub reads: bool,
    pub bends: Vec<Point>,
}

/// Lays out these stages and the queues of these names. What is joined to no queue of them stands alone.
pub(crate) fn flow(stages: &[Joins<'_>], queues: &[&str]) -> Flow {
    let place = |name: &String| queues.iter().position(|queue| queue == name);
    let mut joined = Vec::new();
    for (stage, Joins { inputs, outputs }) in stages.iter().enumerate() {
        joined.extend(inputs.iter().filter_map(place).map(|queue| (stage, queue, true)));
        joined.extend(outputs.iter().filter_map(place).map(|queue| (stage, queue, false)));
    }
    let ends = |(stage, queue, reads): &(usize, usize, bool)| {
        let queue = stages.len() + queue;
        if *reads { (queue, *stage) } else { (*stage, queue) }
    };
    let ends: Vec<(usize, usize)> = joined.iter().map(ends).collect();
    let mut layout = lay_out(stages.len() + queues.len(), &ends);
    let edges = joined.into_iter().zip(layout.bends);
    Flow {
        queues: layout.nodes.split_off(stages.len()),
        stages: layout.nodes,
        edges: edges.map(|((stage, queue, reads), bends)| Edge { stage, queue, reads, bends }).collect(),
        length: layout.length,
        breadth: layout.breadth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_stands_between_its_writer_and_its_reader() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (none, a, both) = (names(&[]), names(&["a"]), names(&["b", "gone"]));
        let stages = [
            Joins { inputs: &none, outputs: &a },
            Joins { inputs: &a, outputs: &both },
            Joins { inputs: &none, outputs: &none },
        ];
        let flow = flow(&stages, &["a", "b"]);
        let along = |points: &[Point]| points.iter().map(|point| point.along).collect::<Vec<_>>();
        assert_eq!((along(&flow.stages), along(&flow.queues)), (vec![0, 2, 0], vec![1, 3]));
        let edges: Vec<_> = flow.edges.iter().map(|edge| (edge.stage, edge.queue, edge.reads)).collect();
        assert_eq!(edges, [(0, 0, false), (1, 0, true), (1, 1, false)]);
    }
}
