//! Entries for the systemd journal, by its native protocol: one datagram each, with fields that a query can use.
//!
//! Written here rather than with a crate for it: the one that is kept well files an info as a notice and a debug as an
//! info, and adds the source's line numbers; the protocol is the few lines below.

use crate::sys::readiness::bytes_unread;
use log::{Level, Record};
use nix::sys::stat::fstat;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

const ADDRESS: &str = "/run/systemd/journal/socket";
/// A journal that takes nothing for this long gets the line by standard error.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// What `journalctl -t` finds.
const IDENTIFIER: &str = "mprun";
/// Bytes that an entry's other fields take at most: names are short.
pub(super) const FIELD_BYTES: usize = 1024;

/// Whether standard error is the journal: `$JOURNAL_STREAM` names the very file (a redirection keeps the variable).
pub(super) fn is_stderr() -> bool {
    let Some(named) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    fstat(io::stderr()).is_ok_and(|about| named == format!("{}:{}", about.st_dev, about.st_ino))
}

/// As in syslog.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// A stage, and the number of a worker of it.
pub(super) type Worker = (String, u32);

/// The speaker stands in the text, too: `journalctl` shows nothing else of it by itself.
pub(super) fn message(text: &str, speaker: Option<&Worker>) -> String {
    match speaker {
        Some((stage, index)) => format!("{stage}[{index}] {text}"),
        None => text.to_owned(),
    }
}

/// `worker`: the one that the message is about.
pub(super) fn entry(level: Level, message: &str, pipeline: Option<&str>, worker: Option<&Worker>) -> String {
    let mut fields = vec![
        ("MESSAGE", message.to_owned()),
        ("PRIORITY", priority(level).to_string()),
        ("SYSLOG_IDENTIFIER", IDENTIFIER.to_owned()),
        ("SYSLOG_PID", std::process::id().to_string()),
    ];
    fields.extend(pipeline.map(|name| ("MPRUN_PIPELINE", name.to_owned())));
    if let Some((stage, index)) = worker {
        fields.extend([("MPRUN_STAGE", stage.clone()), ("MPRUN_WORKER", index.to_string())]);
    }
    fields.iter().map(|(name, value)| field(name, value)).collect()
}

/// One for the process. `None`: it could not be made.
fn socket() -> Option<&'static UnixDatagram> {
    static SOCKET: OnceLock<Option<UnixDatagram>> = OnceLock::new();
    let open = || {
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT)).ok()?;
        Some(socket)
    };
    SOCKET.get_or_init(open).as_ref()
}

/// Whether the journal has taken it.
pub(super) fn send(entry: &[u8]) -> bool {
    socket().is_some_and(|socket| socket.send_to(entry, ADDRESS).is_ok())
}

/// An entry as a line that the journal reads from standard error: its level and its message.
pub(super) fn as_line(entry: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(entry);
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    format!("<{}>{}\n", value("PRIORITY="), value("MESSAGE=")).into_bytes()
}

/// Waits until the journal has read what this process has sent: it looks up whose unit an entry is from when it reads
/// it, and of a process that is gone it finds none. It waits 0.1 s at most.
///
/// The kernel tells of room in a socket, not that it is empty: so this polls, once in a process's life.
pub(super) fn wait_until_read() {
    const POLLS: u32 = 50;
    const PAUSE: Duration = Duration::from_millis(2);
    for _ in 0..POLLS {
        match socket().map(|socket| bytes_unread(socket.as_fd())) {
            Some(Ok(1..)) => thread::sleep(PAUSE),
            Some(Ok(_) | Err(_)) | None => return,
        }
    }
}

/// The worker that a record names (`stage[index]`).
pub(super) fn worker_of(record: &Record<'_>) -> Option<Worker> {
    worker(&record.key_values().get("worker".into())?.to_string())
}

/// By its name, `stage[index]`.
pub(super) fn worker(name: &str) -> Option<Worker> {
    let (stage, index) = name.strip_suffix(']')?.rsplit_once('[')?;
    Some((stage.to_owned(), index.parse().ok()?))
}

/// `NAME=value`: a line end in the value would begin a field of its own.
fn field(name: &str, value: &str) -> String {
    format!("{name}={}\n", value.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_fields_that_a_query_can_use() {
        let worker = ("show".to_owned(), 3);
        let entry = entry(Level::Warn, &message("slow", Some(&worker)), Some("demo"), Some(&worker));
        let pid = std::process::id();
        let lines = format!(
            "MESSAGE=show[3] slow\nPRIORITY=4\nSYSLOG_IDENTIFIER=mprun\nSYSLOG_PID={pid}\n\
             MPRUN_PIPELINE=demo\nMPRUN_STAGE=show\nMPRUN_WORKER=3\n"
        );
        assert_eq!(entry, lines);
        assert_eq!(as_line(entry.as_bytes()), b"<4>show[3] slow\n");
    }

    #[test]
    fn what_is_said_about_a_worker_is_found_by_its_stage() {
        let record = |worker: &str| {
            let about_it = [("worker", worker)];
            worker_of(&Record::builder().key_values(&about_it).build())
        };
        assert_eq!(record("show[3]"), Some(("show".to_owned(), 3)));
        assert_eq!(record("show"), None);
        assert_eq!(worker_of(&Record::builder().build()), None);
    }

    #[test]
    fn a_line_end_in_a_value_makes_no_field_of_its_own() {
        assert_eq!(field("A", "b\nPRIORITY=0"), "A=b PRIORITY=0\n");
    }
}
