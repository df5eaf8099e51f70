//! `mprun dead list|show|retry|drop`: items that never went through.

mod selection;
mod text;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::output::{self, Failure};
use super::table::terminal_width;
use super::target::{self, Where};
use crate::config;
use crate::control::client::{Client, Patience};
use crate::control::protocol::{Retried, Retry};
use crate::dead_letter::{self, Letter};
use crate::exit;
use crate::status::Snapshot;
use selection::Selection;

/// Keys in one request: well below what a request may hold.
const AT_ONCE: usize = 4000;

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
    List {
        /// The pipeline. Can be left out when only one runs, or only one has dead letters
        name: Option<String>,
        /// Print them as JSON, whole
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of some
    Show(Selection),
    /// Put items back into their queues in the running pipeline, each once
    Retry(Selection),
    /// Forget items for good
    Drop(Selection),
}

/// Works on a pipeline's dead letters.
pub fn run(args: &Args) -> Result<u8, Failure> {
    match &args.verb {
        Verb::List { name, json } => {
            let (path, _) = find(args, name.as_deref())?;
            let letters = read(&path)?;
            if *json {
                output::json(&letters)?
            } else {
                output::print(&text::list(&letters, terminal_width()))?
            }
            Ok(exit::DONE)
        }
        Verb::Show(selection) => {
            let (path, _) = find(args, selection.name())?;
            let letters = selection.choose(read(&path)?)?;
            if selection.json {
                output::json(&letters)?
            } else {
                output::print(&text::show(&letters))?
            }
            Ok(exit::DONE)
        }
        Verb::Drop(selection) => {
            let (path, _) = find(args, selection.name())?;
            let letters = selection.choose(read(&path)?)?;
            let mut dropped = 0;
            for letter in &letters {
                let gone = dead_letter::cross_out(&path, letter);
                dropped += u64::from(
                    gone.map_err(|error| Failure::io(&format!("write {}", path.display()), &error))?,
                );
            }
            output::print(&format!("{dropped} dropped\n"))?;
            Ok(exit::DONE)
        }
        Verb::Retry(selection) => {
            let (path, client) = find(args, selection.name())?;
            let Some(client) = client else {
                return Err(Failure::running("an item can be put back only while its pipeline runs"));
            };
            retry(client, &selection.choose(read(&path)?)?)
        }
    }
}

fn retry(mut client: Client, letters: &[Letter]) -> Result<u8, Failure> {
    let mut all = Retried::default();
    for some in letters.chunks(AT_ONCE) {
        let keys = some.iter().map(Letter::key).collect();
        let retried: Retried = client
            .post("/v1/dead/retry", &Retry { keys }, Patience::Endless)
            .map_err(|error| target::failure(&error))?;
        all.put += retried.put;
        all.missing += retried.missing;
        all.refused.extend(retried.refused);
    }
    output::print(&format!("{} back in their queues\n", all.put))?;
    all.refused.iter().for_each(|why| output::complain(why));
    Ok(if all.refused.is_empty() { exit::DONE } else { exit::FAILED })
}

fn read(path: &Path) -> Result<Vec<Letter>, Failure> {
    dead_letter::read(path).map_err(|error| Failure::io(&format!("read {}", path.display()), &error))
}

/// The file, and the pipeline if it runs.
fn find(args: &Args, name: Option<&str>) -> Result<(PathBuf, Option<Client>), Failure> {
    match target::find(name, &args.place) {
        Ok(mut client) => {
            let snapshot: Snapshot = client.get("/v1/status").map_err(|error| target::failure(&error))?;
            Ok((args.file.clone().unwrap_or_else(|| snapshot.dead_letter_file.into()), Some(client)))
        }
        Err(failure) => {
            if let Some(file) = &args.file {
                return Ok((file.clone(), None));
            }
            let variable = |variable: &str| std::env::var(variable).ok();
            let known = dead_letter::pipelines(variable);
            match (name, known.as_slice()) {
                (Some(name), known) => {
                    let over = called(name, known).ok_or(failure)?;
                    Ok((dead_letter::path(&over, variable), None))
                }
                (None, [only]) => Ok((dead_letter::path(only, variable), None)),
                (None, [_, _, ..]) => Err(Failure::usage(format!(
                    "several pipelines have dead letters: say which: {}",
                    known.join(", ")
                ))),
                (None, []) => Err(failure),
            }
        }
    }
}

/// Which of the pipelines is meant by a name, or by a file: its run is over.
fn called(name: &str, known: &[String]) -> Option<String> {
    let is_known = |name: &String| known.contains(name);
    let of_file = || Some(Path::new(name)).filter(|path| path.is_file()).map(config::name_in_file);
    Some(name.to_owned()).filter(is_known).or_else(|| of_file().filter(is_known))
}
