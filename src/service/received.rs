//! What a service manager passes to one process: descriptors that it kept from an earlier run, by name; variables.

use crate::sys::inherited;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

/// The number of the first one (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// What came back from the store. A descriptor that is not taken is closed with this; in the store it stays until it is
/// removed.
#[derive(Debug, Default)]
pub(crate) struct Received {
    all: Vec<(String, OwnedFd)>,
    /// Those that could not be taken.
    faults: Vec<String>,
}

impl Received {
    /// By `$LISTEN_FDS`, `$LISTEN_PID` and `$LISTEN_FDNAMES`. Call it once, before anything else opens a descriptor:
    /// after that, a number may belong to another descriptor.
    pub(crate) fn from_environment() -> Received {
        let names = names(|name| std::env::var(name).ok(), std::process::id());
        let mut received = Received::default();
        for (number, name) in (FIRST..).zip(names) {
            match inherited::take(number) {
                Ok(fd) => received.all.push((name, fd)),
                Err(error) => received.faults.push(fault(number, &name, &error)),
            }
        }
        received
    }

    /// Those of this name, in the order in which they were stored.
    pub(crate) fn take(&mut self, name: &str) -> Vec<OwnedFd> {
        self.all.extract_if(.., |(of, _)| of == name).map(|(_, fd)| fd).collect()
    }

    /// The names that are left: an older or newer version may have stored them.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|(name, _)| name.as_str())
    }

    /// What is wrong with those that could not be taken, for the log.
    pub(crate) fn faults(&self) -> &[String] {
        &self.faults
    }
}

/// Whether a variable is meant for the process that the manager started, and for none of its children: a program that
/// is a stage must not take the pipeline's descriptors for its own, nor notify the manager that *it* is ready.
///
/// A program that replaces this one (the same pid) keeps all but `LISTEN_…`: those descriptors have been taken.
pub(crate) fn is_for_this_process_only(name: &[u8]) -> bool {
    let names: [&[u8]; 7] = [
        b"NOTIFY_SOCKET",
        b"WATCHDOG_USEC",
        b"WATCHDOG_PID",
        b"LISTEN_FDS",
        b"LISTEN_PID",
        b"LISTEN_FDNAMES",
        b"LISTEN_PIDFDID",
    ];
    names.contains(&name)
}

fn fault(number: RawFd, name: &str, error: &io::Error) -> String {
    format!("the descriptor {name:?} of the service manager (number {number}) can't be taken: {error}")
}

/// One name per descriptor that is for this process.
fn names(variable: impl Fn(&str) -> Option<String>, pid: u32) -> Vec<String> {
    let number = |name| variable(name)?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(pid) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).min(inherited::MAX_COUNT);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let named = names.split(':').map(str::to_owned).chain(std::iter::repeat_with(String::new));
    named.take(count as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fds: &str, pid: &str, names: &str) -> Vec<String> {
        let find = |name: &str| match name {
            "LISTEN_FDS" => Some(fds.to_owned()),
            "LISTEN_PID" => Some(pid.to_owned()),
            "LISTEN_FDNAMES" => Some(names.to_owned()),
            _ => None,
        };
        super::names(find, 7)
    }

    #[test]
    fn folders_and_the_journal_are_for_children_too() {
        assert!(is_for_this_process_only(b"NOTIFY_SOCKET"));
        for shared in [&b"STATE_DIRECTORY"[..], b"JOURNAL_STREAM", b"INVOCATION_ID"] {
            assert!(!is_for_this_process_only(shared));
        }
    }

    #[test]
    fn each_descriptor_has_its_name_and_only_this_process_takes_them() {
        assert_eq!(of("2", "7", "queues:other"), ["queues", "other"]);
        assert_eq!(of("2", "7", "queues"), ["queues", ""]);
        assert_eq!(of("1", "7", "queues:other"), ["queues"]);
        assert!(of("2", "8", "queues:other").is_empty());
        assert!(of("many", "7", "queues").is_empty());
        assert_eq!(of("4000000000", "7", "").len(), inherited::MAX_COUNT as usize);
    }
}
