//! Writing all of something, in pieces that a pipe keeps together.

use crate::sys::readiness;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use std::os::fd::AsFd;

/// A pipe keeps one write of up to this many bytes together.
pub(super) const PIPE_BUF: usize = libc::PIPE_BUF;

/// Cuts at line ends: as many whole lines as fit into `size`, or one line that is longer.
pub(super) fn pieces(lines: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
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

/// Writes all of `bytes`, in one write if the kernel takes them so.
pub(super) fn all(target: impl AsFd, bytes: &[u8]) -> nix::Result<()> {
    all_unless(target, bytes, &|| false).1
}

/// The same; `is_over` is asked before each wait for room, and ends it with EINTR. How much was written comes first.
pub(super) fn all_unless(
    target: impl AsFd,
    bytes: &[u8],
    is_over: &dyn Fn() -> bool,
) -> (usize, nix::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match nix::unistd::write(&target, &bytes[written..]) {
            // A device that takes nothing would be tried for ever.
            Ok(0) => return (written, Err(Errno::EIO)),
            Ok(more) => written += more,
            Err(Errno::EINTR) => {}
            // It is non-blocking: opened so, or made so by a process that shares it.
            Err(Errno::EAGAIN) if is_over() => return (written, Err(Errno::EINTR)),
            Err(Errno::EAGAIN) => {
                // An order ends this wait, too: then `is_over` is asked again.
                let mut room = [PollFd::new(target.as_fd(), PollFlags::POLLOUT)];
                if readiness::wait_any(&mut room, None).is_err() {
                    return (written, Err(Errno::EIO));
                }
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Read};

    #[test]
    fn pieces_end_with_a_line_and_fit_unless_a_line_does_not() {
        let lines = b"aa\nbbb\nc\nddddddddddd\n\ne\n";
        let cut: Vec<&[u8]> = pieces(lines, 7).collect();
        assert_eq!(cut, [&b"aa\nbbb\n"[..], b"c\n", b"ddddddddddd\n", b"\ne\n"]);
        assert_eq!(pieces(lines, 100).count(), 1);
        assert_eq!(pieces(b"", 7).count(), 0);
    }

    #[test]
    fn a_wait_for_room_ends_when_all_is_over() {
        let (_reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).unwrap();
        let (written, result) = all_unless(&writer, &vec![b'x'; 1 << 20], &|| true);
        assert_eq!(result, Err(Errno::EINTR));
        assert!(written > 0 && written < 1 << 20, "{written}");
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
        all(&writer, &bytes).unwrap();
        assert!(reading.join().unwrap() == bytes);
    }
}
