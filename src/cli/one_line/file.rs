//! The pipeline file of a line.

use super::shell::{self, ShellLine, is_placeholder};
use crate::cli::bash_words;
use crate::cli::toml_text::{self, list, literal, table, text};
use crate::config::pipeline::Placeholders;
use crate::config::pipeline::placeholder::{self, Braces, Meaning, Piece, braces, plain};
use crate::model::Halt;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// Of a stage that prints: where its standard output takes nothing, no command is run once more to see it.
const NO_SECOND_TRY: &str = "{ restarts = 0, within = \"1m\" }";

/// What a line says.
pub(super) struct Line {
    pub name: Option<String>,
    pub items: Items,
    /// Items end with a zero byte.
    pub null: bool,
    pub stages: Vec<LineStage>,
    pub around: Around,
}

/// What a line of another tool has before it: `mprun do` leaves that to the shell.
#[derive(Default)]
pub(in crate::cli) struct Around {
    pub cwd: Option<String>,
    pub env: Vec<(String, String)>,
    pub nice: Option<i32>,
    /// The command that prints the items, in place of standard input.
    pub source: Option<Vec<String>>,
}

impl Around {
    /// The keys for all stages.
    fn defaults(&self) -> Vec<(&str, String)> {
        let env = self.env.iter().map(|(name, value)| (name, text(&literal(value))));
        let env = (!self.env.is_empty()).then(|| ("env", table(env)));
        let cwd = self.cwd.as_ref().map(|cwd| ("cwd", text(&literal(cwd))));
        cwd.into_iter().chain(env).chain(self.nice.map(|nice| ("nice", nice.to_string()))).collect()
    }
}

/// Where the items are.
pub(super) enum Items {
    Stdin,
    File(PathBuf),
    List(Vec<Vec<u8>>),
}

/// One command with its options.
pub(super) struct LineStage {
    /// As `processes` has it.
    pub processes: String,
    /// More than one: an item is several arguments.
    pub max_args: Option<u32>,
    pub keeps_order: bool,
    pub timeout: Option<Duration>,
    pub attempts: u32,
    pub tag: bool,
    pub joblog: Option<JobLog>,
    pub halt: Option<Halt>,
    pub words: Vec<String>,
}

pub(super) struct JobLog {
    pub path: String,
    /// As `resume` has it.
    pub resume: Option<&'static str>,
}

impl Line {
    /// The file's text.
    ///
    /// # Errors
    /// What of the line can't be run, in words.
    pub(super) fn text(&self) -> Result<String, String> {
        let mut file = File::default();
        if let Some(name) = &self.name {
            let _ = writeln!(file.text, "name = {}", text(name));
        }
        // A stop ends it at once: what waits in the queues would run on for long.
        file.text.push_str("drain_timeout = \"0s\"\n\n");
        let defaults = self.around.defaults();
        if !defaults.is_empty() {
            file.text.push_str("[defaults]\n");
            defaults.iter().for_each(|(key, value)| file.set(key, value));
            file.end();
        }
        let mut queue = file.source(self)?;
        let last = self.stages.len().saturating_sub(1);
        for (n, stage) in self.stages.iter().enumerate() {
            queue = file.stage(stage, &queue, n == last)?;
        }
        if self.name.is_none() {
            file.text.push_str("[dead_letters]\nkeep = false\n");
        }
        Ok(file.text)
    }
}

#[derive(Default)]
struct File {
    text: String,
    names: Vec<String>,
}

impl File {
    /// A table for a stage, and the name that it got.
    fn begin(&mut self, wanted: &str) -> String {
        let mut numbered = (2..).map(|n: u32| format!("{wanted}_{n}"));
        let is_taken = |name: &String| self.names.contains(name);
        let name = if is_taken(&wanted.to_owned()) { numbered.find(|name| !is_taken(name)) } else { None };
        let name = name.unwrap_or_else(|| wanted.to_owned());
        self.names.push(name.clone());
        let _ = writeln!(self.text, "[stages.{name}]");
        name
    }

    fn set(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.text, "{key} = {value}");
    }

    fn end(&mut self) {
        self.text.push('\n');
    }

    /// The stage that the items come from; the queue that they go to.
    fn source(&mut self, line: &Line) -> Result<String, String> {
        let name = self.begin("items");
        let framing = line.null.then(|| ("framing", text("nul")));
        if let Some(words) = &line.around.source {
            self.command_source(words, line.null);
            self.set("output", &text(&name));
            self.end();
            return Ok(name);
        }
        let (uses, with) = match &line.items {
            Items::Stdin => ("stdin", framing.into_iter().collect()),
            Items::File(path) => {
                let path = path.to_str().ok_or("the name of the file is no text in UTF-8")?;
                let path = text(&literal(&glob::Pattern::escape(path)));
                ("lines", [("path", path)].into_iter().chain(framing).collect())
            }
            Items::List(items) => ("list", vec![("items", items_text(items))]),
        };
        self.set("use", &text(uses));
        if !with.is_empty() {
            self.set("with", &table(with));
        }
        self.set("output", &text(&name));
        self.end();
        Ok(name)
    }

    /// It is run once: another start would hand over the same items.
    fn command_source(&mut self, words: &[String], null: bool) {
        let words: Vec<String> = words.iter().map(|word| literal(word)).collect();
        self.set("command", &toml_text::command(words.iter().map(String::as_str)));
        if null {
            self.set("framing", &text("nul"));
        }
        self.set("restart", &text("never"));
        self.set("on_give_up", &text("continue"));
    }

    fn stage(&mut self, stage: &LineStage, input: &str, is_last: bool) -> Result<String, String> {
        let input = match stage.max_args {
            Some(size) => self.group(size, input),
            None => input.to_owned(),
        };
        let command = command(stage)?;
        let name = self.begin(&name_of(stage));
        self.set(
            "command",
            &list(command.iter().map(|word| literal(word)).collect::<Vec<_>>().iter().map(String::as_str)),
        );
        self.set("mode", &text("each"));
        self.set("placeholders", &text("parallel"));
        if let Some(size) = stage.max_args {
            self.set("max_args", &size.to_string());
        }
        if is_last {
            self.set("collect", &text("whole"));
        }
        self.rules(stage);
        self.set("input", &text(&input));
        let prints_itself = is_last && !stage.keeps_order;
        if stage.keeps_order {
            self.set("order", &text("input"));
        }
        if prints_itself {
            self.set("give_up", NO_SECOND_TRY);
        } else {
            self.set("output", &text(&name));
        }
        self.end();
        if is_last && stage.keeps_order {
            self.print(&name);
            let _ = writeln!(self.text, "[queues.{name}]\nmax_item = \"1GiB\"\nmax_bytes = \"1GiB\"\n");
        }
        Ok(name)
    }

    fn rules(&mut self, stage: &LineStage) {
        self.set("processes", &stage.processes);
        self.set("attempts", &stage.attempts.to_string());
        // All exit codes are like any other: a pipeline file's 75 puts an item off, without end.
        self.set("later_codes", "[]");
        self.set("keep_failed_output", "true");
        self.set("when_failing", &text("dead-letter"));
        if stage.tag {
            self.set("tag", "true");
        }
        if let Some(JobLog { path, resume }) = &stage.joblog {
            let resume = resume.map(|resume| ("resume", text(resume)));
            self.set("joblog", &table([("path", text(&literal(path)))].into_iter().chain(resume)));
        }
        if let Some(halt) = stage.halt {
            self.set("halt", &text(&halt.to_string()));
        }
        if let Some(timeout) = stage.timeout {
            self.set("item_timeout", &text(&humantime::format_duration(timeout).to_string()));
        }
    }

    fn group(&mut self, size: u32, input: &str) -> String {
        let name = self.begin("groups");
        self.set("use", &text("group"));
        self.set("with", &table([("size", size.to_string())]));
        self.set("input", &text(input));
        self.set("output", &text(&name));
        self.end();
        name
    }

    /// One process prints, so that the order stays.
    fn print(&mut self, input: &str) {
        self.begin("print");
        self.set("use", &text("format"));
        self.set("with", &table([("template", text("{item}")), ("line_end", "false".to_owned())]));
        self.set("give_up", NO_SECOND_TRY);
        self.set("input", &text(input));
        self.end();
    }
}

fn items_text(items: &[Vec<u8>]) -> String {
    let item = |item: &Vec<u8>| match str::from_utf8(item) {
        Ok(plain) => text(&literal(plain)),
        Err(_) => table([("base64", text(&data_encoding::BASE64.encode(item)))]),
    };
    format!("[{}]", items.iter().map(item).collect::<Vec<_>>().join(", "))
}

/// The words of the command, as the file has them.
fn command(stage: &LineStage) -> Result<Vec<String>, String> {
    let many = stage.max_args.is_some();
    if let [line] = &stage.words[..]
        && shell::is_line(line)
    {
        let ShellLine { script, arguments, .. } = shell::take_apart(line, many)?;
        let shell = bash_words::shell(&script).to_owned();
        let script = plain(&script, Placeholders::Parallel, |_| true);
        let fixed = [shell.clone(), "-c".to_owned(), script, shell];
        return Ok(fixed.into_iter().chain(arguments).collect());
    }
    let mut words: Vec<String> = stage.words.iter().map(|word| with_placeholders(word, many)).collect();
    if !stage.words.iter().any(|word| takes_item(word, many)) {
        words.push("{}".to_owned());
    }
    Ok(words)
}

fn takes_item(word: &str, many: bool) -> bool {
    let pieces = placeholder::pieces(word, Placeholders::Parallel);
    pieces.iter().any(|piece| !matches!(piece, Piece::Text(_)) && is_placeholder(piece, many))
}

/// A word in which those placeholders are none that have no meaning here.
fn with_placeholders(word: &str, many: bool) -> String {
    let (mut made, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('{') {
        made.push_str(&rest[..at]);
        rest = &rest[at..];
        let (written, after) = match braces(rest, Placeholders::Parallel) {
            Some(Braces { meaning: Meaning::Stands(piece), written, after })
                if !is_placeholder(&piece, many) =>
            {
                (format!("{{{written}}}"), after)
            }
            Some(Braces { written, after, .. }) => (written.to_owned(), after),
            None => ("{".to_owned(), &rest[1..]),
        };
        made.push_str(&written);
        rest = after;
    }
    made + rest
}

/// A stage goes by its program.
fn name_of(stage: &LineStage) -> String {
    let first = stage.words.first().map_or("", String::as_str);
    let program = first.split_whitespace().next().unwrap_or_default();
    let program = program.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let fits = |letter: &char| letter.is_ascii_alphanumeric() || "_-".contains(*letter);
    let name: String = program.chars().take_while(fits).take(40).collect();
    let name = name.trim_start_matches('-');
    if name.is_empty() { "command".to_owned() } else { name.to_owned() }
}
