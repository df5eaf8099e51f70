//! A line of GNU parallel.

use super::carried::{Carried, Split, input_of, jobs, marked, only_shell_knows, refused, value_of};
use super::combine::{List, combinations};
use super::of_script;
use super::options::{Grammar, options};
use super::place::{Input, Placed, joined};
use super::xargs::delimiter;
use crate::cli::bash_words::is_for_bash;
use crate::cli::one_line::{has_group_placeholder, is_line, refuse_line, without_needless_quotes};
use crate::cli::shell_tokens::Word;
use crate::config::pipeline::placeholder::{self, Braces, Meaning, Part, Piece, Placeholders, braces};

const GRAMMAR: Grammar = Grammar {
    letters_with_value: "ajPnNIdCLsESU",
    letters_with_optional_value: "",
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
        "res",
        "tagstring",
        "sshlogin",
        "sshloginfile",
        "slf",
        "nice",
        "load",
        "memfree",
        "memsuspend",
        "limit",
        "workdir",
        "wd",
        "env",
        "block",
        "tmpdir",
        "max-chars",
        "max-lines",
        "delimiter",
        "header",
        "rpl",
        "recstart",
        "recend",
        "return",
        "basefile",
        "filter",
        "profile",
        "shellquote",
        "trim",
        "tmux",
        "compress-program",
        "termseq",
        "transferfile",
        "tf",
        "trc",
        "shard",
        "bin",
        "groupby",
        "group-by",
        "template",
    ],
};

/// What only changes when a command runs, or the colours of what is printed and what of it comes first: the commands, their items and
/// the texts that they print are the same without it.
const LEFT_OUT: [&str; 32] = [
    "--delay",
    "--load",
    "--memfree",
    "--memsuspend",
    "--noswap",
    "--limit",
    "--use-cpus-instead-of-cores",
    "--use-cores-instead-of-threads",
    "--use-sockets-instead-of-threads",
    "--color",
    "--colour",
    "--color-failed",
    "--colour-failed",
    "--cf",
    "-u",
    "--ungroup",
    "--line-buffer",
    "--linebuffer",
    "--lb",
    "--latest-line",
    "--ll",
    "-t",
    "--silent",
    "--env",
    "--total-jobs",
    "--total",
    "--tmpdir",
    "--tempdir",
    "--compress",
    "--compress-program",
    "--termseq",
    "--term-seq",
];

/// What to write for an option that can't be carried over, where that is another thing than for `mprun do`.
const REFUSED: [(&[&str], &str); 9] = [
    (
        &["--pipe", "--pipepart", "--pipe-part", "--spreadstdin", "--cat", "--fifo", "--tee"],
        "the command reads items on its standard input: write a stage with `mode = \"stream\"` or \"batch\"",
    ),
    (
        &["--colsep", "-C", "--csv", "--header"],
        "a program before it makes a line of each column (`tr ',' '\\n'`), and -n N a command of N of them: {1} {2}",
    ),
    (
        &["--tagstring", "--tag-string", "--ctag", "--ctagstring"],
        "`--tag` puts the item before each line; for another text, write `| sed 's/^/TEXT\\t/'` behind the command, in one line for the \
         shell",
    ),
    (&["-v", "--verbose"], "leave it out; what prints the command is `echo` before it"),
    (&["--rpl", "--parens"], "one word for the shell has it: 'x={}; echo \"${x%.*}\"'"),
    (
        &["--filter", "--skip-first-line", "--trim", "--regexp", "--shuf"],
        "a program before it changes the items: `tail -n +2`, `grep`, `shuf`",
    ),
    (&["--semaphore", "--fg", "--bg"], "`flock` makes commands wait for each other"),
    (&["--dry-run", "--dryrun"], "`mprun do --dry-run` shows the commands; leave it out to import the line"),
    (&["--workdir", "--wd"], "write `cd DIR && parallel …`, with paths as they are seen from there"),
];

/// What of the line matters beyond its options.
#[derive(Default)]
struct Sources {
    lists: Vec<List>,
    /// The items of a file, or what a command prints.
    other: Option<Input>,
    /// Its items have a zero byte behind each, whatever the options say.
    is_expanded: bool,
    all_linked: bool,
    /// `-r`: what is empty, or only blanks, is no item.
    without_empty: bool,
}

pub(super) fn carried(placed: Placed) -> Result<Carried, String> {
    let Placed { words, input, around, tail, notes } = placed;
    let (given, mut rest) = options(words, &GRAMMAR);
    let mut carried = Carried::of(around, tail, notes);
    let (mut split, mut sources) = (Split::Line, Sources::default());
    let (mut has_jobs, mut has_size, mut is_several, mut is_quoted, mut mark, mut has_plus) =
        (false, false, false, false, None, false);
    for option in given {
        let (name, value) = (option.name.as_str(), option.value.text.as_str());
        match name {
            "-j" | "-P" | "--jobs" | "--max-procs" => match jobs(&option.value) {
                Some(jobs) => {
                    has_jobs = true;
                    carried.option("-j", Some(&jobs));
                }
                None => carried.leave_out_for(
                    &format!("{name} {value}"),
                    "here it is as many as there are CPUs: write the number into `processes`",
                ),
            },
            "-n" | "-N" | "--max-args" | "--max-replace-args" => {
                has_size = true;
                is_several = value != "1";
                carried.option("-n", Some(value_of(&option)?));
            }
            "-L" | "-l" | "--max-lines" => {
                has_size = true;
                carried.option("-n", Some(if value.is_empty() { "1" } else { value_of(&option)? }));
            }
            "-a" | "--arg-file" => sources.add(input_of(&option.value))?,
            "-0" | "--null" => split = Split::Nul,
            "-d" | "--delimiter" => split = delimiter(value_of(&option)?, false)?,
            "-I" => mark = Some(value_of(&option)?.to_owned()),
            "-q" | "--quote" => is_quoted = true,
            "--plus" => has_plus = true,
            "--link" | "--xapply" => sources.all_linked = true,
            "-k" | "--keep-order" | "--tag" | "--resume" | "--resume-failed" => carried.option(name, None),
            "--timeout" | "--retries" | "--halt" => carried.option(name, Some(value_of(&option)?)),
            "--halt-on-error" | "--haltonerror" => carried.option("--halt", Some(value_of(&option)?)),
            "--joblog" | "--jl" => {
                let path = joined(carried.around.cwd.as_deref(), value_of(&option)?);
                carried.option("--joblog", Some(&path));
            }
            "--nice" => match value.parse() {
                Ok(nice) => carried.around.nice = Some(nice),
                Err(_) => carried.leave_out(name, value),
            },
            "-r" | "--no-run-if-empty" => sources.without_empty = true,
            "--will-cite" | "--group" | "--no-keep-order" | "--gnu" | "--bar" | "--progress" | "--eta"
            | "--no-notice" => {}
            _ if LEFT_OUT.contains(&name) => carried.leave_out(name, value),
            _ => return Err(refused(name, &REFUSED)),
        }
    }
    if !has_jobs {
        carried.option("-j", Some("cpus"));
    }
    if let Some(at) = rest.iter().position(|word| word.raw.starts_with(":::")) {
        let words = rest.split_off(at);
        sources.read(&words)?;
    }
    let count = sources.count();
    if count > 1 && has_size {
        return Err("-n beside several lists of arguments can't be carried over: leave it out".to_owned());
    }
    sources.into(&mut carried, input, &split)?;
    carried.note_live(&rest)?;
    command(&mut carried, &rest, &Reading { is_quoted, mark, has_plus, is_group: is_several || count > 1 })?;
    Ok(carried)
}

impl Sources {
    fn add(&mut self, input: Input) -> Result<(), String> {
        if self.other.replace(input).is_some() {
            return Err(SEVERAL.to_owned());
        }
        Ok(())
    }

    /// From the first `:::` or `::::` on.
    fn read(&mut self, mut words: &[Word]) -> Result<(), String> {
        while let [how, rest @ ..] = words {
            let end = rest.iter().position(|word| word.raw.starts_with(":::")).unwrap_or(rest.len());
            let (list, next) = rest.split_at(end);
            words = next;
            let is_linked = how.raw.ends_with('+');
            match how.raw.trim_end_matches('+') {
                ":::" if list.iter().any(|word| word.is_live) => {
                    let raw: Vec<&str> = list.iter().map(|word| word.raw.as_str()).collect();
                    self.is_expanded = true;
                    // Where the words come to none, there is no item; and a name may have a line end in it.
                    let words = raw.join(" ");
                    of_script::refuse_in_items(&words, &format!("printf '%s\\n' {words}"))?;
                    self.add(Input::Shell(format!(
                        "for item in {words}; do printf '%s\\0' \"$item\"; done"
                    )))?;
                }
                ":::" => {
                    let items = list.iter().map(|word| word.text.clone()).collect();
                    self.lists.push(List { is_linked, items });
                }
                _ => list.iter().try_for_each(|word| self.add(input_of(word)))?,
            }
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.lists.len() + usize::from(self.other.is_some())
    }

    fn into(mut self, carried: &mut Carried, stdin: Input, split: &Split) -> Result<(), String> {
        let end = match split {
            Split::By(delimiter) => Some(char::from(delimiter.0)),
            Split::Line => Some('\n'),
            _ => None,
        };
        if let Some(end) = end {
            self.lists.iter_mut().for_each(|list| list.items = split_at(&list.items, end));
        }
        if self.without_empty {
            self.lists.iter_mut().for_each(|list| list.items.retain(|item| !item.trim().is_empty()));
        }
        match (self.other, &self.lists[..]) {
            (Some(_), [_, ..]) => return Err(SEVERAL.to_owned()),
            (Some(Input::Stdin) | None, []) => carried.items(stdin, split, self.without_empty)?,
            (Some(input), []) => {
                let is_by_byte = matches!(split, Split::By(_));
                let split = if self.is_expanded && !is_by_byte { &Split::Nul } else { split };
                carried.items(input, split, self.without_empty)?;
            }
            (None, [list]) => carried.arguments = Some(list.items.clone()),
            (None, lists) => {
                carried.option("-n", Some(&lists.len().to_string()));
                carried.arguments = Some(combinations(lists, self.all_linked));
            }
        }
        Ok(())
    }
}

/// Items of the line are split as those of a file: what ends with the byte has no empty item behind it.
fn split_at(items: &[String], byte: char) -> Vec<String> {
    let parts = |item: &'_ String| -> Vec<String> {
        item.strip_suffix(byte).unwrap_or(item).split(byte).map(str::to_owned).collect()
    };
    items.iter().flat_map(parts).collect()
}

const SEVERAL: &str = "several lists of which one is a file, or known to the shell only, can't be combined here: a loop of the shell before \
                       `parallel` can";

/// How the words of the command are read.
struct Reading {
    is_quoted: bool,
    mark: Option<String>,
    has_plus: bool,
    /// An item is several arguments.
    is_group: bool,
}

/// Placeholders of the first list, where there is one.
const OF_ONE: [&str; 5] = ["", ".", "/", "//", "/."];
/// With `--plus`, and not here.
const PLUS: [&str; 9] = ["{..}", "{...}", "{/..}", "{/...}", "{+", "{##}", "{:", "{%", "{^"];
/// Words that only a shell knows, with no program of that name on each machine.
const OF_THE_SHELL: [&str; 44] = [
    ".", ":", "!", "{", "alias", "bg", "break", "case", "cd", "command", "continue", "eval", "exec", "exit",
    "export", "fc", "fg", "for", "getopts", "hash", "if", "jobs", "local", "read", "readonly", "return",
    "set", "shift", "time", "times", "trap", "type", "ulimit", "umask", "unalias", "unset", "until", "wait",
    "while", "enable", "help", "history", "logout", "suspend",
];
/// parallel hands all words to a shell, together: where none of these letters is among them, it makes no difference.
const SHELL_LETTERS: &str = "|&;<>()$`\\\"'*?[]#~ \t\n";

fn command(carried: &mut Carried, words: &[Word], reading: &Reading) -> Result<(), String> {
    let is_live = words.iter().any(|word| word.is_live);
    let mut texts: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
    for text in &mut texts {
        let mark = reading.mark.as_deref();
        *text = match mark {
            Some(_) => marked(text, mark, beside_a_mark)?,
            None => marked(text, Some("{}"), str::to_owned)?,
        };
        // With a mark `{1}` is none: it is escaped by now.
        if !reading.is_group && mark.is_none() {
            for part in OF_ONE {
                let plain = format!("{{{part}}}");
                *text =
                    text.replace(&format!("{{1{part}}}"), &plain).replace(&format!("{{-1{part}}}"), &plain);
            }
            if let Some(column) = has_group_placeholder(text) {
                return Err(format!(
                    "{column} has no list to take an argument from: there is one list, or none"
                ));
            }
        }
        let plus = PLUS.iter().find(|plus| reading.has_plus && text.replace("{%}", "").contains(**plus));
        if let Some(plus) = plus {
            return Err(format!(
                "{plus} can't be carried over: in a line for the shell it is 'x={{}}; echo \"${{x%.*}}\"'"
            ));
        }
    }
    if texts.is_empty() {
        carried
            .notes
            .push("without a command each line is one: bash runs it as code, as parallel does".to_owned());
        carried.command = ["bash", "-c", "eval \"$1\"", "bash"].map(str::to_owned).to_vec();
        return Ok(());
    }
    if reading.is_quoted {
        // No shell reads them here.
        if let Some(word) = words.iter().find(|word| word.is_live) {
            return Err(only_shell_knows("-q", &word.raw));
        }
        carried.command = texts;
        return Ok(());
    }
    let line = texts.join(" ");
    if line.contains("$PARALLEL_") || line.contains("${PARALLEL_") {
        return Err("parallel's own variables can't be carried over: `{#}` is the number of the item, `{%}` that of the worker"
            .to_owned());
    }
    of_script::refuse_in_command(&line)?;
    let has_letters = |word: &String| word.contains(|letter| SHELL_LETTERS.contains(letter));
    let is_of_shell =
        words.first().is_some_and(|word| word.is_assignment() || OF_THE_SHELL.contains(&word.text.as_str()));
    if !is_live
        && !is_of_shell
        && !texts.iter().any(has_letters)
        && !line.contains("{=")
        && !is_for_bash(&line)
    {
        carried.command = texts;
        return Ok(());
    }
    let line = match line.contains("{=") {
        true => with_perl(&line, carried, reading.is_group)?,
        false => {
            carried.note_shell(&line);
            unquoted(carried, &line)
        }
    };
    carried.command = vec![if is_line(&line) { line } else { format!("{line} {{}}") }];
    Ok(())
}

/// Without quotes around an item, which is one word here in any case.
fn unquoted(carried: &mut Carried, line: &str) -> String {
    let plain = without_needless_quotes(line);
    if plain != line {
        carried.notes.push(QUOTED.to_owned());
    }
    plain
}

const QUOTED: &str = "quotes around an item are left out: it is one word, as it is; parallel puts quotes of its own inside of them where an item has \
                      a blank or a sign of the shell, and the command gets another text there";

/// With `-I` the words `{}` and `{1}` are what they are; `{.}` and `{#}` keep their meaning.
fn beside_a_mark(text: &str) -> String {
    let is_text = |piece: &Piece| matches!(piece, Piece::Argument(part, number) if *part == Part::Whole || number.is_some());
    placeholder::plain(text, Placeholders::Parallel, is_text)
}

/// Perl's names that only parallel knows.
const PARALLELS_OWN: [&str; 12] = [
    "seq(",
    "slot(",
    "total_jobs(",
    "$job",
    "@arg",
    "$arg",
    "uq(",
    "skip(",
    "Q(",
    "hash(",
    "$opt::",
    "$Global::",
];

/// `{= PERL =}` is put into a variable of the shell, which Perl makes of the item. It may stand where `{}` may.
fn with_perl(line: &str, carried: &mut Carried, is_group: bool) -> Result<String, String> {
    let (plain, scripts) = without_perl(line)?;
    if is_group {
        return Err(format!("{{= =}} of several arguments can't be carried over: {FOR_THE_SHELL}"));
    }
    let plain = unquoted(carried, &plain);
    refuse_line(&plain).map_err(|why| format!("{{= =}} in place of `{{}}`: {why}"))?;
    let mut name = "p".to_owned();
    while line.contains(&format!("{name}1")) {
        name.push('p');
    }
    // A value that is missing is none to run a command with.
    let set = |(number, script): (usize, &String)| {
        let script = shlex::try_quote(script).unwrap_or_default();
        format!("{name}{number}=$(p={{}} perl -e {script}) || exit; ")
    };
    let mut made: String = (1..).zip(scripts.iter().flatten()).map(set).collect();
    let (mut scripts, mut number, mut rest) = (scripts.iter(), 0, plain.as_str());
    while let Some(letter) = rest.chars().next() {
        let (written, after) = match braces(rest, Placeholders::Parallel) {
            Some(Braces { meaning: Meaning::Stands(_), written, after }) => match scripts.next() {
                Some(Some(_)) => {
                    number += 1;
                    (format!("\"${name}{number}\""), after)
                }
                _ => (written.to_owned(), after),
            },
            Some(Braces { written, after, .. }) => (written.to_owned(), after),
            None => (letter.to_string(), &rest[letter.len_utf8()..]),
        };
        made += &written;
        rest = after;
    }
    carried.notes.push("{= =} is run by perl, once for each command".to_owned());
    carried.note_shell(&plain);
    Ok(made)
}

const FOR_THE_SHELL: &str = "write it for the shell ('x={}; …')";

/// The line with `{}` in place of each `{= PERL =}`, and for each placeholder the script, if it is one.
fn without_perl(line: &str) -> Result<(String, Vec<Option<String>>), String> {
    let (mut made, mut scripts, mut rest) = (String::new(), Vec::new(), line);
    while let Some(letter) = rest.chars().next() {
        if let Some(inner) = rest.strip_prefix("{=") {
            let (inner, after) = inner.split_once("=}").ok_or("the line has a `{=` without its end")?;
            let expression = inner.trim();
            let is_numbered = expression.starts_with(|letter: char| letter.is_ascii_digit());
            if is_numbered || PARALLELS_OWN.iter().any(|own| expression.contains(own)) {
                return Err(format!("{{={inner}=}} can't be carried over: {FOR_THE_SHELL}"));
            }
            scripts.push(Some(format!("$_=$ENV{{p}}; {expression}; print")));
            made += "{}";
            rest = after;
            continue;
        }
        let written = match braces(rest, Placeholders::Parallel) {
            Some(Braces { meaning, written, .. }) => {
                scripts.extend(matches!(meaning, Meaning::Stands(_)).then_some(None));
                written
            }
            None => &rest[..letter.len_utf8()],
        };
        made += written;
        rest = &rest[written.len()..];
    }
    Ok((made, scripts))
}
