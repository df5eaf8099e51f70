//! The nodes of each rank, in their order, and their places across the flow.

/// How often all ranks are put in the order of their neighbours, and moved towards them.
const SWEEPS: usize = 12;
/// Between two lines, or a line and a node.
const LINE_DISTANCE: f64 = 0.5;

/// The ranks, with a node more for each rank that an edge passes.
pub(super) struct Rows {
    ranks: Vec<usize>,
    /// Nodes that are no bends.
    real: usize,
    /// Of each edge, in its direction.
    pub bends: Vec<Vec<usize>>,
    rows: Vec<Vec<usize>>,
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
    /// Nodes that are joined have the same; parts that are not stay beside each other.
    part: Vec<usize>,
}

impl Rows {
    pub(super) fn new(ranks: &[usize], edges: &[(usize, usize)]) -> Rows {
        let mut rows = Rows {
            ranks: ranks.to_vec(),
            real: ranks.len(),
            bends: Vec::new(),
            rows: Vec::new(),
            before: vec![Vec::new(); ranks.len()],
            after: vec![Vec::new(); ranks.len()],
            part: (0..ranks.len()).collect(),
        };
        edges.iter().for_each(|(from, to)| rows.add_edge(*from, *to));
        rows.rows = vec![Vec::new(); ranks.iter().max().map_or(0, |rank| rank + 1)];
        for node in 0..rows.ranks.len() {
            let rank = rows.ranks[node];
            rows.rows[rank].push(node);
        }
        rows.order();
        rows
    }

    pub(super) fn rank(&self, node: usize) -> usize {
        self.ranks[node]
    }

    /// Bends stand on the ranks between its ends; an edge against the flow, or within a rank, is a straight line.
    fn add_edge(&mut self, from: usize, to: usize) {
        let (part, other) = (self.part[from].min(self.part[to]), self.part[from].max(self.part[to]));
        self.part.iter_mut().filter(|part| **part == other).for_each(|own| *own = part);
        let (mut last, mut bends) = (from, Vec::new());
        for rank in self.ranks[from] + 1..self.ranks[to] {
            let bend = self.ranks.len();
            self.ranks.push(rank);
            self.part.push(part);
            self.before.push(vec![last]);
            self.after.push(Vec::new());
            self.after[last].push(bend);
            bends.push(bend);
            last = bend;
        }
        if self.ranks[last] < self.ranks[to] {
            self.after[last].push(to);
            self.before[to].push(last);
        }
        self.bends.push(bends);
    }

    /// Few crossings: each rank in the order of the mean of its neighbours, from both sides by turns.
    fn order(&mut self) {
        let mut place = vec![0.0; self.ranks.len()];
        for row in &mut self.rows {
            let part = &self.part;
            row.sort_by_key(|node| part[*node]);
            row.iter().enumerate().for_each(|(at, node)| place[*node] = at as f64);
        }
        for sweep in 0..SWEEPS {
            let neighbours = if sweep % 2 == 0 { &self.before } else { &self.after };
            for n in 0..self.rows.len() {
                let n = if sweep % 2 == 0 { n } else { self.rows.len() - 1 - n };
                let row = &mut self.rows[n];
                let wanted = |node: &usize| mean(&neighbours[*node], &place).unwrap_or(place[*node]);
                let mut keyed: Vec<(usize, f64, usize)> =
                    row.iter().map(|node| (self.part[*node], wanted(node), *node)).collect();
                keyed.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
                *row = keyed.into_iter().map(|(_, _, node)| node).collect();
                row.iter().enumerate().for_each(|(at, node)| place[*node] = at as f64);
            }
        }
    }

    /// Places across: as near to the neighbours as order and distances let it; the smallest is 0.
    pub(super) fn places(&self) -> Vec<f64> {
        let mut place = vec![0.0; self.ranks.len()];
        for row in &self.rows {
            let mut at = 0.0;
            for pair in row.windows(2) {
                at += self.distance(pair[0], pair[1]);
                place[pair[1]] = at;
            }
        }
        let both: Vec<Vec<usize>> = self
            .before
            .iter()
            .zip(&self.after)
            .map(|(before, after)| [&before[..], after].concat())
            .collect();
        for sweep in 0..2 * SWEEPS {
            let neighbours = match sweep {
                sweep if sweep + 2 >= 2 * SWEEPS => &both,
                sweep if sweep % 2 == 0 => &self.before,
                _ => &self.after,
            };
            for n in 0..self.rows.len() {
                let n = if sweep % 2 == 0 { n } else { self.rows.len() - 1 - n };
                self.settle(&self.rows[n], neighbours, &mut place);
            }
        }
        let least = place.iter().copied().fold(f64::INFINITY, f64::min);
        place.iter().map(|at| if least.is_finite() { at - least } else { 0.0 }).collect()
    }

    fn distance(&self, one: usize, other: usize) -> f64 {
        if one < self.real && other < self.real { 1.0 } else { LINE_DISTANCE }
    }

    /// The least squares under the distances: neighbours in the row that want to be nearer than they may form a block,
    /// which stands where its members want to be in the mean.
    fn settle(&self, row: &[usize], neighbours: &[Vec<usize>], place: &mut [f64]) {
        let mut offset = 0.0;
        // The sum of what its members want, their number, and the first's place in the row.
        let mut blocks: Vec<(f64, usize)> = Vec::new();
        let mut offsets = Vec::with_capacity(row.len());
        for (at, node) in row.iter().enumerate() {
            if at > 0 {
                offset += self.distance(row[at - 1], *node);
            }
            offsets.push(offset);
            let wanted = mean(&neighbours[*node], place).unwrap_or(place[*node]) - offset;
            blocks.push((wanted, 1));
            while let [.., (before, count), (sum, more)] = blocks[..]
                && before / count as f64 >= sum / more as f64
            {
                blocks.pop();
                if let Some(last) = blocks.last_mut() {
                    *last = (before + sum, count + more);
                }
            }
        }
        let means = blocks.iter().flat_map(|(sum, count)| std::iter::repeat_n(sum / *count as f64, *count));
        for ((node, offset), mean) in row.iter().zip(offsets).zip(means) {
            place[*node] = mean + offset;
        }
    }
}

fn mean(nodes: &[usize], place: &[f64]) -> Option<f64> {
    let sum: f64 = nodes.iter().map(|node| place[*node]).sum();
    (!nodes.is_empty()).then(|| sum / nodes.len() as f64)
}
