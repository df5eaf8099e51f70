//! `mprun do`: a pipeline file that nobody had to write.
//!
//! The line becomes the text of a file ([`mod@file`]), which `--print` prints. A run of it has no file on the disk: the text is
//! made anew from the same words by a program that takes over (`mprun upgrade`), and a kill leaves no file behind. Its
//! paths start at the current folder, as those of a file there would.

mod dry_run;
mod evaluated;
mod file;
mod files;
mod options;
mod other_arguments;
mod place_of_items;
mod shell;

use super::output::{self, Failure};
use crate::config::{self, LoadOptions, Loaded};
use crate::exit;
use crate::logs::Logging;
use crate::progress::When;
use crate::stage::Registry;
use crate::supervisor::{self, RunOptions};
use crate::terminal;
pub(in crate::cli) use file::Around;
pub(in crate::cli) use options::{Args, instead, instead_of};
pub(in crate::cli) use other_arguments::may_change as may_change_arguments;
pub(in crate::cli) use shell::{has_group_placeholder, is_line, refuse_line, without_needless_quotes};
use std::path::PathBuf;

/// Bytes of the largest file: what a line has more than that is given on standard input.
const MAX_FILE_BYTES: usize = 1 << 20;

/// Runs the line, or prints its file.
pub(super) fn run(args: Args, verbosity: i8, registry: &Registry) -> Result<u8, Failure> {
    let (print, dry_run, bar) = (args.print, args.dry_run, args.bar);
    let line = args.line()?;
    let text = text_of(&line)?;
    let options = options(line.name.clone(), text, bar, verbosity);
    let loaded = checked(&options, registry)?;
    // What this machine lacks is no fault of the file: it may be for later, or for another one.
    if print {
        let text = options.text.unwrap_or_default();
        return output::print_as_it_is(&text).map(|_| exit::DONE);
    }
    files::check(&line).map_err(Failure::usage)?;
    if dry_run {
        return dry_run::run(&line, &loaded.pipeline);
    }
    let lock = files::lock(&line).map_err(Failure::usage)?;
    options.logging.start(None);
    if matches!(line.items, file::Items::Stdin) && terminal::stdin().is_terminal {
        let each = if line.null { "a zero byte behind each (Ctrl-@)" } else { "a line each" };
        log::warn!(target: "mprun", "the items come from this terminal, {each}: Ctrl-D ends them");
    }
    let code = supervisor::run(options, registry);
    drop(lock);
    Ok(code)
}

/// Whether this program could resume the run of such a line.
pub(super) fn preflight(args: Args, verbosity: i8, registry: &Registry) -> Result<u8, Failure> {
    let bar = args.bar;
    let (name, text) = text(args)?;
    Ok(supervisor::preflight(&options(name, text, bar, verbosity), registry))
}

/// The file of a line that is given as words.
pub(super) fn file_of(words: Vec<std::ffi::OsString>, around: Around) -> Result<String, Failure> {
    let mut line = Args::of(words)?.line()?;
    line.around = around;
    text_of(&line)
}

/// The name that was given, and the file.
pub(super) fn text(args: Args) -> Result<(Option<String>, String), Failure> {
    let line = args.line()?;
    let text = text_of(&line)?;
    Ok((line.name, text))
}

fn text_of(line: &file::Line) -> Result<String, Failure> {
    let text = line.text().map_err(Failure::usage)?;
    if text.len() > MAX_FILE_BYTES {
        let why = "the arguments are more than 1 MiB: give them on standard input (printf '%s\\0' … | mprun do -0 …)";
        return Err(Failure::usage(why));
    }
    Ok(text)
}

fn options(name: Option<String>, text: String, bar: bool, verbosity: i8) -> RunOptions {
    let name = name.unwrap_or_else(|| format!("do-{}", std::process::id()));
    RunOptions {
        file: PathBuf::from(format!("{name}.toml")),
        text: Some(text),
        load: LoadOptions::default(),
        watch: false,
        logging: Logging::of_a_line(verbosity, bar),
        progress: if bar { When::OneLine } else { When::Never },
        report: None,
        new_run: false,
        only_run: None,
        retries: None,
    }
}

/// A warning that keeps a line from being run.
pub(in crate::cli) fn refused(warnings: &config::Report) -> Failure {
    let text = warnings.render(false);
    Failure::usage(text.trim_start_matches("warning: "))
}

/// What is wrong with the line, in words about the line.
fn checked(options: &RunOptions, registry: &Registry) -> Result<Loaded, Failure> {
    let text = options.text.clone().unwrap_or_default();
    let bad = |report: config::Report| Failure::usage(report.render(output::is_colourful()));
    let loaded = config::load_line(&options.file, text, &options.load, registry).map_err(bad)?;
    // The only one that a line can cause: the item would be a piece of a program.
    if loaded.warnings.is_empty() { Ok(loaded) } else { Err(refused(&loaded.warnings)) }
}
