//! What becomes of the note of a worker that died in its turn: the file that it is about is found, and settled.

use super::after_power_cut;
use super::appender::Appender;
use super::counts::Counts;
use super::entry::FileId;
use super::note::{Note, RESTORED, Settlement};
use super::own_file::{OwnFile, id};
use super::turn::Notes;
use super::undo_log::UndoLog;
use crate::numbers::counted;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Compared, or looked through, at once.
const READ_BYTES: u64 = 64 * 1024;

/// Cuts off what a dead worker has written of a turn that `counts` doesn't know, or leaves it, says so, and counts the lines
/// that may come twice. Killed anywhere in it, the next one does it again.
pub(crate) fn settle(
    notes: &dyn Notes,
    counts: &Counts,
    own: Option<OwnFile<'_>>,
    log: &UndoLog,
) -> io::Result<()> {
    let Some(note) = notes.open(counts.turn)? else { return Ok(()) };
    if note.turn == RESTORED {
        counts.files.iter().try_for_each(|file| after_power_cut::cut(file, own, log))?;
        return notes.clear();
    }
    match find(&note, counts, own)? {
        Some((file, path)) => {
            let appender = Appender::new(file, log.clone())?;
            let reader = appender.reader()?;
            let (behind, settlement) = appender.settle(&note, &reader)?;
            match settlement {
                Settlement::Nothing => {}
                Settlement::Cut => {
                    log::debug!("`{}`: {behind} bytes of a killed worker are cut off", path.display())
                }
                Settlement::Keep => {
                    let lines =
                        lines(&reader, note.start, note.end.min(note.start + behind)).unwrap_or(0).max(1);
                    log.count_repeated(note.whose, lines)?;
                    log::warn!(
                        "`{}`: another program has written there when a worker was killed: nothing is cut off, and of the \
                         last {} up to {} come twice",
                        path.display(),
                        counted(behind, "byte"),
                        counted(lines, "line")
                    );
                }
            }
        }
        None => {
            log.count_repeated(note.whose, 1)?;
            log::warn!(
                "the file that a killed worker wrote to has another place, or none: its last lines may come twice"
            );
        }
    }
    notes.clear()
}

/// Line ends from one place to another.
fn lines(reader: &File, mut at: u64, end: u64) -> io::Result<u64> {
    let (mut bytes, mut lines) = (vec![0; READ_BYTES as usize], 0);
    while at < end {
        let part = &mut bytes[..(end - at).min(READ_BYTES) as usize];
        reader.read_exact_at(part, at)?;
        lines += memchr::memchr_iter(b'\n', part).count() as u64;
        at += part.len() as u64;
    }
    Ok(lines)
}

/// The file that a note is about, wherever it is now: it may have been renamed, and the path may be another one.
fn find(note: &Note, counts: &Counts, own: Option<OwnFile<'_>>) -> io::Result<Option<(File, PathBuf)>> {
    // The descriptor itself: it may have a position that others share, and no name at all any more.
    if let Some(own) = own.filter(|own| own.id == note.file) {
        return Ok(Some((File::from(own.file.try_clone_to_owned()?), own.path.to_owned())));
    }
    let counted = counts.files.iter().map(|file| PathBuf::from(OsStr::from_bytes(&file.path)));
    let paths: Vec<PathBuf> = own.map(|own| own.path.to_owned()).into_iter().chain(counted).collect();
    let found = paths.iter().find(|path| is(path, note.file)).cloned().or_else(|| beside(&paths, note.file));
    let Some(path) = found else { return Ok(None) };
    let file = OpenOptions::new().append(true).open(&path)?;
    // It may have become another one meanwhile.
    let is_it = id(&file.metadata()?) == note.file;
    Ok(is_it.then_some((file, path)))
}

fn is(path: &Path, file: FileId) -> bool {
    fs::metadata(path).is_ok_and(|about| id(&about) == file)
}

/// Who rotates a file leaves it in its folder, mostly.
fn beside(paths: &[PathBuf], file: FileId) -> Option<PathBuf> {
    let folders = paths.iter().filter_map(|path| path.parent());
    let entries = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    entries.map(|entry| entry.path()).find(|path| is(path, file))
}
