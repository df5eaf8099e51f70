//! What the command line may say. `--help` is meant to be good enough to live by.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, Args, Parser, Subcommand};

use super::{
    audit, check, command, completion, dead, export, graph, import, init, logs, machines, man, one_line,
    open, ps, run, service, status, tap, top, why,
};

const EXAMPLES: &str = "\
Examples:
  mprun init                                   write a pipeline to start from
  mprun pipeline.toml                          run it, until it is done or Ctrl-C
  mprun run pipeline.toml --set stages.parse.processes=8
  mprun do -j4 -- gzip -k {} < names           a pipeline in one line
  mprun check pipelines/*.toml                 say all that is wrong
  mprun graph pipeline.toml --format mermaid   draw it
  mprun status                                 what the running pipeline does
  mprun top                                    the same, live
  mprun scale parse=8                          eight processes, at once

Exit codes:
  0  done, or stopped on request
  1  a stage gave up, or mprun itself failed
  2  bad usage, or a bad pipeline file
  3  done, but there are dead letters

Standard output is the pipeline's own. What mprun has to say goes to standard error:
more with -v, less with -q, or as RUST_LOG says.";

/// Runs programs as one supervised pipeline of processes, from one TOML file.
///
/// A stage is a built-in or any program, run as any number of worker processes. Stages pass items through bounded queues
/// in shared memory. A worker that dies is started again, and its item is not lost. An edited file is taken over while
/// the pipeline runs.
#[derive(Parser)]
#[command(
    name = "mprun",
    version,
    after_help = EXAMPLES,
    override_usage = "mprun [OPTIONS] FILE\n       mprun [OPTIONS] COMMAND",
    arg_required_else_help = true
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
    #[command(flatten)]
    pub talk: Talk,
}

impl Cli {
    /// A line of `run` or `do` is read by their options alone: those of all verbs take longer to make than a run takes to
    /// start. Any other line, and each one with a fault in it, is read by all.
    pub(super) fn parse_line(args: Vec<OsString>, verb: Option<&OsStr>) -> Result<Cli, clap::Error> {
        if verb.is_some_and(|verb| verb == "run" || verb == "do")
            && let Ok(Starting { verb, talk }) = Starting::try_parse_from(&args)
        {
            let verb = match verb {
                StartingVerb::Run(args) => Verb::Run(args),
                StartingVerb::Do(args) => Verb::Do(args),
            };
            return Ok(Cli { verb, talk });
        }
        Cli::try_parse_from(args)
    }
}

/// The verbs that start a pipeline, and nothing else. What is said of a fault comes from [`Cli`].
#[derive(Parser)]
struct Starting {
    #[command(subcommand)]
    verb: StartingVerb,
    #[command(flatten)]
    talk: Talk,
}

#[derive(Subcommand)]
enum StartingVerb {
    Run(run::Args),
    Do(one_line::Args),
}

/// The verbs; without one, `run` is meant.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Run a pipeline in the foreground: the same as `mprun FILE`
    Run(run::Args),
    /// Run a command for each item of standard input, as xargs and parallel do: a pipeline in one line
    Do(one_line::Args),
    /// Say whether files are good: every fault at once, each with its line
    Check(check::Args),
    /// Draw a pipeline
    Graph(graph::Args),
    /// Show what a running pipeline does: stages, queues, rates, restarts
    Status(status::Args),
    /// Watch a running pipeline on the whole screen, and steer it by keys
    Top(top::Args),
    /// Say which stage limits the pipeline, and what happened to its workers lately, and why
    Why(why::Args),
    /// Look at items that never went through, and try them again
    Dead(dead::Args),
    /// Show items as they pass through a queue, without taking them
    Tap(tap::Args),
    /// Show what became of every item, and whether that adds up
    Audit(audit::Args),
    /// List what a broker holds of pipelines, or delete it
    Shared(machines::shared::Args),
    /// Strike a machine off a run that is gone for good, so that others get its items at once
    Forget(machines::forget::Args),
    /// Show the last lines that workers and their programs said
    Logs(logs::Args),
    /// List the pipelines that run
    Ps(ps::Args),
    /// Open the page of a running pipeline in a browser, or print a link that opens it once
    Open(open::Args),
    #[command(flatten)]
    Command(command::Verb),
    /// Print the JSON schema of pipeline files, for editors and validators
    #[command(after_help = "\
Examples:
  mprun schema > shop.schema.json   name it in a file: #:schema shop.schema.json")]
    Schema,
    /// Write a commented pipeline file to start from
    Init(init::Args),
    /// Print a pipeline file made of another tool's file
    Import(import::Args),
    /// Print what another system needs to run a pipeline
    Export(export::Args),
    /// Make a pipeline a service of systemd
    Service(service::Args),
    /// Print the version of mprun
    #[command(after_help = "\
Examples:
  mprun version")]
    Version,
    /// Print completions for a shell
    Completions(completion::Args),
    /// Write manual pages: one of mprun and one of each command
    Man(man::Args),
}

/// How much is said.
#[derive(Args)]
pub(super) struct Talk {
    /// Say more; twice: still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Say less: warnings and errors only; twice: errors only
    #[arg(short, long, global = true, action = ArgAction::Count)]
    quiet: u8,
}

impl Talk {
    /// Above zero: more than usual; below: less.
    pub(super) fn level(&self) -> i8 {
        let count = |times: u8| i8::try_from(times).unwrap_or(i8::MAX);
        count(self.verbose).saturating_sub(count(self.quiet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::verbless;
    use clap::{Command, CommandFactory};

    #[test]
    fn each_verb_has_examples_that_are_good_lines_of_it() {
        let mut cli = Cli::command().disable_help_subcommand(true);
        cli.build();
        check(&cli, "");
    }

    fn check(command: &Command, path: &str) {
        for verb in command.get_subcommands() {
            let path = format!("{path} {}", verb.get_name());
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples =
                help.strip_prefix("Examples:\n").unwrap_or_else(|| panic!("mprun{path} has no examples"));
            let examples = examples.split("\n\n").next().unwrap_or_default();
            for line in examples.lines() {
                assert!(line.len() <= 80, "{line}: wider than a terminal");
            }
            let lines: Vec<Vec<String>> = examples.lines().filter_map(words).collect();
            assert!(
                lines.iter().any(|line| line.join(" ").starts_with(path.trim())),
                "none is of mprun{path}"
            );
            for line in lines {
                parse(&line);
            }
            check(verb, &path);
        }
    }

    /// The words behind `mprun`, without what is said of the line and what a shell does with its ends.
    fn words(line: &str) -> Option<Vec<String>> {
        let (_, line) = line.split_once("mprun ")?;
        let line = line.split("   ").next().unwrap_or_default();
        let words = shlex::split(line).unwrap_or_else(|| panic!("{line}: quotes"));
        Some(words.into_iter().take_while(|word| !["|", ">", "<"].contains(&word.as_str())).collect())
    }

    fn parse(line: &[String]) {
        let args = ["mprun".into()].into_iter().chain(line.iter().map(Into::into)).collect();
        let args = verbless::complete(args).unwrap_or_else(|failure| panic!("{line:?}: {failure}"));
        let verb = verbless::verb(&args).map(OsStr::to_owned);
        if let Err(error) = Cli::parse_line(args, verb.as_deref()) {
            panic!("mprun {}: {error}", line.join(" "));
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_by_all_verbs() {
        for line in [&["mprun", "run"][..], &["mprun", "do", "--helf"], &["mprun", "run", "--help"]] {
            let args: Vec<OsString> = line.iter().map(OsString::from).collect();
            let said = |parsed: Result<Cli, clap::Error>| parsed.map(drop).unwrap_err().to_string();
            let verb = OsStr::new(line[1]);
            assert_eq!(said(Cli::parse_line(args.clone(), Some(verb))), said(Cli::try_parse_from(args)));
        }
    }
}
