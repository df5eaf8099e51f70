//! Writing all of something.

use crate::sys::readiness;
use nix::errno::Errno;
use std::os::fd::AsFd;

/// Writes all of `bytes`, in one write if the kernel takes them so.
pub(super) fn all(target: impl AsFd, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(&target, bytes) {
            // A device that takes nothing would be asked for ever.
            Ok(0) => return Err(Errno::EIO),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            // Somebody who shares it has made it non-blocking.
            Err(Errno::EAGAIN) => readiness::wait_until_writable(target.as_fd()).map_err(|_| Errno::EIO)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Read};

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
