//! The supervisor's end of the socket to the helper: a thread that sends what has changed, and passes news on.

use super::message::Report;
use crate::supervisor::runtime::inbox::{Notice, Sender};
use crate::sys::threads::spawn_without_signals;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that are read at once.
const READ_BYTES: usize = 4096;
/// A report is a line of some hundred bytes.
const LONGEST_REPORT: usize = 64 << 10;

/// To one helper. Dropped, the socket is closed, which ends the helper.
pub(super) struct Link(Arc<Shared>);

struct Shared {
    /// What the helper does not know yet, by slot: of each only the newest.
    changes: Mutex<Changes>,
    wake: EventFd,
}

#[derive(Default)]
struct Changes {
    lines: BTreeMap<u16, Vec<u8>>,
    /// Nothing more is to be sent or read.
    over: bool,
}

impl Link {
    pub(super) fn new(socket: UnixStream, to: Sender) -> io::Result<Link> {
        socket.set_nonblocking(true)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let shared = Arc::new(Shared { changes: Mutex::default(), wake });
        let theirs = Arc::clone(&shared);
        spawn_without_signals("checks", move || Line::new(socket, &theirs, to).live())?;
        Ok(Link(shared))
    }

    pub(super) fn send(&self, slot: u16, line: Vec<u8>) {
        locked(&self.0.changes).lines.insert(slot, line);
        let _ = self.0.wake.write(1); // full: it wakes anyway
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        locked(&self.0.changes).over = true;
        let _ = self.0.wake.write(1);
    }
}

fn locked(changes: &Mutex<Changes>) -> MutexGuard<'_, Changes> {
    changes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread has.
struct Line<'a> {
    socket: UnixStream,
    shared: &'a Shared,
    to: Sender,
    /// What is left of a line that is being sent.
    sending: Vec<u8>,
    /// The beginning of a report.
    partial: Vec<u8>,
}

impl Line<'_> {
    fn new(socket: UnixStream, shared: &Shared, to: Sender) -> Line<'_> {
        Line { socket, shared, to, sending: Vec::new(), partial: Vec::new() }
    }

    /// Until either side has enough.
    fn live(mut self) {
        while self.wait().is_ok() && self.write().is_ok() && self.read().is_ok() {}
    }

    fn wait(&mut self) -> io::Result<()> {
        let has_more = !self.sending.is_empty() || !locked(&self.shared.changes).lines.is_empty();
        let flags = if has_more { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
        let mut both = [
            PollFd::new(self.socket.as_fd(), flags),
            PollFd::new(self.shared.wake.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut both, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let _ = self.shared.wake.read(); // nothing is there
        if locked(&self.shared.changes).over { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    /// As much as there is room for.
    fn write(&mut self) -> io::Result<()> {
        loop {
            if self.sending.is_empty() {
                let Some((_, line)) = locked(&self.shared.changes).lines.pop_first() else { return Ok(()) };
                self.sending = line;
            }
            match self.socket.write(&self.sending) {
                Ok(written) => drop(self.sending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut bytes = [0; READ_BYTES];
        match self.socket.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => self.partial.extend_from_slice(&bytes[..length]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        while let Some(end) = memchr::memchr(b'\n', &self.partial) {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let report: Report = serde_json::from_slice(&line)?;
            if !self.to.send(Notice::Checked(report)) {
                return Err(io::ErrorKind::NotConnected.into());
            }
        }
        if self.partial.len() > LONGEST_REPORT { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::machine::condition::Finding;
    use crate::supervisor::runtime::inbox::{channel, wait};
    use std::io::{BufRead, BufReader};
    use std::time::{Duration, Instant};

    fn linked() -> (Link, UnixStream, crossbeam_channel::Receiver<Notice>) {
        let ((ours, theirs), (to, notices)) = (UnixStream::pair().unwrap(), channel());
        (Link::new(ours, to).unwrap(), theirs, notices)
    }

    #[test]
    fn of_what_a_helper_does_not_read_only_the_newest_is_kept() {
        let (link, theirs, _notices) = linked();
        let long = [vec![b'x'; 4 << 20], b"\n".to_vec()].concat();
        link.send(1, long.clone()); // more than a socket holds
        let mut reader = BufReader::new(theirs);
        assert_eq!(reader.fill_buf().unwrap()[0], b'x', "it is being sent");
        for n in 0..1000 {
            link.send(2, format!("{n}\n").into_bytes());
        }
        assert_eq!(locked(&link.0.changes).lines.len(), 1);
        let mut lines = reader.lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap().len(), long.len() - 1);
        assert_eq!(lines.next().unwrap(), "999");
        drop(link);
        assert_eq!(lines.next(), None, "the helper sees the end");
    }

    #[test]
    fn news_come_whole_however_they_are_cut_and_nonsense_ends_it() {
        let (_link, mut theirs, notices) = linked();
        let line =
            r#"{"slot":3,"number":7,"finding":{"Failing":{"failures":2,"why":"no"}}}"#.to_owned() + "\n";
        for piece in [&line[..10], &line[10..], &line] {
            theirs.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        let until = Instant::now() + Duration::from_secs(60);
        for _ in 0..2 {
            let Some(Notice::Checked(report)) = wait(&notices, Some(until)) else { panic!("no news") };
            assert_eq!((report.slot, report.number), (3, 7));
            assert_eq!(report.finding, Finding::Failing { failures: 2, why: "no".to_owned() });
        }
        theirs.write_all(b"nonsense\n").unwrap();
        assert_eq!(BufReader::new(theirs).lines().count(), 0, "it is hung up");
    }
}
