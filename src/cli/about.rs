//! What mprun prints of itself: `version`, `schema`, `completions` and `man`.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::output::{self, Failure};
use crate::config;
use crate::stage::Registry;

#[derive(clap::Args)]
#[command(after_help = "For bash: mprun completions bash > ~/.local/share/bash-completion/completions/mprun")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

#[derive(clap::Args)]
pub struct ManArgs {
    /// The folder to write to; it is made if it is not there
    dir: PathBuf,
}

pub fn version() -> Result<(), Failure> {
    output::print(concat!("mprun ", env!("CARGO_PKG_VERSION"), "\n"))
}

/// The JSON schema of pipeline files.
pub fn schema(registry: &Registry) -> Result<(), Failure> {
    // `#` asks for indentation; a JSON value has no other way to fail or to look.
    output::print(&format!("{:#}\n", config::schema(registry)))
}

/// A script that teaches a shell the verbs and options.
pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mprun", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// Manual pages for packages: one for mprun and one for each of its verbs.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let folder = &args.dir;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| Failure::io(&format!("write manual pages to {}", folder.display()), &error))
}
