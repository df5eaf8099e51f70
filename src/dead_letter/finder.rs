//! Letters by their numbers, in a file that other processes may rewrite meanwhile.

use super::change::locked_if_there;
use super::letters::{self, Letter, Letters, MARKED, WAITS};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Letters that are looked for together. The file is read once for all of them, and again only when it was rewritten: a
/// letter stays at its place in a file, and one that is gone does not come back.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    places: HashMap<u64, Place>,
    /// The file that the places are of. Open, so that no other file gets its inode number.
    file: Option<File>,
}

/// Where a letter stands, or was seen.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: Option<u64>,
    line: u64,
}

impl Finder {
    /// Also looks for the letter of this key: its number. None: that is no key.
    pub(crate) fn add_key(&mut self, key: &str) -> Option<u64> {
        let (number, place) = key.split_once('@').unwrap_or((key, "")); // mprun 0.1.0 gave the number alone
        let (offset, line) = place.split_once('.').unwrap_or((place, ""));
        let number = u64::from_str_radix(number, 16).ok()?;
        let offset = u64::from_str_radix(offset, 16).ok();
        self.places.insert(number, Place { offset, line: line.parse().unwrap_or(0) });
        Some(number)
    }

    /// Also looks for a letter that was read.
    pub(crate) fn add(&mut self, letter: &Letter) {
        let Letter { number, offset, line, .. } = *letter;
        self.places.insert(number, Place { offset: Some(offset), line });
    }

    /// The letter of this number.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(crate) fn letter(&mut self, path: &Path, number: u64) -> io::Result<Option<Letter>> {
        let Some(file) = letters::open_if_there(path)? else { return Ok(None) };
        let Some((offset, line)) = self.place(&file, number)? else { return Ok(None) };
        let mut letter = letters::at(&file, number, offset)?;
        letter.iter_mut().for_each(|letter| letter.line = line);
        Ok(letter)
    }

    /// Marks a letter: its item is about to be put back. Or takes the mark away. False if it isn't there any more.
    ///
    /// # Errors
    /// When it can't be written, or the lock can't be had.
    pub(crate) fn mark(&mut self, path: &Path, number: u64, marked: bool) -> io::Result<bool> {
        let first = if marked { MARKED } else { WAITS };
        self.change(path, number, |file, offset| file.write_all_at(&[first], offset))
    }

    /// Takes a letter out of the file; false if it isn't there any more.
    ///
    /// # Errors
    /// When it can't be written, or the lock can't be had.
    pub(crate) fn cross_out(&mut self, path: &Path, number: u64) -> io::Result<bool> {
        self.change(path, number, letters::cross_out)
    }

    fn change(
        &mut self,
        path: &Path,
        number: u64,
        change: impl FnOnce(&File, u64) -> io::Result<()>,
    ) -> io::Result<bool> {
        let Some(file) = locked_if_there(path)? else { return Ok(false) };
        let Some((offset, _)) = self.place(&file, number)? else { return Ok(false) };
        change(&file, offset)?;
        Ok(true)
    }

    /// Where the letter stands in this file, and its line.
    fn place(&mut self, file: &File, number: u64) -> io::Result<Option<(u64, u64)>> {
        self.look_through(file)?;
        let place = self.places.get(&number).and_then(|place| Some((place.offset?, place.line)));
        match place {
            Some((offset, _)) if !letters::is_at(file, number, offset)? => Ok(None),
            place => Ok(place),
        }
    }

    fn look_through(&mut self, file: &File) -> io::Result<()> {
        if let Some(known) = &self.file
            && is_same(known, file)?
        {
            return Ok(());
        }
        let mut missing = 0;
        for (number, place) in &mut self.places {
            let stays = match place.offset {
                Some(offset) => letters::is_at(file, *number, offset)?,
                None => false,
            };
            if !stays {
                place.offset = None;
                missing += 1;
            }
        }
        if missing > 0 {
            self.search(file, missing)?;
            self.places.retain(|_, place| place.offset.is_some());
        }
        self.file = Some(file.try_clone()?);
        Ok(())
    }

    fn search(&mut self, file: &File, mut missing: usize) -> io::Result<()> {
        let length = file.metadata()?.len();
        let mut letters = Letters::of(file.try_clone()?, length)?;
        while missing > 0 {
            let Some(number) = letters.next_number() else { break };
            if let Some(place) = number?.and_then(|number| self.places.get_mut(&number))
                && place.offset.is_none()
            {
                *place = Place { offset: Some(letters.begin), line: letters.line };
                missing -= 1;
            }
        }
        Ok(())
    }
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}
