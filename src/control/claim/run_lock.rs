//! One run of a pipeline file for a state folder, whatever runtime folders its runs have: a session and a job of cron
//! share the first only.
//!
//! The lock files are in the folder `.runs`, where no pipeline's state is: names don't start with a dot. A folder of state on
//! network storage serves several machines, each of which may run the file.

use super::lock::{self, Held, Holder, Locked, folder_lock, remove};
use crate::control::runtime_folder;
use crate::dead_letter::location::{self, Variable};
use crate::hash::fnv1a;
use log::{Level, log};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Held by the run of a pipeline file. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct RunLock(Held);

impl RunLock {
    /// Without a folder to have it in there is none: such a run keeps no state either.
    ///
    /// # Errors
    /// The run that has it.
    pub(crate) fn take(
        run: &Holder,
        inherited: &[OwnedFd],
        variable: Variable<'_>,
    ) -> Result<Option<RunLock>, Holder> {
        match lock_in(&folder(variable), run, inherited) {
            Ok((path, Locked::Mine(lock))) => Ok(Some(RunLock(Held::new(path, lock)))),
            Ok((_, Locked::Held(holder))) => Err(holder),
            Err(error) => {
                let folder = folder(variable);
                log!(
                    target: "mprun",
                    Level::Warn,
                    "no lock in {}: {error}; a run of the same file with another runtime folder is not kept from running beside this one",
                    folder.display()
                );
                Ok(None)
            }
        }
    }
}

impl RunLock {
    /// For a program that takes over.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.descriptor()
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        remove(&self.0.path);
    }
}

/// Where the locks of runs are that share a state folder.
pub(super) fn folder(variable: Variable<'_>) -> PathBuf {
    location::state_folder(variable).join(".runs")
}

fn lock_in(folder: &Path, run: &Holder, inherited: &[OwnedFd]) -> io::Result<(PathBuf, Locked)> {
    runtime_folder::prepare(folder)?;
    let _lock = folder_lock(folder)?;
    let path = folder.join(format!("{:016x}.lock", number(&run.file)));
    let locked = lock::lock(&path, run, inherited)?;
    lock::sweep(folder, |_| false);
    Ok((path, locked))
}

/// Of a file on this machine.
fn number(file: &Path) -> u64 {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    fnv1a(&[&boot, file.as_os_str().as_bytes()].join(&0))
}
