//! The variables by which a service manager speaks to one process.

/// Whether a variable is meant for the process that the manager started, and for none of its children: a program that
/// is a stage must not take the pipeline's descriptors for its own, nor tell the manager that *it* is ready.
///
/// A program that replaces this one (the same pid) keeps all but `LISTEN_…`: those descriptors have been taken.
pub fn is_for_this_process_only(name: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_the_journal_are_for_children_too() {
        assert!(is_for_this_process_only(b"NOTIFY_SOCKET"));
        for shared in [&b"STATE_DIRECTORY"[..], b"JOURNAL_STREAM", b"INVOCATION_ID"] {
            assert!(!is_for_this_process_only(shared));
        }
    }
}
