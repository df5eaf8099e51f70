//! A file that is written anew beside the one that readers see, and takes its place as a whole: `replace = true`.
//!
//! The workers write `.NAME.new`; the supervisor renames it once all workers have ended and the run has gone well.
//!
//! | killed … | left behind | what happens then |
//! |---|---|---|
//! | a worker, anywhere | the file as it was, `.NAME.new` | its successor continues in `.NAME.new` |
//! | all, before the rename | the same | a run that continues (kept queues) continues in `.NAME.new`; one that begins from nothing empties it |
//! | copying what is there, for a run that continues and finds no `.NAME.new` | `.NAME.copy` | copies anew |
//! | after the rename, before the queues are put away | the new file | the next start sees that all is through; there is nothing to rename |

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// Symbolic links that are followed, at most: the kernel's own bound.
const MAX_LINKS: usize = 40;

/// A file and what is to take its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replacement {
    /// What readers see; where a symbolic link leads.
    pub file: PathBuf,
    /// What is written, in the same folder.
    pub fresh: PathBuf,
}

impl Replacement {
    /// For the file of this path. Links are followed first, so that a link stays one.
    pub(crate) fn of(path: &Path) -> Replacement {
        let mut file = path.to_owned();
        for _ in 0..MAX_LINKS {
            let Ok(target) = fs::read_link(&file) else { break };
            file = file.parent().map(|folder| folder.join(&target)).unwrap_or(target);
        }
        let fresh = beside(&file, "new");
        Replacement { file, fresh }
    }

    /// Makes the fresh file if it isn't there, as accessible as the old one. `continues`: what is in the old one is part of
    /// the work, so the fresh one begins with it. Only one process may do that at a time.
    pub(crate) fn prepare(&self, continues: bool) -> io::Result<()> {
        let old = match fs::metadata(&self.file) {
            Ok(about) if !about.is_file() => {
                let file = self.file.display();
                return Err(io::Error::other(format!(
                    "`replace` needs a regular file, which `{file}` is not"
                )));
            }
            Ok(_) => {
                // A file without write permission is not replaced, either.
                let opened = OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(&self.file);
                let refused = |error| io::Error::other(format!("`{}`: {error}", self.file.display()));
                Some(opened.map_err(refused)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if fs::symlink_metadata(&self.fresh).is_ok() {
            return Ok(());
        }
        if continues && old.is_some() {
            let copy = beside(&self.file, "copy");
            fs::copy(&self.file, &copy)?;
            return fs::rename(copy, &self.fresh);
        }
        let fresh = File::create(&self.fresh)?;
        if let Some(old) = old {
            let about = old.metadata()?;
            // Only root can give a file away; for others it is theirs anyway, mostly.
            let _ = fchown(&fresh, Some(about.uid()), Some(about.gid()));
            fresh.set_permissions(about.permissions())?;
        }
        Ok(())
    }

    /// Puts the fresh file in the place of the old one. What is in it must be on the disk. Whether there was one.
    pub(crate) fn conclude(&self) -> io::Result<bool> {
        match fs::rename(&self.fresh, &self.file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        }
        // Where a folder can't be written to the disk the rename counts all the same.
        let _ = self.file.parent().map(File::open).transpose().map(|folder| folder.map(|it| it.sync_all()));
        Ok(true)
    }

    /// The run has failed, and nothing goes on with it: the part that there is goes out of the way of the next run. Its
    /// new name.
    pub(crate) fn abandon(&self) -> io::Result<Option<PathBuf>> {
        let part = beside(&self.file, "incomplete");
        match fs::rename(&self.fresh, &part) {
            Ok(()) => Ok(Some(part)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(file.file_name().unwrap_or_default());
    name.push(format!(".{end}"));
    file.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Folder {
            let path = std::env::temp_dir().join(format!("mprun-replace-{:x}", fastrand::u64(..)));
            fs::create_dir(&path).unwrap();
            Folder(path)
        }
        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.0.join(name)).ok()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_fresh_file_takes_the_place_of_the_old_one_and_its_mode() {
        let folder = Folder::new();
        let path = folder.0.join("out");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let replacement = Replacement::of(&path);
        replacement.prepare(false).unwrap();
        fs::write(&replacement.fresh, "fresh").unwrap();
        replacement.prepare(false).unwrap(); // another worker
        assert_eq!(folder.read("out").unwrap(), "old");
        assert!(replacement.conclude().unwrap());
        assert_eq!(folder.read("out").unwrap(), "fresh");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(!replacement.conclude().unwrap(), "there is nothing to rename any more");
    }

    #[test]
    fn a_run_that_goes_on_begins_with_what_is_there() {
        let folder = Folder::new();
        let path = folder.0.join("out");
        fs::write(&path, "old").unwrap();
        let replacement = Replacement::of(&path);
        replacement.prepare(true).unwrap();
        assert_eq!(folder.read(".out.new").unwrap(), "old");
        fs::write(&replacement.fresh, "more").unwrap();
        replacement.prepare(true).unwrap();
        assert_eq!(folder.read(".out.new").unwrap(), "more");
        assert_eq!(replacement.abandon().unwrap(), Some(folder.0.join(".out.incomplete")));
    }

    #[test]
    fn a_link_stays_one_and_a_device_is_refused() {
        let folder = Folder::new();
        fs::create_dir(folder.0.join("real")).unwrap();
        std::os::unix::fs::symlink("real/data", folder.0.join("link")).unwrap();
        let replacement = Replacement::of(&folder.0.join("link"));
        assert_eq!(replacement.file, folder.0.join("real/data"));
        assert_eq!(replacement.fresh, folder.0.join("real/.data.new"));
        let device = Replacement { file: "/dev/null".into(), fresh: folder.0.join("new") };
        assert!(device.prepare(false).unwrap_err().to_string().contains("a regular file"));
    }
}
