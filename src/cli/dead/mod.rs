//! `mprun dead list|show|retry|drop`: items that never went through.

mod drop;
mod find;
mod list;
mod retry;
mod selection;
mod show;
mod text;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::output::{self, Failure};
use super::target::Where;
use crate::dead_letter::{Entry, Letter, Letters};
use crate::stage::Registry;
use selection::Selection;

/// Torn lines that are named one by one.
const TORN_SHOWN: usize = 3;

/// What `dead` takes.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// The file of dead letters, if it can't be found by the pipeline's name
    #[arg(long, value_name = "PATH", global = true)]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

/// What is done with them.
#[derive(Subcommand)]
enum Verb {
    /// List them, oldest first
    List(list::Args),
    /// Show all that is known of some
    Show(Selection),
    /// Put items back into their queues, each once. Without a run under way: start one that works them off
    ///
    /// Such a run has its sources off and its queues in a file (as if `durable` was set). It goes on with what kept queues
    /// hold, and ends when all is through. Interrupted, the same command goes on where it was.
    Retry(Selection),
    /// Forget items for good
    Drop(Selection),
}

/// Works on a pipeline's dead letters.
pub fn run(args: &Args, verbosity: i8, registry: &Registry) -> Result<u8, Failure> {
    match &args.verb {
        Verb::List(list) => list::run(args, list),
        Verb::Show(selection) => show::run(args, selection),
        Verb::Drop(selection) => drop::run(args, selection),
        Verb::Retry(selection) => retry::run(args, selection, verbosity, registry),
    }
}

fn open(path: &Path) -> Result<Letters, Failure> {
    Letters::open(path).map_err(|error| Failure::io(&format!("read {}", path.display()), &error))
}

/// Hands over one letter at a time, until `act` has had enough. Lines that are torn are told on standard error: they
/// were letters once.
fn each(path: &Path, mut act: impl FnMut(Letter) -> Result<bool, Failure>) -> Result<Letters, Failure> {
    let mut letters = open(path)?;
    let (mut torn, mut more) = (Vec::new(), 0_usize);
    for entry in letters.by_ref() {
        match entry.map_err(|error| Failure::io(&format!("read {}", path.display()), &error))? {
            Entry::Letter(letter) => {
                if !act(letter)? {
                    break;
                }
            }
            Entry::Torn { line, bytes } if torn.len() < TORN_SHOWN => torn.push((line, bytes)),
            Entry::Torn { .. } => more += 1,
        }
    }
    for (line, bytes) in torn {
        output::complain(&format!(
            "line {line} of {} is torn ({bytes} bytes): its writer was killed in the middle, and its item was tried once \
             more",
            path.display()
        ));
    }
    if more > 0 {
        output::complain(&format!("{more} more lines of {} are torn", path.display()));
    }
    Ok(letters)
}
