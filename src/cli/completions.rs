//! `mprun completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::output::{self, Failure};
use crate::exit;

/// What `completions` takes.
#[derive(clap::Args)]
#[command(after_help = "For bash: mprun completions bash > ~/.local/share/bash-completion/completions/mprun")]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints a script that teaches a shell the verbs and options.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mprun", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}
