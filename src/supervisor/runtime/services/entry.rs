//! What the relay knows of one service.

use super::announcement::{Listener, Stream, says_ready};
use super::start::Started;
use crate::config::pipeline::Probe;
use crate::supervisor::error::SetUpError;
use crate::supervisor::recovery::saved_services::SavedService;
use crate::supervisor::recovery::upgrade_state::taken;
use crate::sys::process::StartFailure;
use crate::worker::StderrRelay;
use nix::errno::Errno;
use nix::unistd::read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Bytes of a pipe that are read at once.
const READ_BYTES: usize = 8192;
/// Reads of a dead program's pipe: it holds no more, and what its orphans write does not count.
const LAST_READS: usize = 4;
/// A longer line is printed in pieces, and lines of others may come between.
pub(super) const LONGEST_LINE: usize = 16 << 20;

/// What of a longer line is printed at once. Its last packet is not full, by which the helper knows that it is all.
const LONGEST_PIECE: usize = LONGEST_LINE - 1;

/// One process of a service.
pub(super) struct Entry {
    pub stderr: StderrRelay,
    /// The pipes, as long as somebody may write to them.
    pub stderr_pipe: Option<OwnedFd>,
    pub stdout: Option<Stdout>,
    /// Until the program has begun.
    pub failure_pipe: Option<OwnedFd>,
    pub failure: Option<StartFailure>,
    /// Where it may say that it is ready, and what is then said by it is of no interest.
    pub notify: Option<OwnedFd>,
    /// Looks for the line by which it says that, and stays once it has come: the same may be asked for later.
    listener: Option<Listener>,
    /// It has said so, and that is not told yet.
    is_ready: bool,
    pub pid: u32,
    /// Why a packet of it is not out.
    pub not_printed: Option<Errno>,
    /// Where its last packet ends among all that were ever sent.
    pub sent_to: u64,
}

pub(super) struct Stdout {
    pub pipe: OwnedFd,
    /// The beginning of a line.
    pub partial: Vec<u8>,
    /// So much of it was looked through for an end.
    pub searched: usize,
}

/// A service of the program before this one, or one that was just started.
pub(crate) struct Adopted {
    pub stderr: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub failure: Option<OwnedFd>,
    pub notify: Option<OwnedFd>,
    pub announces: Option<Probe>,
    pub pid: u32,
    pub half_stderr: Vec<u8>,
    pub half_stdout: Vec<u8>,
}

impl From<Started> for Adopted {
    fn from(started: Started) -> Adopted {
        Adopted {
            stderr: Some(started.stderr),
            stdout: started.stdout,
            failure: Some(started.failure),
            notify: started.notify,
            announces: started.announces,
            pid: started.pid,
            half_stderr: Vec::new(),
            half_stdout: Vec::new(),
        }
    }
}

impl Adopted {
    /// What the program before this one has left.
    pub(crate) fn resume(
        saved: &SavedService,
        pid: u32,
        announces: Option<Probe>,
    ) -> Result<Adopted, SetUpError> {
        Ok(Adopted {
            stderr: saved.stderr.map(taken).transpose()?,
            stdout: saved.stdout.map(taken).transpose()?,
            failure: saved.failure.map(taken).transpose()?,
            notify: saved.notify.map(taken).transpose()?,
            announces,
            pid,
            half_stderr: saved.half_stderr.clone(),
            half_stdout: saved.half_stdout.clone(),
        })
    }
}

/// What a read has found.
#[derive(PartialEq, Eq)]
pub(super) enum Found {
    Bytes,
    Nothing,
    End,
}

impl Entry {
    pub(super) fn new(adopted: Adopted, mut stderr: StderrRelay) -> Entry {
        stderr.take(&adopted.half_stderr);
        let mut listener = Listener::of(adopted.announces.as_ref());
        if let Some(listener) = &mut listener {
            listener.hears(Stream::Stderr, &adopted.half_stderr);
            listener.hears(Stream::Stdout, &adopted.half_stdout);
        }
        let stdout = adopted.stdout.map(|pipe| Stdout { pipe, partial: adopted.half_stdout, searched: 0 });
        Entry {
            stderr,
            stderr_pipe: adopted.stderr,
            stdout,
            failure_pipe: adopted.failure,
            failure: None,
            notify: adopted.notify,
            listener,
            is_ready: false,
            pid: adopted.pid,
            not_printed: None,
            sent_to: 0,
        }
    }

    pub(super) fn save(&self, slot: u16) -> SavedService {
        let raw = |fd: &OwnedFd| fd.as_raw_fd();
        SavedService {
            slot,
            stderr: self.stderr_pipe.as_ref().map(raw),
            stdout: self.stdout.as_ref().map(|stdout| raw(&stdout.pipe)),
            failure: self.failure_pipe.as_ref().map(raw),
            notify: self.notify.as_ref().map(raw),
            half_stderr: self.stderr.partial().to_vec(),
            half_stdout: self.stdout.as_ref().map(|stdout| stdout.partial.clone()).unwrap_or_default(),
        }
    }

    /// All that are open.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let stdout = self.stdout.as_ref().map(|stdout| &stdout.pipe);
        let all = [self.stderr_pipe.as_ref(), self.failure_pipe.as_ref(), stdout, self.notify.as_ref()];
        all.into_iter().flatten().map(AsFd::as_fd).collect()
    }

    pub(super) fn read_stderr(&mut self) -> Found {
        let Some(pipe) = &self.stderr_pipe else { return Found::End };
        let mut bytes = [0; READ_BYTES];
        match read(pipe, &mut bytes) {
            Ok(0) => Found::End,
            Ok(length) => {
                self.listen(Stream::Stderr, &bytes[..length]);
                self.stderr.take(&bytes[..length]);
                Found::Bytes
            }
            Err(Errno::EINTR | Errno::EAGAIN) => Found::Nothing,
            Err(_) => Found::End,
        }
    }

    pub(super) fn read_stdout(&mut self) -> Found {
        let Some(stdout) = &mut self.stdout else { return Found::End };
        let mut bytes = [0; READ_BYTES];
        match read(&stdout.pipe, &mut bytes) {
            Ok(0) => Found::End,
            Ok(length) => {
                stdout.partial.extend_from_slice(&bytes[..length]);
                self.listen(Stream::Stdout, &bytes[..length]);
                Found::Bytes
            }
            Err(Errno::EINTR | Errno::EAGAIN) => Found::Nothing,
            Err(_) => Found::End,
        }
    }

    fn listen(&mut self, stream: Stream, bytes: &[u8]) {
        self.is_ready |= self.listener.as_mut().is_some_and(|listener| listener.hears(stream, bytes));
    }

    /// Another way to say that it is ready, or the same: then what it has said counts, and what it has half said.
    pub(super) fn listen_for(&mut self, probe: &Probe) {
        let is_same = |listener: &Listener| matches!(probe, Probe::Line(line) if listener.is_for(line));
        if !self.listener.as_ref().is_some_and(is_same) {
            self.listener = Listener::of(Some(probe));
        }
    }

    pub(super) fn read_notify(&mut self) {
        self.is_ready |= self.notify.as_ref().is_some_and(|socket| says_ready(socket, self.pid));
    }

    /// Whether it has said that it is ready; true once.
    pub(super) fn take_ready(&mut self) -> bool {
        std::mem::take(&mut self.is_ready)
    }

    /// The whole lines that have come. Of a line that is too long what is there.
    pub(super) fn take_lines(&mut self) -> Vec<u8> {
        let Some(Stdout { partial, searched, .. }) = &mut self.stdout else { return Vec::new() };
        let before = std::mem::replace(searched, partial.len());
        let end = match memchr::memrchr(b'\n', &partial[before..]) {
            Some(end) => before + end + 1,
            None if partial.len() > LONGEST_PIECE => LONGEST_PIECE,
            None => return Vec::new(),
        };
        let rest = partial.split_off(end);
        *searched = rest.len();
        std::mem::replace(partial, rest)
    }

    /// What is left of its start; `None` as long as it is unknown.
    pub(super) fn read_failure(&mut self) -> Found {
        let Some(pipe) = &self.failure_pipe else { return Found::End };
        let mut bytes = [0; StartFailure::BYTES];
        match read(pipe, &mut bytes) {
            Ok(0) => Found::End,
            Ok(length) => {
                self.failure = StartFailure::decode(&bytes[..length]);
                Found::Bytes
            }
            Err(Errno::EINTR | Errno::EAGAIN) => Found::Nothing,
            Err(_) => Found::End,
        }
    }

    /// It is over: all that is in its pipes is read.
    pub(super) fn drain(&mut self) {
        self.read_failure();
        let _ = (0..LAST_READS).find(|_| self.read_stderr() != Found::Bytes);
        let _ = (0..LAST_READS).find(|_| self.read_stdout() != Found::Bytes);
        self.stderr.finish();
        (self.stderr_pipe, self.failure_pipe) = (None, None);
    }
}
