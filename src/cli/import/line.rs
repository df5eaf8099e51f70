//! A line of xargs or GNU parallel: its options become those of `mprun do`, whose file is printed.

use crate::cli::one_line;
use crate::cli::output::Failure;
use std::ffi::OsString;

/// Items for a command of xargs that is given no number: as many as fit, there.
const MANY: &str = "1000";

/// The line as `mprun do` has it, and what of it is not carried over.
#[derive(Debug, Default, PartialEq)]
struct Carried {
    options: Vec<String>,
    notes: Vec<String>,
    command: Vec<String>,
    arguments: Option<Vec<String>>,
}

/// The options of a tool: which letters and words take a value.
struct Grammar {
    letters_with_value: &'static str,
    words_with_value: &'static [&'static str],
}

const XARGS: Grammar = Grammar {
    letters_with_value: "anPIdLsE",
    words_with_value: &["arg-file", "max-args", "max-procs", "delimiter", "max-lines", "max-chars"],
};

const PARALLEL: Grammar = Grammar {
    letters_with_value: "ajPnNIdCLsES",
    words_with_value: &[
        "arg-file",
        "jobs",
        "max-procs",
        "max-args",
        "max-replace-args",
        "timeout",
        "retries",
        "joblog",
        "jl",
        "halt",
        "halt-on-error",
        "haltonerror",
        "delay",
        "colsep",
        "results",
        "tagstring",
        "sshlogin",
        "nice",
        "load",
        "memfree",
        "workdir",
        "wd",
        "env",
        "block",
        "tmpdir",
        "max-chars",
        "delimiter",
        "header",
    ],
};

/// The pipeline file of a line of xargs.
pub(super) fn xargs(line: &str) -> Result<String, Failure> {
    carried_xargs(words(line, "xargs")?).file()
}

/// The pipeline file of a line of GNU parallel.
pub(super) fn parallel(line: &str) -> Result<String, Failure> {
    carried_parallel(words(line, "parallel")?).file()
}

fn words(line: &str, tool: &str) -> Result<Vec<String>, Failure> {
    let words = shlex::split(line).ok_or_else(|| Failure::usage("the line has a quote without its end"))?;
    let is_tool = words.first().is_some_and(|word| word.rsplit('/').next() == Some(tool));
    Ok(words.into_iter().skip(usize::from(is_tool)).collect())
}

type Given = Vec<(String, Option<String>)>;

/// The options before the command, each with its value, and the rest.
fn options(words: Vec<String>, grammar: &Grammar) -> (Given, Vec<String>) {
    let (mut given, mut words) = (Vec::new(), words.into_iter().peekable());
    while let Some(word) = words.next_if(|word| word.len() > 1 && word.starts_with('-')) {
        if word == "--" {
            break;
        }
        if let Some(name) = word.strip_prefix("--") {
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None if grammar.words_with_value.contains(&name) => (name, words.next()),
                None => (name, None),
            };
            given.push((format!("--{name}"), value));
            continue;
        }
        let mut letters = word[1..].chars();
        while let Some(letter) = letters.next() {
            let takes = grammar.letters_with_value.contains(letter);
            let attached = Some(letters.as_str().to_owned()).filter(|rest| takes && !rest.is_empty());
            let value = if takes { attached.clone().or_else(|| words.next()) } else { None };
            given.push((format!("-{letter}"), value));
            if attached.is_some() {
                break;
            }
        }
    }
    (given, words.collect())
}

fn carried_xargs(words: Vec<String>) -> Carried {
    let (given, command) = options(words, &XARGS);
    let mut carried = Carried::default();
    let (mut is_counted, mut is_split, mut replaced) = (false, true, None);
    for (name, value) in given {
        let value = value.unwrap_or_default();
        match name.as_str() {
            "-0" | "--null" => {
                is_split = false;
                carried.option("-0", None);
            }
            "-d" | "--delimiter" if value == "\\n" => is_split = false,
            "-d" | "--delimiter" if value == "\\0" => {
                is_split = false;
                carried.option("-0", None);
            }
            "-a" | "--arg-file" => carried.option("-a", Some(&value)),
            "-P" | "--max-procs" => carried.option("-j", Some(if value == "0" { "cpus" } else { &value })),
            "-n" | "--max-args" | "-L" | "--max-lines" => {
                is_counted = true;
                carried.option("-n", Some(&value));
            }
            "-I" | "-i" | "--replace" => {
                is_split = false;
                replaced = Some(if value.is_empty() { "{}".to_owned() } else { value });
            }
            "-r" | "--no-run-if-empty" => {}
            _ => carried.leave_out(&name, &value),
        }
    }
    if is_split {
        carried.notes.push(
            "an item is a line here; xargs also splits lines at blanks, and reads quotes in them".into(),
        );
    }
    match replaced {
        Some(mark) => carried.command = command.iter().map(|word| word.replace(&mark, "{}")).collect(),
        None => carried.command = command,
    }
    if replaced_none(&carried.command) && !is_counted {
        carried
            .notes
            .push(format!("xargs hands over as many items as fit into a command; here it is up to {MANY}"));
        carried.option("-n", Some(MANY));
    }
    if carried.command.is_empty() {
        carried.command.push("echo".to_owned());
    }
    carried
}

fn replaced_none(command: &[String]) -> bool {
    !command.iter().any(|word| word.contains("{}"))
}

fn carried_parallel(words: Vec<String>) -> Carried {
    let (given, mut rest) = options(words, &PARALLEL);
    let mut carried = Carried::default();
    let mut has_jobs = false;
    for (name, value) in given {
        let value = value.as_deref();
        match name.as_str() {
            "-j" | "-P" | "--jobs" | "--max-procs" => {
                has_jobs = true;
                carried.option("-j", value.map(|jobs| if jobs == "0" { "cpus" } else { jobs }));
            }
            "-n" | "-N" | "--max-args" | "--max-replace-args" => carried.option("-n", value),
            "-a" | "--arg-file" => carried.option("-a", value),
            "-0" | "-k" | "--null" | "--keep-order" | "--tag" | "--resume" | "--resume-failed" => {
                carried.option(&name, None);
            }
            "--timeout" | "--retries" | "--joblog" | "--halt" => carried.option(&name, value),
            "--halt-on-error" | "--haltonerror" => carried.option("--halt", value),
            "--jl" => carried.option("--joblog", value),
            "--will-cite" | "--group" | "-r" | "--no-run-if-empty" | "--gnu" | "--bar" | "--progress"
            | "--eta" => {}
            _ => carried.leave_out(&name, value.unwrap_or_default()),
        }
    }
    if !has_jobs {
        carried.option("-j", Some("cpus"));
    }
    if let Some(at) = rest.iter().position(|word| word.starts_with(":::")) {
        let sources = rest.split_off(at);
        carried.sources(&sources);
    }
    // parallel hands all words to a shell, together.
    let needs_shell =
        rest.iter().any(|word| word.contains(|letter| "|&;<>()$`\\\"'*?[]#~ \t\n".contains(letter)));
    carried.command = if needs_shell { vec![rest.join(" ")] } else { rest };
    carried
}

impl Carried {
    fn option(&mut self, name: &str, value: Option<&str>) {
        self.options.push(name.to_owned());
        self.options.extend(value.map(str::to_owned));
    }

    fn leave_out(&mut self, name: &str, value: &str) {
        let value = if value.is_empty() { String::new() } else { format!(" {value}") };
        let instead =
            one_line::instead_of(name).map_or_else(String::new, |use_this| format!(" (use {use_this})"));
        self.notes.push(format!("not carried over: {name}{value}{instead}"));
    }

    fn sources(&mut self, sources: &[String]) {
        let end = sources
            .iter()
            .skip(1)
            .position(|word| word.starts_with(":::"))
            .map_or(sources.len(), |at| at + 1);
        match sources[0].as_str() {
            ":::" => self.arguments = Some(sources[1..end].to_vec()),
            "::::" if end == 2 => self.option("-a", Some(&sources[1])),
            other => self.leave_out(other, &sources[1..end].join(" ")),
        }
        if end < sources.len() {
            self.leave_out(&sources[end], &sources[end + 1..].join(" "));
        }
    }

    fn file(self) -> Result<String, Failure> {
        let mut line = self.options;
        line.push("--".to_owned());
        line.extend(self.command);
        line.extend(self.arguments.into_iter().flat_map(|words| [":::".to_owned()].into_iter().chain(words)));
        let shown = shlex::try_join(line.iter().map(String::as_str)).unwrap_or_default();
        let text = one_line::file_of(line.into_iter().map(OsString::from).collect())?;
        let mut notes: Vec<String> = vec![format!("mprun do {shown}")];
        notes.extend(self.notes);
        let comments = notes.iter().flat_map(|note| note.lines()).map(|line| format!("# {line}\n"));
        Ok(comments.chain(["\n".to_owned(), text]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(carried: &Carried) -> String {
        let arguments = carried.arguments.iter().map(|words| format!(" ::: {}", words.join(" ")));
        format!(
            "{} -- {}{}",
            carried.options.join(" "),
            carried.command.join(" "),
            arguments.collect::<String>()
        )
    }

    #[test]
    fn a_line_of_xargs_has_its_options_here() {
        for (line, ours, notes) in [
            ("xargs -0 -P4 -n1 gzip -9", "-0 -j 4 -n 1 -- gzip -9", 0),
            ("/usr/bin/xargs -0n2 -P 8 mv", "-0 -n 2 -j 8 -- mv", 0),
            ("xargs -d '\\n' -I% cp % %.bak", "-- cp {} {}.bak", 0),
            ("xargs --null --max-procs=0 --max-args 3 x", "-0 -j cpus -n 3 -- x", 0),
            ("xargs -r rm -f", "-n 1000 -- rm -f", 2),
            ("xargs -n1", "-n 1 -- echo", 1),
            ("xargs -0 -n1 -t -p x", "-0 -n 1 -- x", 2),
        ] {
            let carried = carried_xargs(words(line, "xargs").unwrap());
            assert_eq!(
                (shown(&carried).trim().to_owned(), carried.notes.len()),
                (ours.to_owned(), notes),
                "{line}"
            );
        }
    }

    #[test]
    fn a_line_of_parallel_has_its_options_here() {
        for (line, ours, notes) in [
            ("parallel -j4 -k gzip {} ::: a b", "-j 4 -k -- gzip {} ::: a b", 0),
            ("parallel gzip", "-j cpus -- gzip", 0),
            ("parallel --bar --jobs 50% 'echo {} > {.}.x' :::: list", "-j 50% -a list -- echo {} > {.}.x", 0),
            ("parallel echo {} '|' wc", "-j cpus -- echo {} | wc", 0),
            (
                "parallel --tag --jl x --halt now,fail=1 -j2 f",
                "--tag --joblog x --halt now,fail=1 -j 2 -- f",
                0,
            ),
            ("parallel echo ::: a b ::: c d", "-j cpus -- echo ::: a b", 1),
        ] {
            let carried = carried_parallel(words(line, "parallel").unwrap());
            assert_eq!((shown(&carried), carried.notes.len()), (ours.to_owned(), notes), "{line}");
        }
    }
}
