//! `mprun import`: a pipeline file made of the file of another tool. What can't be carried over is a comment at its place.
//!
//! Each line is tried before it is written: a key that this version does not take, or not with this value, becomes a
//! comment, too. So the mappers name keys, and what they come to is decided in one place ([`draft`]).

mod compose;
mod draft;
mod give_up;
mod input;
mod line;
mod procfile;
mod supervisord;

use std::path::{Path, PathBuf};

use super::one_line;
use super::output::{self, Failure};
use crate::config::{self, LoadOptions, Loaded, Texts};
use crate::exit;
use crate::stage::Registry;
use input::{called, read};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun import procfile > shop.toml   of ./Procfile
  mprun import supervisord /etc/supervisor/supervisord.conf > shop.toml")]
pub(super) struct Args {
    #[command(subcommand)]
    from: From,
}

/// Whose file it is.
#[derive(clap::Subcommand)]
enum From {
    /// Lines of `NAME: COMMAND`, and the `.env` beside them
    #[command(after_help = "\
Examples:
  mprun import procfile > shop.toml   of ./Procfile
  mprun import procfile deploy/Procfile > shop.toml")]
    Procfile {
        /// The file; - for standard input
        #[arg(default_value = "Procfile")]
        file: PathBuf,
    },
    /// The programs of a supervisord, with the files that its `[include]` names
    #[command(after_help = "\
Examples:
  mprun import supervisord /etc/supervisor/supervisord.conf > shop.toml")]
    Supervisord {
        /// The file; - for standard input
        file: PathBuf,
    },
    /// A line of xargs, as one word: `mprun import xargs 'xargs -0 -P4 gzip'`
    #[command(after_help = "\
Examples:
  mprun import xargs 'xargs -0 -P4 gzip' > gzip.toml")]
    Xargs {
        /// The line
        line: String,
    },
    /// A line of GNU parallel, as one word
    #[command(after_help = "\
Examples:
  mprun import parallel 'parallel -j4 gzip -k {} ::: *.txt' > gzip.toml")]
    Parallel {
        /// The line
        line: String,
    },
    /// The services of a compose file: what images would run has to be on this machine
    #[command(after_help = "\
Examples:
  mprun import compose > shop.toml   of ./compose.yaml
  mprun import compose deploy/compose.yaml > shop.toml")]
    Compose {
        /// The file; - for standard input
        #[arg(default_value = "compose.yaml")]
        file: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Procfile,
    Supervisord,
    Compose,
}

impl Kind {
    /// Where a line of it is found in files of one kind only.
    fn seen_in(text: &str) -> Option<Kind> {
        let of_line = |line: &str| match line.trim_end() {
            "services:" => Some(Kind::Compose),
            line if line.starts_with("[program:") || line == "[supervisord]" => Some(Kind::Supervisord),
            _ => None,
        };
        text.lines().find_map(of_line)
    }

    fn verb(self) -> &'static str {
        match self {
            Kind::Procfile => "procfile",
            Kind::Supervisord => "supervisord",
            Kind::Compose => "compose",
        }
    }
}

/// Prints what the file comes to.
pub(super) fn run(args: &Args, registry: &Registry) -> Result<u8, Failure> {
    let (kind, file) = match &args.from {
        From::Xargs { line } => return print_line(line::xargs(line)?, registry),
        From::Parallel { line } => return print_line(line::parallel(line)?, registry),
        From::Procfile { file } => (Kind::Procfile, file),
        From::Supervisord { file } => (Kind::Supervisord, file),
        From::Compose { file } => (Kind::Compose, file),
    };
    let given = read(file)?;
    if let Some(other) = Kind::seen_in(&given).filter(|other| *other != kind) {
        let (name, verb) = (called(file), other.verb());
        let better = format!("{name} is another kind of file: try `mprun import {verb} {}`", file.display());
        return Err(Failure::usage(better));
    }
    let draft = match kind {
        Kind::Procfile => procfile::import(&given, file),
        Kind::Supervisord => supervisord::import(&given, file)?,
        Kind::Compose => compose::import(&given, file)?,
    };
    if draft.is_empty() {
        return Err(Failure::usage(format!("{} has nothing that could be run", called(file))));
    }
    print(draft.text(registry), registry)
}

/// Prints the file of a line, unless an item would be a piece of code in it: the only warning that a line can cause.
fn print_line(text: String, registry: &Registry) -> Result<u8, Failure> {
    let loaded = load(&text, registry);
    match loaded.map(|loaded| loaded.warnings) {
        Ok(warnings) if !warnings.is_empty() => Err(one_line::refused(&warnings)),
        Ok(_) | Err(_) => print(text, registry),
    }
}

fn load(text: &str, registry: &Registry) -> Result<Loaded, config::Report> {
    let texts = Texts { main: text.to_owned(), ..Texts::default() };
    config::load_texts(Path::new("the imported file"), texts, &LoadOptions::default(), registry)
}

/// Prints a file, and says what keeps it from running here.
fn print(text: String, registry: &Registry) -> Result<u8, Failure> {
    output::print(&text)?;
    if let Err(report) = load(&text, registry) {
        output::say(&format!(
            "warning: as it stands, the file that was printed can't be run on this machine:\n\n{}",
            report.render(output::is_colourful())
        ));
    }
    Ok(exit::DONE)
}
