//! Writing all of something.

use crate::sys::readiness;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use std::os::fd::AsFd;

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
            // A device that takes nothing would be asked for ever.
            Ok(0) => return (written, Err(Errno::EIO)),
            Ok(more) => written += more,
            Err(Errno::EINTR) => {}
            // It is non-blocking: opened so, or made so by somebody who shares it.
            Err(Errno::EAGAIN) if is_over() => return (written, Err(Errno::EINTR)),
            Err(Errno::EAGAIN) => {
                // An order ends this wait, too: then it is asked again whether all is over.
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
