//! Which files a pattern means, and where one may appear that it will mean.
//!
//! One pass over the folders, each read once. Names are bytes: one that is not UTF-8 matches like any other. As in a
//! shell a leading dot must be written: `*` is no `.hidden`.

use crate::file_watch::chain;
use crate::stage::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

const SHELL_RULES: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Folders below folders, at most: links may lead in a circle.
const MAX_DEPTH: usize = 64;

/// What a look at the pattern found.
#[derive(Default)]
pub(super) struct Findings {
    /// The files that match, by their names.
    pub files: BTreeMap<PathBuf, Found>,
    /// The real folders where something may come that changes what matches, and the names that would.
    pub folders: BTreeMap<PathBuf, Names>,
    /// What could not be looked at.
    pub faults: Vec<(PathBuf, io::Error)>,
}

/// Where a file that matches really is: without links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub place: PathBuf,
}

/// Names in one folder.
#[derive(Clone, Default)]
pub(super) struct Names {
    exact: BTreeSet<OsString>,
    patterns: Vec<glob::Pattern>,
}

impl Names {
    pub(super) fn contain(&self, name: &OsStr) -> bool {
        self.exact.contains(name) || self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}

fn matches(pattern: &glob::Pattern, name: &OsStr) -> bool {
    match name.to_str() {
        Some(name) => pattern.matches_with(name, SHELL_RULES),
        None => pattern.matches_with(&in_private(name), SHELL_RULES),
    }
}

/// Text in which each byte that is no text stands as one character of a private plane, which no pattern spells.
fn in_private(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|&byte| char::from_u32(0x10_f000 + u32::from(byte))));
    }
    text
}

/// The files (no folders) that match, in the order of their names. A file whose very name is the pattern counts.
pub(super) fn matching(pattern: &Path) -> Result<Vec<PathBuf>, Failure> {
    let found = search(pattern)?;
    match found.faults.into_iter().next() {
        Some((path, error)) => Err(Failure::fatal(format!("can't read `{}`: {error}", path.display()))),
        None => Ok(found.files.into_keys().collect()),
    }
}

/// What to say when no file matches.
pub(super) fn nothing(pattern: &Path) -> String {
    let shown = pattern.display();
    match pattern.is_dir() {
        true => format!("`{shown}` is a folder, not a file: `{shown}/*` means all files in it"),
        false => format!("no file matches `{shown}`"),
    }
}

/// Whether a path means one file at most.
pub(super) fn is_literal(pattern: &Path) -> bool {
    !has_wildcard(pattern.as_os_str())
}

/// Looks for all files that match.
pub(super) fn search(pattern: &Path) -> Result<Findings, Failure> {
    let mut search = Search::default();
    // A name with brackets may be meant as it is.
    if !is_literal(pattern) && pattern.symlink_metadata().is_ok_and(|about| !about.is_dir()) {
        let literal: Vec<Part> = parts(pattern, |name| Part::Name(name.to_owned()));
        search.walk(start(pattern)?, &literal, 0);
        return Ok(search.found);
    }
    let mut faulty = None;
    let parts = parts(pattern, |name| match part(name) {
        Ok(part) => part,
        Err(error) => {
            faulty = Some(error);
            Part::Name(name.to_owned())
        }
    });
    if let Some(error) = faulty {
        return Err(Failure::fatal(format!("`{}` is not a pattern: {error}", pattern.display())));
    }
    search.walk(start(pattern)?, &parts, 0);
    Ok(search.found)
}

#[derive(Clone)]
enum Part {
    Up,
    Name(OsString),
    Pattern(glob::Pattern),
    /// `**`: any folders, or none.
    Deep,
}

fn part(name: &OsStr) -> Result<Part, glob::PatternError> {
    Ok(match name.to_str() {
        Some("**") => Part::Deep,
        Some(text) if has_wildcard(name) => Part::Pattern(glob::Pattern::new(text)?),
        _ => Part::Name(name.to_owned()),
    })
}

fn parts(pattern: &Path, of: impl FnMut(&OsStr) -> Part) -> Vec<Part> {
    let mut of = of;
    let part = |component| match component {
        Component::Normal(name) => Some(of(name)),
        Component::ParentDir => Some(Part::Up),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    pattern.components().filter_map(part).collect()
}

fn has_wildcard(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|byte| b"*?[".contains(byte))
}

/// A path as it is shown, and without links.
#[derive(Clone)]
struct Spot {
    shown: PathBuf,
    real: PathBuf,
}

fn start(pattern: &Path) -> Result<Spot, Failure> {
    if pattern.is_absolute() {
        return Ok(Spot { shown: PathBuf::from("/"), real: PathBuf::from("/") });
    }
    let real = std::env::current_dir().and_then(|here| here.canonicalize());
    let real = real.map_err(|error| Failure::fatal(format!("can't find the current folder: {error}")))?;
    Ok(Spot { shown: PathBuf::new(), real })
}

#[derive(Default)]
struct Search {
    found: Findings,
}

impl Search {
    fn names_in(&mut self, folder: &Path) -> &mut Names {
        self.found.folders.entry(folder.to_owned()).or_default()
    }

    fn walk(&mut self, at: Spot, parts: &[Part], depth: usize) {
        let Some((first, rest)) = parts.split_first() else { return };
        match first {
            Part::Up => {
                let mut up = at;
                up.shown.push("..");
                up.real.pop();
                self.walk(up, rest, depth);
            }
            Part::Name(name) => {
                let kind = fs::symlink_metadata(at.real.join(name)).map(|about| about.file_type());
                let decides = rest.is_empty() || !kind.as_ref().is_ok_and(FileType::is_dir);
                if decides {
                    self.names_in(&at.real).exact.insert(name.clone());
                }
                match kind {
                    Ok(kind) => self.enter(&at, name, kind, rest, depth),
                    Err(error) => self.fault(&at.shown.join(name), error),
                }
            }
            Part::Pattern(pattern) => {
                let names = self.names_in(&at.real);
                if !names.patterns.contains(pattern) {
                    names.patterns.push(pattern.clone());
                }
                for (name, kind) in self.list(&at) {
                    if matches(pattern, &name) {
                        self.enter(&at, &name, kind, rest, depth);
                    }
                }
            }
            Part::Deep => self.walk_deep(&at, parts, depth),
        }
    }

    /// Files of this folder, and of all below it that have no leading dot and are reached by no link.
    fn walk_deep(&mut self, at: &Spot, parts: &[Part], depth: usize) {
        let rest = &parts[1..];
        let Ok(any) = glob::Pattern::new("*") else { return };
        self.names_in(&at.real).patterns.push(any.clone());
        let last = [Part::Pattern(any.clone())];
        self.walk(at.clone(), if rest.is_empty() { &last } else { rest }, depth);
        if depth >= MAX_DEPTH {
            return;
        }
        for (name, kind) in self.list(at) {
            if kind.is_dir() && matches(&any, &name) {
                let below = Spot { shown: at.shown.join(&name), real: at.real.join(&name) };
                self.walk_deep(&below, parts, depth + 1);
            }
        }
    }

    /// One name of a folder that the pattern means.
    fn enter(&mut self, at: &Spot, name: &OsStr, kind: FileType, rest: &[Part], depth: usize) {
        let shown = at.shown.join(name);
        let mut real = at.real.join(name);
        let mut is_folder = kind.is_dir();
        if kind.is_symlink() {
            for link in chain(&real) {
                if let (Some(folder), Some(name)) = (link.parent(), link.file_name()) {
                    self.names_in(folder).exact.insert(name.to_owned());
                }
            }
            match fs::canonicalize(&real).and_then(|real| fs::metadata(&real).map(|about| (real, about))) {
                Ok((target, about)) => (real, is_folder) = (target, about.is_dir()),
                Err(error) => return self.fault(&shown, error),
            }
        }
        match rest.is_empty() {
            true if is_folder => {}
            true => drop(self.found.files.insert(shown, Found { place: real })),
            false if is_folder => self.walk(Spot { shown, real }, rest, depth),
            false => {}
        }
    }

    fn list(&mut self, at: &Spot) -> Vec<(OsString, FileType)> {
        let entries = match fs::read_dir(&at.real) {
            Ok(entries) => entries,
            Err(error) => {
                let shown = if at.shown.as_os_str().is_empty() { Path::new(".") } else { &at.shown };
                self.fault(shown, error);
                return Vec::new();
            }
        };
        let mut all = Vec::new();
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))) {
                Ok(entry) => all.push(entry),
                Err(error) => self.fault(&at.shown.clone(), error),
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// What is not there is no fault: it may come.
    fn fault(&mut self, path: &Path, error: io::Error) {
        if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
            self.found.faults.push((path.to_owned(), error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("mprun-search-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder.canonicalize().unwrap()
    }

    fn touch(folder: &Path, names: &[&str]) {
        for name in names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    fn names(folder: &Path, pattern: &str) -> Vec<String> {
        let found = matching(&folder.join(pattern)).unwrap();
        found.iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
    }

    #[test]
    fn files_come_in_the_order_of_their_names() {
        let folder = folder("order");
        touch(&folder, &["b.txt", "a.txt", "c.log", "[x].txt"]);
        fs::create_dir(folder.join("d.txt")).unwrap();
        assert_eq!(names(&folder, "*.txt"), ["[x].txt", "a.txt", "b.txt"]);
        assert_eq!(names(&folder, "[x].txt"), ["[x].txt"]);
        assert_eq!(names(&folder, "?.txt"), ["a.txt", "b.txt"]);
        assert!(names(&folder, "nothing*").is_empty());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_leading_dot_must_be_written() {
        let folder = folder("dot");
        touch(&folder, &["a", ".b", ".c/d", "e/.f", "e/g"]);
        assert_eq!(names(&folder, "*"), ["a"]);
        assert_eq!(names(&folder, ".*"), [".b"]);
        assert_eq!(names(&folder, "*/*"), ["e/g"]);
        assert_eq!(names(&folder, "**/*"), ["a", "e/g"]);
        assert_eq!(names(&folder, ".c/*"), [".c/d"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn two_stars_mean_all_folders_below_and_follow_no_link_in_a_circle() {
        let folder = folder("deep");
        touch(&folder, &["1.log", "a/2.log", "a/b/3.log", "a/b/4.txt"]);
        symlink("..", folder.join("a/up")).unwrap();
        assert_eq!(names(&folder, "**/*.log"), ["1.log", "a/2.log", "a/b/3.log"]);
        assert_eq!(names(&folder, "a/**"), ["a/2.log", "a/b/3.log", "a/b/4.txt"]);
        assert_eq!(names(&folder, "**/b/../*.log"), ["a/b/../2.log"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_name_that_is_no_text_matches_like_any_other() {
        let folder = folder("bytes");
        let name = OsStr::from_bytes(b"caf\xe9.log");
        fs::write(folder.join(name), "").unwrap();
        for pattern in ["*.log", "caf?.log", "c*"] {
            assert_eq!(matching(&folder.join(pattern)).unwrap(), [folder.join(name)], "{pattern}");
        }
        assert!(matching(&folder.join("caf??.log")).unwrap().is_empty());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_folder_that_may_not_be_read_is_told_by_its_name() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder("denied");
        touch(&folder, &["open/a.log", "shut/b.log"]);
        fs::set_permissions(folder.join("shut"), fs::Permissions::from_mode(0o000)).unwrap();
        let found = matching(&folder.join("*/*.log"));
        // To root nothing is shut.
        match fs::read_dir(folder.join("shut")).is_ok() {
            true => assert_eq!(found.unwrap().len(), 2),
            false => assert!(found.unwrap_err().to_string().contains("/shut`: Permission denied")),
        }
        fs::set_permissions(folder.join("shut"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_folders_to_watch_are_those_that_can_bring_a_match() {
        let base = folder("watch");
        touch(&base, &["logs/a/x", "logs/b/x"]);
        let found = search(&base.join("logs/*/app.log")).unwrap().folders;
        let folders: Vec<_> = found.keys().cloned().collect();
        assert_eq!(folders, ["logs", "logs/a", "logs/b"].map(|path| base.join(path)));
        assert!(found[&base.join("logs/a")].contain(OsStr::new("app.log")));
        assert!(!found[&base.join("logs/a")].contain(OsStr::new("x")));
        assert!(found[&base.join("logs")].contain(OsStr::new("c")));
        let missing = search(&base.join("not/there/yet.log")).unwrap().folders;
        assert_eq!(missing.keys().collect::<Vec<_>>(), [&base]);
        assert!(missing[&base].contain(OsStr::new("not")));
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn each_link_on_the_way_is_watched_where_it_stands() {
        let base = folder("links");
        touch(&base, &["v1/x.log", "pods/0.log"]);
        symlink("v1", base.join("current")).unwrap();
        symlink("pods/0.log", base.join("app.log")).unwrap();
        symlink("pods/9.log", base.join("later.log")).unwrap();
        let found = search(&base.join("current/x.log")).unwrap();
        assert_eq!(found.files[&base.join("current/x.log")].place, base.join("v1/x.log"));
        assert!(found.folders[&base].contain(OsStr::new("current")));
        assert!(found.folders[&base.join("v1")].contain(OsStr::new("x.log")));
        let found = search(&base.join("*.log")).unwrap();
        assert_eq!(found.files.keys().collect::<Vec<_>>(), [&base.join("app.log")]);
        assert!(found.folders[&base.join("pods")].contain(OsStr::new("0.log")));
        assert!(found.folders[&base.join("pods")].contain(OsStr::new("9.log")), "a link that hangs");
        fs::remove_dir_all(base).unwrap();
    }
}
