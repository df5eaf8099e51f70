//! A fresh arena in a file: an empty one, or one with what an image holds.

use super::disk;
use super::image::Image;
use crate::queue::admin::QueueAdmin;
use crate::queue::arena::attach::{self, Arena};
use crate::queue::arena::identity::{self, Identity, User};
use crate::queue::arena::{fault::Fault, layout, memory::Memory};
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// `queues.new` for `queues`.
pub(super) const NEW: &str = "new";

/// What an earlier start has left in the file goes. From here on only what [`Memory::reserve`] has seen may be written.
pub(super) fn prepare(fd: OwnedFd, owner: &Identity) -> Result<Memory, Fault> {
    attach::empty(&fd)?;
    attach::set_size(&fd)?;
    let memory = Memory::map(fd)?;
    memory.reserve(layout::HEAD_PAGES)?;
    identity::write(&memory, owner);
    memory.sync_file()?;
    Ok(memory)
}

/// Makes a file with what an image holds, whole and on the disk, and not in use. `last_user`: who used what the image
/// was made of.
pub(super) fn make(
    new: &Path,
    owner: &Identity,
    image: &Image<'_>,
    last_user: Option<User>,
) -> Result<(), Fault> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = disk::open_new(new, &mut options);
    let fd = OwnedFd::from(file.map_err(|error| Fault::File("failed to open", new.to_owned(), error))?);
    let arena = Arena(Arc::new(prepare(fd, owner)?));
    if let Some(user) = last_user {
        arena.enter(user)?;
    }
    QueueAdmin::open(arena.clone())?.restore(image)?;
    arena.leave()
}
