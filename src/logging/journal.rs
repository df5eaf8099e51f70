//! Entries for the systemd journal, by its native protocol: one datagram each, with fields that a query can use.
//!
//! Written here rather than with a crate for it: the one that is kept well files an info as a notice and a debug as an
//! info, and adds the source's line numbers; the protocol is the few lines below.

use super::Copies;
use env_logger::Logger;
use log::{Level, Log, Metadata, Record};
use nix::sys::stat::fstat;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::time::Duration;

const ADDRESS: &str = "/run/systemd/journal/socket";
/// A journal that takes nothing for so long gets the line by standard error, where it can wait without us.
const PATIENCE: Duration = Duration::from_secs(1);
/// What `journalctl -t` finds.
const IDENTIFIER: &str = "mprun";

/// One for the process. None: it could not be made.
static SOCKET: OnceLock<Option<UnixDatagram>> = OnceLock::new();

/// Entries wait in this socket until the journal reads them. None: nothing goes to the journal.
pub fn socket() -> Option<&'static UnixDatagram> {
    SOCKET.get()?.as_ref()
}

/// Whether standard error is the journal: `$JOURNAL_STREAM` names the very file (a redirection keeps the variable).
pub fn is_stderr() -> bool {
    let Some(named) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    fstat(io::stderr()).is_ok_and(|about| named == format!("{}:{}", about.st_dev, about.st_ino))
}

/// As in syslog.
pub fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Sends what its filter lets through.
pub struct Journal {
    filter: Logger,
    copies: Copies,
    stage: Option<Worker>,
}

/// A stage, and which of its workers.
type Worker = (String, u32);

impl Journal {
    pub fn new(filter: Logger, stage: Option<(&str, u32)>, copies: Copies) -> Journal {
        SOCKET.get_or_init(|| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_write_timeout(Some(PATIENCE)).ok()?;
            Some(socket)
        });
        let stage = stage.map(|(name, worker)| (name.to_owned(), worker));
        Journal { filter, copies, stage }
    }

    /// Who speaks stands in the text, too: `journalctl` shows nothing else of it by itself.
    fn message(&self, text: &str) -> String {
        match &self.stage {
            Some((stage, worker)) => format!("{stage}[{worker}] {text}"),
            None => text.to_owned(),
        }
    }

    /// `about`: the worker that is spoken about, if it isn't the one that speaks.
    fn entry(&self, level: Level, message: &str, pipeline: Option<&str>, about: Option<&Worker>) -> Vec<u8> {
        let mut fields = vec![
            ("MESSAGE", message.to_owned()),
            ("PRIORITY", priority(level).to_string()),
            ("SYSLOG_IDENTIFIER", IDENTIFIER.to_owned()),
        ];
        fields.extend(pipeline.map(|name| ("MPRUN_PIPELINE", name.to_owned())));
        if let Some((stage, worker)) = about.or(self.stage.as_ref()) {
            fields.extend([("MPRUN_STAGE", stage.clone()), ("MPRUN_WORKER", worker.to_string())]);
        }
        let mut entry = Vec::new();
        fields.iter().for_each(|(name, value)| put(&mut entry, name, value));
        entry
    }
}

impl Log for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let said = self.filter.matches(record);
        self.copies.write(record, said);
        if !said {
            return;
        }
        let message = self.message(&super::one_line(&record.args().to_string(), super::LONGEST));
        let pipeline = super::PIPELINE.get().map(String::as_str);
        if !send(&self.entry(record.level(), &message, pipeline, about(record).as_ref())) {
            // If even this fails there is nobody left to tell.
            let _ = writeln!(io::stderr(), "<{}>{message}", priority(record.level()));
        }
    }

    fn flush(&self) {}
}

fn send(entry: &[u8]) -> bool {
    socket().is_some_and(|socket| socket.send_to(entry, ADDRESS).is_ok())
}

/// The worker that a record names (`stage[index]`).
fn about(record: &Record<'_>) -> Option<Worker> {
    let worker = record.key_values().get("worker".into())?.to_string();
    let (stage, index) = worker.strip_suffix(']')?.rsplit_once('[')?;
    Some((stage.to_owned(), index.parse().ok()?))
}

/// `NAME=value`; a value with a line end needs its length (64 bits, little end first) instead.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_fields_that_a_query_can_use() {
        let copies = Copies { who: String::new() };
        let journal = Journal::new(env_logger::Builder::new().build(), Some(("show", 3)), copies);
        let entry = journal.entry(Level::Warn, &journal.message("slow"), Some("demo"), None);
        let lines = "MESSAGE=show[3] slow\nPRIORITY=4\nSYSLOG_IDENTIFIER=mprun\nMPRUN_PIPELINE=demo\n\
                     MPRUN_STAGE=show\nMPRUN_WORKER=3\n";
        assert_eq!(String::from_utf8_lossy(&entry), lines);
    }

    #[test]
    fn what_is_said_about_a_worker_is_found_by_its_stage() {
        let record = |worker: &str| {
            let about_it = [("worker", worker)];
            about(&Record::builder().key_values(&about_it).build())
        };
        assert_eq!(record("show[3]"), Some(("show".to_owned(), 3)));
        assert_eq!(record("show"), None);
        assert_eq!(about(&Record::builder().build()), None);
    }

    #[test]
    fn a_line_end_in_a_value_makes_no_field_of_its_own() {
        let mut entry = Vec::new();
        put(&mut entry, "A", "b\nPRIORITY=0");
        assert_eq!(entry, b"A\n\x0c\0\0\0\0\0\0\0b\nPRIORITY=0\n");
    }
}
