//! Which items a worker holds, in its own memory: the table in the arena says the same in spans.

use crate::queue::transaction::holdings::EntryPart;

/// A lease that ends as a dead letter once it is committed.
pub(super) struct DeadLease {
    /// Its own.
    pub entry: u16,
    pub cause: String,
}

/// One leased item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Held {
    /// Its entry of the slot's table.
    pub entry: u16,
    /// Its place in the entry's extent; 0 where it is alone.
    pub at: u16,
}

/// The items of an entry that follow each other in a list of leases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct HeldSpan {
    pub entry: u16,
    /// The place of the first.
    pub at: usize,
    pub items: usize,
}

/// Entry by entry. The items of one entry follow each other in every list.
pub(super) fn spans(leases: &[Held]) -> impl Iterator<Item = HeldSpan> + '_ {
    leases.chunk_by(|a, b| a.entry == b.entry).map(|span| HeldSpan {
        entry: span[0].entry,
        at: span[0].at as usize,
        items: span.len(),
    })
}

/// Leases that are done, from the front of a list: they join the parts that are done already.
pub(super) fn join(parts: &mut Vec<EntryPart>, leases: &[Held]) {
    for HeldSpan { entry, items, .. } in spans(leases) {
        match parts.last_mut() {
            Some(part) if part.entry == entry => part.items += items,
            Some(_) | None => parts.push(EntryPart { entry, items }),
        }
    }
}

/// The items of an entry that a list begins with have another one now.
pub(super) fn rename(leases: &mut [Held], from: u16, to: u16) {
    leases.iter_mut().take_while(|held| held.entry == from).for_each(|held| held.entry = to);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_joined_entry_by_entry() {
        let held: Vec<Held> =
            [(3, 0), (3, 1), (3, 2), (7, 0), (5, 8)].map(|(entry, at)| Held { entry, at }).to_vec();
        let mut parts = Vec::new();
        join(&mut parts, &held[..2]);
        assert_eq!(parts, [EntryPart { entry: 3, items: 2 }]);
        join(&mut parts, &held[2..]);
        let all = [(3, 3), (7, 1), (5, 1)].map(|(entry, items)| EntryPart { entry, items });
        assert_eq!(parts, all);
        let last = HeldSpan { entry: 5, at: 8, items: 1 };
        assert_eq!(spans(&held).last(), Some(last));
    }
}
