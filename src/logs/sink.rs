//! Brings this process's log lines to the log pipe or to standard error. A process that waits for its log waits for what
//! reads it, so nothing here waits for long: what does not fit is dropped, counted, and reported once there is room.
//!
//! | process | its lines | without room |
//! |---|---|---|
//! | a verb, a supervisor without a log writer | straight to standard error | it blocks, as any program does |
//! | a supervisor | the log pipe | they wait in its memory, up to [`BACKLOG_BYTES`] bytes; a thread waits for room |
//! | a worker | the log pipe, which is its standard error | it waits [`ROOM_TIMEOUT_MS`] once, then drops until a line fits again |

use super::journal;
use super::record::{self, PIPE_BUF};
use crate::sys::threads::spawn_without_signals;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A worker waits this long for a log that takes nothing before it begins to drop lines.
const ROOM_TIMEOUT_MS: u16 = 100;
/// Bytes that wait in a supervisor's memory.
const BACKLOG_BYTES: usize = 1 << 20;

static SINK: Mutex<Sink> = Mutex::new(Sink::Stderr);

enum Sink {
    Stderr,
    Worker(WorkerPipe),
    Supervisor(Arc<Backlog>),
    /// The log writer was abandoned: what it waits for would hold up this process, too.
    Closed,
}

/// One thing to write.
pub(crate) enum Outgoing {
    /// Lines for standard error.
    Text(String),
    /// For the journal; and the same as a line, for a journal that can't be reached.
    Entry(String),
    /// For a log file: its name as a record gives it, and the line.
    Line(String, String),
}

impl Outgoing {
    fn records(self) -> Vec<String> {
        match self {
            Outgoing::Text(text) => record::texts(&text),
            Outgoing::Entry(entry) => vec![record::entry(&entry)],
            Outgoing::Line(file, line) => record::line(&file, &line).into_iter().collect(),
        }
    }
}

/// Sends it on its way.
pub(crate) fn send(outgoing: Outgoing) {
    let mut sink = sink();
    match &mut *sink {
        Sink::Stderr => write_to_stderr(outgoing),
        Sink::Worker(pipe) => {
            outgoing.records().iter().for_each(|record| pipe.send(io::stderr().as_fd(), record));
        }
        Sink::Supervisor(backlog) => {
            let backlog = Arc::clone(backlog);
            drop(sink);
            outgoing.records().into_iter().for_each(|record| backlog.send(record));
        }
        Sink::Closed => {}
    }
}

/// Whether a line would go out at once, and nothing waits before it.
pub(crate) fn has_room_now() -> bool {
    match &*sink() {
        Sink::Supervisor(backlog) => {
            backlog.queue().drain(backlog.pipe.as_fd()) && has_room(backlog.pipe.as_fd(), 0u8)
        }
        Sink::Stderr | Sink::Worker(_) | Sink::Closed => true,
    }
}

fn sink() -> MutexGuard<'static, Sink> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_to_stderr(outgoing: Outgoing) {
    // If standard error fails there is no place left to say so.
    match outgoing {
        Outgoing::Text(text) => drop(io::stderr().lock().write_all(text.as_bytes())),
        Outgoing::Entry(entry) => {
            if !journal::send(entry.as_bytes()) {
                let _ = io::stderr().lock().write_all(&journal::as_line(entry.as_bytes()));
            }
        }
        // Log files belong to runs, and those have a log writer.
        Outgoing::Line(..) => {}
    }
}

/// Standard error of this process is the log pipe: that of a worker.
pub(crate) fn use_stderr_as_pipe() {
    *sink() = Sink::Worker(WorkerPipe::default());
}

/// From here on lines go into this pipe, whose writing end does not block; `waiting`: those of the program before this
/// one, which go first.
pub(crate) fn use_pipe(pipe: OwnedFd, waiting: Vec<String>) {
    let backlog = Arc::new(Backlog { pipe, queue: Mutex::default(), empty: Condvar::new() });
    waiting.into_iter().for_each(|record| backlog.send(record));
    *sink() = Sink::Supervisor(backlog);
}

/// Lets go of the pipe, once all is in it or `until` has come. False: lines are left that it did not take.
pub(crate) fn leave_pipe(until: Instant) -> bool {
    let before = std::mem::replace(&mut *sink(), Sink::Closed);
    match before {
        Sink::Supervisor(backlog) => backlog.wait_until_empty(until),
        _ => true,
    }
}

/// From here on lines go straight to standard error again.
pub(crate) fn use_stderr() {
    *sink() = Sink::Stderr;
}

/// What a supervisor has not been able to write yet; it stays there, too.
pub(crate) fn backlog() -> Vec<String> {
    match &*sink() {
        Sink::Supervisor(backlog) => backlog.queue().records.iter().cloned().collect(),
        _ => Vec::new(),
    }
}

/// Whether it fitted as a whole. A pipe that is gone takes everything.
fn try_write(pipe: BorrowedFd<'_>, record: &str) -> bool {
    loop {
        match write(pipe, record.as_bytes()) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return false,
            _ => return true,
        }
    }
}

fn has_room(pipe: BorrowedFd<'_>, timeout: impl Into<PollTimeout>) -> bool {
    let timeout = timeout.into();
    // The end of a child may come in between; a process that ends children faster than that waits a little longer.
    loop {
        match poll(&mut [PollFd::new(pipe, PollFlags::POLLOUT)], timeout) {
            Err(Errno::EINTR) => {}
            polled => return matches!(polled, Ok(1..)),
        }
    }
}

/// The log pipe of a worker, which is its standard error.
#[derive(Default)]
struct WorkerPipe {
    lost: u64,
    is_stalled: bool,
}

impl WorkerPipe {
    fn send(&mut self, pipe: BorrowedFd<'_>, record: &str) {
        let lost = if self.lost > 0 { record::lost(self.lost) } else { String::new() };
        // The notice goes with the line that fits again, if both fit into one write: alone it might fit first.
        let is_written = match lost.len() + record.len() <= PIPE_BUF {
            true => self.write(pipe, &(lost + record)),
            false => self.write(pipe, &lost) && self.write(pipe, record),
        };
        if is_written {
            (self.lost, self.is_stalled) = (0, false);
        } else {
            self.lost += 1;
        }
    }

    fn write(&mut self, pipe: BorrowedFd<'_>, text: &str) -> bool {
        try_write(pipe, text) || self.wait(pipe) && try_write(pipe, text)
    }

    fn wait(&mut self, pipe: BorrowedFd<'_>) -> bool {
        let is_first = !std::mem::replace(&mut self.is_stalled, true);
        is_first && has_room(pipe, ROOM_TIMEOUT_MS)
    }
}

/// A supervisor's lines for which there was no room.
struct Backlog {
    pipe: OwnedFd,
    queue: Mutex<Unsent>,
    empty: Condvar,
}

#[derive(Default)]
struct Unsent {
    records: VecDeque<String>,
    bytes: usize,
    lost: u64,
    /// A thread waits for room.
    has_thread: bool,
}

impl Unsent {
    /// As much as fits; true: nothing is left.
    fn drain(&mut self, pipe: BorrowedFd<'_>) -> bool {
        while let Some(record) = self.records.front() {
            if !try_write(pipe, record) {
                return false;
            }
            self.bytes -= record.len();
            self.records.pop_front();
        }
        if self.lost > 0 && try_write(pipe, &record::lost(self.lost)) {
            self.lost = 0;
        }
        self.lost == 0
    }
}

impl Backlog {
    fn queue(&self) -> MutexGuard<'_, Unsent> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(self: &Arc<Backlog>, record: String) {
        let mut queue = self.queue();
        if queue.drain(self.pipe.as_fd()) && try_write(self.pipe.as_fd(), &record) {
            return;
        }
        if queue.bytes + record.len() > BACKLOG_BYTES {
            queue.lost += 1;
        } else {
            queue.bytes += record.len();
            queue.records.push_back(record);
        }
        if !queue.has_thread {
            queue.has_thread = self.start_thread();
        }
    }

    /// Whether there is a thread now that waits for room. Without one the next line tries again.
    fn start_thread(self: &Arc<Backlog>) -> bool {
        let backlog = Arc::clone(self);
        spawn_without_signals("log", move || backlog.drain_when_there_is_room()).is_ok()
    }

    fn drain_when_there_is_room(&self) {
        loop {
            has_room(self.pipe.as_fd(), PollTimeout::NONE);
            let mut queue = self.queue();
            if queue.drain(self.pipe.as_fd()) {
                queue.has_thread = false;
                self.empty.notify_all();
                return;
            }
        }
    }

    fn wait_until_empty(&self, until: Instant) -> bool {
        let mut queue = self.queue();
        while !queue.drain(self.pipe.as_fd()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let step = left.min(Duration::from_millis(50)); // in case there could be no thread
            queue = self.empty.wait_timeout(queue, step).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use nix::unistd::{pipe2, read};

    fn pipe() -> (OwnedFd, OwnedFd) {
        pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).unwrap()
    }

    fn empty(reader: &OwnedFd) -> String {
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = read(reader, &mut piece) {
            text.extend_from_slice(&piece[..length]);
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_worker_waits_once_for_a_stalled_log_then_drops_and_counts() {
        let (reader, writer) = pipe();
        let mut waiting = WorkerPipe::default();
        let line = "x".repeat(99) + "\n";
        while try_write(writer.as_fd(), &line) {}
        (0..50).for_each(|_| waiting.send(writer.as_fd(), &line));
        assert!(waiting.is_stalled);
        assert_eq!(waiting.lost, 50);
        assert!(!empty(&reader).contains('\u{1}'));
        waiting.send(writer.as_fd(), "after\n");
        assert_eq!(empty(&reader), record::lost(50) + "after\n");
        assert!(!waiting.is_stalled);
    }

    #[test]
    fn a_supervisor_s_lines_wait_in_memory_and_come_in_their_order() {
        let (reader, writer) = pipe();
        let backlog = Arc::new(Backlog { pipe: writer, queue: Mutex::default(), empty: Condvar::new() });
        let sent: Vec<String> = (0..2000).map(|n| format!("{n} {}\n", "x".repeat(90))).collect();
        sent.iter().for_each(|line| backlog.send(line.clone()));
        assert!(backlog.queue().records.len() > 100, "the pipe is full");
        let (mut said, until) = (String::new(), Instant::now() + Duration::from_secs(60));
        while said.len() < sent.iter().map(String::len).sum() && Instant::now() < until {
            said += &empty(&reader);
        }
        assert_eq!(said, sent.concat());
        assert!(backlog.wait_until_empty(until));
    }

    #[test]
    fn a_full_backlog_drops_and_says_so_later() {
        let (reader, writer) = pipe();
        let backlog = Arc::new(Backlog { pipe: writer, queue: Mutex::default(), empty: Condvar::new() });
        let line = "x".repeat(4000) + "\n";
        (0..400).for_each(|_| backlog.send(line.clone()));
        let lost = backlog.queue().lost;
        assert!(lost > 50, "{lost}");
        assert!(!backlog.wait_until_empty(Instant::now()));
        let (mut said, until) = (String::new(), Instant::now() + Duration::from_secs(60));
        while !said.contains('\u{1}') && Instant::now() < until {
            said += &empty(&reader);
        }
        assert!(said.ends_with(&record::lost(lost)), "{lost}");
    }
}
