//! Descriptors to pass on: sealed memory files, and copies out of the way of fixed numbers.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, SFlag, fstat};
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A memory file that holds `bytes`, read from its start, and that can't be changed any more.
pub(crate) fn sealed(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    file.rewind()?;
    let seals =
        SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(OwnedFd::from(file))
}

/// An empty memory file, for another process to write into.
pub(crate) fn memory_file(name: &CStr) -> io::Result<OwnedFd> {
    Ok(memfd_create(name, MFdFlags::MFD_CLOEXEC)?)
}

/// A copy of `fd` (closed on exec) whose number is at least `least`.
pub(crate) fn copy_above(fd: impl AsFd, least: RawFd) -> io::Result<OwnedFd> {
    let raw = match fcntl(fd.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(least)) {
        // The kernel's word for a number that `ulimit -n` doesn't allow.
        Err(Errno::EINVAL) => Err(Errno::EMFILE),
        copied => copied,
    }?;
    // SAFETY: the call above made this descriptor, and nothing else knows of it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// An end to read from, without waiting, of the pipe that `writer` writes into.
pub(crate) fn reading_end(writer: impl AsFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", writer.as_fd().as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(open(path.as_str(), flags, Mode::empty())?)
}

/// `/dev/null`, for reading and writing.
pub(crate) fn null() -> io::Result<OwnedFd> {
    let opened = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
    opened.map_err(|errno| io::Error::new(io::Error::from(errno).kind(), format!("/dev/null: {errno}")))
}

/// Whether the open file is what this path leads to; false if that leads nowhere.
pub(crate) fn is_named(file: impl AsFd, path: &Path) -> io::Result<bool> {
    let own = fstat(file)?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((own.st_dev, own.st_ino) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether it is a regular file.
pub(crate) fn is_file(file: impl AsFd) -> bool {
    fstat(file).is_ok_and(|about| SFlag::from_bits_truncate(about.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG)
}

/// Behind the end of every file, and in front of what `append` claims.
const EXCLUSIVE: i64 = (1 << 61) - 1;

/// Acts while no other process does so for the same file, which is open for writing. The lock is the process's: it goes with
/// it, and with each descriptor of the file that it closes. Where the file system knows no locks it acts all the same.
pub(crate) fn exclusively<T>(file: impl AsFd, act: impl FnOnce() -> T) -> T {
    let lock = |kind: i32| {
        let (l_type, l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
        libc::flock { l_type, l_whence, l_start: EXCLUSIVE, l_len: 1, l_pid: 0 }
    };
    while fcntl(&file, FcntlArg::F_SETLKW(&lock(libc::F_WRLCK))) == Err(Errno::EINTR) {}
    let result = act();
    let _ = fcntl(&file, FcntlArg::F_SETLK(&lock(libc::F_UNLCK))); // if it failed, the process's end would release it
    result
}

/// Whether this process still has a controlling terminal.
pub(crate) fn has_terminal() -> bool {
    open("/dev/tty", OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, Mode::empty()).is_ok()
}
