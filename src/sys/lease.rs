//! Whether some program has a file open for writing: the kernel tells, if a lease on the file is asked for.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Once;

static SIGIO_IGNORED: Once = Once::new();

/// Whether any process has this file open for writing. `file` must be open for reading only. `None`: it can't be told;
/// the file belongs to another user, or its file system has no leases.
pub(crate) fn has_writer(file: BorrowedFd<'_>) -> Option<bool> {
    // A program that opens the file while the lease is held makes the kernel send SIGIO, which ends a process.
    // SAFETY: to ignore a signal installs no handler.
    SIGIO_IGNORED.call_once(|| unsafe {
        libc::signal(libc::SIGIO, libc::SIG_IGN);
    });
    // SAFETY: F_SETLEASE takes an int, and no memory.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) };
    if asked == 0 {
        // SAFETY: as above. It gives back the lease that was just taken.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
        return Some(false);
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn an_open_writer_is_seen_until_it_closes() {
        let path = std::env::temp_dir().join(format!("mprun-lease-{}", std::process::id()));
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        if has_writer(reader.as_fd()).is_some() {
            assert_eq!(has_writer(reader.as_fd()), Some(true));
            drop(writer);
            assert_eq!(has_writer(reader.as_fd()), Some(false));
            assert_eq!(has_writer(reader.as_fd()), Some(false));
        }
        std::fs::remove_file(path).unwrap();
    }
}
