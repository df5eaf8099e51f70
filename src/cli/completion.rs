//! Completion while a person types: the shell asks this program at each TAB, so pipelines that run, their stages and their
//! queues are completed as verbs and options are.
//!
//! A shell waits for the answer. What can't be found at once is left out, and nothing is said of it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, Command};
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::{CompleteEnv, Shells};

use super::output::{self, Failure};
use super::target;
use crate::config;
use crate::control::claim::{self, Holder};
use crate::exit;
use crate::numbers::counted;
use crate::status::Snapshot;

/// Names the shell that asks, in the environment of this program.
const VARIABLE: &str = "MPRUN_COMPLETE";
/// For the answer of a running pipeline. One that works answers in a millisecond.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);

/// zsh loads a file of `$fpath` at the first TAB, and takes it for the function that completes.
const ZSH_FIRST_TAB: &str =
    "if [[ $funcstack[1] = _mprun ]]; then _clap_dynamic_completer_mprun \"$@\"; fi\n";
/// Lines of the script for zsh, and what stands there instead: whose home a `~` is, only zsh knows; and `STAGE=` is completed without the
/// space behind it.
const ZSH_CHANGES: [(&str, &str); 4] = [
    (
        "function _clap_dynamic_completer_mprun() {\n",
        "function _clap_dynamic_completer_mprun() {\n    if [[ $PREFIX == \\~* ]]; then\n        _files\n        return\n    fi\n",
    ),
    ("local -a other=()\n", "local -a other=() amounts=()\n"),
    (
        "            else\n                other+=",
        "            elif [[ \"$value\" == *= ]]; then\n                amounts+=(\"$completion\")\n            else\n                other+=",
    ),
    (
        "        [[ -n $other ]] &&",
        "        [[ -n $amounts ]] && _describe -V 'values' amounts -S ''\n        [[ -n $other ]] &&",
    ),
];

/// Lines of the script for bash, and what stands there instead. For bash `=` and `:` divide a word, and what a function answers is put
/// in as it is: so words are put together before mprun is asked, and names of files are marked as such, which bash quotes.
const BASH_WHOLE_WORDS: [(&str, &str); 2] = [
    (
        r#"    local words=("${COMP_WORDS[@]}")
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        words[COMP_CWORD]="$2"
    fi
"#,
        r#"    local words=() rest="$COMP_LINE" i n word spaces
    for (( i = 0; i < ${#COMP_WORDS[@]}; i++ )); do
        word="${COMP_WORDS[i]}" n=${#words[@]}
        spaces="${rest%%[![:space:]]*}"
        rest="${rest#"$spaces"}"
        rest="${rest#"$word"}"
        if (( i == COMP_CWORD )) && [[ -n "$2" || "$word" != [=:]* ]]; then
            word="${2//[\\\"\']/}"
        fi
        if [[ -z "$spaces" && $n -gt 0 ]] && [[ "$word" == [=:]* || "${words[n - 1]}" == *[=:] ]]; then
            words[n - 1]+="$word"
        else
            words+=("$word")
        fi
        (( i == COMP_CWORD )) && break
    done
    _CLAP_COMPLETE_INDEX=$(( ${#words[@]} - 1 ))
"#,
    ),
    (
        r#"        compopt -o nospace
    fi
}
"#,
        r#"        compopt -o nospace
    fi
    local reply are_files=true current="${words[_CLAP_COMPLETE_INDEX]}"
    for reply in "${COMPREPLY[@]}"; do
        [[ -e "$reply" && ( "$reply" == */ || ! -d "$reply" ) ]] || are_files=false
    done
    if [[ $are_files == true ]]; then
        COMPREPLY=("${COMPREPLY[@]%/}")
        compopt -o filenames 2> /dev/null
    fi
    if [[ ${#COMPREPLY[@]} -gt 0 ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%"${current##*[=:]}"}"}")
    fi
}
"#,
    ),
];

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mprun completions bash > ~/.local/share/bash-completion/completions/mprun
  mprun completions zsh > ~/.zfunc/_mprun   in a folder of $fpath
  mprun completions fish > ~/.config/fish/completions/mprun.fish

The script asks mprun at each TAB, so it knows the pipelines that run, their stages and their queues.")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script that makes a shell ask.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let name = args.shell.to_string();
    let mut script: Vec<u8> = Vec::new();
    let shells = Shells::builtins();
    let shell =
        shells.completer(&name).ok_or_else(|| Failure::usage(format!("no completions for {name}")))?;
    shell
        .write_registration(VARIABLE, "mprun", "mprun", "mprun", &mut script)
        .map_err(|error| Failure::io("write completions", &error))?;
    let script = String::from_utf8_lossy(&script);
    output::print(&match args.shell {
        Shell::Bash => changed(&script, &BASH_WHOLE_WORDS),
        Shell::Zsh => changed(&(script.into_owned() + ZSH_FIRST_TAB), &ZSH_CHANGES),
        _ => script.into_owned(),
    })
}

fn changed(script: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(script.to_owned(), |script, (lines, instead)| script.replacen(lines, instead, 1))
}

/// Whether a shell asks, not a person.
pub(super) fn is_asked() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|shell| !shell.is_empty())
}

/// Answers the shell: what the last word can become, a candidate a line. The result is an exit code.
pub(super) fn answer(args: &[OsString], command: impl Fn() -> Command) -> u8 {
    let index = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok());
    let line = Line::of(args, index);
    let folder = std::env::current_dir().ok();
    let complete = CompleteEnv::with_factory(|| with_values(command(), &line)).var(VARIABLE);
    match complete.bin("mprun").completer("mprun").try_complete(args.to_vec(), folder.as_deref()) {
        Ok(_) => exit::DONE,
        // A message would stand in the middle of the line that is typed.
        Err(_) => exit::FAILED,
    }
}

/// What has been typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    /// The words before the one that is completed, without the program's.
    before: Vec<String>,
    /// The beginning of the one that is completed.
    current: String,
}

impl Line {
    /// `index`: of the word that is completed, if it is not the last.
    fn of(args: &[OsString], index: Option<usize>) -> Line {
        let words = args.iter().skip_while(|word| *word != "--").skip(1);
        let mut words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let index = index.unwrap_or(words.len().saturating_sub(1));
        let current = words.get(index).cloned().unwrap_or_default();
        words.truncate(index);
        Line { before: words.into_iter().skip(1).collect(), current }
    }
}

/// What a word of the line can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A pipeline file.
    File,
    /// The name of a pipeline that runs.
    Running,
    /// The same, or of one that was killed: its last lines are there.
    Known,
    /// A stage of the pipeline that an earlier word names, or of the only one.
    Stage,
    /// A queue of it.
    Queue,
    /// `STAGE=`
    Amount,
    /// A stage of the file that an earlier word names.
    OfFile,
}

/// What the argument `id` of a verb can be, where clap can't tell.
fn kinds(verb: &str, id: &str) -> &'static [Kind] {
    match (verb, id) {
        ("run" | "graph" | "kubernetes" | "install" | "show", "file") | ("check", "files") => &[Kind::File],
        ("status" | "top" | "audit" | "open" | "reload" | "upgrade" | "drain" | "stop" | "start", "name")
        | ("list", "name" | "place")
        | ("show" | "retry" | "drop", "words")
        | ("drop" | "forget", "pipeline")
        | ("plan" | "uninstall", "what") => &[Kind::Running, Kind::File],
        ("plan", "pipeline") => &[Kind::Running],
        ("why" | "restart" | "pause" | "resume", "words") => &[Kind::Running, Kind::Stage],
        ("logs", "words") => &[Kind::Known, Kind::Stage],
        ("tap", "words") => &[Kind::Running, Kind::Queue],
        ("scale", "words") => &[Kind::Running, Kind::Amount],
        (_, "stage") => &[Kind::Stage],
        ("run", "stages") => &[Kind::OfFile],
        _ => &[],
    }
}

/// A verb with what its arguments can be.
fn with_values(command: Command, line: &Line) -> Command {
    let verb = command.get_name().to_owned();
    // `mprun FILE` is `mprun run FILE`.
    let command = if verb == "mprun" { with_options_of_run(command) } else { command };
    // One name that fits is put in at once, unless an option fits as well: they are offered where nothing else is.
    let without_options = !line.current.starts_with('-');
    let command = match without_options {
        true => command.disable_help_flag(true).disable_version_flag(true),
        false => command,
    };
    let command = command.mut_args(|argument| {
        let is_hidden = argument.is_hide_set() || without_options && !argument.is_positional();
        let argument = argument.hide(is_hidden);
        let kinds = kinds(if verb == "mprun" { "run" } else { &verb }, argument.get_id().as_str());
        if kinds.is_empty() {
            return argument;
        }
        let line = line.clone();
        argument.add(ArgValueCompleter::new(move |current: &OsStr| candidates(kinds, &line, current)))
    });
    command.mut_subcommands(|verb| with_values(verb, line))
}

fn with_options_of_run(command: Command) -> Command {
    let run = command.find_subcommand("run");
    let options = run.into_iter().flat_map(Command::get_arguments);
    let options: Vec<Arg> = options.filter(|argument| !argument.is_positional()).cloned().collect();
    command.arg(Arg::new("file")).args(options)
}

fn candidates(kinds: &[Kind], line: &Line, current: &OsStr) -> Vec<CompletionCandidate> {
    let (mut candidates, words) = (Vec::new(), line.before.as_slice());
    for kind in kinds {
        candidates.extend(match kind {
            Kind::File => pipeline_files(current),
            Kind::Running => {
                pipelines(target::running(|_| true).into_iter().map(|(holder, _)| holder), words)
            }
            Kind::Known => pipelines(claim::known(&claim::folders_here()), words),
            Kind::Stage => names(words, |snapshot| stages(snapshot, "")),
            Kind::Queue => names(words, queues),
            Kind::Amount => names(words, |snapshot| stages(snapshot, "=")),
            Kind::OfFile => stages_of_file(line),
        });
    }
    let current = current.to_string_lossy();
    candidates.retain(|candidate| candidate.get_value().to_string_lossy().starts_with(&*current));
    candidates
}

/// TOML files, and folders on the way to some.
fn pipeline_files(current: &OsStr) -> Vec<CompletionCandidate> {
    let is_wanted = |path: &Path| path.extension().is_some_and(|extension| extension == "toml");
    PathCompleter::any().filter(is_wanted).complete(current)
}

/// None where an earlier word names one already.
fn pipelines(holders: impl IntoIterator<Item = Holder>, words: &[String]) -> Vec<CompletionCandidate> {
    let holders: Vec<Holder> = holders.into_iter().collect();
    if holders.iter().any(|holder| is_named(holder, words)) {
        return Vec::new();
    }
    let of_one = |holder: &Holder| candidate(holder.label(), holder.file.display().to_string());
    holders.iter().map(of_one).collect()
}

fn is_named(holder: &Holder, words: &[String]) -> bool {
    words.iter().any(|word| target::is_called(holder, word))
}

/// What is in the pipeline that an earlier word names, or in the only one.
fn names(words: &[String], of: impl Fn(&Snapshot) -> Vec<CompletionCandidate>) -> Vec<CompletionCandidate> {
    let mut found = target::running(|_| true);
    if found.len() > 1 {
        found.retain(|(holder, _)| is_named(holder, words));
    }
    let [(_, client)] = found.as_mut_slice() else { return Vec::new() };
    client.status_within(ANSWER_TIMEOUT).map(|snapshot| of(&snapshot)).unwrap_or_default()
}

fn stages(snapshot: &Snapshot, end: &str) -> Vec<CompletionCandidate> {
    let stages = snapshot.stages.iter();
    stages
        .map(|stage| candidate(format!("{}{end}", stage.name), counted(stage.processes.into(), "process")))
        .collect()
}

/// Those that do not stand in the list already.
fn stages_of_file(line: &Line) -> Vec<CompletionCandidate> {
    let all = line.before.iter().map(|word| config::stages_in_file(&path_of(word)));
    let stages = all.into_iter().find(|stages| !stages.is_empty()).unwrap_or_default();
    let list = line.current.rsplit('=').next().unwrap_or_default();
    let listed: Vec<&str> =
        list.rsplit_once(',').map_or(Vec::new(), |(listed, _)| listed.split(',').collect());
    let is_new = |stage: &String| !listed.contains(&stage.as_str());
    stages.into_iter().filter(is_new).map(CompletionCandidate::new).collect()
}

/// A shell hands `~/` over as it was typed.
fn path_of(word: &str) -> PathBuf {
    match (word.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(word),
    }
}

fn queues(snapshot: &Snapshot) -> Vec<CompletionCandidate> {
    let queues = snapshot.queues.iter();
    queues.map(|queue| candidate(queue.name.clone(), format!("{} waiting", queue.waiting))).collect()
}

/// With what zsh and fish show beside it.
fn candidate(name: String, help: String) -> CompletionCandidate {
    CompletionCandidate::new(name).help(Some(help.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::CommandFactory;

    #[test]
    fn a_line_is_what_stands_before_a_word_and_its_beginning() {
        let line = |text: &str, index| {
            let Line { before, current } =
                Line::of(&text.split(' ').map(OsString::from).collect::<Vec<_>>(), index);
            (before.join(" "), current)
        };
        let is = |before: &str, current: &str| (before.to_owned(), current.to_owned());
        assert_eq!(line("mprun -- mprun stop shop ", None), is("stop shop", ""));
        assert_eq!(line("mprun -- mprun stop sh parse", Some(2)), is("stop", "sh"));
        // zsh leaves an empty last word out.
        assert_eq!(line("mprun -- mprun stop", Some(2)), is("stop", ""));
        assert_eq!(line("mprun", None), is("", ""));
    }

    /// The table of [`kinds`] names verbs and arguments by hand: one with another name would be completed no more.
    #[test]
    fn each_word_for_a_pipeline_a_stage_or_a_queue_is_completed() {
        let mut left_out = Vec::new();
        look(&Cli::command(), &mut left_out);
        assert!(left_out.is_empty(), "no completion of {left_out:?}");
    }

    #[test]
    fn the_scripts_have_the_lines_that_are_changed() {
        for (shell, changes) in [("bash", &BASH_WHOLE_WORDS[..]), ("zsh", &ZSH_CHANGES[..])] {
            let mut script = Vec::new();
            let shells = Shells::builtins();
            let shell = shells.completer(shell).unwrap();
            shell.write_registration(VARIABLE, "mprun", "mprun", "mprun", &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            for (lines, _) in changes {
                assert_eq!(script.matches(lines).count(), 1, "{lines:?} in {script}");
            }
        }
    }

    fn look(command: &Command, left_out: &mut Vec<String>) {
        for argument in command.get_arguments().filter(|argument| argument.is_positional()) {
            let names: Vec<&str> =
                argument.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
            let is_meant = names.iter().any(|name| ["NAME", "STAGE", "QUEUE"].contains(name));
            let is_meant = is_meant || argument.get_id() == "stages";
            if is_meant && kinds(command.get_name(), argument.get_id().as_str()).is_empty() {
                left_out.push(format!("{} {names:?}", command.get_name()));
            }
        }
        command.get_subcommands().for_each(|verb| look(verb, left_out));
    }
}
