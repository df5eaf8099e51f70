//! An arena in a file: it is there again after every process is gone.
//!
//! The file is sparse, and a store into a page that the disk has no room for would be a SIGBUS. So every page is
//! reserved (`Memory::reserve`) before it is first written: the head with the file, a slot when it is opened, a
//! ring and the first part of a returned stack with their queue, blocks and their cells a chunk at a time. What can't
//! be reserved is `Fault::DiskFull`, in good order, with nothing changed.
//!
//! | killed … | left behind | what the next one does |
//! |---|---|---|
//! | before a new file has its name | `queues.new`, of no use | makes it anew |
//! | after that, before `enter` | a file that is clean and empty | continues with it |
//! | after a reservation | pages that nothing points to | reserves them again, for nothing |
//! | between `enter` and `leave` | a file in use | continues with it, if the machine was up all the time; else it is torn |
//! | in `leave` | the same | the same |
//! | before the rename of a file that is set aside | that file | sets it aside again |
//! | while what was saved is made into a file | `queues.new`, of no use | makes it anew |
//!
//! The end of a run removes first what was saved, then the file. So what was saved alone is that of a file that is missing: the next run
//! continues with it, or is refused where it can't be used.
//!
//! A file that has the name and is no arena, be it empty, was spoiled by something else. With what was saved of it the run continues.
//! Without, it is refused and stays where it is: only a file that the power cut has torn makes way for an empty one.

use super::checkpoint::SAVED;
use super::{disk, fresh, fresh::NEW, image, migrate, usage};
use crate::queue::arena::attach::{self, Arena};
use crate::queue::arena::fault::Fault;
use crate::queue::arena::identity::{Identity, User};
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
    /// What was there instead.
    pub replaced: Option<Replaced>,
    /// There was nothing but what had been saved, at this moment: the arena holds that.
    pub restored: Option<SystemTime>,
}

/// What became of a file that was not there.
enum Made {
    /// It is empty.
    Empty(Arena),
    /// It has its name, and holds what was saved at this moment.
    Restored(SystemTime),
    /// Another start was faster.
    ByAnother,
}

/// Queues whose file can't be used, and has made way.
#[derive(Debug)]
pub struct Replaced {
    /// Where it is now.
    pub aside: PathBuf,
    /// What is wrong with it.
    pub why: Fault,
    /// The moment at which the queues were saved as they are now; `None`: they are empty.
    pub saved: Option<SystemTime>,
}

impl Arena {
    /// The arena in the file `path`, made if it isn't there, for this run alone. What is there and can't be trusted is
    /// renamed, if something can take its place. Waits and asks as [`Arena::claim`] does.
    ///
    /// # Errors
    /// `Fault::InUse`, `Fault::Unusable`, `Fault::Version`, `Fault::OtherPipeline` (of an older version), `Fault::DiskFull`, and what else the
    /// system refuses.
    pub fn open_file(
        path: &Path,
        owner: &Identity,
        timeout: Duration,
        is_alive: &mut dyn FnMut(User) -> bool,
    ) -> Result<Opened, Fault> {
        let (mut replaced, mut migrated_from, mut restored) = (None, None, None);
        demand_file(path)?;
        loop {
            let Some(fd) = open_locked(path, || options().open(path), timeout, is_alive)? else {
                match make(path, owner, timeout, is_alive)? {
                    Made::Empty(arena) => {
                        return Ok(Opened { arena, kept: false, migrated_from, replaced, restored });
                    }
                    Made::Restored(taken) => restored = Some(taken),
                    Made::ByAnother => {}
                }
                continue;
            };
            match recognise(&fd, path, owner) {
                Ok(Some(arena)) => {
                    return Ok(Opened { arena, kept: true, migrated_from, replaced, restored });
                }
                Ok(None) => migrated_from = Some(migrate::OLDER),
                Err(fault @ (Fault::Foreign(_) | Fault::Torn)) => {
                    replaced = Some(replace(path, owner, fault)?)
                }
                Err(other) => return Err(other),
            }
        }
    }
}

impl Arena {
    /// What was saved takes the place of the file that the arena is in, which turned out to be no good. It must be this run's alone.
    ///
    /// # Errors
    /// `Fault::Unusable`: there is nothing that could. The file is as it was found, after a power cut, too. Or when the system refuses.
    pub fn replace(&self, path: &Path, owner: &Identity, why: Fault) -> Result<Replaced, Fault> {
        let replaced = replace(path, owner, why);
        if replaced.is_err() {
            // Else another boot would take it for one that a power cut has torn.
            let _ = self.leave();
        }
        replaced
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

/// What has the name and is no file was put there by a person. A link may lead to a disk that is not mounted: its queues are
/// there all the same.
fn demand_file(path: &Path) -> Result<(), Fault> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let target = fs::metadata(path);
    match fs::read_link(path) {
        Ok(to) if target.is_err() => Err(Fault::Unusable(format!(
            "it is a link to {}, which can't be reached: is its disk mounted?",
            to.display()
        ))),
        _ if target.unwrap_or(found).is_file() => Ok(()),
        _ => Err(Fault::Unusable("there is no file in their place, but something else".to_owned())),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// The locked file that has the name; `None`: none has it any more.
fn open_locked(
    path: &Path,
    open: impl FnOnce() -> io::Result<File>,
    timeout: Duration,
    is_alive: &mut dyn FnMut(User) -> bool,
) -> Result<Option<OwnedFd>, Fault> {
    let at = |what| move |error| Fault::File(what, path.to_owned(), error);
    let fd = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => OwnedFd::from(file.map_err(at("failed to open"))?),
    };
    attach::lock_after(&fd, timeout, is_alive)?;
    // It may have been removed or renamed while this waited for the lock.
    Ok(is_named(&fd, path).map_err(at("failed to look at"))?.then_some(fd))
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

/// A new file, which gets the name once it is whole: with what was saved, if that is all that there is.
fn make(
    path: &Path,
    owner: &Identity,
    timeout: Duration,
    is_alive: &mut dyn FnMut(User) -> bool,
) -> Result<Made, Fault> {
    let at = |what| move |error| Fault::File(what, path.to_owned(), error);
    if let Some(folder) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(at("failed to make the folder of"))?;
    }
    let new = disk::beside(path, NEW);
    let open = || disk::open_new(&new, options().create(true));
    let Some(fd) = open_locked(&new, open, timeout, is_alive)? else { return Ok(Made::ByAnother) };
    // Under the lock of the new one no other start makes a file.
    if path.exists() {
        return Ok(Made::ByAnother);
    }
    let made = match read_saved(path)? {
        Some(bytes) => restore_alone(path, owner, &bytes).map(Made::Restored),
        None => fresh::prepare(fd, owner).map(|memory| Made::Empty(Arena(Arc::new(memory)))),
    };
    if made.is_err() {
        let _ = fs::remove_file(&new); // on a full disk the half of it would take the room of others
    }
    let made = made?;
    // The name too must be there after a power cut.
    disk::rename(&new, path).map_err(at("failed to write to the disk the folder of"))?;
    Ok(made)
}

/// What was saved of a file that is gone.
fn restore_alone(path: &Path, owner: &Identity, bytes: &[u8]) -> Result<SystemTime, Fault> {
    restore(path, owner, bytes)?.map_err(|why| {
        let saved = disk::beside(path, SAVED);
        Fault::Unusable(format!(
            "the file is not there, and {}, which was saved of it, can't take its place: {why}",
            saved.display()
        ))
    })
}

/// The bytes of what was saved, if there is something.
fn read_saved(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    let saved = disk::beside(path, SAVED);
    match fs::read(&saved) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(|error| Fault::File("failed to read", saved, error)),
    }
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

/// What was saved takes the place of a file that can't be used, which stays under another name. Nothing takes the place only of one
/// that a power cut has torn: that is what the queues are to survive only if they are saved.
fn replace(path: &Path, owner: &Identity, why: Fault) -> Result<Replaced, Fault> {
    let saved = disk::beside(path, SAVED);
    let unusable = |more: &str| {
        let saved = saved.display();
        Fault::Unusable(format!("{why}; {saved}, which was saved of them, can't be used either: {more}"))
    };
    let bytes = match fs::read(&saved) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match why {
                Fault::Torn => Ok(Replaced { aside: put_aside(path)?, why, saved: None }),
                why => Err(Fault::Unusable(why.to_string())),
            };
        }
        Err(error) => return Err(unusable(&error.to_string())),
        Ok(bytes) => bytes,
    };
    let taken = restore(path, owner, &bytes)?.map_err(|more| unusable(&more))?;
    // By a link: a death here leaves either the one or the other under the name.
    let aside = free_name(path);
    fs::hard_link(path, &aside)
        .and_then(|()| disk::rename(&disk::beside(path, NEW), path))
        .map_err(|error| Fault::File("failed to set aside", path.to_owned(), error))?;
    Ok(Replaced { aside, why, saved: Some(taken) })
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
