//! The command line: one file per verb. Results go to standard output, everything else to standard error.
#![forbid(unsafe_code)]

mod args;
mod check;
mod completions;
mod graph;
mod init;
mod output;
mod run;
mod schema;
mod service;
mod verbless;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::exit;
use crate::stage::Registry;
use args::{Cli, Verb};
use output::Failure;

/// Does what the command line says.
pub fn main(registry: &Registry) -> ExitCode {
    let outcome = dispatch(std::env::args_os().collect(), registry);
    let code = outcome.unwrap_or_else(|failure| {
        output::complain(&failure.to_string());
        failure.code()
    });
    exit::code(code)
}

fn dispatch(args: Vec<OsString>, registry: &Registry) -> Result<u8, Failure> {
    let args = verbless::complete(args)?;
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(answer) => return output::clap(&answer),
    };
    match cli.verb {
        Verb::Run(args) => Ok(run::run(args, cli.talk.level(), registry)),
        Verb::Check(args) => check::run(&args, registry),
        Verb::Graph(args) => graph::run(&args, registry),
        Verb::Schema => schema::run(registry),
        Verb::Init(args) => init::run(&args),
        Verb::Service(args) => service::run(args, registry),
        Verb::Completions(args) => completions::run(&args),
    }
}
