//! What mprun prints of itself: `version`, `schema`, `completions` and `man`.

use std::fs;
use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use super::output::{self, Failure};
use crate::config;
use crate::stage::Registry;

#[derive(clap::Args)]
#[command(after_help = "For bash: mprun completions bash > ~/.local/share/bash-completion/completions/mprun")]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

#[derive(clap::Args)]
pub(super) struct ManArgs {
    /// The folder to write to; it is made if it is not there
    dir: PathBuf,
}

pub(super) fn version() -> Result<(), Failure> {
    output::print(concat!("mprun ", env!("CARGO_PKG_VERSION"), "\n"))
}

/// The JSON schema of pipeline files.
pub(super) fn schema(registry: &Registry) -> Result<(), Failure> {
    // `#` asks for indentation; a JSON value has no other way to fail or to look.
    output::print(&format!("{:#}\n", config::schema(registry)))
}

/// A script that teaches a shell the verbs and options.
pub(super) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "mprun", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// Manual pages for packages: one for mprun and one for each of its verbs.
pub(super) fn man(args: &ManArgs, command: Command) -> Result<(), Failure> {
    let folder = &args.dir;
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .map_err(|error| Failure::io(&format!("write manual pages to {}", folder.display()), &error))
}
