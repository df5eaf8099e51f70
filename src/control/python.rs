//! The Python module that this mprun brings along, as files where a program finds it.
//!
//! It lies in a folder beside the run's socket (`NAME.python`), made at the first need by a worker, and goes with the run.
//! A program of another user can't enter the folder of the sockets, but root's own (`/run/mprun`) it can: for it the
//! module lies there (`python-PID`). The files of each version lie in a folder of their own, so an upgrade takes nothing
//! away from programs that run on.
//!
//! # Crash table
//!
//! | killed … | left behind | what follows |
//! |---|---|---|
//! | a worker, while it writes | a folder `.new-PID`, whole or not | nothing reads it; it goes with the run |
//! | a worker, in the rename | the old state or the new one | the next worker writes, or finds, all of it |
//! | two workers at once | one of them finds the folder in place | it takes that one: they are the same |
//! | the supervisor | the folder | the next run of this name, or for another user the next of root, removes it |

use super::runtime_folder;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, Uid};
use std::fs::{self, DirBuilder, Permissions};
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The module's files.
const FILES: [(&str, &str); 10] = [
    ("__init__.py", include_str!("../../python/mprun/__init__.py")),
    ("_answers.py", include_str!("../../python/mprun/_answers.py")),
    ("_contract.py", include_str!("../../python/mprun/_contract.py")),
    ("_framing.py", include_str!("../../python/mprun/_framing.py")),
    ("_item.py", include_str!("../../python/mprun/_item.py")),
    ("_serve.py", include_str!("../../python/mprun/_serve.py")),
    ("_signature.py", include_str!("../../python/mprun/_signature.py")),
    ("_source.py", include_str!("../../python/mprun/_source.py")),
    ("_streams.py", include_str!("../../python/mprun/_streams.py")),
    ("py.typed", include_str!("../../python/mprun/py.typed")),
];

/// What the names of the folders for other users begin with; the number of the run's supervisor follows.
const FOR_OTHERS: &str = "python-";

/// The run's own folder: `NAME.python`, beside its socket and its recent logs (`NAME.logs`).
fn own(recent_logs: &Path) -> PathBuf {
    recent_logs.with_extension("python")
}

/// The one for other users. Runs of one name may share root's folder, but no two have one supervisor.
fn for_others(supervisor: u32) -> Option<PathBuf> {
    Uid::effective()
        .is_root()
        .then(|| Path::new(runtime_folder::ROOT_FOLDER).join(format!("{FOR_OTHERS}{supervisor}")))
}

/// Sees to it that the module is there. Returns what `PYTHONPATH` must name.
///
/// # Errors
/// When it can't be written there.
pub(crate) fn put(recent_logs: &Path, supervisor: u32, for_another_user: bool) -> io::Result<PathBuf> {
    match for_others(supervisor).filter(|_| for_another_user) {
        Some(others) => {
            runtime_folder::prepare(Path::new(runtime_folder::ROOT_FOLDER))?;
            put_into(&others)
        }
        None => put_into(&own(recent_logs)),
    }
}

/// This run is over.
pub(crate) fn forget(recent_logs: &Path) {
    for folder in [Some(own(recent_logs)), for_others(std::process::id())].into_iter().flatten() {
        let _ = fs::remove_dir_all(folder); // mostly there is none
    }
}

/// This run begins: what killed ones have left goes.
pub(crate) fn forget_killed(recent_logs: &Path) {
    forget(recent_logs);
    if !Uid::effective().is_root() {
        return;
    }
    for entry in fs::read_dir(runtime_folder::ROOT_FOLDER).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let supervisor = name.to_str().and_then(|name| name.strip_prefix(FOR_OTHERS)?.parse().ok());
        if supervisor.is_some_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)) {
            let _ = fs::remove_dir_all(entry.path()); // at worst the next run does it
        }
    }
}

fn put_into(folder: &Path) -> io::Result<PathBuf> {
    let whole = folder.join(version());
    if whole.join("mprun").is_dir() {
        return Ok(whole);
    }
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let new = folder.join(format!(".new-{}-{number}", std::process::id()));
    make_folder(folder)?;
    make_folder(&new)?;
    let written = write(&new.join("mprun")).and_then(|()| fs::rename(&new, &whole));
    if written.is_err() {
        let _ = fs::remove_dir_all(&new);
    }
    // Another worker may have been faster.
    if whole.join("mprun").is_dir() { Ok(whole) } else { written.map(|()| whole) }
}

fn write(folder: &Path) -> io::Result<()> {
    make_folder(folder)?;
    for (name, text) in FILES {
        let path = folder.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// One that others may read, whatever the umask is.
fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        result => result?,
    }
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// Names what the files hold.
fn version() -> String {
    let mut hasher = DefaultHasher::new();
    for (name, text) in FILES {
        hasher.write(name.as_bytes());
        hasher.write(text.as_bytes());
    }
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_of_the_module_are_brought_along() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/mprun");
        let mut there: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "__pycache__")
            .collect();
        there.sort();
        assert_eq!(there, FILES.map(|(name, _)| name));
    }

    #[test]
    fn the_module_is_put_once_and_goes_with_the_run() {
        let base = std::env::temp_dir().join(format!("mprun-python-test-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        let recent_logs = base.join("name.logs");
        let all: Vec<_> = (0..8)
            .map(|_| {
                std::thread::spawn({
                    let recent_logs = recent_logs.clone();
                    move || put(&recent_logs, std::process::id(), false).unwrap()
                })
            })
            .collect();
        let found: Vec<PathBuf> = all.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(found.iter().all(|path| *path == found[0]) && found[0].join("mprun/__init__.py").is_file());
        let left: Vec<_> = fs::read_dir(base.join("name.python")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(fs::metadata(found[0].join("mprun")).unwrap().permissions().mode() & 0o777, 0o755);
        forget(&recent_logs);
        assert!(!base.join("name.python").exists());
        fs::remove_dir_all(base).unwrap();
    }
}
