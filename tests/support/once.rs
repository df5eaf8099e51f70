//! Items that a storm must leave in a file once, each as a line of its own.

/// Nothing ends but what is killed, and what is killed starts at once.
pub const STORMY: &str = "[defaults]\nattempts = 1000000\ngive_up = { restarts = 1000000, within = '1m' }\n\
                      backoff = { initial = '1ms', max = '2ms', reset_after = '1ms' }\n";

/// Items of this many bytes and more: a batch of them is several pieces.
pub fn item(n: u32) -> String {
    format!("<{n} {}>", "-".repeat(n as usize % 50))
}

pub const PARTS: u32 = 30;
const PART: u32 = 1000;
/// All of them.
pub const ALL: u32 = PARTS * PART;

/// What is typed to the run after each part of the storm.
pub fn feed(part: u32) -> Vec<u8> {
    (part * PART + 1..=(part + 1) * PART).flat_map(|n| (item(n) + "\n").into_bytes()).collect()
}

/// Whether so many whole lines are there.
pub fn is_whole(text: &str, n: u32) -> bool {
    text.ends_with('\n') && text.lines().count() >= n as usize
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
