//! Standard output of a stage without outputs: whole lines, never mixed with those of other workers.
//!
//! A file or a terminal keeps one write together. A pipe does so up to PIPE_BUF bytes only, so lines go into it in
//! pieces that end with a line and are no longer than that; then even a killed worker leaves no half line. A longer
//! line needs several writes: while a worker writes to a pipe or a socket it therefore holds a lock that all workers
//! share, which the kernel takes back when it dies.

use crate::queue::{Arena, SlotId, Waiting};
use crate::stage::{Failure, Outlet, Reach};
use crate::sys::{readiness, worker_timer};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::stat::{SFlag, fstat};
use std::io::{self, Stdout};
use std::os::fd::AsFd;

/// Lines are collected up to this size before they are written.
const BUFFER: usize = 64 * 1024;
/// A pipe keeps one write of so many bytes together.
const PIPE_BUF: usize = libc::PIPE_BUF;

pub(super) struct Console {
    lines: Vec<u8>,
    /// How many items they are.
    count: u64,
    /// Bytes and items before the item at hand.
    before_item: (usize, u64),
    /// Items written and not yet told.
    written: u64,
    output: Stdout,
    kind: SFlag,
    /// Holds the lock, and the time of waits.
    arena: Arena,
    slot: SlotId,
}

impl Console {
    pub fn new(arena: Arena, slot: SlotId) -> Console {
        let output = io::stdout();
        let kind = fstat(&output)
            .map_or(SFlag::S_IFREG, |about| SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT);
        Console { lines: Vec::new(), count: 0, before_item: (0, 0), written: 0, output, kind, arena, slot }
    }

    /// The lines that follow are those of another item.
    #[inline]
    pub fn begin_item(&mut self) {
        self.before_item = (self.lines.len(), self.count);
    }

    /// The item failed: its lines, as far as they aren't out, don't count.
    pub fn discard_item(&mut self) {
        self.lines.truncate(self.before_item.0);
        self.count = self.before_item.1;
    }

    /// Nothing that isn't out counts.
    pub fn discard_all(&mut self) {
        self.lines.clear();
        (self.count, self.before_item) = (0, (0, 0));
    }

    /// Writes the lines collected so far.
    pub fn flush(&mut self) -> Result<(), Failure> {
        if self.lines.is_empty() {
            return Ok(());
        }
        // Whoever reads it may take its time.
        self.arena.begin_wait(self.slot, Waiting::Blocked);
        let result = worker_timer::not_counting(|| self.write_locked());
        self.arena.end_wait(self.slot, Waiting::Blocked);
        let count = self.count;
        self.discard_all();
        result.map(|()| self.written += count).map_err(|error| match error {
            Errno::EPIPE => Failure::with_reach("nobody reads standard output any more", Reach::OutputClosed),
            error => Failure::fatal(format!("can't write to standard output: {}", io::Error::from(error))),
        })
    }

    /// Items written since the last call.
    pub fn take_written(&mut self) -> u64 {
        std::mem::take(&mut self.written)
    }

    fn write_locked(&self) -> nix::Result<()> {
        if !matches!(self.kind, SFlag::S_IFIFO | SFlag::S_IFSOCK) {
            return write_all(&self.output, &self.lines);
        }
        self.set_lock(libc::F_WRLCK)?;
        let result = pieces(&self.lines, PIPE_BUF).try_for_each(|piece| write_all(&self.output, piece));
        self.set_lock(libc::F_UNLCK)?;
        result
    }

    /// A record lock: it belongs to the process, so it goes with it.
    fn set_lock(&self, kind: i32) -> nix::Result<()> {
        let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
        let lock = libc::flock { l_type, l_whence, l_start: 0, l_len: 1, l_pid: 0 };
        loop {
            match fcntl(self.arena.fd(), FcntlArg::F_SETLKW(&lock)) {
                Err(Errno::EINTR) => {}
                result => return result.map(drop),
            }
        }
    }
}

impl Outlet for Console {
    fn put(&mut self, item: &[u8]) -> Result<(), Failure> {
        self.lines.extend_from_slice(item);
        self.lines.push(b'\n');
        self.count += 1;
        if self.lines.len() >= BUFFER { self.flush() } else { Ok(()) }
    }
}

fn write_all(output: impl AsFd, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(&output, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            // Somebody who shares it has made it non-blocking.
            Err(Errno::EAGAIN) => readiness::wait_until_writable(output.as_fd()).map_err(|_| Errno::EIO)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Cuts at line ends: as many whole lines as fit into `size`, or one line that is longer.
fn pieces(lines: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    let mut rest = lines;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let fitting = &rest[..rest.len().min(size)];
        let end = memchr::memrchr(b'\n', fitting).or_else(|| memchr::memchr(b'\n', rest));
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn pieces_end_with_a_line_and_fit_unless_a_line_does_not() {
        let lines = b"aa\nbbb\nc\nddddddddddd\n\ne\n";
        let cut: Vec<&[u8]> = pieces(lines, 7).collect();
        assert_eq!(cut, [&b"aa\nbbb\n"[..], b"c\n", b"ddddddddddd\n", b"\ne\n"]);
        assert_eq!(pieces(lines, 100).count(), 1);
        assert_eq!(pieces(b"", 7).count(), 0);
    }

    #[test]
    fn a_non_blocking_pipe_gets_everything() {
        let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).unwrap();
        let reading = std::thread::spawn(move || {
            let mut seen = Vec::new();
            let mut reader = std::fs::File::from(reader);
            while seen.len() < 300_000 {
                let mut buffer = [0; 10_000];
                match reader.read(&mut buffer) {
                    Ok(n) => seen.extend_from_slice(&buffer[..n]),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            seen
        });
        let bytes: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
        write_all(&writer, &bytes).unwrap();
        assert!(reading.join().unwrap() == bytes);
    }
}
