//! The supervisor's side of saving: a copy of all queues on the disk. See `transaction/checkpoint.rs` for the workers'.

use super::image::{Copied, LoneItem};
use super::{disk, image};
use crate::queue::admin::QueueAdmin;
use crate::queue::arena::{attach::Arena, fault::Fault, layout::checkpoint};
use std::{fs, io, path::Path, sync::atomic::Ordering::Relaxed};

/// `queues.saved` for `queues`.
pub(super) const SAVED: &str = "saved";

impl Arena {
    /// What was saved of the queues in this file is out of date.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn forget_saved(queues: &Path) -> io::Result<()> {
        match fs::remove_file(disk::beside(queues, SAVED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            // Else after a power cut it could be there alone, without the file that is removed next.
            Ok(()) => disk::sync_folder(queues),
        }
    }
}

impl QueueAdmin {
    /// Saves what is in all queues at one moment beside their file; returns the number of the last change in it, for which
    /// no worker waits any more.
    ///
    /// # Errors
    /// When the disk refuses: then what was saved before is still there. Or when the memory is damaged.
    pub fn save(&mut self, queues: &Path) -> Result<u64, Fault> {
        self.save_after(queues, &mut |_| Ok(()))
    }

    /// The same; before it takes the place of what was saved before, `first` sees to it that what the tokens in it say of the
    /// world outside is safe, too.
    ///
    /// # Errors
    /// See [`QueueAdmin::save`]; and those of `first`.
    pub fn save_after(
        &mut self,
        queues: &Path,
        first: &mut dyn FnMut(&[LoneItem]) -> io::Result<()>,
    ) -> Result<u64, Fault> {
        let (change, copied) = self.copy()?;
        first(&copied.lone).map_err(|error| {
            Fault::File("failed to make safe what counts beside", queues.to_owned(), error)
        })?;
        let saved = disk::beside(queues, SAVED);
        disk::replace(&saved, &copied.bytes).map_err(|error| Fault::File("failed to write", saved, error))?;
        self.session.arena.mark_saved(change);
        Ok(change)
    }

    /// A copy of what is in all queues at one moment, and the number of the last change in it.
    ///
    /// # Errors
    /// When the memory is damaged.
    pub fn image(&mut self) -> Result<(u64, Vec<u8>), Fault> {
        let (change, copied) = self.copy()?;
        Ok((change, copied.bytes))
    }

    fn copy(&mut self) -> Result<(u64, Copied), Fault> {
        let owner = self.session.arena.identity()?;
        let memory = self.session.memory();
        memory.word32(checkpoint::URGENT).store(0, Relaxed); // a change that comes now is in it, or is requested again
        let tx = self.session.begin()?;
        let change = tx.memory.load(checkpoint::CHANGES);
        Ok((change, image::take(&tx, &owner)?))
    }
}
