//! What the child does between clone and exec: plain system calls only, as the [module](super) says. Credentials are
//! changed by the bare system calls, since libc's own would tell the parent's other threads to follow.

use super::orders::{Orders, Report};
use super::{Limit, ProcessGroupMode, StartFailure, StartStep};
use crate::sys::close_on_exec;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering;

/// The child's whole life before its exec.
pub(super) extern "C" fn enter(orders: *mut c_void) -> c_int {
    // SAFETY: the parent passes its orders, and keeps them until this child is past its exec or its end.
    let orders = unsafe { &*orders.cast::<Orders<'_>>() };
    let step = match orders.obey() {
        Err(step) => step,
        Ok(()) => {
            orders.execute();
            StartStep::Exec
        }
    };
    orders.tell(step, Errno::last_raw());
    // SAFETY: ends this process only.
    unsafe { libc::_exit(127) }
}

impl Orders<'_> {
    /// Returns only if no file could be executed: with the error of the first that is there.
    fn execute(&self) {
        let mut found = 0;
        for &file in self.files {
            // SAFETY: both tables end with a null and point to strings that end with one.
            unsafe { libc::execve(file, self.arguments.as_ptr(), self.environment.as_ptr()) };
            match Errno::last_raw() {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES if self.files.len() > 1 => {}
                errno => {
                    found = errno;
                    break;
                }
            }
        }
        if found != 0 {
            Errno::set_raw(found);
        }
    }

    fn tell(&self, step: StartStep, errno: i32) {
        match self.report {
            Report::Word(failure) => failure.set(step, errno),
            Report::Pipe(fd) => {
                // SAFETY: plain system calls, with strings and a buffer that live.
                unsafe {
                    let is_there =
                        self.files.first().is_some_and(|&file| libc::access(file, libc::F_OK) == 0);
                    let word = StartFailure::encode(step, errno, is_there);
                    libc::write(fd, word.as_ptr().cast(), word.len());
                }
            }
        }
    }

    fn obey(&self) -> Result<(), StartStep> {
        // SAFETY: plain system calls on values that live in the parent's memory; see the head of the module.
        unsafe {
            match self.group {
                ProcessGroupMode::OwnGroup => check(libc::setpgid(0, 0), StartStep::SetUp)?,
                ProcessGroupMode::OwnSession => check(libc::setsid(), StartStep::Session)?,
                ProcessGroupMode::ParentsGroup => {}
            }
            if let Some(word) = self.pid_word {
                word.store(libc::getpid().unsigned_abs().into(), Ordering::Release);
            }
            // What the child is to get is put in place after this.
            close_on_exec::mark_from(3);
            for &(fd, number) in self.descriptors {
                check(libc::dup2(fd, number), StartStep::Descriptors)?;
            }
            self.reset_signals();
            if let Some(score) = self.oom_score {
                write_oom_score(score);
            }
            if let Some(nice) = self.nice {
                check(libc::setpriority(libc::PRIO_PROCESS, 0, nice), StartStep::Nice)?;
            }
            self.limits.iter().try_for_each(set_limit)?;
            self.soft_open_files.map_or(Ok(()), lower_open_files)?;
            if let Some(mark) = self.mark {
                mark.set(libc::getpid().unsigned_abs());
            }
            if let Some(umask) = self.umask {
                libc::umask(umask);
            }
            self.user_ids.map_or(Ok(()), |(user, group, groups)| assume(user, group, groups))?;
            if let Some(folder) = self.folder {
                check(libc::chdir(folder.as_ptr()), StartStep::Folder)?;
            }
            if !self.outlives_parent {
                self.die_with_parent()?;
            }
            let blocked: *const libc::sigset_t = self.blocked.as_ref();
            check(libc::sigprocmask(libc::SIG_SETMASK, blocked, ptr::null_mut()), StartStep::SetUp)
        }
    }

    fn reset_signals(&self) {
        let set = |signal, action| {
            // SAFETY: a plain system call; neither action is a function.
            unsafe { libc::signal(signal, action) };
        };
        self.not_default.iter().for_each(|signal| set(*signal, libc::SIG_DFL));
        // A worker may have given it a handler since that list was made; in here it would write into the worker's memory.
        set(libc::SIGTERM, libc::SIG_DFL);
        if self.group == ProcessGroupMode::ParentsGroup {
            [libc::SIGINT, libc::SIGQUIT].into_iter().for_each(|signal| set(signal, libc::SIG_IGN));
        }
    }

    /// Called after the credentials: a change of them takes it back.
    fn die_with_parent(&self) -> Result<(), StartStep> {
        // SAFETY: plain system calls.
        unsafe {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), StartStep::SetUp)?;
            // The parent may have died before that call: then nothing would ever kill this child.
            if libc::getppid() == self.parent { Ok(()) } else { Err(StartStep::Orphaned) }
        }
    }
}

/// # Safety
/// Only in the child.
unsafe fn assume(user: Option<u32>, group: u32, groups: &[u32]) -> Result<(), StartStep> {
    // SAFETY: bare system calls, with a live list.
    unsafe {
        let set = libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr());
        check(set as c_int, StartStep::Group)?;
        check(libc::syscall(libc::SYS_setresgid, group, group, group) as c_int, StartStep::Group)?;
        if let Some(user) = user {
            check(libc::syscall(libc::SYS_setresuid, user, user, user) as c_int, StartStep::User)?;
        }
        // No set-user-id program may bring back what was given away.
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), StartStep::User)
    }
}

/// Where it can't be written the score stays the parent's.
///
/// # Safety
/// Only in the child.
unsafe fn write_oom_score(score: &CStr) {
    // SAFETY: plain system calls, with strings that live.
    unsafe {
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, score.as_ptr().cast(), score.count_bytes());
            libc::close(file);
        }
    }
}

fn set_limit(limit: &Limit) -> Result<(), StartStep> {
    // At the soft limit of computing time the kernel sends SIGXCPU, at the hard one SIGKILL: that would look like a kill
    // from outside.
    let grace = u64::from(limit.resource == Resource::RLIMIT_CPU);
    let hard = limit.most.saturating_add(grace);
    setrlimit(limit.resource, limit.most, hard).map_err(|_| StartStep::Limits)
}

fn lower_open_files(soft: u64) -> Result<(), StartStep> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|_| StartStep::Limits)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard).map_err(|_| StartStep::Limits)
}

fn check(result: c_int, step: StartStep) -> Result<(), StartStep> {
    if result < 0 { Err(step) } else { Ok(()) }
}
