//! The table of processes, as `/proc` shows it. A process that ends while it is read is left out.

use super::mark::RunMark;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Every process whose parent is `parent`. One that appears or ends while this looks may be missed; the end of a child
/// sends SIGCHLD, and is a reason to read the table again.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    listed_children(parent).unwrap_or_else(|| all().filter(|&pid| parent_of(pid) == Some(parent)).collect())
}

/// The kernel's own lists, one for each thread: their cost is that of the children, not of all processes. `None`: there
/// is none (the kernel was built without it), or a thread has ended meanwhile and left its children to another one.
fn listed_children(parent: u32) -> Option<Vec<u32>> {
    let mut children = Vec::new();
    for thread in fs::read_dir(format!("/proc/{parent}/task")).ok()? {
        let list = fs::read_to_string(thread.ok()?.path().join("children")).ok()?;
        children.extend(list.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Some(children)
}

/// Whether a signal has stopped the process, and it is not continued yet.
pub(crate) fn is_stopped(pid: u32) -> bool {
    stat_of(pid).is_some_and(|stat| stat.starts_with('T'))
}

/// How many processes have `ancestor` above them, without the dead ones that are not reaped yet. One look at the table,
/// however many they are.
pub(crate) fn descendants_of(ancestor: u32) -> usize {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in all() {
        if let Some(stat) = stat_of(pid)
            && !is_dead(&stat)
            && let Some(parent) = parent_in(&stat)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut left = vec![ancestor];
    let mut counted = 0;
    while let Some(parent) = left.pop() {
        // Taken out: what changes while it is read can't make a circle of it.
        let own = children.remove(&parent).unwrap_or_default();
        counted += own.len();
        left.extend(own);
    }
    counted
}

/// All processes at one moment.
pub(crate) struct Descendants {
    children: HashMap<u32, Vec<u32>>,
    /// By the number of their session.
    sessions: HashMap<u32, Vec<u32>>,
}

impl Descendants {
    /// One look at the table.
    pub(crate) fn look() -> Descendants {
        let (mut children, mut sessions) = (HashMap::new(), HashMap::new());
        for pid in all() {
            let Some(stat) = stat_of(pid).filter(|stat| !is_dead(stat)) else { continue };
            let field = |n: usize| stat.split(' ').nth(n)?.parse::<u32>().ok();
            let (Some(parent), Some(session)) = (field(1), field(3)) else { continue };
            children.entry(parent).or_insert_with(Vec::new).push(pid);
            sessions.entry(session).or_insert_with(Vec::new).push(pid);
        }
        Descendants { children, sessions }
    }

    /// How many are in the session that `leader` leads, or have one of these above them.
    pub(crate) fn with_session_of(&self, leader: u32) -> usize {
        let mut left = self.sessions.get(&leader).cloned().unwrap_or_default();
        let mut found = HashSet::new();
        while let Some(pid) = left.pop() {
            if found.insert(pid) {
                left.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        found.len()
    }
}

/// Steps up from a process to its ancestors: what changes while they are taken can't make a circle of them.
const MOST_STEPS: usize = 256;

/// Whether a process is in the session that `leader` leads, is that one, or has it above itself; `None`: it is gone.
pub(crate) fn belongs_to(pid: u32, leader: u32) -> Option<bool> {
    let stat = stat_of(pid)?;
    let session = stat.split(' ').nth(3).and_then(|session| session.parse::<u32>().ok());
    let ancestors = std::iter::successors(Some(pid), |&pid| parent_of(pid)).take(MOST_STEPS);
    Some(session == Some(leader) || ancestors.into_iter().any(|ancestor| ancestor == leader))
}

/// The user that a process runs as.
pub(crate) fn user(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}")).ok().map(|about| about.uid())
}

/// The value of a variable that a process was started with; `None`: it has none, or it can't be read.
pub(crate) fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |entry: &[u8]| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    environment.split(|&byte| byte == 0).find_map(value)
}

/// The resident memory of a process in bytes, without the pages that others have, too.
pub(crate) fn private_memory(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    private_pages(&statm).map(|pages| pages * page.cast_unsigned())
}

/// From "size resident shared …".
fn private_pages(statm: &str) -> Option<u64> {
    let mut fields = statm.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared))
}

/// Every process that was started with `entry` (`NAME=value`) in its environment and is not a zombie.
pub(crate) fn with_environment(entry: &[u8]) -> Vec<u32> {
    all().filter(|&pid| has_entry(pid, entry)).collect()
}

/// Every process with the mark of a run, or with `entry` in its environment, that is not dead.
pub(crate) fn of_run(mark: RunMark, entry: &[u8]) -> Vec<u32> {
    let lives = |pid: u32| stat_of(pid).is_some_and(|stat| !is_dead(&stat));
    all().filter(|&pid| (mark.is_on(pid) || has_entry(pid, entry)) && lives(pid)).collect()
}

/// What a process calls itself.
pub(crate) fn name(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim_end().to_owned())
}

/// Whether `thread` is a thread of the process `pid`.
pub(crate) fn is_thread_of(thread: u32, pid: u32) -> bool {
    thread == pid || fs::exists(format!("/proc/{pid}/task/{thread}")).unwrap_or(false)
}

/// When a process began, in clock ticks since the machine did: with its pid that names it for good. `None`: it is gone,
/// or all that is left of it is what its parent has not asked for yet.
pub(crate) fn started(pid: u32) -> Option<u64> {
    let stat = stat_of(pid).filter(|stat| !stat.starts_with(['Z', 'X']))?;
    stat.split(' ').nth(19)?.parse().ok()
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent_of(pid: u32) -> Option<u32> {
    parent_in(&stat_of(pid)?)
}

/// What `/proc/PID/stat` holds of a process, from its state on.
fn stat_of(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may itself hold spaces and parentheses: what counts stands after the last one.
    Some(stat.rsplit_once(") ")?.1.to_owned())
}

fn parent_in(stat: &str) -> Option<u32> {
    stat.split(' ').nth(1)?.parse().ok()
}

/// A zombie whose other threads run on is alive: only its first thread has ended.
fn is_dead(stat: &str) -> bool {
    stat.starts_with(['Z', 'X'])
        && stat.split(' ').nth(17).is_none_or(|threads| threads == "1" || threads == "0")
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
        let parent = std::os::unix::process::parent_id();
        assert!(children_of(parent).contains(&std::process::id()));
        let listed = listed_children(std::process::id());
        assert!(listed.is_some(), "this kernel has no lists of children, and the others are tried in vain");
    }

    #[test]
    fn a_process_belongs_to_those_above_it() {
        let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
        assert_eq!((belongs_to(own, own), belongs_to(own, parent)), (Some(true), Some(true)));
        assert_eq!((belongs_to(own, u32::MAX), belongs_to(u32::MAX, own)), (Some(false), None));
        assert_eq!(user(own), Some(nix::unistd::geteuid().as_raw()));
    }

    #[test]
    fn descendants_are_counted_at_any_depth() {
        let script = "sh -c 'sleep 60 & sleep 60 & echo up; wait' & wait";
        let mut command = std::process::Command::new("setsid");
        command.args(["sh", "-c", script]).stdout(std::process::Stdio::piped());
        let mut top = command.spawn().unwrap();
        let mut said = [0; 3];
        std::io::Read::read_exact(top.stdout.as_mut().unwrap(), &mut said).unwrap();
        assert_eq!(descendants_of(top.id()), 3);
        super::super::group::signal_group(top.id(), nix::sys::signal::Signal::SIGKILL).unwrap();
        top.wait().unwrap();
    }

    #[test]
    fn a_dead_process_that_is_not_reaped_is_not_counted() {
        // A shell may reap its children at any time, so the child ends only once `sleep`, which
        // reaps none, has taken the shell's place.
        let script = "exec 3<&0; cat <&3 & exec sleep 60 <&- 3<&-";
        let mut command = std::process::Command::new("setsid");
        command.args(["sh", "-c", script]).stdin(std::process::Stdio::piped());
        let mut top = command.spawn().unwrap();
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let wait_until = |holds: &dyn Fn() -> bool| {
            while !holds() {
                assert!(std::time::Instant::now() < limit);
                std::thread::yield_now();
            }
        };
        let name = format!("/proc/{}/comm", top.id());
        wait_until(&|| fs::read_to_string(&name).unwrap() == "sleep\n");
        let [child] = children_of(top.id())[..] else { panic!("{:?}", children_of(top.id())) };
        drop(top.stdin.take());
        wait_until(&|| stat_of(child).unwrap().starts_with('Z'));
        assert_eq!((children_of(top.id()), descendants_of(top.id())), (vec![child], 0));
        super::super::group::signal_group(top.id(), nix::sys::signal::Signal::SIGKILL).unwrap();
        top.wait().unwrap();
    }

    #[test]
    fn shared_pages_are_not_the_process_s_own() {
        assert_eq!(private_pages("5000 1200 200 1 0 900 0\n"), Some(1000));
        assert!(private_memory(std::process::id()).is_some());
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
