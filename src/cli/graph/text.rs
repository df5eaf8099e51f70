//! A tree for a terminal: each source, below it what its items come through.

use super::{Graph, what};

/// What one line stands for.
#[derive(Clone, Copy)]
enum Knot {
    Stage(usize),
    Queue(usize),
    StandardOutput,
}

/// A line that is still to be drawn.
struct Branch {
    knot: Knot,
    /// What stands before it: the lines of the branches around it.
    indent: String,
    /// `None`: it is a root.
    is_last: Option<bool>,
}

pub fn draw(graph: &Graph) -> String {
    let mut text = format!("{}\n", graph.pipeline.name);
    let mut drawn = vec![false; graph.pipeline.stages.len()];
    let sources = |at: &usize| graph.pipeline.stages[*at].work.inputs.is_empty();
    for root in (0..drawn.len()).filter(sources) {
        text.push('\n');
        draw_tree(graph, root, &mut drawn, &mut text);
    }
    text
}

/// A stack instead of recursion: a pipeline may be some thousand stages deep.
fn draw_tree(graph: &Graph, root: usize, drawn: &mut [bool], text: &mut String) {
    let mut stack = vec![Branch { knot: Knot::Stage(root), indent: String::new(), is_last: None }];
    while let Some(Branch { knot, indent, is_last }) = stack.pop() {
        let (joint, below) = match is_last {
            None => ("", ""),
            Some(true) => ("└─ ", "   "),
            Some(false) => ("├─ ", "│  "),
        };
        let mut label = label(graph, knot);
        let mut children = children(graph, knot);
        if let Knot::Stage(at) = knot {
            // Where streams meet again, or go in a ring, the rest is drawn already.
            if std::mem::replace(&mut drawn[at], true) {
                label = format!("{} (see above)", graph.pipeline.stages[at].name);
                children.clear();
            }
        }
        text.push_str(&format!("{indent}{joint}{label}\n"));
        let last = children.len().saturating_sub(1);
        for (at, knot) in children.into_iter().enumerate().rev() {
            stack.push(Branch { knot, indent: format!("{indent}{below}"), is_last: Some(at == last) });
        }
    }
}

fn label(graph: &Graph, knot: Knot) -> String {
    match knot {
        Knot::Stage(at) => {
            let stage = &graph.pipeline.stages[at];
            format!("{}: {}", stage.name, what(stage))
        }
        Knot::Queue(at) => {
            let queue = &graph.pipeline.queues[at];
            format!("[{}] up to {}", queue.name, queue.capacity)
        }
        Knot::StandardOutput => "standard output".into(),
    }
}

fn children(graph: &Graph, knot: Knot) -> Vec<Knot> {
    match knot {
        Knot::Stage(at) if graph.prints(&graph.pipeline.stages[at]) => vec![Knot::StandardOutput],
        Knot::Stage(at) => {
            let outputs = graph.pipeline.stages[at].work.outputs.iter();
            outputs.filter_map(|name| graph.queue_at(name)).map(Knot::Queue).collect()
        }
        Knot::Queue(at) => graph.readers(&graph.pipeline.queues[at]).map(Knot::Stage).collect(),
        Knot::StandardOutput => Vec::new(),
    }
}
