//! The last lines of a log file, old generations included.

use super::generation;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Up to `most` last lines, oldest first, without their ends. None at all if there is no such file.
///
/// # Errors
/// When a file is there and can't be read.
pub fn last_lines(path: &Path, most: usize) -> io::Result<Vec<String>> {
    let mut lines = VecDeque::new();
    for n in [1, 0] {
        match File::open(generation(path, n)) {
            Ok(file) => collect(file, most, &mut lines)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(lines.into())
}

/// The lines that end in the last `bytes` bytes, old generations included; oldest first.
///
/// # Errors
/// When a file is there and can't be read.
pub fn end_lines(path: &Path, bytes: u64) -> io::Result<Vec<String>> {
    let (mut text, mut left) = (Vec::new(), bytes);
    for n in [0, 1] {
        let mut file = match File::open(generation(path, n)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(left)))?;
        let mut part = Vec::new();
        file.take(left).read_to_end(&mut part)?;
        left -= part.len() as u64;
        part.append(&mut text);
        text = part;
    }
    // The first one may have lost its beginning; whoever looks for the time in front finds none.
    Ok(text.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect())
}

fn collect(file: File, most: usize, lines: &mut VecDeque<String>) -> io::Result<()> {
    for line in BufReader::new(file).split(b'\n') {
        lines.push_back(String::from_utf8_lossy(&line?).into_owned());
        if lines.len() > most {
            lines.pop_front();
        }
    }
    Ok(())
}
