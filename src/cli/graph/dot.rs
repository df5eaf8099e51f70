//! A graph for Graphviz.

use std::fmt::Write;

use super::common::{Graph, what};

pub(super) fn draw(graph: &Graph) -> String {
    let mut text = format!("digraph \"{}\" {{\n    rankdir=LR;\n", graph.pipeline.name);
    let mut line = |args: std::fmt::Arguments| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "    {args};");
    };
    for (at, queue) in graph.pipeline.queues.iter().enumerate() {
        line(format_args!("q{at} [shape=cylinder, label=\"{}\\n{}\"]", queue.name, queue.limits.capacity));
    }
    for (at, stage) in graph.pipeline.stages.iter().enumerate() {
        line(format_args!("s{at} [shape=box, label=\"{}\\n{}\"]", stage.name, escaped(&what(stage))));
        for input in stage.work.inputs.iter().filter_map(|name| graph.queue_at(name)) {
            line(format_args!("q{input} -> s{at}"));
        }
        for output in stage.work.outputs.iter().filter_map(|name| graph.queue_at(name)) {
            line(format_args!("s{at} -> q{output}"));
        }
        if graph.prints(stage) {
            line(format_args!("s{at} -> \"standard output\""));
        }
        for before in graph.before(stage) {
            line(format_args!("s{before} -> s{at} [style=dashed]"));
        }
    }
    text + "}\n"
}

/// Names of registered stages can hold anything.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ")
}
