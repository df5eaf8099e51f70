//! A process that was stopped (SIGSTOP) inside the lock's ~100 ns section would hold up all others: it is killed.

/// What became of a thread that has kept the lock for long.
pub(super) enum Owner {
    /// There is no such thread.
    Gone,
    /// It was stopped, and is killed: the lock will pass on.
    Killed,
    /// It runs, or is none of ours.
    Running,
}

/// Kills the process of thread `tid` if it is stopped and belongs to this run: it is our parent, our child, or a
/// child of our parent. Its lock then passes on as at any other death.
#[cold]
pub(super) fn kill_if_stopped(tid: u32) -> Owner {
    if !std::path::Path::new("/proc/self").exists() {
        return Owner::Running; // without /proc its state is unknown
    }
    let Some((state, parent)) = state_and_parent(tid) else { return Owner::Gone };
    // SAFETY: no arguments.
    let (me, mine) = unsafe { (libc::getpid(), libc::getppid()) };
    let relative = parent == mine || parent == me || tid as i32 == mine;
    if state == b'T' && relative {
        // SAFETY: a plain kill; at worst the thread has just ended.
        unsafe { libc::kill(tid as i32, libc::SIGKILL) };
        return Owner::Killed;
    }
    Owner::Running
}

/// From /proc/TID/stat: the state follows the name in parentheses, which may itself hold anything.
fn state_and_parent(tid: u32) -> Option<(u8, i32)> {
    let stat = std::fs::read(format!("/proc/{tid}/stat")).ok()?;
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let mut fields = stat.get(name_end + 2..)?.split(|&byte| byte == b' ');
    let state = *fields.next()?.first()?;
    let parent = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    Some((state, parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_running_thread_is_read() {
        let (state, parent) = state_and_parent(std::process::id()).unwrap();
        assert!(b"RSD".contains(&state));
        assert_eq!(parent, std::os::unix::process::parent_id() as i32);
    }
}
