//! `mprun dead drop`.

use nix::sys::signal::{SigSet, Signal};

use super::selection::Selection;
use super::{Args, find};
use crate::cli::output::{self, Failure};
use crate::dead_letter;
use crate::exit;

/// Forgets those that are meant.
pub fn run(args: &Args, selection: &Selection) -> Result<u8, Failure> {
    let found = find::find(args, selection.name())?;
    let chosen = selection.choose(&found.path)?;
    // Ctrl-Z with the file's lock in hand would hold up all who have a letter to write.
    let mut held = SigSet::empty();
    [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGINT]
        .into_iter()
        .for_each(|signal| held.add(signal));
    let blocked = held.thread_block();
    let dropped = dead_letter::drop_some(&found.path, &mut |letter| chosen.is_meant(letter));
    if blocked.is_ok() {
        let _ = held.thread_unblock();
    }
    let dropped = dropped.map_err(|error| Failure::io(&format!("write {}", found.path.display()), &error))?;
    output::print(&format!("{} dropped\n", dropped.dropped))?;
    Ok(exit::DONE)
}
