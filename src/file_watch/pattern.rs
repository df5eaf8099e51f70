//! Files of one folder whose names match a pattern: `conf.d/*.toml`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

/// As a shell has it: a leading dot is matched by a dot only.
const SHELL_RULES: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// A folder, and a pattern for names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilePattern {
    pub folder: PathBuf,
    name: glob::Pattern,
}

impl FilePattern {
    /// `None`: it has no last name, wildcards stand before that, or they make no sense.
    pub(crate) fn new(path: &Path) -> Option<FilePattern> {
        let (folder, name) = (path.parent()?, path.file_name()?.to_str()?);
        let is_plain = folder.to_str().is_some_and(|folder| !has_wildcard(folder));
        let name = glob::Pattern::new(name).ok().filter(|_| is_plain)?;
        Some(FilePattern { folder: folder.to_owned(), name })
    }

    /// The same, starting at another folder, which is taken as it is.
    pub(crate) fn under(self, base: &Path) -> FilePattern {
        FilePattern { folder: base.join(self.folder), ..self }
    }

    /// The pattern for names.
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Of a folder, which is taken as it is, and a pattern for names.
    pub(crate) fn of(folder: &Path, name: &str) -> Option<FilePattern> {
        let name = glob::Pattern::new(name).ok()?;
        Some(FilePattern { folder: folder.to_owned(), name })
    }

    pub(crate) fn matches(&self, name: &OsStr) -> bool {
        self.name.matches_with(&name.to_string_lossy(), SHELL_RULES)
    }

    /// All that match now, in the order of their names; none where the folder is not there.
    pub(crate) fn files(&self) -> io::Result<Vec<PathBuf>> {
        let here = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let entries = match std::fs::read_dir(here) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            if self.matches(&name) {
                files.push(self.folder.join(name));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Whether a text is a pattern, not a name.
pub(crate) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_in_the_last_name_only() {
        let matches = |pattern: &str, name: &str| {
            FilePattern::new(Path::new(pattern)).map(|pattern| pattern.matches(OsStr::new(name)))
        };
        for (pattern, name) in
            [("conf.d/*.toml", "a.toml"), ("x.toml", "x.toml"), ("/a/[ab]?.toml", "b1.toml")]
        {
            assert_eq!(matches(pattern, name), Some(true), "{pattern}");
        }
        for (pattern, name) in [("conf.d/*.toml", ".a.toml"), ("*.toml", "a.toml~"), ("x.toml", "y.toml")] {
            assert_eq!(matches(pattern, name), Some(false), "{pattern}");
        }
        for pattern in ["*/x.toml", "**/x.toml", "conf.d/[.toml", "/", ".."] {
            assert_eq!(matches(pattern, "x.toml"), None, "{pattern}");
        }
    }
}
