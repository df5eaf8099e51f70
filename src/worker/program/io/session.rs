//! One running program and its pipes: written, read and waited for without ever waiting for one of them alone.
//!
//! The worker's ends of the pipes don't block. So whatever the program does or leaves undone (reads nothing, writes
//! before it reads, closes one side, hands its pipes to a daemon), the worker can go on, and nothing hangs.

use crate::config::pipeline::Stdout;
use crate::framing::Decoder;
use crate::stage::Failure;
use crate::sys::process::{RunningProgram, SpawnError, sweep};
use crate::sys::wait::{Exit, SignalNumber};
use crate::sys::{fd, proc_table, readiness};
use crate::worker::program::io::stderr::StderrRelay;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;
use nix::sys::uio::writev;
use nix::unistd::{pipe2, read, write};
use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bytes asked for at once: what a pipe holds, or half of a widened one.
const READ_BYTES: usize = 128 * 1024;
/// A shorter read is no sign that more is there already.
const FLOWING_READ_BYTES: usize = 16 * 1024;
/// After this many exchanges without a wait one poll looks at all descriptors.
const UNPOLLED_LIMIT: u8 = 16;

/// A program at work.
pub(crate) struct Session {
    running: RunningProgram,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// What it leaves unread of its standard input is of interest.
    keeps_unread: bool,
    /// The other end of its standard input, once that is closed: what it has not read stays there.
    unread_end: Option<OwnedFd>,
    /// Bytes that its standard input took, less those that it had not read when that was closed.
    sent: u64,
    exit: Option<Exit>,
    was_signalled: bool,
    flow: Flow,
    process_limit: Option<ProcessLimit>,
}

/// `limits.processes`. The kernel's own limit counts all processes of a user, those of other workers and of the user's
/// shell, too, and none of root's; a cgroup is not everybody's to make. So this counts, now and then.
struct ProcessLimit {
    most: u64,
    next: Instant,
}

/// How often processes are counted, where they are limited,
const COUNT_INTERVAL: Duration = Duration::from_millis(100);
/// and on a machine where a look takes long.
const LONGEST_COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// What the last exchanges were like.
#[derive(Default)]
struct Flow {
    /// The program's input took all that there was.
    into: bool,
    /// Much of its output was there.
    out: bool,
    /// Exchanges since the last wait.
    unpolled: u8,
}

/// What one turn did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    /// Bytes that the program's standard input took.
    pub written: usize,
    /// Bytes of its standard output.
    pub read: usize,
}

/// What a wait has shown to be ready: nothing else is touched, for each touch is a system call.
#[derive(Clone, Copy, Debug)]
struct Ready {
    ended: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

/// Pieces to be written, one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WriteBuffers<'a>(pub [&'a [u8]; 3]);

impl<'a> From<&'a [u8]> for WriteBuffers<'a> {
    fn from(bytes: &'a [u8]) -> WriteBuffers<'a> {
        WriteBuffers([bytes, b"", b""])
    }
}

impl WriteBuffers<'_> {
    fn len(&self) -> usize {
        self.0.iter().map(|piece| piece.len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the worker wants of a turn.
#[derive(Default)]
pub(crate) struct TurnRequest<'a> {
    /// To be written.
    pub out: WriteBuffers<'a>,
    /// Where output goes; `None`: it is left where it is.
    pub into: Option<&'a mut Decoder>,
    /// The turn ends then at the latest.
    pub until: Option<Instant>,
    /// The turn ends when this is readable.
    pub wake_fd: Option<BorrowedFd<'a>>,
}

/// What can fail on the way to a session.
pub(crate) enum StartFailure {
    Pipe(Errno),
    Start(SpawnError),
}

impl Session {
    /// Makes the pipes, and lets `start` start the program with them. What goes to the log comes by one pipe, so its order
    /// is that of the program.
    pub(crate) fn start(
        reads: bool,
        output: Stdout,
        null: &OwnedFd,
        start: impl FnOnce([BorrowedFd<'_>; 3]) -> Result<RunningProgram, SpawnError>,
    ) -> Result<Session, StartFailure> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(StartFailure::Pipe);
        let stdin = if reads { Some(pipe()?) } else { None };
        let stdout = if output == Stdout::Items { Some(pipe()?) } else { None };
        let stderr = pipe()?;
        let theirs = stdin.as_ref().map_or(null, |(reader, _)| reader);
        let to = match (output, &stdout) {
            (_, Some((_, writer))) => writer,
            (Stdout::Log, None) => &stderr.1,
            (Stdout::Items | Stdout::Null, None) => null,
        };
        let running = start([theirs.as_fd(), to.as_fd(), stderr.1.as_fd()]).map_err(StartFailure::Start)?;
        let session = Session {
            running,
            stdin: stdin.map(|(_, writer)| writer),
            stdout: stdout.map(|(reader, _)| reader),
            stderr: Some(stderr.0),
            keeps_unread: false,
            unread_end: None,
            sent: 0,
            exit: None,
            was_signalled: false,
            flow: Flow::default(),
            process_limit: None,
        };
        let ours = [&session.stdin, &session.stdout, &session.stderr];
        for fd in ours.into_iter().flatten() {
            fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(StartFailure::Pipe)?;
        }
        Ok(session)
    }

    /// Ends it if it and what it has started are more processes than that.
    pub(crate) fn limit_processes(&mut self, most: u64) {
        self.process_limit = Some(ProcessLimit { most, next: Instant::now() + COUNT_INTERVAL });
    }

    /// Larger pipes, as far as the system allows: fewer turns.
    pub(crate) fn widen(&self, bytes: i32) {
        for fd in [&self.stdin, &self.stdout].into_iter().flatten() {
            let _ = fcntl(fd, FcntlArg::F_SETPIPE_SZ(bytes));
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// How it ended.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Whether it has ended, and all that it wrote is read.
    pub(crate) fn is_drained(&self) -> bool {
        self.exit.is_some() && self.stdout.is_none() && self.stderr.is_none()
    }

    /// Whether it may still read.
    pub(crate) fn takes_input(&self) -> bool {
        self.stdin.is_some()
    }

    /// Whether it may still write.
    pub(crate) fn gives_output(&self) -> bool {
        self.stdout.is_some()
    }

    /// Nothing more will come.
    pub(crate) fn close_input(&mut self) {
        if let Some(stdin) = self.stdin.take() {
            // What waits in a pipe stays there as long as one end is open.
            self.sent -= readiness::bytes_waiting(stdin.as_fd()).unwrap_or(0).min(self.sent);
            if self.keeps_unread {
                self.unread_end = fd::reading_end(&stdin).ok();
            }
        }
    }

    /// From now on what it leaves unread of its standard input can be [taken](Session::take_unread).
    pub(crate) fn keep_unread(&mut self) {
        self.keeps_unread = true;
    }

    /// What the program and all that it has started, which are over, have left unread: the end of what was written.
    pub(crate) fn take_unread(&mut self) -> io::Result<Vec<u8>> {
        let mut unread = Vec::new();
        let Some(end) = self.unread_end.take() else { return Ok(unread) };
        match File::from(end).read_to_end(&mut unread) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => Ok(unread),
        }
    }

    /// Bytes of its standard input that it has read, or had when that was closed.
    pub(crate) fn consumed(&self) -> u64 {
        self.sent.saturating_sub(self.unread())
    }

    /// Whether bytes of its standard input wait for it.
    pub(crate) fn has_unread(&self) -> bool {
        self.unread() > 0
    }

    fn unread(&self) -> u64 {
        let waiting = |fd: &OwnedFd| readiness::bytes_waiting(fd.as_fd()).unwrap_or(0);
        self.stdin.as_ref().map_or(0, waiting)
    }

    /// From now on what it writes is not read.
    pub(crate) fn close_output(&mut self) {
        self.stdout = None;
    }

    /// Sends a signal to the program and all it has started.
    pub(crate) fn signal(&mut self, signal: impl Into<SignalNumber>) {
        if self.exit.is_none() {
            self.was_signalled = true;
            self.running.signal(signal);
        }
    }

    /// Whether it has not ended by itself.
    pub(crate) fn was_signalled(&self) -> bool {
        self.was_signalled
    }

    /// One turn: waits until something can be done, and does it. Returns early for an order.
    pub(crate) fn turn(
        &mut self,
        request: TurnRequest<'_>,
        stderr: &mut StderrRelay,
        program_slot: &AtomicU64,
    ) -> Result<Turn, Failure> {
        self.count_processes()?;
        let is_ended = self.exit.is_some();
        let TurnRequest { out, mut into, until, wake_fd } = request;
        let mut ready = Ready { ended: false, stdin: true, stdout: true, stderr: true };
        if !is_ended {
            let until = until.into_iter().chain(stderr.report_at()).min();
            ready = self.wait(!out.is_empty(), into.is_some(), until, wake_fd)?;
            self.flow.unpolled = 0;
        }
        let mut turn = Turn::default();
        if !out.is_empty() && ready.stdin {
            turn.written = self.write(out)?;
        }
        if ready.stdout
            && let Some(decoder) = &mut into
        {
            turn.read = self.read(decoder)?;
        }
        if ready.stderr {
            self.read_stderr(stderr)?;
        }
        stderr.report_after_silence();
        if ready.ended {
            self.reap_if_ended(program_slot)?;
        }
        if self.is_drained() {
            stderr.finish();
        }
        Ok(turn)
    }

    /// Whether an exchange without a wait is likely to move something; `writes`: there is something to write.
    pub(crate) fn flows(&self, writes: bool) -> bool {
        self.exit.is_none() && (self.flow.out || self.flow.into && writes)
    }

    /// A turn without a wait, while much moves: to ask first whether it can would be one more system call each time.
    pub(crate) fn exchange_unpolled(
        &mut self,
        out: WriteBuffers<'_>,
        into: &mut Decoder,
        stderr: &mut StderrRelay,
        program_slot: &AtomicU64,
    ) -> Result<Turn, Failure> {
        self.flow.unpolled += 1;
        if self.flow.unpolled > UNPOLLED_LIMIT {
            let request = TurnRequest {
                out: WriteBuffers::default(),
                into: None,
                until: Some(Instant::now()),
                wake_fd: None,
            };
            self.turn(request, stderr, program_slot)?;
        }
        let written = if out.is_empty() { 0 } else { self.write(out)? };
        let read = self.read(into)?;
        Ok(Turn { written, read })
    }

    fn wait(
        &self,
        writes: bool,
        reads: bool,
        until: Option<Instant>,
        wake_fd: Option<BorrowedFd<'_>>,
    ) -> io::Result<Ready> {
        let watched = [
            Some((self.running.as_fd(), PollFlags::POLLIN)),
            self.stdin.as_ref().filter(|_| writes).map(|fd| (fd.as_fd(), PollFlags::POLLOUT)),
            self.stdout.as_ref().filter(|_| reads).map(|fd| (fd.as_fd(), PollFlags::POLLIN)),
            self.stderr.as_ref().map(|fd| (fd.as_fd(), PollFlags::POLLIN)),
            wake_fd.map(|fd| (fd, PollFlags::POLLIN)),
        ];
        let mut fds: Vec<PollFd<'_>> =
            watched.iter().flatten().map(|&(fd, events)| PollFd::new(fd, events)).collect();
        let count = self.process_limit.as_ref().map(|process_limit| process_limit.next);
        let until = [until, count].into_iter().flatten().min();
        readiness::wait_any(&mut fds, until)?;
        let mut seen = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let [ended, stdin, stdout, stderr, _] =
            watched.map(|watched| watched.is_some() && seen.next().unwrap_or(false));
        Ok(Ready { ended, stdin, stdout, stderr })
    }

    fn count_processes(&mut self) -> Result<(), Failure> {
        let Some(process_limit) =
            self.process_limit.as_mut().filter(|process_limit| process_limit.next <= Instant::now())
        else {
            return Ok(());
        };
        let begun = Instant::now();
        let most = process_limit.most;
        let counted = proc_table::descendants_of(std::process::id()) as u64;
        // Whatever a look costs, most of the time is the program's; but a fork bomb makes looks slow, too.
        process_limit.next =
            Instant::now() + (begun.elapsed() * 20).clamp(COUNT_INTERVAL, LONGEST_COUNT_INTERVAL);
        if counted <= most || self.exit.is_some() {
            return Ok(());
        }
        self.running.signal(Signal::SIGKILL);
        Err(Failure::fatal(format!(
            "its program and what that has started are {counted} processes, more than {most} (limits.processes)"
        )))
    }

    fn write(&mut self, out: WriteBuffers<'_>) -> io::Result<usize> {
        let Some(fd) = &self.stdin else { return Ok(0) };
        let written = match out.0 {
            [bytes, [], []] => write(fd, bytes),
            pieces => writev(fd, &pieces.map(IoSlice::new)),
        };
        self.flow.into = written == Ok(out.len());
        match written {
            Ok(written) => {
                self.sent += written as u64;
                Ok(written)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(Errno::EPIPE) => {
                self.close_input();
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read(&mut self, decoder: &mut Decoder) -> io::Result<usize> {
        self.flow.out = false;
        let Some(fd) = &self.stdout else { return Ok(0) };
        match read(fd, decoder.room(READ_BYTES)) {
            Ok(0) => self.stdout = None,
            Ok(bytes) => {
                decoder.filled(bytes);
                self.flow.out = bytes >= FLOWING_READ_BYTES;
                return Ok(bytes);
            }
            // The program is over; another process may still hold the pipe.
            Err(Errno::EAGAIN) if self.exit.is_some() => self.stdout = None,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(0)
    }

    fn read_stderr(&mut self, stderr: &mut StderrRelay) -> io::Result<()> {
        let Some(fd) = &self.stderr else { return Ok(()) };
        let mut buffer = [0; 16 * 1024];
        match read(fd, &mut buffer) {
            Ok(0) => self.stderr = None,
            Ok(bytes) => stderr.take(&buffer[..bytes]),
            Err(Errno::EAGAIN) if self.exit.is_some() => self.stderr = None,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The group goes before its leader is reaped: until then its number can't belong to anybody else.
    fn reap_if_ended(&mut self, program_slot: &AtomicU64) -> io::Result<()> {
        let Some(exit) = self.running.ended()? else { return Ok(()) };
        self.running.signal(Signal::SIGKILL);
        program_slot.store(0, Ordering::Release);
        self.running.reap()?;
        // What it has started and sent away lives on as our child.
        sweep();
        self.exit = Some(exit);
        self.close_input();
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.running.signal(Signal::SIGKILL);
            let _ = self.running.reap();
            sweep();
        }
    }
}
