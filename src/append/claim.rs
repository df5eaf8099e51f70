//! Who else writes a file: each stage of each run that does claims one byte far behind the file's end, all of its
//! workers the same one. A claim is a lock of the kernel's, which goes with its process.

use crate::hash::fnv1a;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Behind the end of every file.
const FIRST: i64 = 1 << 61;
const CLAIMS: u64 = 1 << 60;

/// A claim, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    file: File,
    at: i64,
}

impl Claim {
    /// `file`: a descriptor of its own, for reading. `whose`: the same for all workers of a stage of a run.
    pub(crate) fn new(file: File, whose: &[u8]) -> io::Result<Claim> {
        let at = FIRST + i64::try_from(fnv1a(whose) % CLAIMS).unwrap_or(0);
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&lock(libc::F_RDLCK, at, 1))) {
            // Also a file system without locks has files.
            Ok(_) | Err(Errno::ENOLCK | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(Claim { file, at })
    }

    /// Whether no other stage has a claim.
    pub(crate) fn is_alone(&self) -> bool {
        let before = self.at - FIRST;
        let after = FIRST + CLAIMS.cast_signed() - self.at - 1;
        [(FIRST, before), (self.at + 1, after)].into_iter().all(|(start, length)| self.is_free(start, length))
    }

    fn is_free(&self, start: i64, length: i64) -> bool {
        let mut wanted = lock(libc::F_WRLCK, start, length);
        // A length of 0 would mean all the rest.
        length == 0
            || fcntl(&self.file, FcntlArg::F_OFD_GETLK(&mut wanted)).is_err()
            || i32::from(wanted.l_type) == libc::F_UNLCK
    }
}

/// The lock under which a machine begins with a file, until it is dropped.
#[derive(Debug)]
pub(super) struct BeginningLock<'a>(BorrowedFd<'a>);

/// `None`: another machine holds it. `file` is open for writing.
pub(super) fn lock_beginning<F: AsFd>(file: &F) -> io::Result<Option<BeginningLock<'_>>> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock(libc::F_WRLCK, FIRST - 1, 1))) {
        Ok(_) => Ok(Some(BeginningLock(file.as_fd()))),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

impl Drop for BeginningLock<'_> {
    fn drop(&mut self) {
        // It would go with the file at the latest.
        let _ = fcntl(self.0, FcntlArg::F_OFD_SETLK(&lock(libc::F_UNLCK, FIRST - 1, 1)));
    }
}

fn lock(kind: i32, l_start: i64, l_len: i64) -> libc::flock {
    let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    libc::flock { l_type, l_whence, l_start, l_len, l_pid: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_stage_is_seen_and_another_worker_of_the_same_is_none() {
        let path = std::env::temp_dir().join(format!("mprun-claim-{:x}", fastrand::u64(..)));
        std::fs::write(&path, "").unwrap();
        let claim = |whose: &[u8]| Claim::new(File::open(&path).unwrap(), whose).unwrap();
        let (one, two) = (claim(b"run\0a"), claim(b"run\0a"));
        assert!(one.is_alone() && two.is_alone());
        let other = claim(b"run\0b");
        assert!(!one.is_alone() && !two.is_alone() && !other.is_alone());
        drop((one, two));
        assert!(other.is_alone());
        std::fs::remove_file(&path).unwrap();
    }
}
