//! A tree for a terminal: each source, below it what its items come through.

use super::common::{Graph, what};

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

/// What is there already.
struct Drawn {
    stages: Vec<bool>,
    queues: Vec<bool>,
}

impl Drawn {
    /// Whether it is; from now on it is.
    fn was(&mut self, knot: Knot) -> bool {
        match knot {
            Knot::Stage(at) => std::mem::replace(&mut self.stages[at], true),
            Knot::Queue(at) => std::mem::replace(&mut self.queues[at], true),
            Knot::StandardOutput => false,
        }
    }
}

pub(super) fn draw(graph: &Graph) -> String {
    let mut text = format!("{}\n", graph.pipeline.name);
    let mut drawn = Drawn {
        stages: vec![false; graph.pipeline.stages.len()],
        queues: vec![false; graph.pipeline.queues.len()],
    };
    let sources = graph.pipeline.stages.iter().enumerate().filter(|(_, stage)| stage.work.inputs.is_empty());
    for (root, _) in sources {
        text.push('\n');
        draw_tree(graph, root, &mut drawn, &mut text);
    }
    text
}

/// A stack instead of recursion: a pipeline may be some thousand stages deep.
fn draw_tree(graph: &Graph, root: usize, drawn: &mut Drawn, text: &mut String) {
    let mut stack = vec![Branch { knot: Knot::Stage(root), indent: String::new(), is_last: None }];
    while let Some(Branch { knot, indent, is_last }) = stack.pop() {
        let (joint, below) = match is_last {
            None => ("", ""),
            Some(true) => ("└─ ", "   "),
            Some(false) => ("├─ ", "│  "),
        };
        let mut label = label(graph, knot);
        let mut children = children(graph, knot);
        if drawn.was(knot) {
            // Where streams meet again, or go in a ring, the rest is there already.
            label += " (see above)";
            children.clear();
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
            let after = match stage.after.as_slice() {
                [] => String::new(),
                names => format!(", after {}", names.join(", ")),
            };
            format!("{}: {}{after}", stage.name, what(stage))
        }
        Knot::Queue(at) => {
            let queue = &graph.pipeline.queues[at];
            format!("[{}] up to {}", queue.name, queue.limits.capacity)
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
