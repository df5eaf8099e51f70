//! The command line: a file for each verb that does more than to send one command ([`command`]). Results go to standard
//! output, everything else to standard error.
#![forbid(unsafe_code)]

mod about;
mod args;
mod audit;
mod bash_words;
mod check;
mod command;
mod completion;
mod dead;
mod export;
mod graph;
mod import;
mod init;
mod logs;
mod machines;
mod man;
mod one_line;
mod online;
mod open;
mod output;
mod plan;
mod ps;
mod request;
mod run;
mod scale;
mod service;
mod shell_tokens;
mod status;
mod table;
mod tap;
mod target;
#[cfg(test)]
mod tests;
mod toml_text;
mod top;
mod upgrade;
mod verbless;
mod why;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::exit;
use crate::stage::Registry;
use crate::sys::start_signals;
use args::{Cli, Verb};
use output::Failure;

/// Does what the command line says.
pub(crate) fn main(registry: &Registry) -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if completion::is_asked() {
        start_signals::release();
        return exit::code(completion::answer(&args, Cli::command));
    }
    let outcome = dispatch(args, registry);
    let code = outcome.unwrap_or_else(|failure| {
        output::report_error(&failure.to_string());
        failure.code()
    });
    exit::code(code)
}

/// Whether this program could continue a run that was started with these arguments, without the first.
pub(crate) fn preflight(registry: &Registry) -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    args.remove(1);
    let cli = verbless::complete(args).ok().and_then(|args| Cli::try_parse_from(args).ok());
    match cli.map(|cli| (cli.verb, cli.talk.level())) {
        Some((Verb::Run(args), level)) => exit::code(run::preflight(args, level, registry)),
        Some((Verb::Do(args), level)) => {
            let outcome = one_line::preflight(args, level, registry);
            exit::code(outcome.unwrap_or_else(|failure| {
                output::report_error(&failure.to_string());
                failure.code()
            }))
        }
        Some(_) | None => {
            output::report_error(
                "this version does not take the arguments that the running one was started with",
            );
            exit::code(exit::USAGE)
        }
    }
}

fn dispatch(args: Vec<OsString>, registry: &Registry) -> Result<u8, Failure> {
    let args = verbless::complete(args)?;
    let verb = verbless::verb(&args).map(OsStr::to_owned);
    let parsed = Cli::parse_line(args, verb.as_deref());
    if !matches!(parsed, Ok(Cli { verb: Verb::Run(_) | Verb::Do(_), .. })) {
        start_signals::release();
    }
    let cli = match parsed {
        Ok(cli) => cli,
        // That of a verb would have the verb's name in it.
        Err(answer) if answer.kind() == ErrorKind::DisplayVersion => {
            return about::version().map(|()| exit::DONE);
        }
        Err(answer) => {
            let instead = match verb.as_deref().map(OsStr::to_str) {
                // The words behind it are those of another command.
                Some(Some("do")) => one_line::instead(&answer),
                None | Some(Some("run")) => verbless::instead(&answer),
                Some(_) => None,
            };
            return instead.map_or_else(|| output::clap(&answer), Err);
        }
    };
    match cli.verb {
        Verb::Run(args) => Ok(run::run(args, cli.talk.level(), registry)),
        Verb::Do(args) => one_line::run(args, cli.talk.level(), registry),
        Verb::Check(args) => check::run(&args, registry),
        Verb::Graph(args) => graph::run(&args, registry),
        Verb::Status(args) => status::run(&args, registry),
        Verb::Top(args) => top::run(&args, registry),
        Verb::Why(args) => why::run(&args, registry),
        Verb::Dead(args) => dead::run(&args, cli.talk.level(), registry),
        Verb::Tap(args) => tap::run(&args),
        Verb::Audit(args) => audit::run(&args, registry),
        Verb::Shared(args) => machines::shared::run(&args, registry),
        Verb::Forget(args) => machines::forget::run(&args, registry),
        Verb::Logs(args) => logs::run(&args),
        Verb::Ps(args) => ps::run(&args),
        Verb::Open(args) => open::run(&args),
        Verb::Command(verb) => command::run(&verb, registry),
        Verb::Schema => about::schema(registry).map(|()| exit::DONE),
        Verb::Import(args) => import::run(&args, registry),
        Verb::Export(args) => export::run(&args, registry),
        Verb::Init(args) => init::run(&args, registry),
        Verb::Service(args) => service::run(args, registry),
        Verb::Version => about::version().map(|()| exit::DONE),
        Verb::Completions(args) => completion::run(&args).map(|()| exit::DONE),
        Verb::Man(args) => man::run(&args, Cli::command()).map(|()| exit::DONE),
    }
}
