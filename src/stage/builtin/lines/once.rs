//! Reading files from their start to their end, one after the other.

use super::super::position::{save_bytes, save_number, take_bytes, take_number};
use super::search;
use crate::stage::lines::Lines;
use crate::stage::{Emitter, Failure, Next, Progress};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The lines of all files that match. Its position: the file it is in, and the bytes of it that are done.
pub(in crate::stage) struct Once {
    pattern: PathBuf,
    /// Files still to be read after this one, last first.
    coming: Option<Vec<PathBuf>>,
    path: PathBuf,
    offset: u64,
    reading: Option<(File, Lines)>,
    /// Bytes of the files before this one, and of all.
    sizes: (u64, u64),
}

impl Once {
    pub fn open(pattern: PathBuf) -> Once {
        Once { pattern, coming: None, path: PathBuf::new(), offset: 0, reading: None, sizes: (0, 0) }
    }

    pub fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
        if self.coming.is_none() {
            self.start()?;
        }
        let Some((file, lines)) = &mut self.reading else {
            return self.next_file();
        };
        if let Some(line) = lines.next() {
            out.emit(line).map_err(|failure| at(&self.path, self.offset, failure))?;
            self.offset += line.len() as u64 + 1;
            return Ok(Next::More);
        }
        lines.check_length()?;
        let read = lines.len() as u64 + self.offset;
        if lines.fill(|into| file.read_at(into, read)).map_err(|error| cannot_read(&self.path, &error))? > 0 {
            return Ok(Next::More);
        }
        if let Some(line) = lines.last() {
            out.emit(line).map_err(|failure| at(&self.path, self.offset, failure))?;
            self.offset += line.len() as u64;
        }
        self.reading = None;
        Ok(Next::More)
    }

    /// Finds the files. An earlier position says where among them to go on.
    fn start(&mut self) -> Result<(), Failure> {
        let mut files = search::matching(&self.pattern)?;
        if files.is_empty() {
            return Err(Failure::fatal(search::nothing(&self.pattern)));
        }
        let size = |path: &PathBuf| path.metadata().map_or(0, |about| about.len());
        let before = files.iter().filter(|path| **path < self.path).map(size).sum();
        self.sizes = (before, files.iter().map(size).sum());
        files.retain(|path| *path > self.path);
        files.reverse();
        self.coming = Some(files);
        if !self.path.as_os_str().is_empty() {
            self.reading = Some((open(&self.path)?, Lines::default()));
        }
        Ok(())
    }

    fn next_file(&mut self) -> Result<Next, Failure> {
        let Some(path) = self.coming.as_mut().and_then(Vec::pop) else { return Ok(Next::End) };
        self.reading = Some((open(&path)?, Lines::default()));
        self.sizes.0 += self.offset;
        (self.path, self.offset) = (path, 0);
        Ok(Next::More)
    }

    /// In bytes, as large as the files were at the start.
    pub fn progress(&self) -> Option<Progress> {
        let (before, all) = self.sizes;
        let done = before + self.offset;
        self.coming.is_some().then_some(Progress { done, total: all.max(done) })
    }

    pub fn save(&self, state: &mut Vec<u8>) {
        save_number(self.offset, state);
        save_bytes(self.path.as_os_str().as_bytes(), state);
    }

    pub fn restore(&mut self, mut state: &[u8]) -> Result<(), Failure> {
        self.offset = take_number(&mut state)?;
        self.path = PathBuf::from(OsStr::from_bytes(take_bytes(&mut state)?));
        (self.coming, self.reading) = (None, None);
        Ok(())
    }
}

/// Says which line it is that can't be emitted.
pub(super) fn at(path: &Path, offset: u64, failure: Failure) -> Failure {
    failure.context(format_args!("the line at byte {offset} of `{}`", path.display()))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| cannot_read(path, &error))
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::fatal(format!("can't read `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("mprun-once-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn whoever_goes_on_after_any_step_emits_what_is_left() {
        let folder = folder("restore");
        for (name, text) in [("1", "a\nb\nno end"), ("2", ""), ("3", "c\n"), ("4", "\n\nd")] {
            fs::write(folder.join(name), text).unwrap();
        }
        let expected = [&b"a"[..], b"b", b"no end", b"c", b"", b"", b"d"];
        for steps in 4..12 {
            let (mut seen, mut state, mut ended) = (Vec::new(), Vec::new(), false);
            while !ended {
                let mut worker = Once::open(folder.join("*"));
                if !state.is_empty() {
                    worker.restore(&state).unwrap();
                }
                let mut step = || worker.next(&mut Emitter::new(&mut seen)).unwrap();
                ended = (0..steps).any(|_| step() == Next::End);
                state.clear();
                worker.save(&mut state);
            }
            assert_eq!(seen, expected, "killed after {steps} steps");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn no_match_is_an_error_that_names_the_pattern() {
        let folder = folder("none");
        let mut seen = Vec::new();
        let error = Once::open(folder.join("*.txt")).next(&mut Emitter::new(&mut seen)).unwrap_err();
        assert!(error.to_string().starts_with("no file matches `"), "{error}");
        let error = Once::open(folder.clone()).next(&mut Emitter::new(&mut seen)).unwrap_err();
        assert!(error.to_string().contains("` is a folder, not a file: `"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_output_that_is_refused_is_told_with_its_place() {
        struct Refuses;
        impl crate::stage::Outlet for Refuses {
            fn put(&mut self, _: &[u8]) -> Result<(), Failure> {
                Err(Failure::new("too long"))
            }
        }
        let folder = folder("refused");
        fs::write(folder.join("a"), "line\n").unwrap();
        let mut once = Once::open(folder.join("a"));
        let mut outlet = Refuses;
        let error =
            std::iter::from_fn(|| Some(once.next(&mut Emitter::new(&mut outlet)))).find_map(Result::err);
        let path = folder.join("a");
        let expected = format!("the line at byte 0 of `{}`: too long", path.display());
        assert_eq!(error.unwrap().to_string(), expected);
        fs::remove_dir_all(folder).unwrap();
    }
}
