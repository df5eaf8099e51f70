//! `mprun man DIR`: manual pages, for packages.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;

use super::args::Cli;
use super::output::Failure;
use crate::exit;

/// What `man` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The folder to write to; it is made if it is not there
    dir: PathBuf,
}

/// Writes a page for mprun and one for each of its verbs.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let folder = &args.dir;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| Failure::io(&format!("write manual pages to {}", folder.display()), &error))?;
    Ok(exit::DONE)
}
