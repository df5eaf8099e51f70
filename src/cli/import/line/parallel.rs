//! A line of GNU parallel.

use super::carried::{Carried, Split, input_of, jobs, marked, only_shell_knows, refused, value_of};
use super::combine::{List, combinations};
use super::of_script;
use super::options::{Grammar, options};
use super::place::{Input, Placed, joined};
use super::xargs::delimiter;
use crate::cli::one_line::{has_group_placeholder, without_needless_quotes};
use crate::cli::shell_tokens::Word;
use crate::config::pipeline::placeholder::{self, Part, Piece, Placeholders};

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

/// What only changes when a command runs, or what a run looks like: the commands and their items are the same without it.
const LEFT_OUT: [&str; 38] = [
    "--delay",
    "--load",
    "--memfree",
    "--memsuspend",
    "--noswap",
    "--limit",
    "--use-cpus-instead-of-cores",
    "--use-cores-instead-of-threads",
    "--use-sockets-instead-of-threads",
    "--tagstring",
    "--tag-string",
    "--color",
    "--colour",
    "--color-failed",
    "--colour-failed",
    "--cf",
    "--ctag",
    "--ctagstring",
    "-u",
    "--ungroup",
    "--line-buffer",
    "--linebuffer",
    "--lb",
    "--latest-line",
    "--ll",
    "-t",
    "-v",
    "--verbose",
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
const REFUSED: [(&[&str], &str); 7] = [
    (
        &["--pipe", "--pipepart", "--pipe-part", "--spreadstdin", "--cat", "--fifo", "--tee"],
        "the command reads items on its standard input: write a stage with `mode = \"stream\"` or \"batch\"",
    ),
    (
        &["--colsep", "-C", "--csv", "--header"],
        "a program before it makes a line of each column (`tr ',' '\\n'`), and -n N a command of N of them: {1} {2}",
    ),
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
            "-d" | "--delimiter" => split = delimiter(value_of(&option)?)?,
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
        if self.without_empty {
            self.lists.iter_mut().for_each(|list| list.items.retain(|item| !item.trim().is_empty()));
        }
        match (self.other, &self.lists[..]) {
            (Some(_), [_, ..]) => return Err(SEVERAL.to_owned()),
            (Some(Input::Stdin) | None, []) => carried.items(stdin, split, self.without_empty)?,
            (Some(input), []) => {
                let split = if self.is_expanded { &Split::Nul } else { split };
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
/// parallel hands all words to a shell, together, where one of these letters is among them.
const SHELL_LETTERS: &str = "|&;<>()$`\\\"'*?[]#~ \t\n";

fn command(carried: &mut Carried, words: &[Word], reading: &Reading) -> Result<(), String> {
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
            .push("without a command each line is one: it is run as code, as parallel does".to_owned());
        carried.command = ["sh", "-c", "eval \"$1\"", "sh"].map(str::to_owned).to_vec();
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
    let line = if line.contains("{=") { with_perl(&line, carried)? } else { line };
    carried.note_bash(&line);
    let needs_shell = line.split(' ').count() != texts.len()
        || texts.iter().any(|word| word.contains(|letter| SHELL_LETTERS.contains(letter)));
    carried.command = if needs_shell { vec![without_needless_quotes(&line)] } else { texts };
    Ok(())
}

/// With `-I` the words `{}` and `{1}` are what they are; `{.}` and `{#}` keep their meaning.
fn beside_a_mark(text: &str) -> String {
    let is_text = |piece: &Piece| matches!(piece, Piece::Argument(part, number) if *part == Part::Whole || number.is_some());
    placeholder::plain(text, Placeholders::Parallel, is_text)
}

/// Perl's names that only parallel knows.
const PARALLELS_OWN: [&str; 7] = ["seq(", "slot(", "total_jobs(", "$job", "@arg", "uq(", "skip("];

/// `{= PERL =}` is put into a variable of the shell, which Perl makes of the item.
fn with_perl(line: &str, carried: &mut Carried) -> Result<String, String> {
    let (mut made, mut before, mut rest) = (String::new(), String::new(), line);
    let mut number = 0;
    while let Some(at) = rest.find("{=") {
        let inner = &rest[at + 2..];
        let end = inner.find("=}").ok_or("the line has a `{=` without its end")?;
        let expression = inner[..end].trim();
        let is_numbered = expression.starts_with(|letter: char| letter.is_ascii_digit());
        if is_numbered || PARALLELS_OWN.iter().any(|own| expression.contains(own)) {
            return Err(format!(
                "{{={}=}} can't be carried over: write it for the shell ('x={{}}; …')",
                &inner[..end]
            ));
        }
        number += 1;
        let script = format!("$_=$ENV{{p}}; {expression}; print");
        let script = shlex::try_quote(&script).unwrap_or_default().into_owned();
        before += &format!("p{number}=$(p={{}} perl -e {script}); ");
        made += &format!("{}\"$p{number}\"", &rest[..at]);
        rest = &inner[end + 2..];
    }
    carried.notes.push("{= =} is run by perl, once for each command".to_owned());
    Ok(before + &made + rest)
}
