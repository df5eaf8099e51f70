//! The arena's one lock: the kernel hands it on when its owner dies.
//!
//! It is a *robust futex* without the list: while an operation is under way the thread's `list_op_pending` points
//! at the word, which is all that the kernel's `exit_robust_list` needs to mark the word OWNER_DIED and wake one
//! waiter (see `man 2 set_robust_list` and Documentation/locking/robust-futexes.rst of the kernel). That takes some
//! 50 µs after a SIGKILL, whatever the victim's size, and no help from the supervisor.
//!
//! Word: 0 free | tid of the owner | OWNER_DIED (free, the last owner died) | WAITERS (there may be a waiter).
//!
//! | killed … | left behind | repaired by |
//! |---|---|---|
//! | with `pending` set, not yet owner | nothing | at most one wake-up too many |
//! | as the owner | word = tid | the kernel: OWNER_DIED, wakes one |
//! | after the swap to 0, before the wake | a waiter asleep on a free word | the kernel, as `pending` is still set; or, if another thread barged in, the first wake of `release` |
//! | before `pending` is cleared | nothing | at most one wake-up too many |

use super::backoff::{self, Backoff};
use super::stall;
use crate::queue::arena::{fault::Fault, futex, inject, layout::LOCK};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, compiler_fence};
use std::time::{Duration, Instant};

const TID: u32 = 0x3fff_ffff;
const OWNER_DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;

/// Pauses, some 8 µs in all: longer than many transactions of an owner that takes the lock again and again, shorter than a
/// sleep.
const SPIN_PAUSES: u32 = if cfg!(test) { 3 } else { 320 };
/// A waiter that has slept this long checks whether the owner was stopped (SIGSTOP).
const STALL_TIME: Duration = Duration::from_millis(50);
/// The longest that an owner may run, or be held by a debugger.
const OWNER_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });

/// `struct robust_list_head`.
#[repr(C)]
struct RobustList {
    list: *const RobustList,
    futex_offset: isize,
    pending: *mut u8,
}

/// The calling thread, as the kernel's robust futexes know it. Never kept across a fork; bound to its thread.
pub(crate) struct RobustThread {
    tid: u32,
    list: *mut RobustList,
}

impl RobustThread {
    #[cfg(miri)]
    pub fn new() -> Result<RobustThread, Fault> {
        let empty = RobustList { list: std::ptr::null(), futex_offset: 0, pending: std::ptr::null_mut() };
        Ok(RobustThread { tid: crate::queue::arena::interpreted::tid(), list: Box::leak(Box::new(empty)) })
    }

    #[cfg(not(miri))]
    pub(crate) fn new() -> Result<RobustThread, Fault> {
        let (mut list, mut len) = (std::ptr::null_mut::<RobustList>(), 0usize);
        // SAFETY: asks for the calling thread's own list head; both results are written by the kernel.
        let asked = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &mut list, &mut len) };
        // Denied by a sandbox: a list of our own. The one of libc serves its robust mutexes, and there are none here.
        if asked != 0 || list.is_null() {
            list = register()?;
        }
        // SAFETY: no arguments.
        let tid = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
        #[cfg(test)]
        let tid = crate::queue::arena::explored::number().unwrap_or(tid);
        Ok(RobustThread { tid, list })
    }

    #[inline]
    fn pending(&self, word: Option<&AtomicU32>) {
        // Not before the unlock: a Release store lets later stores move up past it, and a thread that died in
        // between would keep the lock for ever.
        compiler_fence(SeqCst);
        // SAFETY: `list` is this thread's registered head, alive as long as the thread (libc's, or leaked by
        // `register`). The kernel adds `futex_offset` back; the pointer itself is never dereferenced.
        unsafe {
            let at = word.map_or(std::ptr::null_mut(), |word| {
                word.as_ptr().cast::<u8>().wrapping_offset(-(*self.list).futex_offset)
            });
            std::ptr::write_volatile(&raw mut (*self.list).pending, at);
        }
        compiler_fence(SeqCst);
    }
}

#[cfg(not(miri))]
/// Some libcs register a list only with their first robust mutex.
fn register() -> Result<*mut RobustList, Fault> {
    let empty = RobustList { list: std::ptr::null(), futex_offset: 0, pending: std::ptr::null_mut() };
    let list = Box::into_raw(Box::new(empty)); // for the kernel, until the thread ends
    // SAFETY: the head is alive for ever, and an empty list points to itself.
    let result = unsafe {
        (*list).list = list;
        libc::syscall(libc::SYS_set_robust_list, list, size_of::<RobustList>())
    };
    if result == 0 { Ok(list) } else { Err(Fault::system("failed to register robust futexes")) }
}

/// How soon a thread that finds the lock taken tries again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LockPriority {
    /// At once: each transaction of the owner's may have to wait for what this one does.
    High,
    /// After as long as the end of one transaction takes: it has just seen what the owner did.
    Normal,
    /// After as long as some ten transactions take. With the lock go the lines of all that it guards, which costs more than
    /// a transaction. So threads that take it again and again had better each do several in a row, where they can.
    Low,
}

impl LockPriority {
    fn backoff(self) -> Backoff {
        match self {
            LockPriority::High => Backoff::new(SPIN_PAUSES),
            LockPriority::Normal => Backoff::from(8.min(SPIN_PAUSES), SPIN_PAUSES),
            LockPriority::Low => Backoff::from(backoff::MAX_PAUSES.min(SPIN_PAUSES), SPIN_PAUSES),
        }
    }
}

/// Takes the lock; true if its last owner died with it.
///
/// # Errors
/// When one owner keeps it for many times longer than any transaction takes: the word was overwritten.
#[inline]
pub(crate) fn lock(word: &AtomicU32, thread: &RobustThread, priority: LockPriority) -> Result<bool, Fault> {
    thread.pending(Some(word));
    inject::yield_point();
    // Acquire pairs with the Release in `unlock`.
    if word.compare_exchange(0, thread.tid, Acquire, Relaxed).is_ok() {
        return Ok(false);
    }
    let result = lock_slowly(word, thread, priority);
    if result.is_err() {
        thread.pending(None);
    }
    result
}

#[cold]
fn lock_slowly(word: &AtomicU32, thread: &RobustThread, priority: LockPriority) -> Result<bool, Fault> {
    let mut others = 0; // WAITERS once we slept: there may be more waiters
    let mut backoff = priority.backoff();
    let (mut owner, mut since) = (0, None);
    loop {
        inject::yield_point();
        let now = word.load(Relaxed);
        if now & TID == 0 {
            let mine = thread.tid | now & WAITERS | others;
            if word.compare_exchange(now, mine, Acquire, Relaxed).is_ok() {
                return Ok(now & OWNER_DIED != 0);
            }
        } else if backoff.pause() {
            // tries again
        } else if now & WAITERS != 0 || word.compare_exchange(now, now | WAITERS, Relaxed, Relaxed).is_ok() {
            let start = Instant::now();
            if owner != now & TID {
                (owner, since) = (now & TID, Some(start));
            }
            let is_long = futex::wait(word, now | WAITERS, Some(start + STALL_TIME));
            if is_long && word.load(Relaxed) & TID == owner {
                match stall::kill_if_stopped(owner) {
                    // The kernel clears the word before it lets go of the number: this one never was an owner.
                    stall::Owner::Gone => {
                        _ = word.compare_exchange(now | WAITERS, OWNER_DIED | WAITERS, Relaxed, Relaxed)
                    }
                    stall::Owner::Killed | stall::Owner::Running => {}
                }
                if since.is_some_and(|since| since.elapsed() > OWNER_TIMEOUT) {
                    return Err(Fault::damaged("the owner of the lock", LOCK, owner.into()));
                }
            }
            others = WAITERS;
            backoff = priority.backoff();
        }
    }
}

#[inline]
pub(crate) fn unlock(word: &AtomicU32, thread: &RobustThread) {
    // Release pairs with the Acquire of the next owner.
    if word.swap(0, Release) & WAITERS != 0 {
        futex::wake(word, 1);
    }
    thread.pending(None);
}

/// The owner is gone without the kernel's mark (the machine went down with it): the next one finishes its work.
pub(crate) fn declare_dead(word: &AtomicU32) {
    if word.load(Relaxed) & TID != 0 {
        word.store(OWNER_DIED, Relaxed);
    }
}

/// The thread that holds the lock now.
pub(crate) fn owner(word: &AtomicU32) -> Option<u32> {
    Some(word.load(Relaxed) & TID).filter(|&tid| tid != 0)
}

/// What the kernel does at the death of a thread, for a simulated one.
#[cfg(any(test, feature = "inject"))]
pub(crate) fn simulate_death(word: &AtomicU32, thread: &RobustThread) {
    if word.load(Relaxed) & TID == thread.tid {
        word.store(OWNER_DIED | word.load(Relaxed) & WAITERS, Relaxed);
        futex::wake(word, 1);
    }
    thread.pending(None);
}
