//! An arena as a process has it: made, attached, or claimed from an earlier run.
//!
//! An arena belongs to one run at a time: its processes hold the lock of its open file. The lock (`flock`) sits on the
//! *open file description* that supervisor, workers and guardian share. The kernel takes it away when the last of them
//! is gone, however they died, and not before: so the owner of the lock knows that no process of an earlier run is
//! left. A descriptor for safe keeping elsewhere ([`Arena::share`]) is another open file of the same memory, and holds
//! no lock.

use super::identity::{self, Identity, User};
#[cfg(miri)]
use super::interpreted::sealed;
use super::layout::{self, SIZE};
use super::{fault::Fault, memory::Memory};
#[cfg(not(miri))]
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::{errno::Errno, fcntl, sys};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a lock is asked for that another process has. The kernel knows no deadline for it, and this is only waited
/// for while the processes of a dead supervisor die.
const LOCK_RETRY: Duration = Duration::from_millis(5);

/// All queues of one run, in one memory file. Cheap to clone; another process attaches to it by its descriptor.
#[derive(Clone)]
pub struct Arena(pub(in crate::queue) Arc<Memory>);

impl Arena {
    /// A fresh, empty arena of no pipeline in particular.
    ///
    /// # Errors
    /// `Fault::System` when the memory can't be had, with what to look at.
    pub fn create() -> Result<Arena, Fault> {
        Arena::create_for(&Identity::default())
    }

    /// A fresh, empty arena, in memory.
    ///
    /// # Errors
    /// As for [`Arena::create`].
    pub fn create_for(owner: &Identity) -> Result<Arena, Fault> {
        let memory = Memory::map(sealed()?)?;
        identity::write(&memory, owner);
        Ok(Arena(Arc::new(memory)))
    }

    /// The arena behind a descriptor that another process made.
    ///
    /// # Errors
    /// `Fault::Foreign` when it is something else, `Fault::Version` when it is of another version.
    pub fn attach(fd: OwnedFd) -> Result<Arena, Fault> {
        let size = size_of_file(&fd)?;
        if size != SIZE as u64 {
            return Err(of_another_version(&fd)
                .unwrap_or_else(|| Fault::Foreign(format!("{size} bytes long, not {SIZE}"))));
        }
        let memory = Memory::map(fd)?;
        identity::read(&memory)?;
        // A memory file that can still be cut short would be a SIGBUS for every reader behind its end.
        if memory.is_file() != (memory.load(layout::identity::IN_FILE) != 0) {
            return Err(Fault::Foreign("its size is not sealed".into()));
        }
        Ok(Arena(Arc::new(memory)))
    }

    /// Whose it is.
    ///
    /// # Errors
    /// `Fault::Foreign` when its head was damaged since it was attached.
    pub fn identity(&self) -> Result<Identity, Fault> {
        identity::read(&self.0)
    }

    /// The memory file: pass it to a worker.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }

    /// A descriptor of the same memory for safe keeping, which does not count as use.
    ///
    /// # Errors
    /// When /proc is not there.
    pub fn share(&self) -> Result<OwnedFd, Fault> {
        reopen(self.fd())
    }

    /// The arena behind a descriptor that was kept safe, for this run alone. Waits until `timeout` for the processes of
    /// an earlier run to be gone; `is_alive`: whether its supervisor still lives (asked if a process has it open).
    ///
    /// # Errors
    /// As for [`Arena::attach`]; `Fault::InUse` when they are not gone by then.
    pub fn claim(
        kept: BorrowedFd<'_>,
        timeout: Duration,
        is_alive: &mut dyn FnMut(User) -> bool,
    ) -> Result<Arena, Fault> {
        let own = reopen(kept)?;
        lock_after(&own, timeout, is_alive)?;
        Arena::attach(own)
    }
}

fn fault(what: &'static str) -> impl Fn(Errno) -> Fault {
    move |error| Fault::System(what, error.into())
}

/// A memory file of the arena's size, locked, that can't be cut short.
#[cfg(not(miri))]
fn sealed() -> Result<OwnedFd, Fault> {
    let flags = sys::memfd::MFdFlags::MFD_CLOEXEC | sys::memfd::MFdFlags::MFD_ALLOW_SEALING;
    let fd = sys::memfd::memfd_create(c"mprun-queues", flags)
        .map_err(fault("failed to create queue memory (memfd_create)"))?;
    set_size(&fd)?;
    // A file that shrinks under a mapping would be SIGBUS for all.
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).map_err(fault("failed to seal queue memory"))?;
    lock(&fd)?;
    Ok(fd)
}

pub(crate) fn set_size(fd: &OwnedFd) -> Result<(), Fault> {
    let what = "failed to size queue memory, a sparse file of 7 TiB (does `ulimit -f` or the file system allow it? ext4, \
                XFS, Btrfs and tmpfs do)";
    nix::unistd::ftruncate(fd, SIZE as libc::off_t).map_err(fault(what))
}

/// Nothing is in the file any more.
pub(crate) fn empty(fd: &OwnedFd) -> Result<(), Fault> {
    nix::unistd::ftruncate(fd, 0).map_err(fault("failed to empty the file of queue memory"))
}

fn size_of_file(fd: &OwnedFd) -> Result<u64, Fault> {
    let stat = sys::stat::fstat(fd).map_err(fault("failed to look at queue memory"))?;
    Ok(stat.st_size.unsigned_abs())
}

/// The size is part of the layout, so another version's may differ: its first words tell.
fn of_another_version(fd: &OwnedFd) -> Option<Fault> {
    let file = std::fs::File::from(fd.try_clone().ok()?);
    let mut words = [[0; 8]; 2];
    file.read_exact_at(words.as_flattened_mut(), 0).ok()?;
    let [magic, version] = words.map(u64::from_le_bytes);
    let fault = identity::unknown(1, version);
    (magic == layout::MAGIC && version != layout::VERSION).then_some(fault)
}

/// Takes the lock of this open file, or fails with `Fault::InUse`.
fn lock(fd: &OwnedFd) -> Result<(), Fault> {
    loop {
        // SAFETY: a plain system call on an own descriptor.
        match Errno::result(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(Errno::EWOULDBLOCK) => return Err(Fault::InUse),
            Err(error) => return Err(Fault::System("failed to lock queue memory", error.into())),
        }
    }
}

/// Takes the lock, waiting until `timeout` for the processes of an earlier run. `is_alive` is asked once, if one of them
/// has it: whether its supervisor lives and so will keep it; else it may end what is left of that run.
pub(crate) fn lock_after(
    fd: &OwnedFd,
    timeout: Duration,
    is_alive: &mut dyn FnMut(User) -> bool,
) -> Result<(), Fault> {
    match lock(fd) {
        Err(Fault::InUse) if identity::user_of_file(fd).is_some_and(is_alive) => return Err(Fault::InUse),
        Err(Fault::InUse) => {}
        result => return result,
    }
    let limit = Instant::now() + timeout;
    loop {
        match lock(fd) {
            Err(Fault::InUse) if Instant::now() < limit => std::thread::sleep(LOCK_RETRY),
            result => return result,
        }
    }
}

/// Another open file of what `fd` is.
fn reopen(fd: BorrowedFd<'_>) -> Result<OwnedFd, Fault> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = fcntl::OFlag::O_RDWR | fcntl::OFlag::O_CLOEXEC;
    fcntl::open(path.as_str(), flags, sys::stat::Mode::empty())
        .map_err(fault("failed to open queue memory anew (is /proc there?)"))
}
