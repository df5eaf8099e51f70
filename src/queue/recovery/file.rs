//! An arena in a file: it is there again after every process is gone.
//!
//! The file is sparse, and a store into a page that the disk has no room for would be a SIGBUS. So every page is
//! reserved (`Memory::reserve`) before it is first written: the head with the file, a slot when it is opened, a
//! ring and the first part of a returned stack with their queue, blocks and their cells a chunk at a time. What can't
//! be reserved is `Fault::DiskFull`, in good order, with nothing changed.
//!
//! | killed … | left behind | what the next one does |
//! |---|---|---|
//! | before the magic | a file without one | makes it anew: nothing was ever in it |
//! | after the magic, before `enter` | a file that is clean and empty | continues with it |
//! | after a reservation | pages that nothing points to | reserves them again, for nothing |
//! | between `enter` and `leave` | a file in use | continues with it, if the machine was up all the time; else it is torn |
//! | in `leave` | the same | the same |
//! | before the rename of a refused file | the refused file | refuses it again |
//! | while what was saved is made into a file | `queues.new`, of no use | makes it anew |

use super::checkpoint::SAVED;
use super::{disk, fresh, fresh::NEW, image, migrate, usage};
use crate::queue::arena::attach::{self, Arena};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::identity::{Identity, User};
use crate::queue::arena::layout::{self, SIZE};
use nix::unistd::{Whence, lseek};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What was found where an arena is kept.
pub struct Opened {
    /// For this run alone.
    pub arena: Arena,
    /// An earlier run has left it; else it is fresh.
    pub kept: bool,
    /// That run was of an mprun whose files are of this version; what was in its file is in this one now.
    pub migrated_from: Option<u64>,
    /// What was there instead: where it is now, and why it can't be used.
    pub set_aside: Option<(PathBuf, Fault)>,
    /// What took its place.
    pub saved: Saved,
}

/// What was saved of queues owner file can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// Nothing.
    Nothing,
    /// All of them, as they were at this moment.
    At(SystemTime),
    /// Something that can't be used either, and why; it is set aside, too.
    Refused(String),
}

impl Arena {
    /// The arena in the file `path`, made if it isn't there, for this run alone. What is there and can't be trusted is
    /// renamed. Waits and asks as [`Arena::claim`] does.
    ///
    /// # Errors
    /// `Fault::InUse`, `Fault::Version`, `Fault::OtherPipeline` (of an older version), `Fault::DiskFull`, and what else the
    /// system refuses.
    pub fn open_file(
        path: &Path,
        owner: &Identity,
        timeout: Duration,
        is_alive: &mut dyn FnMut(User) -> bool,
    ) -> Result<Opened, Fault> {
        let (mut set_aside, mut saved, mut migrated_from) = (None, Saved::Nothing, None);
        loop {
            let fd = open_locked(path, timeout, is_alive)?;
            if is_blank(&fd)? {
                let arena = make(fd, path, owner)?;
                return Ok(Opened { arena, kept: false, migrated_from, set_aside, saved });
            }
            match recognise(&fd, path, owner) {
                Ok(Some(arena)) => return Ok(Opened { arena, kept: true, migrated_from, set_aside, saved }),
                Ok(None) => migrated_from = Some(migrate::OLDER),
                Err(fault @ (Fault::Foreign(_) | Fault::Torn)) => {
                    let aside;
                    (aside, saved) = replace(path, owner)?;
                    set_aside = Some((aside, fault));
                }
                Err(other) => return Err(other),
            }
        }
    }
}

impl Arena {
    /// Renames the file that the arena is in: it turned out to be no good. It must be this run's alone. What was saved of it
    /// takes its place, unless that has led here.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn put_aside(&self, path: &Path, owner: &Identity, saved: &Saved) -> Result<(PathBuf, Saved), Fault> {
        match saved {
            Saved::At(_) => {
                put_aside(&disk::beside(path, SAVED))?;
                let why = "it leads to this again".to_owned();
                Ok((put_aside(path)?, Saved::Refused(why)))
            }
            Saved::Nothing | Saved::Refused(_) => replace(path, owner),
        }
    }

    /// Copies memory that can't be used into a file beside `path`: only what there is of it, not the holes.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn copy_aside(fd: &OwnedFd, path: &Path) -> Result<PathBuf, Fault> {
        let aside = free_name(path);
        match copy_sparsely(fd, &aside) {
            Ok(()) => Ok(aside),
            Err(error) => Err(Fault::File("failed to write", aside, error)),
        }
    }
}

/// The locked file that has the name: it may be removed or renamed while this waits for the lock.
fn open_locked(
    path: &Path,
    timeout: Duration,
    is_alive: &mut dyn FnMut(User) -> bool,
) -> Result<OwnedFd, Fault> {
    let at = |what| move |error| Fault::File(what, path.to_owned(), error);
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(at("failed to make the folder of"))?;
    }
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let fd = OwnedFd::from(file.map_err(at("failed to open"))?);
        attach::lock_after(&fd, timeout, is_alive)?;
        if is_named(&fd, path).map_err(at("failed to look at"))? {
            return Ok(fd);
        }
    }
}

/// Only that another file has the name now, or none, is a reason to try again: any other error would come again, too.
fn is_named(fd: &OwnedFd, path: &Path) -> io::Result<bool> {
    let own = nix::sys::stat::fstat(fd)?;
    match fs::metadata(path) {
        Ok(named) => Ok((own.st_dev, own.st_ino) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Nothing was ever in it: it is new, or its maker did not get as far as the magic.
fn is_blank(fd: &OwnedFd) -> Result<bool, Fault> {
    let file =
        File::from(fd.try_clone().map_err(|error| Fault::System("failed to copy a descriptor", error))?);
    let size = attach::size_of_file(fd)?;
    let mut magic = [0; 8];
    let read = file.read_exact_at(&mut magic, layout::HEADER.into());
    let is_whole = [SIZE as u64, migrate::SIZE_OF_OLDER].contains(&size);
    Ok(size == 0 || is_whole && read.is_ok() && magic == [0; 8])
}

/// From here on only what `Memory::reserve` has seen may be written.
fn make(fd: OwnedFd, path: &Path, owner: &Identity) -> Result<Arena, Fault> {
    let at = |what| move |error| Fault::File(what, path.to_owned(), error);
    // What was saved of others, before, would come back after a power cut.
    Arena::forget_saved(path).map_err(at("failed to remove what was saved beside"))?;
    let memory = fresh::prepare(fd, owner)?;
    // The name too must be there after a power cut.
    disk::sync_folder(path).map_err(at("failed to write to the disk the folder of"))?;
    Ok(Arena(Arc::new(memory)))
}

/// The arena in the file; `None`: one of this version has taken its place.
fn recognise(fd: &OwnedFd, path: &Path, owner: &Identity) -> Result<Option<Arena>, Fault> {
    let own = fd.try_clone().map_err(|error| Fault::System("failed to copy a descriptor", error))?;
    match Arena::attach(own) {
        Ok(arena) if usage::is_torn(&arena.0) => Err(Fault::Torn),
        Ok(arena) => Ok(Some(arena)),
        Err(Fault::Version { have: migrate::OLDER, .. }) => migrate::migrate(fd, path, owner).map(|()| None),
        Err(fault) => Err(fault),
    }
}

/// What was saved takes the place of what can't be used, or nothing does. The latter stays under another name.
fn replace(path: &Path, owner: &Identity) -> Result<(PathBuf, Saved), Fault> {
    let saved = disk::beside(path, SAVED);
    let taken = match fs::read(&saved) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(bytes) => restore(path, owner, &bytes)?.map(Some),
    };
    match taken {
        Ok(None) => Ok((put_aside(path)?, Saved::Nothing)),
        Ok(Some(taken)) => {
            // By a link: a death here leaves either the one or the other under the name.
            let aside = free_name(path);
            let set_aside = |error| Fault::File("failed to set aside", path.to_owned(), error);
            fs::hard_link(path, &aside)
                .and_then(|()| disk::rename(&disk::beside(path, NEW), path))
                .map_err(set_aside)?;
            Ok((aside, Saved::At(taken)))
        }
        Err(why) => {
            let aside = put_aside(path)?;
            put_aside(&saved)?;
            Ok((aside, Saved::Refused(why)))
        }
    }
}

/// Makes another file with what was saved, whole and on the disk; or why it can't be used.
fn restore(path: &Path, owner: &Identity, bytes: &[u8]) -> Result<Result<SystemTime, String>, Fault> {
    let image = match image::read(bytes) {
        Ok(image) if image.owner.is(owner) => image,
        Ok(_) => return Ok(Err("it belongs to another pipeline".to_owned())),
        Err(why) => return Ok(Err(why)),
    };
    match fresh::make(&disk::beside(path, NEW), owner, &image, None) {
        Ok(()) => Ok(Ok(image.taken)),
        Err(Fault::Foreign(why)) => Ok(Err(why)),
        Err(fault @ Fault::Damaged { .. }) => Ok(Err(fault.to_string())),
        Err(other) => Err(other),
    }
}

/// Renames what can't be used, so that nothing is lost and nothing stands in the way.
fn put_aside(path: &Path) -> Result<PathBuf, Fault> {
    let aside = free_name(path);
    match fs::rename(path, &aside) {
        Ok(()) => Ok(aside),
        Err(error) => Err(Fault::File("failed to set aside", path.to_owned(), error)),
    }
}

fn free_name(path: &Path) -> PathBuf {
    let free = (1..).map(|n| path.with_extension(format!("refused-{n}"))).find(|aside| !aside.exists());
    free.unwrap_or_else(|| path.with_extension("refused"))
}

fn copy_sparsely(fd: &OwnedFd, to: &Path) -> io::Result<()> {
    let from = File::from(fd.try_clone()?);
    if let Some(folder) = to.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    to.set_len(from.metadata()?.len())?;
    let mut at = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(start) = lseek(fd, at, Whence::SeekData) {
        at = lseek(fd, start, Whence::SeekHole).unwrap_or(start);
        let mut done = start;
        while done < at {
            let piece = buffer.len().min((at - done) as usize);
            from.read_exact_at(&mut buffer[..piece], done as u64)?;
            to.write_all_at(&buffer[..piece], done as u64)?;
            done += piece as i64;
        }
        if at == start {
            break;
        }
    }
    to.sync_all()
}
