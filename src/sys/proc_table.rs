//! The table of processes, as `/proc` shows it. A process that ends while it is read is left out.

use std::fs;

/// Every process whose parent is `parent`.
pub fn children_of(parent: u32) -> Vec<u32> {
    all().filter(|&pid| parent_of(pid) == Some(parent)).collect()
}

/// How many processes have `ancestor` above them; not counted beyond `enough`.
pub fn descendants_of(ancestor: u32, enough: usize) -> usize {
    let (mut known, mut looked_at) = (children_of(ancestor), 0);
    while looked_at < known.len() && known.len() < enough {
        known.extend(children_of(known[looked_at]));
        looked_at += 1;
    }
    known.len()
}

/// Every process that was started with `entry` (`NAME=value`) in its environment and is not a zombie.
pub fn with_environment(entry: &[u8]) -> Vec<u32> {
    all().filter(|&pid| has_entry(pid, entry)).collect()
}

/// Whether `thread` is a thread of the process `pid`.
pub fn is_thread_of(thread: u32, pid: u32) -> bool {
    thread == pid || fs::exists(format!("/proc/{pid}/task/{thread}")).unwrap_or(false)
}

/// When a process began, in clock ticks since the machine did: with its pid that names it for good. `None`: it is gone,
/// or all that is left of it is what its parent has not asked for yet.
pub fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    if rest.starts_with(['Z', 'X']) {
        return None;
    }
    rest.split(' ').nth(19)?.parse().ok()
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may itself hold spaces and parentheses: what counts stands after the last one.
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

fn has_entry(pid: u32, entry: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|&byte| byte == 0).any(|each| each == entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_a_child_of_its_parent() {
        assert!(children_of(std::os::unix::process::parent_id()).contains(&std::process::id()));
    }

    #[test]
    fn a_process_is_named_by_its_start_too() {
        let own = started(std::process::id());
        assert!(own.is_some() && own == started(std::process::id()));
        assert!(started(1).unwrap() <= own.unwrap());
        assert_eq!(started(u32::MAX), None);
    }

    #[test]
    fn a_process_is_found_by_its_environment() {
        let mut sleeper =
            std::process::Command::new("sleep").arg("60").env("MPRUN_TEST_TABLE", "x1").spawn().unwrap();
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
        // Between fork and exec the child still has this process's environment.
        while with_environment(b"MPRUN_TEST_TABLE=x1") != [sleeper.id()] {
            assert!(std::time::Instant::now() < limit);
            std::thread::yield_now();
        }
        assert!(with_environment(b"MPRUN_TEST_TABLE=x").is_empty());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
