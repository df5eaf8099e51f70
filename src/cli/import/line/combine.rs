//! Several lists of arguments: all combinations, or those side by side.

/// One list.
pub(super) struct List {
    /// It goes along with the list before it.
    pub is_linked: bool,
    pub items: Vec<String>,
}

/// The arguments of each command, one command after the other. `all_linked`: short lists begin anew.
pub(super) fn combinations(lists: &[List], all_linked: bool) -> Vec<String> {
    if all_linked {
        let longest = lists.iter().map(|list| list.items.len()).max().unwrap_or(0);
        let row = |n: usize| lists.iter().filter_map(move |list| list.items.iter().cycle().nth(n));
        return (0..longest).flat_map(row).cloned().collect();
    }
    let mut rows: Vec<Vec<String>> = vec![Vec::new()];
    for group in groups(lists) {
        let with = |row: &Vec<String>| {
            let row = row.clone();
            group.iter().map(move |more| [row.as_slice(), more.as_slice()].concat()).collect::<Vec<_>>()
        };
        rows = rows.iter().flat_map(with).collect();
    }
    rows.concat()
}

/// Lists that go along with each other, as rows; the shortest ends them.
fn groups(lists: &[List]) -> Vec<Vec<Vec<String>>> {
    let mut groups: Vec<Vec<Vec<String>>> = Vec::new();
    for list in lists {
        match groups.last_mut() {
            Some(rows) if list.is_linked => {
                rows.truncate(list.items.len());
                rows.iter_mut().zip(&list.items).for_each(|(row, item)| row.push(item.clone()));
            }
            _ => groups.push(list.items.iter().map(|item| vec![item.clone()]).collect()),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_combined_as_parallel_does() {
        let list =
            |is_linked, items: &str| List { is_linked, items: items.chars().map(String::from).collect() };
        let shown = |lists: &[List], linked| combinations(lists, linked).concat();
        assert_eq!(shown(&[list(false, "ab"), list(false, "12")], false), "a1a2b1b2");
        assert_eq!(shown(&[list(false, "ab"), list(true, "123")], false), "a1b2");
        assert_eq!(shown(&[list(false, "ab"), list(true, "12"), list(false, "xy")], false), "a1xa1yb2xb2y");
        assert_eq!(shown(&[list(false, "ab"), list(false, "123")], true), "a1b2a3");
    }
}
