//! A flow chart for Markdown.

use std::fmt::Write;

use super::common::{Graph, what};

pub(super) fn draw(graph: &Graph) -> String {
    let mut text = String::from("flowchart LR\n");
    let mut line = |args: std::fmt::Arguments| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "    {args}");
    };
    for (at, queue) in graph.pipeline.queues.iter().enumerate() {
        line(format_args!("q{at}[(\"{}<br>{}\")]", queue.name, queue.limits.capacity));
    }
    for (at, stage) in graph.pipeline.stages.iter().enumerate() {
        line(format_args!("s{at}[\"{}<br>{}\"]", stage.name, escaped(&what(stage))));
        for input in stage.work.inputs.iter().filter_map(|name| graph.queue_at(name)) {
            line(format_args!("q{input} --> s{at}"));
        }
        for output in stage.work.outputs.iter().filter_map(|name| graph.queue_at(name)) {
            line(format_args!("s{at} --> q{output}"));
        }
        if graph.prints(stage) {
            line(format_args!("s{at} --> out([standard output])"));
        }
        for before in graph.before(stage) {
            line(format_args!("s{before} -.-> s{at}"));
        }
    }
    text
}

/// Names of registered stages can hold anything.
fn escaped(text: &str) -> String {
    text.replace('&', "#amp;").replace('"', "#quot;").replace('<', "#lt;").replace('\n', " ")
}
