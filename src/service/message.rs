//! Messages to a service manager, and their text.

use std::time::Duration;

/// As in `sd_notify(3)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// All is up, or a reload is over.
    Ready,
    /// A reload begins.
    Reloading,
    /// It is on its way out.
    Stopping,
    /// One line for people.
    Status(String),
    /// The main loop turns.
    Watchdog,
    /// From now on, it is given at least this long for what it is doing: until the next such message.
    ExtendTimeout(Duration),
    /// The error number that it fails with.
    Errno(i32),
    /// The exit code that it ends with.
    ExitStatus(u8),
    /// The process to watch.
    MainPid(u32),
}

impl Message {
    /// The next message of the kind makes this one needless.
    pub(super) fn is_superseded(&self) -> bool {
        match self {
            Message::Status(_) | Message::Watchdog => true,
            Message::Ready
            | Message::Reloading
            | Message::Stopping
            | Message::ExtendTimeout(_)
            | Message::Errno(_)
            | Message::ExitStatus(_)
            | Message::MainPid(_) => false,
        }
    }

    /// The assignments, one per line, without a final line end. `now`: of the monotonic clock.
    pub(super) fn text(&self, now: Duration) -> String {
        match self {
            Message::Ready => "READY=1".to_owned(),
            // The time tells the manager whether this is the answer to its own request, or to something earlier.
            Message::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()),
            Message::Stopping => "STOPPING=1".to_owned(),
            Message::Status(line) => format!("STATUS={}", without_line_ends(line)),
            Message::Watchdog => "WATCHDOG=1".to_owned(),
            Message::ExtendTimeout(by) => format!("EXTEND_TIMEOUT_USEC={}", by.as_micros()),
            Message::Errno(number) => format!("ERRNO={number}"),
            Message::ExitStatus(code) => format!("EXIT_STATUS={code}"),
            Message::MainPid(pid) => format!("MAINPID={pid}"),
        }
    }
}

/// A line end would begin another assignment.
fn without_line_ends(text: &str) -> String {
    text.trim_end().replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_smuggle_in_another_message() {
        let status = Message::Status("bad file\nSTOPPING=1\r\n".to_owned());
        assert_eq!(status.text(Duration::ZERO), "STATUS=bad file STOPPING=1");
    }

    #[test]
    fn times_are_microseconds() {
        let at = Duration::from_millis(1500);
        assert_eq!(Message::Reloading.text(at), "RELOADING=1\nMONOTONIC_USEC=1500000");
        assert_eq!(Message::ExtendTimeout(at).text(Duration::ZERO), "EXTEND_TIMEOUT_USEC=1500000");
    }
}
