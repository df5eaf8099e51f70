//! What counts of files, over a power cut: it is on the disk before the saved queues say so, and after the cut a file is as
//! long as they say.
//!
//! # Crash table
//!
//! | the power fails … | left behind | what the next run does |
//! |---|---|---|
//! | before the file is synced | the queues as they were saved before, the file with more or less of what came since | cuts it to what those say |
//! | after that, before the saved queues are replaced | the same, the file longer | the same |
//! | after that | both | nothing, or cuts what came since |
//! | and then, while the next run cuts | a note that says that it was restored, in an arena that is kept or made anew | cuts again |

use super::appender::{Appender, Kind};
use super::counts::{CountedFile, Counts};
use super::own_file::{OwnFile, id};
use super::undo_log::UndoLog;
use super::write;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The files as they are now will exist after a power cut, at least as long as they count.
pub(crate) fn sync(counts: &Counts) -> io::Result<()> {
    for counted in &counts.files {
        let Some(path) = place(counted, &|about| id(about) == counted.file) else { continue };
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        // All of it: its mark is none of its data.
        file.sync_all()?;
        // Its name, too.
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    }
    Ok(())
}

/// Makes a file as long as it counts, unless others may have written what is behind that.
pub(super) fn cut(counted: &CountedFile, own: Option<OwnFile<'_>>, log: &UndoLog) -> io::Result<()> {
    // The number of a device counts within one boot.
    let is_it = |about: &fs::Metadata| about.ino() == counted.file.inode;
    let (file, path) = match own.filter(|own| own.id.inode == counted.file.inode) {
        Some(own) => (File::from(own.file.try_clone_to_owned()?), own.path.to_owned()),
        None => match place(counted, &is_it) {
            Some(path) => (OpenOptions::new().append(true).open(&path)?, path),
            None => {
                let path = Path::new(OsStr::from_bytes(&counted.path)).display();
                log::warn!("`{path}`, which was written before the machine went down, is not there any more");
                return Ok(());
            }
        },
    };
    let appender = Appender::new(file, log.clone())?;
    let (length, counts, shown) = (appender.length()?, counted.length, path.display());
    if length < counts && appender.kind == Kind::FileAtPosition {
        // `> out.txt`: the shell that started this run has emptied it.
        return Ok(());
    }
    if length < counts {
        let why = format!(
            "`{shown}` has {length} bytes after the machine went down, and {counts} of it count: a part is lost; the stage \
             starts a new file once this one is moved away"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    if length > counts && !appender.has_mark(counted.mark)? {
        if appender.is_at_end()? && !appender.ends_a_line()? {
            write::all(appender.target(), b"\n")?;
        }
        log::warn!(
            "`{shown}` has {length} bytes, and {counts} of them count here: what is behind them may be another machine's, \
             stage's or pipeline's, so it stays, and items of this one may come twice"
        );
        return Ok(());
    }
    if length > counts {
        log::info!(
            "`{shown}` is cut to the {counts} bytes that count: it had {length} when the machine went down"
        );
        appender.cut_to(counts)?;
    }
    Ok(())
}

/// Where the file is now: under its name, or beside it.
fn place(counted: &CountedFile, is_it: &dyn Fn(&fs::Metadata) -> bool) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(&counted.path));
    let is_there = |path: &Path| fs::metadata(path).is_ok_and(|about| about.is_file() && is_it(&about));
    if is_there(path) {
        return Some(path.to_owned());
    }
    let entries = fs::read_dir(path.parent()?).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| is_there(path))
}

#[cfg(test)]
mod tests {
    use super::super::{Claim, NO_MARK};
    use super::*;
    use std::io::Write;

    fn file(text: &str) -> (PathBuf, CountedFile) {
        let path = std::env::temp_dir().join(format!("mprun-power-{:x}", fastrand::u64(..)));
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        let file = id(&fs::metadata(&path).unwrap());
        let own = OpenOptions::new().append(true).open(&path).unwrap();
        let own = Appender::new(own, UndoLog::create().unwrap()).unwrap();
        let claim = Claim::new(own.reader().unwrap(), b"a").unwrap();
        let mark = own.mark(Some(&claim), NO_MARK).unwrap().unwrap();
        (
            path.clone(),
            CountedFile {
                name: b"a".into(),
                path: path.as_os_str().as_bytes().into(),
                file,
                length: 4,
                mark,
            },
        )
    }

    #[test]
    fn a_longer_file_is_cut_and_a_shorter_one_is_told_with_both_lengths() {
        let log = UndoLog::create().unwrap();
        let (path, counted) = file("one\ntwo\nhal");
        // Another boot may number the device otherwise.
        let counted = CountedFile { file: super::super::FileId { device: 99, ..counted.file }, ..counted };
        for _ in 0..2 {
            cut(&counted, None, &log).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        }
        let own = Appender::new(OpenOptions::new().append(true).open(&path).unwrap(), log.clone()).unwrap();
        own.append(b"two\n").unwrap();
        cut(&counted, Some(own.as_own(&path)), &log).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
        let longer = CountedFile { length: 10, ..counted };
        let why = cut(&longer, None, &log).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::InvalidData);
        assert!(why.to_string().contains("has 4 bytes") && why.to_string().contains("10 of it count"));
        fs::remove_file(&path).unwrap();
        cut(&longer, None, &log).unwrap();
    }

    #[test]
    fn a_file_that_is_gone_or_was_moved_holds_up_no_saving() {
        let (path, counted) = file("one\n");
        let counts = Counts { files: vec![counted], ..Counts::default() };
        sync(&counts).unwrap();
        let moved = path.with_extension("1");
        fs::rename(&path, &moved).unwrap();
        sync(&counts).unwrap();
        fs::remove_file(moved).unwrap();
        sync(&counts).unwrap();
    }
}
