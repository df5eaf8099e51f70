//! A mark that says which run a process belongs to, and which process of the supervisor's it descends from.
//!
//! It is a soft limit of the kernel: the computing time under real-time scheduling (`RLIMIT_RTTIME`). A child inherits
//! it, and neither an exec, a new session, another user, nor an environment that is cleared or written over takes it
//! away: a daemon keeps it, where it loses `MPRUN_RUN`. Everybody may read it in `/proc/PID/limits`. Its value is
//! 146,000 years at least, so it limits nothing.
//!
//! | bits | what |
//! |---|---|
//! | 62 | set in every mark, and in no limit that is meant as one |
//! | 22 to 61 | the last 40 bits of the run's id |
//! | 0 to 21 | the pid of the process that the supervisor has started |
//!
//! A process that sets this limit for itself (a program of sound, by RealtimeKit), or that was started under a lower
//! hard limit, has no mark. It is known by its environment alone.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use std::fs;

const MARKED: u64 = 1 << 62;
const OWNER_BITS: u32 = 22;
const RUN_BITS: u32 = 40;
const OWNER: u64 = (1 << OWNER_BITS) - 1;
const RUN: u64 = (1 << RUN_BITS) - 1;

/// The mark of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunMark(u64);

impl RunMark {
    /// `run`: its id, hexadecimal.
    pub(crate) fn of(run: &str) -> RunMark {
        RunMark(u64::from_str_radix(run, 16).unwrap_or_default() & RUN)
    }

    /// Marks this process as the one that its descendants have above them. Plain system calls only. Where it is denied,
    /// there is no mark.
    pub(super) fn set(self, own_pid: u32) {
        let mark = MARKED | (self.0 << OWNER_BITS) | (u64::from(own_pid) & OWNER);
        set_soft(mark);
    }

    /// Whether a process has the mark of this run.
    pub(crate) fn is_on(self, pid: u32) -> bool {
        mark_of(pid).is_some_and(|mark| (mark >> OWNER_BITS) & RUN == self.0)
    }
}

/// This process is no descendant of the run under which it was started, if there is one.
pub(crate) fn clear() {
    set_soft(RLIM_INFINITY);
}

/// The process started by a supervisor that `pid` descends from, be it that one itself; `None`: it has no mark.
pub(crate) fn owner(pid: u32) -> Option<u32> {
    u32::try_from(mark_of(pid)? & OWNER).ok()
}

/// A limit that somebody has set for its own sake stays.
fn set_soft(mark: u64) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_RTTIME)
        && (soft == RLIM_INFINITY || is_mark(soft))
        && mark <= hard
    {
        let _ = setrlimit(Resource::RLIMIT_RTTIME, mark, hard);
    }
}

fn is_mark(limit: u64) -> bool {
    limit >> 62 == 1
}

fn mark_of(pid: u32) -> Option<u64> {
    mark_in(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

fn mark_in(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    line.split_ascii_whitespace().next()?.parse().ok().filter(|&limit| is_mark(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_among_the_limits() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max realtime priority     0                    0                    \n\
                      Max realtime timeout      4611686018427400249  unlimited            us        \n";
        assert_eq!(mark_in(limits), Some(4_611_686_018_427_400_249));
        assert_eq!(mark_in(&limits.replace("4611686018427400249", "unlimited")), None);
        assert_eq!(mark_in(&limits.replace("4611686018427400249", "200000")), None);
        assert_eq!(mark_in(""), None);
    }

    #[test]
    fn this_process_of_no_run_has_no_mark_of_one() {
        assert!(!RunMark::of("00000000deadbeef").is_on(std::process::id()));
        assert_eq!(RunMark::of("ffffff00deadbeef"), RunMark(0x00_dead_beef));
    }
}
