//! The folders of control sockets: `NAME.sock` in a folder that belongs to one user alone.

use crate::sys::private_folder;
use nix::unistd::Uid;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// For root's sockets, and the folders of the system's services.
pub(crate) const ROOT_FOLDER: &str = "/run/mprun";

/// A variable of the environment.
pub(crate) type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The folders for sockets of this user, the preferred one first: `$RUNTIME_DIRECTORY` (systemd's),
/// `$XDG_RUNTIME_DIR/mprun`, `/run/mprun` for root, else `/tmp/mprun-UID`.
pub(crate) fn folders(uid: Uid, variable: Variable<'_>) -> Vec<PathBuf> {
    let absolute = |path: &str| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    // systemd separates several with colons: the first is the unit's main one.
    let services = variable("RUNTIME_DIRECTORY").and_then(|all| absolute(all.split(':').next()?));
    let users = variable("XDG_RUNTIME_DIR").and_then(|path| Some(absolute(&path)?.join("mprun")));
    let last = match uid.is_root() {
        true => PathBuf::from(ROOT_FOLDER),
        false => PathBuf::from(format!("/tmp/mprun-{uid}")),
    };
    services.into_iter().chain(users).chain([last]).collect()
}

/// The same for this process.
pub(crate) fn folders_here() -> Vec<PathBuf> {
    folders(Uid::effective(), &|name| std::env::var(name).ok())
}

/// Makes the folder if it isn't there, and checks that no other user can put a socket into it.
///
/// # Errors
/// When it can't be made, or belongs to another user.
pub(crate) fn prepare(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Not through a link: in /tmp any user could have made it.
    let found = fs::symlink_metadata(folder)?;
    if let Some(why) = private_folder::refusal(&found) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    if folder == Path::new(ROOT_FOLDER) { let_through(folder, &found) } else { Ok(()) }
}

/// The folders of services lie in root's: their users must be able to pass through it. They can't list it, and each file
/// there is for its owner alone.
fn let_through(folder: &Path, found: &Metadata) -> io::Result<()> {
    let mode = found.mode() & 0o7777;
    match mode & 0o011 {
        0o011 => Ok(()),
        _ => fs::set_permissions(folder, Permissions::from_mode(mode | 0o011)),
    }
}

/// All lock files in these folders, and one level below: a service's folder may have a folder for each instance.
pub(crate) fn locks(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in folders {
        for path in entries(folder) {
            if path.is_dir() && !path.is_symlink() {
                found.extend(entries(&path).filter(|path| is_lock(path)));
            } else if is_lock(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The lock files of one folder.
pub(crate) fn locks_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    entries(folder).filter(|path| is_lock(path))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

fn is_lock(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "lock")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn of(uid: u32, pairs: &[(&str, &str)]) -> Vec<PathBuf> {
        let find =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
        folders(Uid::from_raw(uid), &find)
    }

    #[test]
    fn a_service_comes_before_a_user_and_root_has_its_own() {
        let both = [("RUNTIME_DIRECTORY", "/run/a:/run/b"), ("XDG_RUNTIME_DIR", "/run/user/7")];
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(of(7, &both), paths(&["/run/a", "/run/user/7/mprun", "/tmp/mprun-7"]));
        assert_eq!(of(7, &[("XDG_RUNTIME_DIR", "relative")]), paths(&["/tmp/mprun-7"]));
        assert_eq!(of(0, &[]), paths(&["/run/mprun"]));
    }

    #[test]
    fn a_folder_that_others_can_write_or_have_made_is_refused() {
        let base = std::env::temp_dir().join(format!("mprun-place-{}", std::process::id()));
        let made = base.join("deep/own");
        prepare(&made).unwrap();
        prepare(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        symlink(&made, base.join("link")).unwrap();
        assert!(prepare(&base.join("link")).is_err());
        let_through(&made, &fs::symlink_metadata(&made).unwrap()).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o711);
        fs::set_permissions(&made, Permissions::from_mode(0o777)).unwrap();
        assert!(prepare(&made).unwrap_err().to_string().contains("others may write"));
        fs::remove_dir_all(base).unwrap();
    }
}
