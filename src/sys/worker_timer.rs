//! The time limit of an item: ends the process, whatever its code is doing.
//!
//! The timer is armed once and left to run. When it fires too early for the item at hand (which began later) it arms
//! itself for the rest; when no item is at hand it stays quiet until one begins. So an item costs a clock reading, and
//! a system call at most once per limit.

use nix::time::{ClockId, clock_gettime};
use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// What the process exits with when the limit is over, as timeout(1) does.
pub(crate) const EXIT_CODE: i32 = 124;

/// When the item at hand began, on the monotonic clock in nanoseconds; 0: there is none.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static LIMIT: AtomicU64 = AtomicU64::new(u64::MAX);
static ARMED: AtomicBool = AtomicBool::new(false);
/// The kernel's timer; null until it is made.
static TIMER: AtomicPtr<libc::c_void> = AtomicPtr::new(std::ptr::null_mut());
static IS_MADE: AtomicBool = AtomicBool::new(false);

type BeforeExit = Box<dyn Fn() + Send + Sync>;
static BEFORE_EXIT: OnceLock<BeforeExit> = OnceLock::new();

/// Makes the timer. `before_exit` is called in a signal handler right before the process ends: it may only store to
/// memory. Once per process; later calls do nothing.
pub(crate) fn prepare(before_exit: BeforeExit) -> io::Result<()> {
    if BEFORE_EXIT.set(before_exit).is_err() {
        return Ok(());
    }
    let signal = libc::SIGRTMIN() + 7;
    // SAFETY: all zero is a valid value of these two plain structures.
    let (mut action, mut event) = unsafe {
        (
            MaybeUninit::<libc::sigaction>::zeroed().assume_init(),
            MaybeUninit::<libc::sigevent>::zeroed().assume_init(),
        )
    };
    action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = libc::SA_RESTART;
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    let mut timer: libc::timer_t = std::ptr::null_mut();
    // SAFETY: the handler does only what is async-signal-safe (see there); the structures are live and filled in; a
    // real-time signal has no other meaning in this process.
    let failed = unsafe {
        libc::sigaction(signal, &raw const action, std::ptr::null_mut()) == -1
            || libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) == -1
    };
    if failed {
        return Err(io::Error::last_os_error());
    }
    TIMER.store(timer, SeqCst);
    IS_MADE.store(true, SeqCst);
    Ok(())
}

/// An item begins, with this limit.
pub(crate) fn begin(limit: Duration) {
    LIMIT.store(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1), SeqCst);
    begin_at(now());
}

fn begin_at(time: u64) {
    BEGUN.store(time, SeqCst);
    // Pairs with the handler: it disarms before it reads the item's start; this stores the start before it reads whether the
    // timer is armed. So one of the two sees the other's store.
    if !ARMED.swap(true, SeqCst) {
        arm(LIMIT.load(SeqCst));
    }
}

/// The item has ended, and no other has begun.
pub(crate) fn end() {
    BEGUN.store(0, SeqCst);
}

/// Waits for others (a reader, room in a queue): that is not the item's time.
#[inline]
pub(crate) fn not_counting<T>(wait: impl FnOnce() -> T) -> T {
    let begun = BEGUN.load(SeqCst);
    if begun == 0 {
        return wait();
    }
    let spent = now() - begun;
    BEGUN.store(0, SeqCst);
    let result = wait();
    begin_at(now().saturating_sub(spent).max(1));
    result
}

/// Only atomics, `clock_gettime`, `timer_settime` and `_exit`: all async-signal-safe.
extern "C" fn on_signal(_signal: libc::c_int) {
    ARMED.store(false, SeqCst);
    let begun = BEGUN.load(SeqCst);
    if begun == 0 {
        return;
    }
    let due = begun.saturating_add(LIMIT.load(SeqCst));
    let left = due.saturating_sub(now());
    if left == 0 {
        if let Some(before_exit) = BEFORE_EXIT.get() {
            before_exit();
        }
        // SAFETY: ends the process, now; that is the point.
        unsafe { libc::_exit(EXIT_CODE) };
    }
    if !ARMED.swap(true, SeqCst) {
        arm(left);
    }
}

fn arm(nanos: u64) {
    if !IS_MADE.load(SeqCst) {
        return;
    }
    let mut setting = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: libc::timespec { tv_sec: 0, tv_nsec: 0 },
    };
    setting.it_value.tv_sec = (nanos / 1_000_000_000).min(1 << 32).cast_signed();
    setting.it_value.tv_nsec = (nanos % 1_000_000_000) as libc::c_long;
    // SAFETY: the timer was made and is never deleted; the setting is live. It can't fail with valid times, and
    // nothing could be done about it here.
    unsafe { libc::timer_settime(TIMER.load(SeqCst), 0, &raw const setting, std::ptr::null_mut()) };
}

/// At least 1: 0 means that there is no item.
fn now() -> u64 {
    // This clock always exists.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)
}
