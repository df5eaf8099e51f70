//! `mprun init [DIR]`: a pipeline to start from.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::output::{self, Failure};
use crate::exit;

const STARTER: &str = include_str!("starter.toml");
const NAME: &str = "pipeline.toml";

/// What `init` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The folder to write to; it is made if it is not there
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// Writes the starter, but never over a file that is there.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let folder = &args.dir;
    fs::create_dir_all(folder)
        .map_err(|error| Failure::io(&format!("make the folder {}", folder.display()), &error))?;
    let path = if folder == Path::new(".") { PathBuf::from(NAME) } else { folder.join(NAME) };
    write_new(&path)?;
    output::print(&format!("wrote {path}\nrun it: mprun {path}\n", path = path.display()))?;
    Ok(exit::DONE)
}

fn write_new(path: &Path) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    match file.and_then(|mut file| file.write_all(STARTER.as_bytes())) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::usage(format!("{} is there already: nothing written", path.display())))
        }
        Err(error) => Err(Failure::io(&format!("write {}", path.display()), &error)),
        Ok(()) => Ok(()),
    }
}
