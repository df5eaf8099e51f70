//! Items that a storm must leave in a file once, each as a line of its own.
//!
//! Each storm asserts how often it has killed, at least:
//!
//! | storms | over a `file` sink with four workers | over standard output in a file |
//! |---|---|---|
//! | one line once | [`DEATHS`] | 2 × [`DEATHS`] (appended, and at a position) |
//! | `replace`, a path with the time, a file that is moved | 3 × [`DEATHS`] | |
//! | another program appends, or the log (`2>&1`) | [`DEATHS`] | 2 × [`DEATHS`] |
//! | upgrades in place | [`DEATHS`] | [`DEATHS`] |
//! | a disk that is full in the middle | [`DEATHS`] | [`DEATHS`] |
//! | a stop right behind a kill | more than 5 | more than 3 |
//! | everything dies | more than 5, of all processes | more than 5, of all processes |
//! | sum | 7 × 88 and more: over 600 | 6 × 88 and more: over 500 |

/// Nothing ends but what is killed, and what is killed starts at once.
pub const STORMY: &str = "[defaults]\nattempts = 1000000\ngive_up = { restarts = 1000000, within = '1m' }\n\
                      backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n";

/// Items of this many bytes and more: a batch of them is several pieces.
pub fn item(n: u32) -> String {
    format!("<{n} {}>", "-".repeat(n as usize % 50))
}

pub const PARTS: u32 = 45;
const PART: u32 = 700;
/// How often a storm kills, at least: see [`storm`](super::storm::storm).
pub const DEATHS: u32 = 2 * (PARTS - 1);
const _: () = assert!(6 * DEATHS >= 500, "in each of the two ways to a file");
/// All of them.
pub const ALL: u32 = PARTS * PART;

/// What is typed to the run after each part of the storm.
pub fn feed(part: u32) -> Vec<u8> {
    (part * PART + 1..=(part + 1) * PART).flat_map(|n| (item(n) + "\n").into_bytes()).collect()
}

/// How many whole lines are there.
pub fn whole_lines(text: &str) -> usize {
    text.matches('\n').count()
}

#[track_caller]
pub fn assert_stormed(kills: u32) {
    assert!(kills >= DEATHS, "only {kills} kills");
}

#[track_caller]
pub fn assert_once(text: &str, n: u32) {
    assert!(text.is_empty() || text.ends_with('\n'));
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let mut items: Vec<String> = (1..=n).map(item).collect();
    items.sort_unstable();
    let wrong = lines.iter().zip(&items).find(|(line, item)| *line != item);
    assert!(wrong.is_none(), "a line that is torn or twice, or one before is missing: {wrong:?}");
    assert_eq!(lines.len(), items.len());
}

/// What is in `text` of the items `1 ..= n`, and how many lines come twice. All of them are there; `others`: lines that are not
/// ours. Of a line that is torn another program's bytes are a part, or the line end of one who came after it.
#[track_caller]
pub fn assert_there(text: &str, n: u32, others: impl Fn(&str) -> bool) -> (usize, usize) {
    let mut lines: Vec<&str> = text.lines().filter(|line| !others(line)).collect();
    lines.sort_unstable();
    let all = lines.len();
    lines.dedup();
    let mut items: Vec<String> = (1..=n).map(item).collect();
    items.sort_unstable();
    let is_item = |line: &&&str| items.binary_search_by(|item| item.as_str().cmp(line)).is_ok();
    let missing = items.iter().find(|item| lines.binary_search(&item.as_str()).is_err());
    assert_eq!(missing, None, "is missing");
    (all - lines.len(), lines.len() - lines.iter().filter(is_item).count())
}
