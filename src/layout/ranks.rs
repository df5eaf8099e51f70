//! Ranks along the flow.

/// The rank of each node: one more than the highest of those before it. What closes a circle counts for nothing.
pub(super) fn of(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut after = vec![Vec::new(); nodes];
    for (from, to) in edges {
        after[*from].push(*to);
    }
    let order = against_the_flow(&after);
    let mut place = vec![0; nodes];
    order.iter().rev().enumerate().for_each(|(at, node)| place[*node] = at);
    let mut ranks = vec![0_usize; nodes];
    for node in order.iter().rev() {
        for next in after[*node].iter().filter(|next| place[**next] > place[*node]) {
            ranks[*next] = ranks[*next].max(ranks[*node] + 1);
        }
    }
    let has_input: Vec<bool> = {
        let mut has = vec![false; nodes];
        edges.iter().filter(|(from, to)| from != to).for_each(|(_, to)| has[*to] = true);
        has
    };
    // A source stands right before what reads it.
    for node in (0..nodes).filter(|node| !has_input[*node]) {
        let next = after[node].iter().filter(|next| **next != node).map(|next| ranks[*next]).min();
        ranks[node] = next.map_or(0, |next| next.saturating_sub(1));
    }
    ranks
}

/// Each node behind all that it leads to, but for circles. Without recursion: a chain may be long.
fn against_the_flow(after: &[Vec<usize>]) -> Vec<usize> {
    let (mut order, mut seen) = (Vec::with_capacity(after.len()), vec![false; after.len()]);
    // In the order of the file: of a circle, the edge back to its first node is the one that counts for nothing.
    for start in 0..after.len() {
        if std::mem::replace(&mut seen[start], true) {
            continue;
        }
        let mut way = vec![(start, 0)];
        while let Some((node, at)) = way.last_mut() {
            let Some(next) = after[*node].get(*at).copied() else {
                order.push(*node);
                way.pop();
                continue;
            };
            *at += 1;
            if !std::mem::replace(&mut seen[next], true) {
                way.push((next, 0));
            }
        }
    }
    order
}
