//! `mprun init [DIR]`: a pipeline to start from, and the schema by which editors complete and check it.
//!
//! | killed after … | left behind | the next `init` |
//! |---|---|---|
//! | the pipeline file was begun | a part of it | says that it is there |
//! | the pipeline file was written | it, without the schema | the same; the file runs, `mprun schema` prints the schema |

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::output::{self, Failure};
use crate::config;
use crate::exit;
use crate::stage::Registry;

const STARTER: &str = include_str!("starter.toml");
const PIPELINE_FILE: &str = "pipeline.toml";
/// As the first line of the starter says.
const SCHEMA_FILE: &str = "mprun.schema.json";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun init        here
  mprun init shop   in the folder shop")]
pub(super) struct Args {
    /// The folder to write to; it is made if it is not there
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// Writes the starter, but never over a file that is there, and the schema of this version of mprun beside it.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let folder = &args.dir;
    fs::create_dir_all(folder)
        .map_err(|error| Failure::io(&format!("make the folder {}", folder.display()), &error))?;
    let inside = |name: &str| if folder == Path::new(".") { PathBuf::from(name) } else { folder.join(name) };
    let (path, schema) = (inside(PIPELINE_FILE), inside(SCHEMA_FILE));
    let text = format!("{:#}\n", config::schema(registry));
    write_new(&path)?;
    if let Err(error) = fs::write(&schema, text) {
        let _ = fs::remove_file(&path); // it names a file that is not there
        return Err(Failure::io(&format!("write {}", schema.display()), &error));
    }
    let (path, schema) = (path.display(), schema.display());
    output::print(&format!("wrote {path}, and {schema} for editors\nrun it: mprun {path}\n"))?;
    Ok(exit::DONE)
}

fn write_new(path: &Path) -> Result<(), Failure> {
    match create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::usage(format!("{} is there already: nothing written", path.display())))
        }
        Err(error) => Err(Failure::io(&format!("write {}", path.display()), &error)),
        Ok(()) => Ok(()),
    }
}

/// Half a file (the disk is full) would be in the way of the next try.
fn create(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(STARTER.as_bytes()).inspect_err(|_| drop(fs::remove_file(path)))
}
