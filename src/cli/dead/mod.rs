//! `mprun dead list|show|retry|drop`: items that never went through.

mod find;
mod letters;
mod list;
mod retry;
mod selection;
mod shared;
mod text;

use clap::Subcommand;
use nix::sys::signal::{SigSet, Signal};

use super::output::{self, Failure};
use crate::dead_letter;
use crate::exit;
use crate::stage::Registry;
use find::{Found, Source};
use letters::each;
use selection::{Chosen, Selection};
use shared::Shared;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun dead list shop --by cause   what failed, by its cause
  mprun dead show shop 7            all that is known of the letter in line 7
  mprun dead retry shop --all       once the cause is mended")]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    source: Source,
    /// Those of shared queues: they lie in the broker, and any machine that has the file sees to them
    #[arg(long, global = true, conflicts_with = "file")]
    shared: bool,
    /// Only those of that run of the shared queues
    #[arg(long, global = true, requires = "shared", value_name = "RUN")]
    run: Option<u64>,
}

#[derive(Subcommand)]
enum Verb {
    /// List them, oldest first
    List(list::Args),
    /// Show all that is known of some
    #[command(after_help = "\
Examples:
  mprun dead show shop 7
  mprun dead show shop 7 8                   two of them
  mprun dead show shop --all --json | jq .   for a script")]
    Show(Selection),
    /// Put items back into their queues, each once. Without a run under way: start one that works them off
    ///
    /// Such a run has its sources off and its queues in a file (as if `durable` was set). It first recovers what
    /// durable queues hold, and ends when all items are done. After an interruption, the same command continues.
    /// With --shared, where the run has ended: begin a run for them, which `mprun run FILE` joins.
    #[command(after_help = "\
Examples:
  mprun dead retry shop 7
  mprun dead retry shop --stage parse   all of a stage
  mprun dead retry shop.toml --all      also when it does not run")]
    Retry(Selection),
    /// Forget items for good
    #[command(after_help = "\
Examples:
  mprun dead drop shop 7
  mprun dead drop shop --stage parse   all of a stage")]
    Drop(Selection),
}

/// Works on a pipeline's dead letters.
pub(super) fn run(args: &Args, verbosity: i8, registry: &Registry) -> Result<u8, Failure> {
    if args.shared {
        return in_broker(&args.verb, args.run, registry);
    }
    match &args.verb {
        Verb::List(list) => list::run(&args.source, list),
        Verb::Show(selection) => show(&args.source, selection),
        Verb::Drop(selection) => drop(&args.source, selection),
        Verb::Retry(selection) => retry::run(&args.source, selection, verbosity, registry),
    }
}

fn in_broker(verb: &Verb, run: Option<u64>, registry: &Registry) -> Result<u8, Failure> {
    let find = |name: Option<&str>| Shared::find(name, run, registry);
    match verb {
        Verb::List(list) => {
            list.check_for_broker()?;
            shared::list(&find(list.name())?, list.json)
        }
        Verb::Show(selection) => shared::show(&find(selection.name())?, selection),
        Verb::Retry(selection) => shared::retry(&find(selection.name())?, selection),
        Verb::Drop(selection) => shared::discard(&find(selection.name())?, selection),
    }
}

fn choose(source: &Source, selection: &Selection) -> Result<(Found, Chosen), Failure> {
    let found = source.find(selection.name())?;
    let chosen = selection.choose(&found.path)?;
    Ok((found, chosen))
}

/// Shows all that is known of the chosen letters, one at a time.
fn show(source: &Source, selection: &Selection) -> Result<u8, Failure> {
    let (found, chosen) = choose(source, selection)?;
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

fn drop(source: &Source, selection: &Selection) -> Result<u8, Failure> {
    let (found, chosen) = choose(source, selection)?;
    // Ctrl-Z while the file's lock is held would block every process that has a letter to write.
    let signals = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGINT];
    let signals: SigSet = signals.into_iter().collect();
    let blocked = signals.thread_block();
    let dropped = dead_letter::drop_some(&found.path, &mut |letter| chosen.is_meant(letter));
    if blocked.is_ok() {
        let _ = signals.thread_unblock();
    }
    let dropped = dropped.map_err(|error| Failure::io(&format!("write {}", found.path.display()), &error))?;
    output::print(&format!("{} dropped\n", dropped.dropped))?;
    Ok(exit::DONE)
}
