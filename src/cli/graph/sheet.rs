//! Where the boxes of a picture stand. A flow goes from left to right. One that is too long for a document continues in the next
//! row, as on the page; the page folds by the width of a window, and by the sizes that its own boxes have there.

use crate::layout::{Edge, Flow, Point};

pub(super) const STAGE_HEIGHT: f64 = 46.0;
/// Between two ranks, and between two boxes of a rank.
pub(super) const GAP: (f64, f64) = (36.0, 16.0);
const MARGIN: f64 = 10.0;
/// Between the boxes and a line that goes along above or below all of them.
const LANE: f64 = 12.0;
/// Between two lines from one row to another. More than [`MOST_LINES`] of them lie on each other.
const LINE_DISTANCE: f64 = 5.0;
const MOST_LINES: usize = 4;
/// In the column of a document, a picture of this width can still be read.
const WIDEST: f64 = 1200.0;
/// Of the stages that no queue joins.
const FEWEST_COLUMNS: usize = 4;

/// See [`self`].
pub(super) struct Sheet {
    /// Of a box.
    pub width: f64,
    /// Free space at both sides.
    pub beside: f64,
    /// Free space above all boxes and below them.
    pub above: f64,
    /// Ranks in a row.
    columns: usize,
    rows: Vec<Row>,
}

struct Row {
    top: f64,
    bottom: f64,
    /// Places across in the layout, in their order, and in this row.
    across: Vec<(f64, f64)>,
    /// The boxes from which lines lead to other rows.
    leaving: Vec<Point>,
}

impl Sheet {
    pub(super) fn new(width: f64, flow: &Flow) -> Sheet {
        let fits = |beside: f64| (WIDEST - 2.0 * beside + GAP.0) / (width + GAP.0);
        let is_whole = flow.length as f64 <= fits(MARGIN);
        let beside = if is_whole { MARGIN } else { MARGIN + GAP.0 };
        // A row begins with a stage, as most ranks of stages and of queues take turns.
        let columns = if is_whole { flow.length } else { (fits(beside) as usize / 2 * 2).max(2) };
        let mut sheet = Sheet { width, beside, above: MARGIN, columns, rows: Vec::new() };
        if flow.edges.iter().any(|edge| sheet.is_against_the_flow(flow, edge)) {
            sheet.above += LANE;
        }
        for row in 0..flow.length.div_ceil(columns.max(1)) {
            let top = sheet.rows.last().map_or(sheet.above, |last| last.bottom + last.gutter());
            let row = sheet.row(flow, row, top);
            sheet.rows.push(row);
        }
        sheet
    }

    fn row(&self, flow: &Flow, row: usize, top: f64) -> Row {
        let is_here = |point: &&Point| self.row_of(**point) == row;
        let bends = flow.edges.iter().filter(|edge| !self.is_between_rows(flow, edge));
        let points = flow.stages.iter().chain(&flow.queues).chain(bends.flat_map(|edge| &edge.bends));
        let mut values: Vec<f64> = points.filter(is_here).map(|point| point.across).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let mut across: Vec<(f64, f64)> = Vec::new();
        for value in values {
            // In a flow of several rows, what stood between two places may be in another row.
            let next = across.last().map_or(0.0, |(last, at)| at + (value - last).min(1.0));
            across.push((value, if flow.length > self.columns { next } else { value }));
        }
        let mut leaving: Vec<Point> = Vec::new();
        for edge in flow.edges.iter().filter(|edge| self.is_between_rows(flow, edge)) {
            let (from, _) = ends(flow, edge);
            if self.row_of(from) == row && !leaving.contains(&from) {
                leaving.push(from);
            }
        }
        let breadth = across.last().map_or(0.0, |(_, at)| *at);
        Row { top, bottom: top + breadth * (STAGE_HEIGHT + GAP.1) + STAGE_HEIGHT, across, leaving }
    }

    fn row_of(&self, point: Point) -> usize {
        point.along / self.columns.max(1)
    }

    fn is_between_rows(&self, flow: &Flow, edge: &Edge) -> bool {
        let (from, to) = ends(flow, edge);
        self.row_of(from) != self.row_of(to)
    }

    /// Whether a line closes a circle: it leads against the flow, or to a box of the same rank.
    fn is_against_the_flow(&self, flow: &Flow, edge: &Edge) -> bool {
        let (from, to) = ends(flow, edge);
        from.along >= to.along && !self.is_between_rows(flow, edge)
    }

    /// The middle of a box.
    pub(super) fn at(&self, point: Point) -> (f64, f64) {
        let row = &self.rows[self.row_of(point)];
        let x = self.beside + self.width / 2.0 + (point.along % self.columns) as f64 * (self.width + GAP.0);
        (x, row.top + STAGE_HEIGHT / 2.0 + row.place(point.across) * (STAGE_HEIGHT + GAP.1))
    }

    /// The middle of a box below the flow: of the stages that no queue joins, the one with this number.
    pub(super) fn below(&self, number: usize) -> (f64, f64) {
        let columns = self.columns.max(FEWEST_COLUMNS);
        let x = self.beside + self.width / 2.0 + (number % columns) as f64 * (self.width + GAP.0);
        let line = (number / columns) as f64;
        let y = match self.rows.last() {
            Some(last) => last.bottom - STAGE_HEIGHT / 2.0 + (line + 1.4) * (STAGE_HEIGHT + GAP.1),
            None => self.above + STAGE_HEIGHT / 2.0 + line * (STAGE_HEIGHT + GAP.1),
        };
        (x, y)
    }

    /// Where a line between two boxes of a row goes back: above all of them or below them, what is nearer.
    pub(super) fn lane(&self, of: Point, y: f64) -> f64 {
        let Row { top, bottom, .. } = &self.rows[self.row_of(of)];
        if y < (top + bottom) / 2.0 { top - LANE } else { bottom + LANE }
    }

    /// The way from a box to one of another row: below its own row, and beside all rows if the other one is not the next.
    /// `None`: they are in the same row.
    pub(super) fn way(&self, start: Point, end: Point) -> Option<Vec<(f64, f64)>> {
        let (own, other) = (self.row_of(start), self.row_of(end));
        if own == other {
            return None;
        }
        let ((x, y), (to_x, to_y)) = (self.at(start), self.at(end));
        let right = x + self.width / 2.0;
        let left = to_x - self.width / 2.0;
        let number = self.rows[own].leaving.iter().position(|point| *point == start).unwrap_or(0);
        let aside = (number % MOST_LINES) as f64 * LINE_DISTANCE;
        let below = |row: &Row| row.bottom + 2.0 * LANE + aside;
        let (leaves, comes) = (right + GAP.0 / 3.0 + aside, left - GAP.0 / 2.0 - aside / 2.0);
        let mut way = vec![(right, y), (leaves, y), (leaves, below(&self.rows[own]))];
        if other != own + 1 {
            let margin = self.beside - GAP.0 + aside / 2.0;
            let gutter = other.checked_sub(1).map_or(self.above / 2.0, |before| below(&self.rows[before]));
            way.extend([(margin, below(&self.rows[own])), (margin, gutter), (comes, gutter)]);
        } else {
            way.push((comes, below(&self.rows[own])));
        }
        way.extend([(comes, to_y), (left - 2.0, to_y)]);
        Some(way)
    }
}

impl Sheet {
    /// The height of the picture. `lowest`: the end of the lowest box.
    pub(super) fn height(&self, lowest: f64) -> f64 {
        let lines = self.rows.last().filter(|last| !last.leaving.is_empty());
        lines.map_or(0.0, |last| last.bottom + last.gutter() - 2.0 * LANE).max(lowest) + self.above
    }
}

impl Row {
    /// The height of what is between this row and the next.
    fn gutter(&self) -> f64 {
        let lines = self.leaving.len().clamp(1, MOST_LINES);
        4.0 * LANE + (lines - 1) as f64 * LINE_DISTANCE
    }

    fn place(&self, across: f64) -> f64 {
        let found = self.across.binary_search_by(|(value, _)| value.total_cmp(&across));
        found.map_or(across, |at| self.across[at].1)
    }
}

/// The beginning of an edge and its end, in the direction of the flow.
fn ends(flow: &Flow, edge: &Edge) -> (Point, Point) {
    let (stage, queue) = (flow.stages[edge.stage], flow.queues[edge.queue]);
    if edge.reads { (queue, stage) } else { (stage, queue) }
}
