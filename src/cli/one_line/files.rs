//! The files of a line, before its run: that they can be what the line wants, and that no other run writes into its job log.

use super::file::{Items, Line};
use crate::config::diagnostic::reason;
use crate::worker::job_log;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{AccessFlags, access};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file that is not there, is a folder or may not be used is a slip of the line. Writes nothing.
pub(super) fn check(line: &Line) -> Result<(), String> {
    if let Items::File(path) = &line.items {
        check_items(path)?;
    }
    job_log_of(line).map_or(Ok(()), |path| check_job_log(path, &line.items))
}

/// Only a line of one command has one.
fn job_log_of(line: &Line) -> Option<&Path> {
    line.stages.iter().find_map(|stage| Some(Path::new(&stage.joblog.as_ref()?.path)))
}

fn check_job_log(path: &Path, items: &Items) -> Result<(), String> {
    may_be_written(path)?;
    is_apart(items, path)?;
    let shown = path.display();
    match job_log::foreign_line(path) {
        Ok(None) => Ok(()),
        Ok(Some(line)) => Err(format!(
            "`{shown}` is no job log: its first line is `{line}`; give --joblog a file of its own"
        )),
        Err(error) => Err(format!("the job log `{shown}` can't be read: {}", reason(&error))),
    }
}

/// The lock of this run on its job log: rows of two runs in it would be taken for those of one. It ends with the process; a file
/// system without locks has none. What can't be opened is for the worker to say.
pub(super) fn lock(line: &Line) -> Result<Option<Flock<File>>, String> {
    let Some(path) = job_log_of(line) else { return Ok(None) };
    // What reads a named pipe would take a second end for its end.
    if std::fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        return Ok(None);
    }
    let Ok(file) = job_log::open(path) else { return Ok(None) };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Err((_, Errno::EWOULDBLOCK)) => Err(format!(
            "another run writes into the job log `{}`: wait for its end, or give --joblog a file of its own",
            path.display()
        )),
        lock => Ok(lock.ok()),
    }
}

/// A log in the file of the items would be read as items.
fn is_apart(items: &Items, log: &Path) -> Result<(), String> {
    let which = |path: &Path| {
        let about = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        Some((about.dev(), about.ino()))
    };
    let of_items = match items {
        Items::File(path) => which(path),
        Items::Stdin => which(Path::new("/dev/stdin")),
        Items::List(_) => None,
    };
    match which(log) {
        Some(file) if of_items == Some(file) => Err(format!(
            "the items are read from `{}`, so the job log can't be there: give --joblog a file of its own",
            log.display()
        )),
        _ => Ok(()),
    }
}

fn may_be_written(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let writes = |path, more| {
        let rights = AccessFlags::W_OK | more;
        may(path, rights).map_err(|why| format!("the job log `{shown}` can't be written: {why}"))
    };
    match (std::fs::metadata(path), std::fs::metadata(folder)) {
        (Ok(about), _) if about.is_dir() => Err(format!(
            "`{shown}` is a folder, and --joblog takes a file, such as `{}`",
            path.join("jobs.log").display()
        )),
        (Ok(_), _) => writes(path, AccessFlags::R_OK),
        (_, Err(error)) if error.kind() == ErrorKind::NotFound => {
            Err(format!("there is no folder `{}` for the job log", folder.display()))
        }
        (_, Ok(about)) if !about.is_dir() => {
            Err(format!("`{}` is no folder, so the job log can't be in it", folder.display()))
        }
        (Err(_), _) => writes(folder, AccessFlags::X_OK),
    }
}

fn check_items(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(format!("there is no file `{shown}` for the items"))
        }
        Ok(about) if about.is_dir() => Err(format!(
            "`{shown}` is a folder, and -a takes a file with an item a line; its files are the items of `mprun do … ::: {}`",
            path.join("*").display()
        )),
        Err(error) => Err(format!("the items can't be read from `{shown}`: {}", reason(&error))),
        Ok(_) => may(path, AccessFlags::R_OK)
            .map_err(|why| format!("the items can't be read from `{shown}`: {why}")),
    }
}

fn may(path: &Path, rights: AccessFlags) -> Result<(), String> {
    access(path, rights).map_err(|errno| reason(&errno.into()))
}
