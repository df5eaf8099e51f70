//! What the child does between clone and exec: plain system calls only. It shares the parent's memory and runs while
//! the parent rests: no allocation, no lock, no library call that keeps state. Credentials are changed by the bare
//! system calls, since libc's own would tell the parent's other threads to follow.

use super::{Limit, ProcessSpec, Resource, STEPS, StartError, Step};
use crate::sys::close_on_exec;
use nix::errno::Errno;
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// All that the child needs; made by the parent, which keeps it alive until the child is gone from it.
pub(super) struct Orders<'a> {
    pub blueprint: &'a ProcessSpec,
    pub ignored: &'a [i32],
    pub arguments: &'a [*const c_char],
    pub environment: &'a [*const c_char],
    pub stdio: [c_int; 3],
    pub parent: i32,
    pub note: Option<&'a AtomicU64>,
    pub failure: &'a Failure,
}

/// Where the child leaves word of what failed.
#[derive(Default)]
pub(super) struct Failure(Cell<(u32, i32)>);

impl Failure {
    fn leave(&self, step: Step) {
        self.0.set((step as u32, Errno::last_raw()));
    }

    pub fn take(&self) -> Option<StartError> {
        // Volatile: the compiler can't know that a call to `clone` changes it.
        // SAFETY: reads a live, initialised cell; the child, who alone writes to it, has left this memory.
        let (step, errno) = unsafe { self.0.as_ptr().read_volatile() };
        let step = STEPS.into_iter().find(|known| *known as u32 == step)?;
        Some(StartError { step, errno: Errno::from_raw(errno) })
    }
}

/// The child's whole life before its exec. Ends in `_exit`, not `exit`: buffers and exit handlers are the parent's.
pub(super) extern "C" fn enter(orders: *mut c_void) -> c_int {
    // SAFETY: the parent passes its orders, and keeps them until this child is past its exec or its end.
    let orders = unsafe { &*orders.cast::<Orders<'_>>() };
    let step = match orders.obey() {
        Err(step) => step,
        Ok(()) => {
            // SAFETY: both tables end with a null and point to strings that end with one.
            unsafe {
                let file = orders.blueprint.file.as_ptr();
                libc::execve(file, orders.arguments.as_ptr(), orders.environment.as_ptr());
            }
            Step::Exec
        }
    };
    orders.failure.leave(step);
    // SAFETY: ends this process only.
    unsafe { libc::_exit(127) }
}

impl Orders<'_> {
    fn obey(&self) -> Result<(), Step> {
        let blueprint = self.blueprint;
        // SAFETY: plain system calls on values that live in the parent's memory, which rests; see the head of the file.
        unsafe {
            // A session of its own: its group can be killed as a whole, and it can't stop on the terminal.
            check(libc::setsid(), Step::Session)?;
            if let Some(note) = self.note {
                note.store(libc::getpid().unsigned_abs().into(), Ordering::Release);
            }
            for (number, fd) in (0..).zip(self.stdio) {
                check(libc::dup2(fd, number), Step::Descriptors)?;
            }
            close_on_exec::mark_from(3);
            for &signal in self.ignored {
                libc::signal(signal, libc::SIG_DFL);
            }
            if let Some(nice) = blueprint.nice {
                check(libc::setpriority(libc::PRIO_PROCESS, 0, nice), Step::Nice)?;
            }
            blueprint.limits.iter().try_for_each(set_limit)?;
            blueprint.soft_open_files.map_or(Ok(()), lower_open_files)?;
            if let Some(umask) = blueprint.umask {
                libc::umask(umask);
            }
            self.become_somebody()?;
            check(libc::chdir(blueprint.folder.as_ptr()), Step::Folder)?;
            // After the credentials: a change of them takes it back.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), Step::Orphaned)?;
            if libc::getppid() != self.parent {
                return Err(Step::Orphaned);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut()), Step::Exec)
        }
    }

    /// # Safety
    /// Only in the child.
    unsafe fn become_somebody(&self) -> Result<(), Step> {
        let Some(identity) = &self.blueprint.identity else { return Ok(()) };
        let group = identity.group;
        // SAFETY: bare system calls, with a live list.
        unsafe {
            let set = libc::syscall(libc::SYS_setgroups, identity.groups.len(), identity.groups.as_ptr());
            check(set as c_int, Step::Group)?;
            check(libc::syscall(libc::SYS_setresgid, group, group, group) as c_int, Step::Group)?;
            if let Some(user) = identity.user {
                check(libc::syscall(libc::SYS_setresuid, user, user, user) as c_int, Step::User)?;
            }
            // No set-user-id program may bring back what was given away.
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), Step::User)
        }
    }
}

fn set_limit(limit: &Limit) -> Result<(), Step> {
    let resource = match limit.resource {
        Resource::Memory => libc::RLIMIT_AS,
        Resource::OpenFiles => libc::RLIMIT_NOFILE,
        Resource::CpuTime => libc::RLIMIT_CPU,
    };
    // At the soft limit of computing time the kernel sends SIGXCPU, at the hard one SIGKILL: that would look like a kill
    // from outside.
    let grace = u64::from(limit.resource == Resource::CpuTime);
    let most = libc::rlimit { rlim_cur: limit.most, rlim_max: limit.most.saturating_add(grace) };
    // SAFETY: reads a live structure; limits belong to the process, which is the child.
    check(unsafe { libc::setrlimit(resource, &raw const most) }, Step::Limits)
}

fn lower_open_files(soft: u64) -> Result<(), Step> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both work on a live structure; limits belong to the process, which is the child.
    unsafe {
        check(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), Step::Limits)?;
        limit.rlim_cur = soft.min(limit.rlim_max);
        check(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), Step::Limits)
    }
}

fn check(result: c_int, step: Step) -> Result<(), Step> {
    if result < 0 { Err(step) } else { Ok(()) }
}
