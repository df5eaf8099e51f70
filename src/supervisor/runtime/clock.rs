//! Tells when the wall clock was set, or the machine was asleep: what is due by that clock is due at another moment then.

use super::inbox::{Notice, Sender};
use crate::sys::threads::spawn_without_signals;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::time::Duration;

/// Far enough: the timer is there for its cancellation only. It is set anew when it has gone off.
const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// Sends a [`Notice::ClockSet`] for each jump of the clock. The thread sleeps in the kernel, and ends with the process.
pub(crate) fn watch(to: Sender) -> io::Result<()> {
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC)?;
    set(&timer)?;
    spawn_without_signals("clock", move || {
        loop {
            let was_set = match timer.wait() {
                Err(Errno::ECANCELED) => true,
                Ok(()) | Err(Errno::EINTR) => false,
                Err(_) => return,
            };
            // First the timer, then the notice: what happens after this look is seen by the next.
            if set(&timer).is_err() || was_set && !to.send(Notice::ClockSet) {
                return;
            }
        }
    })
}

fn set(timer: &TimerFd) -> nix::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    timer.set(Expiration::OneShot(TimeSpec::from(now + FAR)), flags)
}
