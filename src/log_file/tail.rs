//! The last lines of a log file, old generations included.

use super::generation;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
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

fn collect(file: File, most: usize, lines: &mut VecDeque<String>) -> io::Result<()> {
    for line in BufReader::new(file).split(b'\n') {
        lines.push_back(String::from_utf8_lossy(&line?).into_owned());
        if lines.len() > most {
            lines.pop_front();
        }
    }
    Ok(())
}
