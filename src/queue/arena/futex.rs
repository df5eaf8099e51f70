//! The kernel's wait and wake on words that several processes share.
//!
//! A wait that the kernel or a sandbox refuses must not become a loop that never sleeps: the caller reads the word again
//! as soon as it returns. So each error that is no answer to the wait itself is followed by a short sleep.

#[cfg(test)]
use super::explored;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// Sleeps while the word is `value`, at most until `deadline`: then it is true. Returns early for any reason: read the word again.
pub(crate) fn wait(word: &AtomicU32, value: u32, deadline: Option<Instant>) -> bool {
    #[cfg(test)]
    if explored::is_on() {
        explored::wait(&[(word, value)]);
        return false;
    }
    let Some(timeout) = left(deadline) else { return true };
    let at = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word and the time-out outlive the call; FUTEX_WAIT reads them only.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, at) };
    match Answer::of(result) {
        Answer::Returned => false,
        Answer::TimedOut => true,
        Answer::Refused => {
            std::thread::sleep(until_soon(deadline, POLL_WITHOUT_FUTEX));
            false
        }
    }
}

/// A word is read this often where the kernel would not wait for it.
const POLL_WITHOUT_FUTEX: Duration = Duration::from_millis(10);
/// All words but the first are read this often where the kernel waits for one only.
const POLL_WITHOUT_WAITV: Duration = Duration::from_millis(50);

/// What came of a waiting call.
enum Answer {
    /// It was woken, interrupted, or the word was another one already.
    Returned,
    TimedOut,
    /// It did not wait: `ENOSYS` of an old kernel, `EPERM` or any other error of a sandbox.
    Refused,
}

impl Answer {
    fn of(result: libc::c_long) -> Answer {
        if result >= 0 {
            return Answer::Returned;
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Answer::Returned,
            Some(libc::ETIMEDOUT) => Answer::TimedOut,
            _ => Answer::Refused,
        }
    }
}

fn until_soon(deadline: Option<Instant>, most: Duration) -> Duration {
    deadline.map_or(most, |deadline| deadline.saturating_duration_since(Instant::now()).min(most))
}

/// Sleeps while every word is its value, as [`wait`] does. At most 128 words.
///
/// Linux 5.16; where the kernel or a sandbox refuses that, it waits for the first word only, and for 50 ms at most.
pub(crate) fn wait_any(words: &[(&AtomicU32, u32)], deadline: Option<Instant>) {
    #[cfg(test)]
    if explored::is_on() {
        return if deadline.is_some() { explored::wait_for_a_while(words) } else { explored::wait(words) };
    }
    if let [(word, value)] = words {
        wait(word, *value, deadline);
        return;
    }
    let mut waiters = [FutexWaitv::default(); 128];
    for (waiter, (word, value)) in waiters.iter_mut().zip(words) {
        *waiter = FutexWaitv {
            value: u64::from(*value),
            address: word.as_ptr() as u64,
            flags: SIZE_U32,
            reserved: 0,
        };
    }
    let Some(timeout) = left(deadline) else { return };
    let until = timeout.map(from_now);
    let at = until.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let n = words.len().min(waiters.len());
    // SAFETY: the array, the words in it and the time outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_futex_waitv, waiters.as_ptr(), n, 0, at, libc::CLOCK_MONOTONIC) };
    if let Answer::Refused = Answer::of(result) {
        let soon = Instant::now() + until_soon(deadline, POLL_WITHOUT_WAITV);
        wait(words[0].0, words[0].1, Some(soon));
    }
}

/// Wakes up to `n` waiters.
pub(crate) fn wake(word: &AtomicU32, n: i32) {
    #[cfg(test)]
    if explored::is_on() {
        return explored::wake(word, n);
    }
    // SAFETY: FUTEX_WAKE only uses the word's address.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, n) };
}

const SIZE_U32: u32 = 2; // FUTEX2_SIZE_U32, shared between processes

/// `struct futex_waitv`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FutexWaitv {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

/// Seconds that every libc and kernel can count.
const MAX_SECONDS: u64 = 1 << 32;

/// `None`: the deadline has passed. `Some(None)`: there is none.
fn left(deadline: Option<Instant>) -> Option<Option<libc::timespec>> {
    let Some(deadline) = deadline else { return Some(None) };
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    let (tv_sec, tv_nsec) = (left.as_secs().min(MAX_SECONDS).cast_signed(), left.subsec_nanos().into());
    Some(Some(libc::timespec { tv_sec, tv_nsec }))
}

fn from_now(left: libc::timespec) -> libc::timespec {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
    *(now + TimeSpec::from(left)).as_ref()
}
