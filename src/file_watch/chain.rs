//! Which names decide what a path leads to: it may go through symbolic links.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The kernel's own limit.
const MAX_LINKS: usize = 40;

/// The names that lead to `file`: the file's own, in its real folder, and that of every symbolic link on the way. Where
/// something is missing, its name is the last one.
pub(crate) fn chain(file: &Path) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    let mut real = PathBuf::new();
    let mut left: Vec<PathBuf> = parts(file);
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == Path::new("..") {
            real.pop();
            continue;
        }
        let path = real.join(&part);
        match fs::read_link(&path) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                names.insert(path);
                left.extend(parts(&target));
                if target.is_absolute() {
                    real = PathBuf::new();
                }
            }
            Ok(_) | Err(_) => {
                let last = left.is_empty();
                if last || !path.exists() {
                    names.insert(path);
                    break;
                }
                real = path;
            }
        }
    }
    names
}

/// The names of all folders above these, in the folders that they are in: any of them may be renamed, or another folder
/// may take its place, and the kernel reports nothing of it below.
pub(crate) fn above<'a>(folders: impl IntoIterator<Item = &'a Path>) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    for folder in folders {
        for name in folder.ancestors().filter(|name| name.file_name().is_some()) {
            if !names.insert(name.to_owned()) {
                break;
            }
        }
    }
    names
}

/// The components of a path, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let wanted = |component: &Component| *component != Component::CurDir;
    path.components().rev().filter(wanted).map(|component| PathBuf::from(component.as_os_str())).collect()
}
