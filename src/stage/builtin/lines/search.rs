//! Which files a pattern means.

use crate::stage::Failure;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files (no folders) that match, in the order of their names. A file whose very name is the pattern counts.
pub(super) fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
    if pattern.is_file() {
        return Ok(vec![pattern.to_owned()]);
    }
    let paths = expand(pattern)?.filter(|path| !path.is_dir());
    Ok(paths.collect())
}

/// What to say when no file matches.
pub(super) fn nothing(pattern: &Path) -> String {
    let shown = pattern.display();
    match pattern.is_dir() {
        true => format!("`{shown}` is a folder, not a file: `{shown}/*` means all files in it"),
        false => format!("no file matches `{shown}`"),
    }
}

/// The folders in which a file that matches may appear. Where there is no such folder yet, the nearest one above it,
/// in which it would appear itself.
pub(super) fn folders(pattern: &Path) -> Result<BTreeSet<PathBuf>, Failure> {
    let mut folders = BTreeSet::new();
    for prefix in pattern.ancestors().skip(1) {
        let found: Vec<PathBuf> = expand(prefix)?.filter(|path| path.is_dir()).collect();
        let is_literal = !has_wildcard(prefix);
        let complete = is_literal && !found.is_empty();
        folders.extend(found);
        if complete {
            break;
        }
    }
    if folders.is_empty() {
        folders.insert(PathBuf::from("."));
    }
    Ok(folders)
}

fn expand(pattern: &Path) -> Result<impl Iterator<Item = PathBuf> + use<>, Failure> {
    let not_text = || Failure::fatal(format!("`{}` is not UTF-8", pattern.display()));
    // A folder that can't be read has no files for us.
    Ok(glob::glob(pattern.to_str().ok_or_else(not_text)?)?.flatten())
}

fn has_wildcard(path: &Path) -> bool {
    path.to_str().is_none_or(|text| text.contains(['*', '?', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("mprun-search-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn files_come_in_the_order_of_their_names() {
        let folder = folder("order");
        for name in ["b.txt", "a.txt", "c.log", "[x].txt"] {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::create_dir(folder.join("d.txt")).unwrap();
        let names = |pattern: &str| -> Vec<String> {
            let found = matching(&folder.join(pattern)).unwrap();
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names("*.txt"), ["[x].txt", "a.txt", "b.txt"]);
        assert_eq!(names("[x].txt"), ["[x].txt"]);
        assert!(names("nothing*").is_empty());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_folders_to_watch_are_those_that_can_bring_a_match() {
        let base = folder("watch");
        fs::create_dir_all(base.join("logs/a")).unwrap();
        fs::create_dir_all(base.join("logs/b")).unwrap();
        let found = folders(&base.join("logs/*/app.log")).unwrap();
        assert_eq!(found, ["logs", "logs/a", "logs/b"].map(|path| base.join(path)).into());
        let missing = folders(&base.join("not/there/yet.log")).unwrap();
        assert_eq!(missing, [base.clone()].into());
        fs::remove_dir_all(base).unwrap();
    }
}
