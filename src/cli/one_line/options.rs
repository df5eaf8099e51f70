//! The words of a line: options, stages and arguments; and what other tools have that is not there.

use super::file::{Around, Items, JobLog, Line, LineStage};
use super::shell::{self, has_group_placeholder};
use crate::cli::output::Failure;
use crate::config::diagnostic::quote;
use crate::config::pipeline::Placeholders;
use crate::config::pipeline::placeholder::has_argument;
use crate::model::{Halt, HaltOf};
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  mprun do -j4 -- gzip -k {} < names
      an item a line of standard input; without {}: the last argument
  find . -name '*.wav' -print0 | mprun do -j8 -0 -k -- ./score
      items that end with a zero byte, and output in their order
  mprun do -j4 -- convert {} {.}.png ::: *.jpg
      arguments from the command line
  mprun do -j2 -- ./fetch {} :: -j8 ./parse :: ./store
      three stages joined by queues
  mprun do -j4 'gzip -c {} > {.}.gz' ::: *.txt
      one word with shell characters is run by sh

Placeholders:
  {} the item; {.} without extension; {/} without folder; {//} its folder;
  {/.} without both; {#} its number; {%} the worker's number;
  with -n: {1} {2} … an argument. {{}} stands for {} itself.

Exit codes:
  0  all well
  1  stopped before all items were tried, or mprun itself failed
  2  bad usage
  3  some commands failed";

#[derive(clap::Args)]
#[command(after_help = EXAMPLES, version)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    stage: StageOptions,
    /// Items on standard input (or in FILE) end with a zero byte, not with a line end
    #[arg(short = '0', long)]
    null: bool,
    /// Take the items from this file, not from standard input
    #[arg(short, long, value_name = "FILE")]
    arg_file: Option<PathBuf>,
    /// Keep items that failed as dead letters, under this name; it also names the run
    #[arg(long)]
    name: Option<String>,
    /// Print the pipeline file that the line stands for, and run nothing
    #[arg(long)]
    pub(super) print: bool,
    /// Print the commands that would be run, one a line and quoted for a shell, and run nothing
    #[arg(long, visible_alias = "dryrun", conflicts_with = "print")]
    pub(super) dry_run: bool,
    /// Show how far the run is: a line at the bottom of the terminal, else lines now and then on standard error
    #[arg(long, alias = "progress", alias = "eta")]
    pub(super) bar: bool,
    /// The command; `:: [OPTIONS] COMMAND` for each further stage, `::: ARGUMENTS` for the items
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    words: Vec<OsString>,
}

/// Options that each stage has for itself.
#[derive(clap::Args)]
struct StageOptions {
    /// How many commands run at once: a number, a share of the CPUs (50%), or `cpus`
    #[arg(short, long, value_name = "N", default_value = "1")]
    jobs: String,
    /// Items for each command: a command waits until it has them all
    #[arg(short = 'n', long, alias = "max-replace-args", short_alias = 'N', value_name = "N", value_parser = max_args)]
    max_args: Option<u32>,
    /// Put out what the commands write in the order of the items
    #[arg(short, long)]
    keep_order: bool,
    /// The longest time that a command may take, such as 10 (seconds) or 1m30s; then it is ended, and has failed
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
    /// How often a command is tried that fails
    #[arg(long, value_name = "N", default_value = "1", value_parser = retries)]
    retries: u32,
    /// Begin each line that a command writes with its item and a tab
    #[arg(long)]
    tag: bool,
    /// Add a row to this file for each item that has ended, in the columns of GNU parallel
    #[arg(long, visible_alias = "jl", value_name = "FILE")]
    joblog: Option<PathBuf>,
    /// Leave out the items that have a row in the job log
    #[arg(long, requires = "joblog")]
    resume: bool,
    /// Leave out those that have succeeded there; failed ones run again
    #[arg(long, requires = "joblog")]
    resume_failed: bool,
    /// When to end although there are items left: soon,fail=1 lets the commands that run end, now,fail=30% stops them; also
    /// `success`, and `done` for both
    #[arg(long, value_name = "WHEN,WHAT=N", visible_alias = "halt-on-error", value_parser = halt, allow_hyphen_values = true)]
    halt: Option<HaltOption>,
}

/// What stands after `::`.
#[derive(Parser)]
#[command(no_binary_name = true, name = "mprun do … ::", disable_help_flag = true)]
struct Further {
    #[command(flatten)]
    stage: StageOptions,
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    words: Vec<OsString>,
}

/// Options of xargs and GNU parallel that are not there, and what to do.
const INSTEAD: [(&[&str], &str); 37] = [
    (&["-P", "--max-procs"], "use -j N"),
    (&["-I", "--replace", "-i", "-U"], "`{}` always is the placeholder"),
    (&["-d", "--delimiter"], "an item is a line; `tr` makes lines of other delimiters"),
    (&["-L", "--max-lines", "-l"], "use -n N: each line is one item"),
    (&["-X", "-m", "--xargs", "-s", "--max-chars"], "use -n N"),
    (
        &["-r", "--no-run-if-empty"],
        "leave it out: without items no command is run; for parallel's, which leaves out empty lines as well, write `grep '[^[:space:]]'` before it",
    ),
    (&["-t", "--verbose", "--silent"], "use --dry-run for the commands, or -v, which logs what happens"),
    (
        &["-p", "--interactive", "--fg", "--tmux", "--tmuxpane"],
        "leave it out: commands have no terminal, and mprun asks nothing",
    ),
    (&["-o", "--open-tty", "--tty", "-T"], "there is no terminal: standard input of a command is empty"),
    (
        &[
            "-x",
            "--exit",
            "--show-limits",
            "--number-of-cpus",
            "--number-of-cores",
            "--number-of-threads",
            "--number-of-sockets",
        ],
        "leave it out: an item that does not fit into an argument has failed, and -j cpus asks for the CPUs",
    ),
    (&["-E", "-e", "--eof"], "write `sed '/^END$/,$d'` before it"),
    (
        &["-u", "--ungroup", "--line-buffer", "--linebuffer", "--lb", "--latest-line", "--ll"],
        "what a command writes is printed when it ends",
    ),
    (&["-q", "--quote"], "leave it out: words are not read by a shell"),
    (&["--process-slot-var"], "use `{%}`, or MPRUN_WORKER in the environment"),
    (
        &[
            "--pipe",
            "--spreadstdin",
            "--block",
            "--block-size",
            "--recstart",
            "--recend",
            "--round-robin",
            "--roundrobin",
            "--shard",
            "--bin",
            "--group-by",
            "--groupby",
            "--tee",
            "--cat",
            "--fifo",
            "--remove-rec-sep",
        ],
        "write a pipeline file with mode = \"stream\" or \"batch\" for a program that reads items",
    ),
    (&["--pipepart", "--pipe-part"], "write a pipeline file with `use = \"lines\"` and mode = \"stream\""),
    (&["--tagstring", "--tag-string", "--color", "--colour", "--ctag", "--color-failed"], "use --tag"),
    (
        &[
            "-S",
            "--sshlogin",
            "--sshloginfile",
            "--slf",
            "--transfer",
            "--transferfile",
            "--tf",
            "--return",
            "--cleanup",
            "--basefile",
            "--bf",
            "--trc",
            "--onall",
            "--nonall",
            "--controlmaster",
            "--hgrp",
            "--hostgroup",
            "--filter-hosts",
            "--ssh-delay",
            "--sshdelay",
        ],
        "start a run on each machine",
    ),
    (&["--colsep", "-C", "--csv"], "write `tr` before it and use -n: {1} {2} are the columns of a line"),
    (&["--header", "--skip-first-line"], "write `tail -n +2` before it"),
    (&["--trim", "--regexp", "--shuf", "--filter"], "write `sed`, `shuf` or `grep` before it"),
    (
        &[
            "--files",
            "--files0",
            "--results",
            "--res",
            "--tmpdir",
            "--tempdir",
            "--compress",
            "--compress-program",
        ],
        "use a word for the shell: 'cmd {} > {/}.out'",
    ),
    (
        &[
            "--rpl",
            "--plus",
            "--er",
            "--bnr",
            "--bner",
            "--bnre",
            "--extensionreplace",
            "--basenamereplace",
            "--dnr",
            "--parens",
            "--seqreplace",
        ],
        "use a word for the shell: 'x={}; … \"${x%.*}\"'",
    ),
    (&["--delay"], "write `rate` into the file that --print prints"),
    (&["--nice"], "write `nice` into the file that --print prints"),
    (
        &["--load", "--memfree", "--memsuspend", "--noswap", "--limit"],
        "write `limits` into the file that --print prints, or use `mprun pause` and `scale`",
    ),
    (&["--workdir", "--wd"], "write `cd DIR &&` before it, or `cwd` into the file that --print prints"),
    (&["--env", "--record-env"], "commands have the environment of mprun"),
    (&["--link", "--xapply"], "use -n 2 with the pairs in one list"),
    (&["--retry-failed"], "use --resume-failed with the same items"),
    (&["--shell-quote", "--shellquote"], "use --dry-run echo: it shows items in quotes"),
    (&["--total-jobs", "--total"], "leave it out: it is not needed"),
    (
        &["--semaphore", "--id", "--bg", "--wait", "--semaphorename", "--semaphoretimeout", "--st"],
        "use `flock`",
    ),
    (
        &[
            "--shebang",
            "--hashbang",
            "--shebang-wrap",
            "--embed",
            "--template",
            "--tmpl",
            "-J",
            "--profile",
            "--session",
        ],
        "write the line into a script, or the file that --print prints",
    ),
    (&["--sql", "--sqlmaster", "--sqlworker", "--sqlandworker"], "use --joblog FILE"),
    (
        &["--term-seq", "--termseq", "--minversion", "--gnu", "--citation", "--will-cite"],
        "leave it out: it has no meaning here",
    ),
    (&["--group", "--no-keep-order", "--no-notice"], "leave it out: that is how it always is"),
];

/// What clap says of an option that another tool has, with what to use instead.
pub(in crate::cli) fn instead(error: &clap::Error) -> Option<Failure> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = option.split('=').next().unwrap_or(option);
    instead_of(name).map(|do_this| has_no(name, do_this))
}

fn has_no(name: &str, do_this: &str) -> Failure {
    Failure::usage(format!("`mprun do` has no {name}: {do_this}"))
}

/// What to do about an option that another tool has.
pub(in crate::cli) fn instead_of(name: &str) -> Option<&'static str> {
    INSTEAD.iter().find(|(known, _)| known.contains(&name)).map(|(_, do_this)| *do_this)
}

/// What clap says of words that are no stage, on one line.
fn on_one_line(error: &clap::Error) -> String {
    let missing = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) if error.kind() == ErrorKind::MissingRequiredArgument => {
            missing.as_slice()
        }
        _ => &[],
    };
    match missing {
        [] => error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned(),
        [only] if only.contains("COMMAND") => "there is no command".to_owned(),
        several => format!("{} is missing", several.join(" ")),
    }
}

/// The words of a line by themselves.
#[derive(Parser)]
#[command(no_binary_name = true, name = "mprun do")]
struct Alone {
    #[command(flatten)]
    args: Args,
}

impl Args {
    /// Of words that are no command line.
    pub(super) fn of(words: Vec<OsString>) -> Result<Args, Failure> {
        let parsed = Alone::try_parse_from(words);
        parsed.map(|alone| alone.args).map_err(|error| Failure::usage(on_one_line(&error)))
    }

    /// What the line says.
    pub(super) fn line(self) -> Result<Line, Failure> {
        let (words, arguments) = split_off_arguments(self.words)?;
        let mut stages = Vec::new();
        for (n, words) in words.split(|word| word == "::").enumerate() {
            stages.push(match n {
                0 => self.stage.of(words)?,
                _ => further(words)?,
            });
        }
        if stages.len() > 1 && stages.iter().any(|stage| stage.joblog.is_some()) {
            let why = "--joblog goes with one command: behind `::` an item is on its way still when its row says that it is done; let a \
                       script run the commands one after the other";
            return Err(Failure::usage(why));
        }
        let items = match (arguments, self.arg_file) {
            (Some(_), Some(_)) => {
                return Err(Failure::usage("the items are after `:::` or in a file, not both"));
            }
            (Some(arguments), None) => Items::List(arguments.into_iter().map(OsString::into_vec).collect()),
            (None, Some(file)) if file != OsStr::new("-") => Items::File(file),
            (None, _) => Items::Stdin,
        };
        Ok(Line { name: self.name, items, null: self.null, stages, around: Around::default() })
    }
}

fn split_off_arguments(mut words: Vec<OsString>) -> Result<(Vec<OsString>, Option<Vec<OsString>>), Failure> {
    let is = |word: &OsString, wanted: &[&str]| wanted.iter().any(|wanted| word == wanted);
    if let Some(word) = words.iter().find(|word| is(word, &["::::", ":::+", "::::+"])) {
        let do_this = if *word == "::::" { "use -a FILE" } else { "use -n 2 with the pairs in one list" };
        return Err(has_no(&format!("`{}`", word.display()), do_this));
    }
    let Some(at) = words.iter().position(|word| word == ":::") else { return Ok((words, None)) };
    let arguments = words.split_off(at).split_off(1);
    if arguments.iter().any(|word| word == ":::") {
        let why = "`:::` stands there twice: mprun makes no combinations; a loop of the shell does, on standard input";
        return Err(Failure::usage(why));
    }
    if arguments.iter().any(|word| word == "::") {
        let why = "`::` stands behind `:::`: stages come first, then the arguments, as in `mprun do ./a {} :: ./b ::: 1 2`; an \
                   argument `::` can be a line of standard input or of -a FILE";
        return Err(Failure::usage(why));
    }
    Ok((words, Some(arguments)))
}

fn further(words: &[OsString]) -> Result<LineStage, Failure> {
    let Further { stage, words } = Further::try_parse_from(words).map_err(|error| {
        instead(&error).unwrap_or_else(|| Failure::usage(format!("after `::`: {}", on_one_line(&error))))
    })?;
    stage.of(&words)
}

impl StageOptions {
    fn of(&self, words: &[OsString]) -> Result<LineStage, Failure> {
        let text = |word: &OsString| {
            let shown = String::from_utf8_lossy(word.as_bytes()).into_owned();
            let why = format!(
                "the word {} of the command is no text in UTF-8; as an item it could be",
                quote(&shown)
            );
            word.to_str().map(str::to_owned).ok_or_else(|| Failure::usage(why))
        };
        let words: Vec<String> = words.iter().map(text).collect::<Result<_, _>>()?;
        if words.first().is_none_or(String::is_empty) {
            return Err(Failure::usage("there is no command"));
        }
        if let Some(word) = words.iter().find(|word| word.contains("{=") && word.contains("=}")) {
            let why = format!(
                "`mprun do` has no {{= perl =}} ({}); one word for the shell has it: 'x={{}}; echo \"${{x%.*}}\"'",
                quote(word)
            );
            return Err(Failure::usage(why));
        }
        let is_numbered = |word: &&String| has_group_placeholder(word).is_some_and(|found| found == **word);
        if let Some(word) =
            words.iter().find(is_numbered).filter(|_| self.max_args.is_none_or(|most| most < 2))
        {
            let why = format!(
                "`{word}` is an argument of a group, which -n N makes; the item is `{{}}`, and `{{{word}}}` stands for `{word}` itself"
            );
            return Err(Failure::usage(why));
        }
        let is_line = words.len() == 1 && shell::is_line(&words[0]);
        let program = words.first().filter(|word| !is_line && has_argument(word, Placeholders::Parallel));
        if let Some(word) = program {
            let why = match words.get(1).filter(|_| shell::is_line(word)) {
                Some(next) => format!(
                    "`{word}` is a line for the shell only where no word follows it, and `{next}` does: options stand before it"
                ),
                None => shell::no_program(word),
            };
            return Err(Failure::usage(why));
        }
        let processes = processes(&self.jobs)?;
        let is_one = processes == "1";
        if self.keep_order && self.joblog.is_some() && !is_one {
            let why = "-k and --joblog go together with -j1 only: else a row says that an item is done while its output waits for \
                       those before it; leave one of them out";
            return Err(Failure::usage(why));
        }
        Ok(LineStage {
            processes,
            max_args: self.max_args.filter(|most| *most > 1),
            // One process puts out in order as it is; with a job log each row is to come behind its output.
            keeps_order: self.keep_order && !(is_one && self.joblog.is_some()),
            timeout: self.timeout,
            attempts: self.retries,
            tag: self.tag,
            joblog: self.job_log()?,
            halt: self.halt()?,
            words,
        })
    }
}

impl StageOptions {
    fn halt(&self) -> Result<Option<Halt>, Failure> {
        let Some(HaltOption(Some(halt))) = self.halt else { return Ok(None) };
        if halt.of != HaltOf::Fail && (self.resume || self.resume_failed) {
            let why = "with --resume, --halt counts failures only: the items that are left out count as done";
            return Err(Failure::usage(why));
        }
        Ok(Some(halt))
    }

    fn job_log(&self) -> Result<Option<JobLog>, Failure> {
        let Some(path) = &self.joblog else { return Ok(None) };
        let why = || Failure::usage("the name of the job log is no text in UTF-8");
        let resume = match (self.resume, self.resume_failed) {
            (_, true) => Some("failed"),
            (true, false) => Some("done"),
            (false, false) => None,
        };
        Ok(Some(JobLog { path: path.to_str().ok_or_else(why)?.to_owned(), resume }))
    }
}

/// A number, as the file has it.
fn processes(jobs: &str) -> Result<String, Failure> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let share = |percent: &str| percent.parse::<usize>().ok().filter(|percent| *percent > 0);
    match jobs.strip_suffix('%') {
        _ if jobs == "cpus" => Ok("\"cpus\"".to_owned()),
        Some(percent) if share(percent).is_some() => {
            Ok((cpus * share(percent).unwrap_or(100)).div_ceil(100).to_string())
        }
        None if !jobs.starts_with('+') && jobs.parse::<u32>().is_ok_and(|jobs| jobs > 0) => {
            Ok(jobs.to_owned())
        }
        _ => Err(Failure::usage(format!(
            "-j {jobs}: it is a number from 1, a share of the CPUs (50%), or `cpus`"
        ))),
    }
}

fn max_args(text: &str) -> Result<u32, String> {
    number(text, 100_000, "for commands without their item, name it where it does nothing: 'COMMAND; : {}'")
}

fn retries(text: &str) -> Result<u32, String> {
    number(text, 1_000_000, "GNU parallel's 0, which tries without end, is 1000000 here")
}

/// `instead`: what to write in place of 0.
fn number(text: &str, most: u32, instead: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    let instead = if text.trim_matches('0').is_empty() { format!("; {instead}") } else { String::new() };
    number.ok_or_else(|| format!("it is a number from 1 to {most}{instead}"))
}

/// `never` is no halt.
#[derive(Clone, Copy, Debug)]
struct HaltOption(Option<Halt>);

/// Also in the short forms of GNU parallel.
fn halt(text: &str) -> Result<HaltOption, String> {
    let share = text.strip_suffix('%').map(|_| format!("soon,fail={text}"));
    let long = match text {
        "never" | "0" => return Ok(HaltOption(None)),
        "1" => "soon,fail=1",
        "2" => "now,fail=1",
        "-1" => "soon,success=1",
        "-2" => "now,success=1",
        other => share.as_deref().filter(|_| !other.contains(',')).unwrap_or(other),
    };
    let help = "it is `soon` or `now`, then `fail`, `success` or `done`, and a number or a share: soon,fail=1 or now,fail=30%";
    long.parse().map(|halt| HaltOption(Some(halt))).map_err(|_| help.to_owned())
}

/// Seconds, or a time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = seconds.or_else(|| humantime::parse_duration(text).ok()).filter(|time| !time.is_zero());
    time.ok_or_else(|| "a time is seconds (10, 0.5), or has a unit (250ms, 1m30s)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The options in the first column of the page's tables of other tools.
    fn of_other_tools() -> Vec<&'static str> {
        let page = include_str!("../../../docs/do.md");
        let tables = page.split_once("## xargs and GNU parallel, option by option").unwrap().1;
        let first = tables.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
        let codes = first.flat_map(|(cell, _)| cell.split('`').skip(1).step_by(2));
        codes
            .filter_map(|code| code.split([' ', '=']).next())
            .filter(|code| code.starts_with('-') && !code.contains('…'))
            .collect()
    }

    #[test]
    fn each_option_of_other_tools_is_there_or_is_told_what_to_use() {
        let options = of_other_tools();
        assert!(options.len() > 120, "{}", options.len());
        let has = |option: &str| {
            Alone::command().get_arguments().any(|known| {
                let long = known
                    .get_long_and_visible_aliases()
                    .into_iter()
                    .flatten()
                    .chain(known.get_all_aliases().into_iter().flatten());
                let short = known
                    .get_short_and_visible_aliases()
                    .into_iter()
                    .flatten()
                    .chain(known.get_all_short_aliases().into_iter().flatten());
                long.into_iter().any(|long| option == format!("--{long}"))
                    || short.into_iter().any(|short| option == format!("-{short}"))
            })
        };
        let own = ["-v", "--help", "--version"];
        for option in options {
            assert!(has(option) || own.contains(&option) || instead_of(option).is_some(), "{option}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let of = |words: &[&str]| {
            let args = Args::of(words.iter().map(Into::into).collect());
            args.and_then(Args::line).err().map(|why| why.to_string()).unwrap_or_default()
        };
        assert_eq!(of(&["echo", "::", ":::", "1"]), "after `::`: there is no command");
        assert_eq!(of(&["echo", "::", "--resume", "cat"]), "after `::`: --joblog <FILE> is missing");
        assert_eq!(of(&["-j2"]), "there is no command");
        assert!(of(&["echo", ":::", "1", "2", "::", "cat"]).starts_with("`::` stands behind `:::`"));
        assert_eq!(of(&["echo", "::", "cat", ":::", "1", "2"]), "");
        assert_eq!(
            of(&["echo", "::", "-u", "cat"]),
            "`mprun do` has no -u: what a command writes is printed when it ends"
        );
        assert_eq!(
            of(&["echo", "::", "-I{}", "cat"]),
            "`mprun do` has no -I: `{}` always is the placeholder"
        );
        assert!(of(&["gzip {}", "-j2", ":::", "a"]).contains("and `-j2` does: options stand before it"));
        assert!(of(&["{}", "x"]).contains("`env {}` runs one"));
        assert!(of(&["--retries", "0", "x"]).contains("is 1000000 here"), "{}", of(&["--retries", "0", "x"]));
        assert!(of(&["-N0", "x"]).contains("'COMMAND; : {}'"));
    }
}
