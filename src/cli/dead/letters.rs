//! The letters of a file, one by one.

use std::path::Path;

use crate::cli::output::{self, Failure};
use crate::dead_letter::{Entry, Letter, Letters};
use crate::numbers::{counted, counted_are};

/// Torn lines that are named one by one.
const MAX_TORN_LINES: usize = 3;

/// Reads one letter at a time, until `act` returns false. Torn lines are reported on standard error: they were letters
/// once.
pub(super) fn each(
    path: &Path,
    mut act: impl FnMut(Letter) -> Result<bool, Failure>,
) -> Result<Letters, Failure> {
    let failed = |error| Failure::io(&format!("read {}", path.display()), &error);
    let mut letters = Letters::open(path).map_err(failed)?;
    let (mut torn, mut more) = (Vec::new(), 0_usize);
    for entry in letters.by_ref() {
        match entry.map_err(failed)? {
            Entry::Letter(letter) => {
                if !act(letter)? {
                    break;
                }
            }
            Entry::Torn { line, bytes } if torn.len() < MAX_TORN_LINES => torn.push((line, bytes)),
            Entry::Torn { .. } => more += 1,
        }
    }
    for (line, bytes) in torn {
        output::report_error(&format!(
            "line {line} of {} is torn ({}): its writer was killed in the middle, and its item was tried once \
             more",
            path.display(),
            counted(bytes as u64, "byte")
        ));
    }
    if more > 0 {
        output::report_error(&format!(
            "{} torn in {}",
            counted_are(more as u64, "more line"),
            path.display()
        ));
    }
    Ok(letters)
}
