//! Where the stages and queues of a pipeline stand in a drawing: in ranks along the flow, and beside each other in a rank.
//! Pure, and the same for the same graph.
//!
//! It is the layered method of Sugiyama: ranks by the longest way, the order in a rank by the mean of the neighbours, then
//! places as near to them as the order allows. Our own: a pipeline is small, has few crossings, and wants the order of its
//! file kept; the crates for it bring a graph library, and none promises not to panic.
#![forbid(unsafe_code)]

mod flow;
mod ranks;
mod rows;

pub(crate) use flow::{Edge, Flow, Joins, flow};

/// A drawing. Ranks are apart by 1 along the flow, nodes of a rank by 1 or more across it.
#[derive(Clone, Debug, PartialEq)]
struct Layout {
    /// Of each node: its rank, and its place across.
    pub nodes: Vec<Point>,
    /// Of each edge: the points between its ends, so that it leads around the nodes on its way.
    pub bends: Vec<Vec<Point>>,
    /// Ranks.
    pub length: usize,
    /// The largest place across.
    pub breadth: f64,
}

/// A place in the drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Point {
    pub along: usize,
    pub across: f64,
}

/// Lays out `nodes` nodes, which are joined by edges in the direction of the flow. Edges may form circles.
fn lay_out(nodes: usize, edges: &[(usize, usize)]) -> Layout {
    let ranks = ranks::of(nodes, edges);
    let rows = rows::Rows::new(&ranks, edges);
    let across = rows.places();
    let point = |node: usize| Point { along: rows.rank(node), across: across[node] };
    let length = ranks.iter().max().map_or(0, |rank| rank + 1);
    Layout {
        nodes: (0..nodes).map(point).collect(),
        bends: rows.bends.iter().map(|bends| bends.iter().map(|node| point(*node)).collect()).collect(),
        length,
        breadth: across.iter().copied().fold(0.0, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranks(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
        lay_out(nodes, edges).nodes.iter().map(|point| point.along).collect()
    }

    #[test]
    fn a_chain_is_a_straight_line_along_the_flow() {
        let layout = lay_out(4, &[(0, 1), (1, 2), (2, 3)]);
        assert_eq!(ranks(4, &[(0, 1), (1, 2), (2, 3)]), [0, 1, 2, 3]);
        assert!(layout.nodes.iter().all(|point| point.across == 0.0));
        assert_eq!((layout.length, layout.breadth), (4, 0.0));
    }

    #[test]
    fn a_late_source_stands_beside_what_reads_it() {
        assert_eq!(ranks(5, &[(0, 1), (1, 2), (2, 3), (4, 3)]), [0, 1, 2, 3, 2]);
    }

    #[test]
    fn a_fork_is_even_and_no_two_nodes_are_in_one_place() {
        let layout = lay_out(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
        let [top, left, right, end] = [0, 1, 2, 3].map(|node| layout.nodes[node].across);
        assert_eq!((left, right), (0.0, 1.0), "in the order of the file");
        assert_eq!((top, end), (0.5, 0.5));
    }

    #[test]
    fn an_edge_over_several_ranks_leads_around_what_is_between() {
        let layout = lay_out(3, &[(0, 1), (1, 2), (0, 2)]);
        assert_eq!(layout.bends[2].len(), 1);
        assert_ne!(layout.bends[2][0].across, layout.nodes[1].across);
    }

    #[test]
    fn circles_and_loops_and_nothing_are_laid_out_too() {
        assert_eq!(ranks(2, &[(0, 1), (1, 0)]), [0, 1]);
        assert_eq!(ranks(1, &[(0, 0)]), [0]);
        assert_eq!(ranks(0, &[]), [0; 0]);
    }

    #[test]
    fn random_graphs_keep_their_distances() {
        let mut random = fastrand::Rng::with_seed(17);
        for _ in 0..200 {
            let nodes = random.usize(1..40);
            let edge = |random: &mut fastrand::Rng| (random.usize(..nodes), random.usize(..nodes));
            let edges: Vec<_> = (0..random.usize(..60)).map(|_| edge(&mut random)).collect();
            let layout = lay_out(nodes, &edges);
            for (a, one) in layout.nodes.iter().enumerate() {
                assert!(one.across >= 0.0 && one.across.is_finite());
                for other in layout.nodes.iter().skip(a + 1).filter(|other| other.along == one.along) {
                    assert!((one.across - other.across).abs() > 0.999, "{edges:?}");
                }
            }
        }
    }
}
