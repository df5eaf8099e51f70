//! What every run needs, checked once at the start: a worker that fails for the lack of it would only be started again and
//! again.

use super::{readiness, wait};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, Pid, access, pipe2, setpgid};
use std::io;
use std::path::{Path, PathBuf};

/// Something that is needed is not there; what, and what may be done.
#[derive(Debug)]
pub(crate) struct Missing {
    /// What was tried.
    what: &'static str,
    error: io::Error,
    hint: &'static str,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to {}: {}; {}", self.what, self.error, self.hint)
    }
}

/// Whether this machine, or the sandbox around this process, has it all.
pub(crate) fn check() -> Result<(), Missing> {
    check_proc(Path::new("/proc"))?;
    let tried = |what, result: io::Result<()>| result.map_err(|error| Missing { what, hint: DENIED, error });
    tried("wait for child processes (waitid)", wait::probe())?;
    tried("give workers process groups of their own (setpgid)", may_set_groups())?;
    tried("wait for descriptors (ppoll)", readiness::probe())?;
    tried("make pipes to new processes (pipe2)", pipe2(OFlag::O_CLOEXEC).map(drop).map_err(io::Error::from))
}

/// Asked for a process that is not there: that it is missed is the answer of a kernel that looked for it.
fn may_set_groups() -> io::Result<()> {
    match setpgid(Pid::from_raw(i32::MAX), Pid::from_raw(0)) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Workers are this same program, executed by `/proc/self/exe`; who is whose child stands in `/proc`, too.
fn check_proc(proc: &Path) -> Result<(), Missing> {
    let readable = |name: &str, mode| access::<PathBuf>(&proc.join(name), mode);
    let tried =
        readable("self/stat", AccessFlags::R_OK).and_then(|()| readable("self/exe", AccessFlags::X_OK));
    tried.map_err(|errno| Missing {
        what: "start workers by /proc/self/exe",
        error: errno.into(),
        hint: match errno {
            Errno::ENOENT | Errno::ENOTDIR => {
                "is /proc mounted? `mount -t proc proc /proc`, or let the sandbox show it (bwrap --proc /proc)"
            }
            _ => "a sandbox or a `noexec` mount must let this program read /proc/self and execute itself",
        },
    })
}

/// What to say of a system call that the kernel does not know, or must not obey.
pub(crate) const DENIED: &str = "does a sandbox (seccomp) deny it? docs/systems.md lists what mprun needs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        check().unwrap();
        let missing = check_proc(Path::new("/no/such/proc")).unwrap_err().to_string();
        assert!(missing.starts_with("failed to start workers by /proc/self/exe: No such file"), "{missing}");
        assert!(missing.contains("is /proc mounted? `mount -t proc proc /proc`"), "{missing}");
    }
}
