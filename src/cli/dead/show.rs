//! `mprun dead show`.

use super::selection::Selection;
use super::{Args, each, find, text};
use crate::cli::output::{self, Failure};
use crate::exit;

/// Shows all that is known of some, one at a time.
pub fn run(args: &Args, selection: &Selection) -> Result<u8, Failure> {
    let found = find::find(args, selection.name())?;
    let chosen = selection.choose(&found.path)?;
    let mut shown = 0_u64;
    each(&found.path, |letter| {
        if !chosen.is_meant(&letter) {
            return Ok(true);
        }
        let before = match (selection.json, shown) {
            (true, 0) => "[\n",
            (true, _) => ",\n",
            (false, 0) => "",
            (false, _) => "\n",
        };
        shown += 1;
        let text = if selection.json { text::json(&letter)? } else { text::show(&letter) };
        output::print_on(&format!("{before}{text}"))
    })?;
    if selection.json {
        output::print(if shown == 0 { "[]\n" } else { "\n]\n" })?;
    }
    Ok(exit::DONE)
}
