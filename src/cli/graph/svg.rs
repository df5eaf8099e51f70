//! A picture: an SVG file without a script, laid out as the page lays it out. It shows the same on a light ground and on a dark
//! one: every text stands in a box with a ground of its own, in letters of one width, so that it fits.

use super::common::{Graph, what};
use super::sheet::{GAP, STAGE_HEIGHT, Sheet};
use crate::config::Stage;
use crate::layout::{Edge, Flow, Joins, Point, flow};
use std::fmt::Write;

/// No queue is called that: a name has no space.
const STANDARD_OUTPUT: &str = "standard output";
/// Longer texts are cut; the whole one is the box's title.
const MOST_LETTERS: usize = 28;
/// Letters of one width are no wider at 12 pixels.
const LETTER: f64 = 7.4;
const QUEUE_HEIGHT: f64 = 36.0;
const CORNER: f64 = 6.0;

const STYLE: &str = "text{font:12px ui-monospace,monospace;text-anchor:middle;fill:#1a2330}\
.name{font-weight:600}\
.stage{fill:#fff;stroke:#2457c5}\
.queue{fill:#e6ecf7;stroke:#7a8799}\
path{fill:none;stroke:#7a8799;stroke-width:2;marker-end:url(#tip)}\
.after{stroke-dasharray:5 4}\
#tip path{fill:#7a8799;stroke:none}";

/// A box of the picture.
struct Node {
    name: String,
    about: String,
    is_stage: bool,
    middle: (f64, f64),
}

impl Node {
    fn height(&self) -> f64 {
        if self.is_stage { STAGE_HEIGHT } else { QUEUE_HEIGHT }
    }
}

pub(super) fn draw(graph: &Graph) -> String {
    let all = &graph.pipeline.stages;
    let outputs: Vec<Vec<String>> = all.iter().map(|stage| outputs(graph, stage)).collect();
    let is_alone = |at: &usize| outputs[*at].is_empty() && all[*at].work.inputs.is_empty();
    let (alone, joined): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(is_alone);
    let joins: Vec<Joins<'_>> =
        joined.iter().map(|at| Joins { inputs: &all[*at].work.inputs, outputs: &outputs[*at] }).collect();
    let queues = queues(graph, &outputs);
    let names: Vec<&str> = queues.iter().map(|(name, _)| *name).collect();
    let flow = flow(&joins, &names);
    let texts = all.iter().flat_map(|stage| [stage.name.clone(), what(stage)]);
    let longest = texts.chain(names.iter().map(|name| (*name).to_owned())).map(|text| text.chars().count());
    let letters = longest.max().unwrap_or(0).clamp(8, MOST_LETTERS);
    let sheet = Sheet::new(letters as f64 * LETTER + 16.0, &flow);
    let stage = |(at, middle): (usize, (f64, f64))| Node {
        name: all[at].name.clone(),
        about: what(&all[at]),
        is_stage: true,
        middle,
    };
    let queue = |((name, about), point): (&(&str, String), &Point)| Node {
        name: (*name).to_owned(),
        about: about.clone(),
        is_stage: false,
        middle: sheet.at(*point),
    };
    let stages = in_order(&joined, &alone, &flow, &sheet);
    let nodes: Vec<Node> =
        stages.into_iter().map(stage).chain(queues.iter().zip(&flow.queues).map(queue)).collect();
    let mut lines: Vec<String> =
        flow.edges.iter().map(|edge| line(&sheet, &flow, &nodes, joined[edge.stage], edge)).collect();
    lines.extend(all.iter().enumerate().flat_map(|(at, stage)| {
        graph.before(stage).map(|before| order(&sheet, &nodes[before], &nodes[at])).collect::<Vec<_>>()
    }));
    render(&graph.pipeline.name, &sheet, &lines, &nodes)
}

fn outputs(graph: &Graph, stage: &Stage) -> Vec<String> {
    let printed = graph.prints(stage).then(|| STANDARD_OUTPUT.to_owned());
    stage.work.outputs.iter().cloned().chain(printed).collect()
}

/// Their names, and what is said of them.
fn queues<'a>(graph: &Graph<'a>, outputs: &[Vec<String>]) -> Vec<(&'a str, String)> {
    let own = graph.pipeline.queues.iter();
    let mut queues: Vec<(&str, String)> =
        own.map(|queue| (queue.name.as_str(), format!("up to {}", queue.limits.capacity))).collect();
    if outputs.iter().flatten().any(|name| name == STANDARD_OUTPUT) {
        queues.push((STANDARD_OUTPUT, String::new()));
    }
    queues
}

/// The places of all stages, in the order of the file: those that nothing joins stand in a grid below the others.
fn in_order(joined: &[usize], alone: &[usize], flow: &Flow, sheet: &Sheet) -> Vec<(usize, (f64, f64))> {
    let middles = flow.stages.iter().map(|point| sheet.at(*point));
    let mut places: Vec<(usize, (f64, f64))> = joined.iter().copied().zip(middles).collect();
    places.extend(alone.iter().enumerate().map(|(n, at)| (*at, sheet.below(n))));
    places.sort_by_key(|(at, _)| *at);
    places
}

/// A line between a stage and a queue. `at`: the place of the stage in the file.
fn line(sheet: &Sheet, flow: &Flow, nodes: &[Node], at: usize, edge: &Edge) -> String {
    let queues = nodes.len() - flow.queues.len();
    let ends =
        [(&nodes[at], flow.stages[edge.stage]), (&nodes[queues + edge.queue], flow.queues[edge.queue])];
    let [(from, start), (to, end)] = if edge.reads { [ends[1], ends[0]] } else { ends };
    if let Some(way) = sheet.way(start, end) {
        return angular(&way);
    }
    if from.middle.0 >= to.middle.0 {
        return around(sheet, sheet.lane(start, (from.middle.1 + to.middle.1) / 2.0), from, to);
    }
    let half = sheet.width / 2.0;
    let mut points = vec![(from.middle.0 + half, from.middle.1)];
    // Straight on beside the boxes of a rank.
    points.extend(
        edge.bends.iter().map(|bend| sheet.at(*bend)).flat_map(|(x, y)| [(x - half, y), (x + half, y)]),
    );
    points.push((to.middle.0 - half - 2.0, to.middle.1));
    curve("", &points)
}

/// Back, above or below all boxes of a row.
fn around(sheet: &Sheet, lane: f64, from: &Node, to: &Node) -> String {
    let end = |node: &Node| node.middle.1 + (lane - node.middle.1).signum() * node.height() / 2.0;
    let (start, x, turn) = (end(from), from.middle.0, sheet.width / 4.0);
    let (stop, to_x) = (end(to) + (lane - to.middle.1).signum() * 2.0, to.middle.0);
    let (leaves, comes) = (x - turn, to_x + turn);
    format!(
        "<path d=\"M{x:.1},{start:.1}Q{x:.1},{lane:.1} {leaves:.1},{lane:.1}L{comes:.1},{lane:.1}\
         Q{to_x:.1},{lane:.1} {to_x:.1},{stop:.1}\"/>"
    )
}

/// Along and across by turns, with round corners.
fn angular(points: &[(f64, f64)]) -> String {
    let mut path = format!("<path d=\"M{:.1},{:.1}", points[0].0, points[0].1);
    for corner in points.windows(3) {
        let (x, y) = corner[1];
        let [before, after] = [corner[0], corner[2]].map(|(to_x, to_y)| {
            let (dx, dy) = (to_x - x, to_y - y);
            let part = (CORNER / dx.hypot(dy).max(f64::EPSILON)).min(0.5);
            (x + dx * part, y + dy * part)
        });
        // Writing to a String can't fail.
        let _ = write!(path, "L{:.1},{:.1}Q{x:.1},{y:.1} {:.1},{:.1}", before.0, before.1, after.0, after.1);
    }
    let (x, y) = points[points.len() - 1];
    format!("{path}L{x:.1},{y:.1}\"/>")
}

/// From a stage to one that starts after it.
fn order(sheet: &Sheet, from: &Node, to: &Node) -> String {
    let (dx, dy) = (to.middle.0 - from.middle.0, to.middle.1 - from.middle.1);
    if dx.abs() < 1.0 || dy.abs() > STAGE_HEIGHT + GAP.1 {
        let down = STAGE_HEIGHT / 2.0 * dy.signum();
        let (start, end) = (from.middle.1 + down, to.middle.1 - down - 2.0 * dy.signum());
        let middle = (start + end) / 2.0;
        let (x, to_x) = (from.middle.0, to.middle.0);
        return format!(
            "<path class=\"after\" d=\"M{x:.1},{start:.1}C{x:.1},{middle:.1} {to_x:.1},{middle:.1} {to_x:.1},{end:.1}\"/>"
        );
    }
    let half = sheet.width / 2.0 * dx.signum();
    let end = (to.middle.0 - half - 2.0 * dx.signum(), to.middle.1);
    curve(" class=\"after\"", &[(from.middle.0 + half, from.middle.1), end])
}

fn curve(class: &str, points: &[(f64, f64)]) -> String {
    let mut path = format!("<path{class} d=\"M{:.1},{:.1}", points[0].0, points[0].1);
    for pair in points.windows(2) {
        let [(x, y), (to_x, to_y)] = [pair[0], pair[1]];
        let middle = (x + to_x) / 2.0;
        // Writing to a String can't fail.
        let _ = write!(path, "C{middle:.1},{y:.1} {middle:.1},{to_y:.1} {to_x:.1},{to_y:.1}");
    }
    path + "\"/>"
}

fn render(name: &str, sheet: &Sheet, lines: &[String], nodes: &[Node]) -> String {
    let far = |side: fn(&Node) -> f64| nodes.iter().map(side).fold(0.0, f64::max);
    let width = far(|node| node.middle.0) + sheet.width / 2.0 + sheet.beside;
    let height = sheet.height(far(|node| node.middle.1) + STAGE_HEIGHT / 2.0);
    let name = escaped(name);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"The pipeline {name}\">\n<title>{name}</title>\n\
         <style>{STYLE}</style>\n<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"9\" \
         markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n"
    );
    lines.iter().chain(&nodes.iter().map(|node| drawn(sheet, node)).collect::<Vec<_>>()).for_each(|line| {
        text.push_str(line);
        text.push('\n');
    });
    text + "</svg>\n"
}

fn drawn(sheet: &Sheet, node: &Node) -> String {
    let (class, round) = if node.is_stage { ("stage", 6) } else { ("queue", 18) };
    let ((x, y), width, height) = (node.middle, sheet.width, node.height());
    let (left, top) = (x - width / 2.0, y - height / 2.0);
    let label = |class: &str, y: f64, text: &str| {
        format!("<text{class} x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(&cut(text)))
    };
    let texts = match node.about.as_str() {
        "" => label(" class=\"name\"", y + 4.0, &node.name),
        about => label(" class=\"name\"", y - 3.0, &node.name) + &label("", y + 12.0, about),
    };
    let title = escaped(format!("{} {}", node.name, node.about).trim_end());
    format!(
        "<g><title>{title}</title><rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\" rx=\"{round}\"/>{texts}</g>"
    )
}

/// In its middle: the end of a title says how many processes there are.
fn cut(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    match letters.len() {
        len if len <= MOST_LETTERS => text.to_owned(),
        len => letters[..MOST_LETTERS - 8].iter().chain(&['…']).chain(&letters[len - 7..]).collect(),
    }
}

/// What a file of XML can hold: titles of programs hold anything.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_becomes_markup() {
        assert_eq!(escaped("<script>\"&'\u{0}\n\u{fffe}é"), "&lt;script&gt;&quot;&amp;'   é");
    }

    #[test]
    fn a_long_text_is_cut_in_its_middle() {
        assert_eq!(cut("short ×2"), "short ×2");
        let long = cut(&format!("{} ×12", "é".repeat(60)));
        assert_eq!((long.chars().count(), long.ends_with("… ×12")), (MOST_LETTERS, false));
        assert!(long.ends_with("é ×12"), "{long}");
    }
}
