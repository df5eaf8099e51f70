//! A file as a saved position knows it, and how it is found again.

use super::super::position::{
    damaged, save_bytes, save_number, save_skip, take_bytes, take_number, take_skip,
};
use super::fingerprint::{Fingerprint, Known, SPAN, born, bytes_at};
use crate::framing::Skip;
use crate::stage::Failure;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What stands before each file of version 2. In version 1 a device stood there, which is never this.
pub(super) const MARK: u64 = u64::MAX;
/// The same for one that is followed no more.
const ENDED: u64 = u64::MAX - 1;
/// The same for one that was cut or is gone.
const LOST: u64 = u64::MAX - 3;
/// The same for one of which an item is skipped, being too long: how far that is stands behind the file.
const SKIPPING: u64 = u64::MAX - 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub path: PathBuf,
    pub place: PathBuf,
    pub position: u64,
    pub inode: u64,
    pub born: u64,
    /// `None`: saved by 0.1.0, which knew device and inode only.
    pub print: Option<Fingerprint>,
    /// It lost its name and was read to its end. It may get its name back.
    pub has_ended: bool,
    /// It was cut or is gone, and no copy of it was there. `born` is when that was seen: a copy was made before.
    pub is_lost: bool,
    /// What is skipped at the position.
    pub skip: Option<Skip>,
}

/// Whether a file is the one that was saved.
pub(super) enum Recognized {
    /// It is, and this was read of it.
    Same(Known),
    Other,
}

impl Saved {
    pub(super) fn take(state: &mut &[u8]) -> Result<Saved, Failure> {
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let mark = take_number(state)?;
        if ![MARK, ENDED, LOST, SKIPPING].contains(&mark) {
            let (inode, position) = (take_number(state)?, take_number(state)?);
            let path = path(take_bytes(state)?);
            return Ok(Saved {
                place: path.clone(),
                path,
                position,
                inode,
                born: 0,
                print: None,
                has_ended: false,
                is_lost: false,
                skip: None,
            });
        }
        let position = take_number(state)?;
        let (head, tail) = (take_number(state)?, take_number(state)?);
        let (inode, born) = (take_number(state)?, take_number(state)?);
        let shown = path(take_bytes(state)?);
        let place = match take_bytes(state)? {
            [] => shown.clone(),
            bytes => path(bytes),
        };
        if shown.as_os_str().is_empty() {
            return Err(damaged());
        }
        let print = Some(Fingerprint { position, head, tail });
        let skip = if mark == SKIPPING { take_skip(state)? } else { None };
        let (has_ended, is_lost) = (mark == ENDED, mark == LOST);
        Ok(Saved { path: shown, place, position, inode, born, print, has_ended, is_lost, skip })
    }

    pub(super) fn save(&self, state: &mut Vec<u8>) {
        match self.print {
            None => [0, self.inode, self.position].iter().for_each(|n| save_number(*n, state)),
            Some(Fingerprint { position, head, tail }) => {
                let mark = match &self.skip {
                    _ if self.is_lost => LOST,
                    _ if self.has_ended => ENDED,
                    Some(_) => SKIPPING,
                    None => MARK,
                };
                let numbers = [mark, position, head, tail, self.inode, self.born];
                numbers.iter().for_each(|n| save_number(*n, state));
            }
        }
        save_bytes(self.path.as_os_str().as_bytes(), state);
        if self.print.is_some() {
            let place = if self.place == self.path { &[] } else { self.place.as_os_str().as_bytes() };
            save_bytes(place, state);
            if self.skip.is_some() && !self.has_ended && !self.is_lost {
                save_skip(self.skip.as_ref(), state);
            }
        }
    }

    /// What was read of it, if this other file is a copy of it that was made before it was lost. One that was made
    /// later holds the same by chance, or because its program writes the same each time.
    pub(super) fn copied_in(&self, file: &File) -> io::Result<Option<Known>> {
        let about = file.metadata()?;
        let was_there = (1..self.born).contains(&born(&about)) && about.len() >= self.position;
        match &self.print {
            Some(print) if self.is_lost && was_there => print.known_in(file),
            _ => Ok(None),
        }
    }

    /// Looks at a file that was found by its inode.
    pub(super) fn recognize(&self, file: &File) -> io::Result<Recognized> {
        let about = file.metadata()?;
        let nothing = || Known { head: Vec::new(), tail: Vec::new() };
        let known = match &self.print {
            // Nothing was read: when it was made is all that tells it from another with its inode.
            _ if self.position == 0 => {
                let is_same = self.born != 0 && self.born == born(&about);
                is_same.then(nothing)
            }
            Some(print) => print.known_in(file)?,
            None => {
                let span = usize::try_from(self.position).unwrap_or(SPAN).min(SPAN);
                let head = bytes_at(file, 0, span)?;
                let tail = bytes_at(file, self.position - span as u64, span)?;
                (about.len() >= self.position).then_some(Known { head, tail })
            }
        };
        Ok(known.map_or(Recognized::Other, Recognized::Same))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Overlong;

    #[test]
    fn a_saved_file_comes_back_and_so_does_one_of_the_first_version() {
        let path = PathBuf::from("/logs/app.log");
        let print = Some(Fingerprint { position: 7, head: 1, tail: 2 });
        let saved = Saved {
            path: path.clone(),
            place: path.clone(),
            position: 7,
            inode: 3,
            born: 4,
            print,
            has_ended: false,
            is_lost: false,
            skip: None,
        };
        let item = Overlong { start: 5, length: 2, head: b"xy".to_vec() };
        let skipping = Saved { skip: Some(Skip { item, left: None }), ..saved.clone() };
        let old = Saved { print: None, born: 0, ..saved.clone() };
        let linked = Saved { place: PathBuf::from("/pods/0.log"), ..saved.clone() };
        let ended = Saved { has_ended: true, ..saved.clone() };
        let lost = Saved { is_lost: true, inode: 0, ..saved.clone() };
        let mut state = Vec::new();
        [&saved, &old, &linked, &ended, &lost, &skipping].iter().for_each(|saved| saved.save(&mut state));
        let mut rest = &state[..];
        for expected in [saved, old, linked, ended, lost, skipping] {
            assert_eq!(Saved::take(&mut rest).unwrap(), expected);
        }
        assert!(rest.is_empty());
        assert!(Saved::take(&mut &state[..20]).is_err());
    }
}
