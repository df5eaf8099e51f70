//! The log writer: reads the log pipe and writes to standard error, the journal and log files, so that the supervisor and
//! its workers never wait for any of these.
//!
//! It is a process of its own: a write to a disk that is gone can't be interrupted, and a thread in it would keep its
//! process from ending. (Beside progress bars it is a thread of the supervisor: it writes to the terminal that the bars
//! are on, and waiting for a terminal can be interrupted.) Standard error and the files have a thread each behind a
//! bounded channel: one that takes nothing does not hold up the other. What does not fit is dropped and counted.
//!
//! | killed … | left behind | why that's fine |
//! |---|---|---|
//! | the log writer | lines that it had read, at most a channel of them | lost; the supervisor, which keeps both ends of the pipe, starts another one |
//! | the supervisor | workers, which die with it | the pipe ends with the last of them: the log writer writes what is left for [`END_TIMEOUT`] at most, then ends |
//! | both | what is in the pipe | lost |

use super::file::RotatingFile;
use super::journal;
use super::record::{Received, take_apart};
use crate::numbers::counted;
use crate::sys::fd;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use log::Level;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// How long the writer runs on once all processes that could log are gone.
pub(crate) const END_TIMEOUT: Duration = Duration::from_secs(2);
/// Read from the pipe at once, at most.
const READ_BYTES: usize = 64 * 1024;
/// Pieces of text, or lines for files, that wait for one destination.
const CHANNEL_LENGTH: usize = 64;
/// A destination that takes nothing is waited for once for this long; then what is for it is dropped until it takes again.
const ROOM_TIMEOUT: Duration = Duration::from_millis(100);

/// The life of the log writer's process; the pipe is its standard input.
pub(crate) fn run() -> ExitCode {
    let _ = nix::sys::prctl::set_name(c"mprun:log"); // what `top` shows
    let stdin = io::stdin();
    let Ok(pipe) = stdin.as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let (done, end) = bounded(1);
    let copied = thread::Builder::new().name("pipe".to_owned()).spawn(move || {
        copy(File::from(pipe), Stderr);
        let _ = done.send(()); // the other end may have stopped waiting
    });
    if copied.is_err() {
        return ExitCode::FAILURE;
    }
    wait_for_end(stdin.as_fd());
    let _ = end.recv_timeout(END_TIMEOUT);
    journal::wait_until_read();
    ExitCode::SUCCESS
}

/// Returns once no process can write to the pipe any more.
fn wait_for_end(pipe: BorrowedFd<'_>) {
    let mut watched = [PollFd::new(pipe, PollFlags::empty())];
    while matches!(poll(&mut watched, PollTimeout::NONE), Ok(0) | Err(Errno::EINTR)) {}
}

/// This process's own. It may be non-blocking: another process shares it, so that is not to be changed.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let once = || io::stderr().lock().write(bytes);
        loop {
            // `> file 2>&1`: never while a worker cuts something off there.
            match if fd::is_file(io::stderr()) { fd::exclusively(io::stderr(), once) } else { once() } {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let stderr = io::stderr();
                    poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE)?;
                }
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies the pipe to its destinations until its end, and until they have taken what they can.
pub(crate) fn copy(mut pipe: File, stderr: impl Write + Send + 'static) {
    let Ok(mut destinations) = Destinations::start(stderr) else { return };
    let (mut bytes, mut piece) = (Vec::new(), vec![0; READ_BYTES]);
    loop {
        let length = match pipe.read(&mut piece) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let _ = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
                continue;
            }
            Err(_) => 0,
        };
        bytes.extend_from_slice(&piece[..length]);
        take_apart(&mut bytes, length == 0).into_iter().for_each(|received| destinations.give(received));
        if length == 0 {
            return destinations.end();
        }
    }
}

/// Where lines go, each behind a thread.
struct Destinations {
    stderr: Destination<Received>,
    files: Destination<Received>,
    threads: [JoinHandle<()>; 2],
}

impl Destinations {
    fn start(stderr: impl Write + Send + 'static) -> io::Result<Destinations> {
        let (to_stderr, texts) = bounded(CHANNEL_LENGTH);
        let (to_files, lines) = bounded(CHANNEL_LENGTH);
        let threads = [
            thread::Builder::new().name("stderr".to_owned()).spawn(move || write_texts(&texts, stderr))?,
            thread::Builder::new().name("files".to_owned()).spawn(move || write_lines(&lines))?,
        ];
        Ok(Destinations { stderr: Destination::new(to_stderr), files: Destination::new(to_files), threads })
    }

    fn give(&mut self, received: Received) {
        match &received {
            Received::Text(text) => {
                let lines = memchr::memchr_iter(b'\n', text).count() as u64;
                self.stderr.give(received, lines, notice);
            }
            Received::Entry(_) => self.stderr.give(received, 1, notice),
            Received::Lost(lines) => self.stderr.lost += lines,
            Received::Line { file, .. } => {
                let file = file.clone();
                self.files
                    .give(received, 1, |lost| Received::Line { file, line: lost_lines(lost).into_bytes() });
            }
        }
    }

    fn end(self) {
        let Destinations { stderr, files, threads } = self;
        if stderr.lost > 0 {
            let _ = stderr.to.send(notice(stderr.lost));
        }
        drop((stderr, files));
        for thread in threads {
            let _ = thread.join(); // what waits for this process does so for a limited time
        }
    }
}

/// A line about the log itself, without colours.
fn own_line(level: Level, text: &str) -> String {
    if journal::is_stderr() {
        return format!("<{}>{text}\n", journal::priority(level));
    }
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{time} {level:<5} mprun {text}\n")
}

/// What is said of lines that did not fit.
fn lost_lines(count: u64) -> String {
    own_line(Level::Warn, &format!("{} of the log did not fit: dropped", counted(count, "line")))
}

fn notice(lost: u64) -> Received {
    Received::Text(lost_lines(lost).into_bytes())
}

/// One destination, and what it could not take.
struct Destination<T> {
    to: Sender<T>,
    lost: u64,
    is_stalled: bool,
}

impl<T> Destination<T> {
    fn new(to: Sender<T>) -> Destination<T> {
        Destination { to, lost: 0, is_stalled: false }
    }

    fn give(&mut self, what: T, lines: u64, notice: impl FnOnce(u64) -> T) {
        if self.lost > 0 && self.to.try_send(notice(self.lost)).is_ok() {
            self.lost = 0;
        }
        let timeout = if self.is_stalled { Duration::ZERO } else { ROOM_TIMEOUT };
        match self.to.send_timeout(what, timeout) {
            Ok(()) => self.is_stalled = false,
            Err(SendTimeoutError::Timeout(_) | SendTimeoutError::Disconnected(_)) => {
                self.is_stalled = true;
                self.lost += lines;
            }
        }
    }
}

fn write_texts(texts: &Receiver<Received>, mut stderr: impl Write) {
    for received in texts {
        // Standard error that is gone takes nothing, and there is no other place to say so.
        let _ = match received {
            Received::Text(text) => stderr.write_all(&text),
            Received::Entry(entry) if !journal::send(&entry) => stderr.write_all(&journal::as_line(&entry)),
            Received::Entry(_) | Received::Line { .. } | Received::Lost(_) => Ok(()),
        };
    }
}

/// Log files, by their names in records. One that fails says so once on standard error, and again when it has gone well
/// in between.
fn write_lines(lines: &Receiver<Received>) {
    let mut files: HashMap<Vec<u8>, OpenFile> = HashMap::new();
    for received in lines {
        let Received::Line { file, line } = received else { continue };
        if !files.contains_key(&file) {
            let Ok(spec) = serde_json::from_slice(&file) else { continue };
            files.insert(file.clone(), OpenFile { file: RotatingFile::new(spec), is_failed: false });
        }
        if let Some(open) = files.get_mut(&file) {
            open.write(&line);
        }
    }
}

struct OpenFile {
    file: RotatingFile,
    is_failed: bool,
}

impl OpenFile {
    fn write(&mut self, line: &[u8]) {
        let result = self.file.append(line);
        if let Err(error) = &result
            && !self.is_failed
        {
            let path = self.file.path().display();
            let text = format!("failed to write the log file {path}: {error}");
            let _ = Stderr.write_all(own_line(Level::Error, &text).as_bytes());
        }
        self.is_failed = result.is_err();
    }
}

/// Makes a pipe's writing end non-blocking: it is ours, and so is every process that has it.
pub(crate) fn make_non_blocking(pipe: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(pipe, FcntlArg::F_GETFL)?);
    fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
