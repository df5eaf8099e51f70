//! A page of docs/ as a test: its files are written, its commands run, and what they print must be what the page shows.
//!
//! - A block whose first line is `# NAME` is the file NAME. It is written when the page comes to it.
//! - In a block `console` a line `$ COMMAND` is run by bash in the page's folder (`> ` continues it); the lines below it are
//!   what it prints. A line `…` stands for any lines, at the end of a line for any rest.
//! - A comment on the line before a block says more about it: see [`Note`].
//!
//! The page's folder is shown as `/home/ada/NAME`. Times, durations, numbers of workers and of processes may differ from those in the page; a
//! number that the page shows behind `process` stands for the real one in later commands.
//! `UPDATE_GOLDEN=1` writes what is printed into a page that shows something else, `UPDATE_GOLDEN=all` into each.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use regex::Regex;

use super::{Folder, binary, process, project, wait_until};

/// What a comment before a block says about it.
#[derive(Clone, Debug, PartialEq)]
enum Note {
    /// The last command keeps running while the page goes on.
    RunsOn,
    /// The block shows further lines of the command with these words, which keeps running. A line `^C` is typed there.
    More(String),
    /// All numbers may differ.
    AnyNumbers,
    /// The lines may come in any order.
    AnyOrder,
    /// The block is begun once this command succeeds.
    Until(String),
    /// The block is run where systemd is: see [`Page::systemd_script`].
    UnderSystemd,
    /// The block is not run, and why.
    NotRun,
}

impl Note {
    fn read(comment: &str) -> Option<Note> {
        Some(match comment.strip_prefix("<!--")?.strip_suffix("-->")?.trim() {
            "runs on" => Note::RunsOn,
            "any numbers" => Note::AnyNumbers,
            "any order" => Note::AnyOrder,
            "under systemd" => Note::UnderSystemd,
            other => match other.strip_prefix("until: ") {
                Some(condition) => Note::Until(condition.to_owned()),
                None if other.strip_prefix("not run: ").is_some_and(|why| !why.is_empty()) => Note::NotRun,
                None => Note::More(other.strip_prefix("more of: ")?.to_owned()),
            },
        })
    }
}

/// A command of a block, or with [`Note::More`] none, and the lines below it.
#[derive(Clone, Debug, Default)]
struct Shown {
    command: Vec<String>,
    output: Vec<String>,
}

impl Shown {
    fn text(&self) -> String {
        self.command.join("\n")
    }
}

enum Part {
    /// Lines that are neither a file nor commands.
    Text(Vec<String>),
    File {
        name: String,
        lines: Vec<String>,
    },
    Console {
        notes: Vec<Note>,
        shown: Vec<Shown>,
    },
}

/// A page, cut into its parts.
pub struct Page {
    path: PathBuf,
    /// The name of its folder.
    name: String,
    parts: Vec<Part>,
}

/// The files of a page, in a folder.
pub fn folder_of(page: &str) -> Folder {
    let folder = Folder::new();
    let page = Page::read(page, "");
    let files: Vec<PathBuf> = page.files().map(|(name, body)| folder.file(name, &body)).collect();
    assert!(!files.is_empty(), "{} has no file", page.path.display());
    folder
}

impl Page {
    /// `name`: of the folder that the page speaks of.
    pub fn read(page: &str, name: &str) -> Page {
        let path = project().join("docs").join(page);
        let text = fs::read_to_string(&path).unwrap();
        Page { path, name: name.to_owned(), parts: parts(&text) }
    }

    /// Each file with its last content.
    pub fn files(&self) -> impl Iterator<Item = (&str, String)> {
        self.parts.iter().filter_map(|part| match part {
            Part::File { name, lines } => Some((name.as_str(), body(lines))),
            _ => None,
        })
    }

    /// Runs the page from the top to its end, without what is run under systemd.
    pub fn run(mut self) {
        let mut session = Session::new(&self.name);
        for part in &mut self.parts {
            match part {
                Part::Text(_) => {}
                Part::File { name, lines } => drop(session.home.file(&session.at(name), &body(lines))),
                Part::Console { notes, shown } => session.block(notes, shown),
            }
        }
        if session.end() || is_update_of_all() {
            self.keep();
        }
    }

    /// A script that runs the blocks under systemd, and marks where the output of each command begins.
    pub fn systemd_script(&self) -> String {
        let mut script = String::new();
        for part in &self.parts {
            let Part::Console { notes, shown } = part else { continue };
            if !notes.contains(&Note::UnderSystemd) {
                continue;
            }
            for note in notes {
                if let Note::Until(condition) = note {
                    script += &format!("until_true bash -c {}\n", quoted(condition));
                }
            }
            for shown in shown {
                script += &format!("echo {}; bash -c {} 2>&1 || true\n", quoted(MARK), quoted(&shown.text()));
            }
        }
        script
    }

    /// Holds what that script has printed against the page.
    pub fn compare_with_systemd(mut self, printed: &str) {
        let mark = format!("{MARK}\n");
        let mut outputs = printed.split(&mark).skip(1);
        let mut same = Sameness { home: "/home/ada".into(), ..Sameness::default() };
        for part in &mut self.parts {
            let Part::Console { notes, shown } = part else { continue };
            for shown in shown.iter_mut().filter(|_| notes.contains(&Note::UnderSystemd)) {
                let lines = outputs.next().expect("an output for each command").lines().map(str::to_owned);
                same.compare(notes, shown, &lines.collect::<Vec<_>>(), true);
            }
        }
        if same.differs || is_update_of_all() {
            self.keep();
        }
    }

    /// Writes the page anew.
    fn keep(&self) {
        fs::write(&self.path, self.text()).unwrap();
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) | Part::File { lines: text, .. } => lines.extend(text.iter().cloned()),
                Part::Console { shown, .. } => shown.iter().for_each(|shown| {
                    let prompts = ["$"].into_iter().chain(std::iter::repeat(">"));
                    let typed = shown.command.iter().zip(prompts);
                    lines.extend(typed.map(|(line, prompt)| format!("{prompt} {line}")));
                    lines.extend(shown.output.iter().cloned());
                }),
            }
        }
        lines.join("\n") + "\n"
    }
}

/// The last command of each block that nothing runs, and that does not say why. `is_run`: by [`Page::run`].
pub fn commands_without_a_test(text: &str, is_run: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut before = "";
    // A block may stand inside of a list.
    let mut lines = text.lines().map(str::trim_start);
    // "machine 1 $ "
    let is_typed =
        |line: &&str| line.starts_with("$ ") || line.starts_with("machine ") && line.contains(" $ ");
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block = lines.by_ref().take_while(|line| !line.starts_with("```"));
            let last = block.filter(is_typed).last();
            let is_covered = Note::read(before) == Some(Note::NotRun) || is_run && language == "console";
            found.extend(last.filter(|_| !is_covered).map(str::to_owned));
        }
        before = line;
    }
    found
}

/// How long further lines of a running command may take.
const MORE: Duration = Duration::from_secs(20);
const MARK: &str = "==== the next command ====";

fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

fn is_update_of_all() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|which| which == "all")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A file without its first line, which names it.
fn body(lines: &[String]) -> String {
    lines[1..].iter().map(|line| format!("{line}\n")).collect()
}

fn parts(text: &str) -> Vec<Part> {
    let mut parts = vec![Part::Text(Vec::new())];
    let mut lines = text.lines().map(str::to_owned).peekable();
    let mut notes = Vec::new();
    while let Some(line) = lines.next() {
        let language = line.strip_prefix("```").map(str::to_owned);
        let note = Note::read(&line);
        push(&mut parts, line);
        let Some(language) = language else {
            match note {
                Some(note) => notes.push(note),
                None => notes.clear(),
            }
            continue;
        };
        let mut block = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("```")) {
            block.push(line);
        }
        parts.push(block_part(&language, std::mem::take(&mut notes), block));
        parts.push(Part::Text(lines.next().into_iter().collect()));
    }
    parts
}

fn push(parts: &mut [Part], line: String) {
    if let Some(Part::Text(lines)) = parts.last_mut() {
        lines.push(line);
    }
}

fn block_part(language: &str, notes: Vec<Note>, lines: Vec<String>) -> Part {
    if notes.contains(&Note::NotRun) {
        return Part::Text(lines);
    }
    if language == "console" {
        return Part::Console { notes, shown: commands(&lines) };
    }
    let name = lines.first().and_then(|line| line.strip_prefix("# ")).filter(|name| is_file_name(name));
    match name.map(str::to_owned) {
        Some(name) if !language.is_empty() => Part::File { name, lines },
        _ => Part::Text(lines),
    }
}

fn is_file_name(name: &str) -> bool {
    name.contains('.') && !name.ends_with('.') && !name.contains(' ')
}

fn commands(lines: &[String]) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            all.push(Shown { command: vec![command.to_owned()], output: Vec::new() });
            continue;
        }
        if all.is_empty() {
            all.push(Shown::default());
        }
        let last = all.last_mut().unwrap();
        match line.strip_prefix("> ").filter(|_| last.output.is_empty()) {
            Some(more) => last.command.push(more.to_owned()),
            None => last.output.push(line.clone()),
        }
    }
    all
}

/// A command that keeps running.
struct Running {
    command: String,
    child: Child,
    output: PathBuf,
    /// So many of its lines were shown.
    shown: usize,
}

impl Running {
    /// The lines that were not shown yet.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&fs::read(&self.output).unwrap()).into_owned();
        text.lines().skip(self.shown).map(str::to_owned).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            process::kill(self.child.id(), libc::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// The terminals of somebody who follows a page.
struct Session {
    running: Vec<Running>,
    same: Sameness,
    home: Folder,
    name: String,
    commands: usize,
}

impl Session {
    fn new(name: &str) -> Session {
        let home = Folder::new();
        fs::create_dir_all(home.path().join(name)).unwrap();
        fs::create_dir_all(home.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(binary(), home.path().join("bin/mprun")).unwrap();
        let same = Sameness { home: home.path().display().to_string(), ..Sameness::default() };
        Session { running: Vec::new(), same, home, name: name.to_owned(), commands: 0 }
    }

    /// A file of the page's folder.
    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    fn block(&mut self, notes: &[Note], shown: &mut [Shown]) {
        if notes.contains(&Note::UnderSystemd) {
            return;
        }
        for note in notes {
            if let Note::Until(condition) = note {
                wait_until(condition, || {
                    let mut bash = self.bash(condition);
                    bash.stdout(Stdio::null()).stderr(Stdio::null());
                    bash.status().unwrap().success().then_some(())
                });
            }
        }
        let last = shown.len() - 1;
        for (n, shown) in shown.iter_mut().enumerate() {
            let more = notes.iter().find_map(|note| match note {
                Note::More(words) => Some(words.as_str()),
                _ => None,
            });
            if let Some(words) = more {
                self.more(notes, shown, words);
            } else if n == last && notes.contains(&Note::RunsOn) {
                let started = self.start(&self.same.real_command(shown));
                self.running.push(started);
                self.more(notes, shown, "");
            } else {
                self.whole(notes, shown);
            }
            self.same.renew_command(shown);
        }
    }

    fn bash(&self, command: &str) -> Command {
        let mut bash = Command::new("bash");
        let path = std::env::var("PATH").unwrap_or_default();
        bash.args(["-c", command]).current_dir(self.home.path().join(&self.name)).env_clear();
        bash.env("PATH", format!("{}/bin:{path}", self.home.path().display())).env("LANG", "C.UTF-8");
        bash.env("HOME", self.home.path()).env("XDG_RUNTIME_DIR", self.home.path().join("run"));
        bash.env("MPRUN_TEST", self.home.path()).stdin(Stdio::null()).process_group(0);
        bash
    }

    fn start(&mut self, command: &str) -> Running {
        self.commands += 1;
        let output = self.home.path().join(format!("output-{}", self.commands));
        let file = File::options().create(true).append(true).open(&output).unwrap();
        let mut bash = self.bash(command);
        bash.stdout(file.try_clone().unwrap()).stderr(file);
        Running { command: command.to_owned(), child: bash.spawn().unwrap(), output, shown: 0 }
    }

    /// Runs a command to its end.
    fn whole(&mut self, notes: &[Note], shown: &mut Shown) {
        let command = self.same.real_command(shown);
        let mut running = self.start(&command);
        wait_until(&command, || running.child.try_wait().unwrap());
        // What another process changes comes when it comes.
        if looks_only(&command) && !self.same.is_whole(notes, shown, &running.lines()) {
            running = self.again(notes, shown, &command, running);
        }
        self.same.compare(notes, shown, &running.lines(), true);
    }

    /// Looks again, until it sees what the page shows.
    fn again(&mut self, notes: &[Note], shown: &Shown, command: &str, mut last: Running) -> Running {
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(100));
            let mut running = self.start(command);
            wait_until(command, || running.child.try_wait().unwrap());
            last = running;
            if self.same.is_whole(notes, shown, &last.lines()) {
                break;
            }
        }
        last
    }

    /// Further lines of the last command that keeps running and has these words.
    fn more(&mut self, notes: &[Note], shown: &mut Shown, words: &str) {
        let mut all = self.running.iter_mut().rev();
        let running =
            all.find(|running| running.command.contains(words)).expect("a command that keeps running");
        let key = shown.output.first().filter(|line| *line == "^C").cloned();
        if key.is_some() {
            shown.output.remove(0);
            process::kill_group(running.child.id(), libc::SIGINT);
        }
        let start = Instant::now();
        wait_until("further lines", || {
            let is_there = self.same.lines_shown(notes, &shown.output, &running.lines(), false).is_some();
            (is_there || start.elapsed() > MORE).then_some(())
        });
        let lines = running.lines();
        running.shown += self.same.compare(notes, shown, &lines, false);
        shown.output.splice(0..0, key);
    }

    /// True if something was not as the page shows it.
    fn end(self) -> bool {
        let Session { mut running, home, same, .. } = self;
        for running in &mut running {
            wait_until("the page stops what it has started", || running.child.try_wait().unwrap());
        }
        wait_until("all processes of the page to be gone", || {
            process::in_folder(home.path()).is_empty().then_some(())
        });
        same.differs
    }
}

fn looks_only(command: &str) -> bool {
    let words = ["status", "why", "audit", "ps", "logs", "dead list", "dead show", "plan"];
    let of_mprun =
        command.strip_prefix("mprun ").is_some_and(|verb| words.iter().any(|word| verb.starts_with(word)));
    of_mprun
        || ["cat ", "wc ", "ls", "tail ", "head ", "sort ", "grep ", "pgrep "]
            .iter()
            .any(|word| command.starts_with(word))
}

/// What of two outputs has to be the same.
#[derive(Default)]
struct Sameness {
    home: String,
    /// Something was not as the page shows it.
    differs: bool,
    /// A process number as the page shows it, and the real one.
    processes: BTreeMap<String, String>,
}

static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?").unwrap());
static DURATION: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b\d+(\.\d+)?(ns|us|ms|s|min|m|h)( \d+(ns|us|ms|s|min|m|h))*\b").unwrap());
static PROCESS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(process|PID:) (\d+)").unwrap());
static WORKER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b([\w-]+)\[\d+\]").unwrap());
/// Behind a point it is a part of a number.
static RUN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(^|[^.\w])[0-9a-f]{8}\b").unwrap());
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+(\.\d+)?").unwrap());
static VERSION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bmprun \d+\.\d+\.\d+").unwrap());
static BLANKS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\s+").unwrap());

impl Sameness {
    /// A line as the page may show it.
    fn shown(&self, line: &str) -> String {
        line.replace(&self.home, "/home/ada")
    }

    fn plain(&self, notes: &[Note], line: &str) -> String {
        let line = self.shown(line);
        let mut line = TIME.replace_all(&line, "TIME").into_owned();
        for (regex, with) in [
            (&DURATION, "DURATION"),
            (&PROCESS, "$1 PROCESS"),
            (&WORKER, "$1[WORKER]"),
            (&RUN, "${1}RUN"),
            (&VERSION, "mprun VERSION"),
            (&BLANKS, " "),
        ] {
            line = regex.replace_all(&line, with).into_owned();
        }
        if notes.contains(&Note::AnyNumbers) {
            line = NUMBER.replace_all(&line, "N").into_owned();
        }
        line.trim().to_owned()
    }

    fn all(&self, notes: &[Note], lines: &[String]) -> Vec<String> {
        let mut all: Vec<String> = lines.iter().map(|line| self.plain(notes, line)).collect();
        if notes.contains(&Note::AnyOrder) {
            all.sort();
        }
        all
    }

    /// The number of the real line for each shown one; none for those that stand for any.
    fn lines_shown(
        &self,
        notes: &[Note],
        shown: &[String],
        real: &[String],
        whole: bool,
    ) -> Option<Vec<Option<usize>>> {
        aligned(&self.all(notes, shown), &self.all(notes, real), 0, whole)
    }

    fn is_whole(&self, notes: &[Note], shown: &Shown, real: &[String]) -> bool {
        self.lines_shown(notes, &shown.output, real, true).is_some()
    }

    /// How many of the real lines are shown.
    fn compare(&mut self, notes: &[Note], shown: &mut Shown, real: &[String], whole: bool) -> usize {
        let lines = self.lines_shown(notes, &shown.output, real, whole);
        let real: Vec<String> = real.iter().map(|line| self.shown(line)).collect();
        let Some(lines) = lines else {
            let text = format!("$ {}\n{}", shown.text(), real.join("\n"));
            assert!(
                is_update() && !has_gap(&shown.output),
                "the page shows something else than:\n{text}\nnamely:\n{}\nUPDATE_GOLDEN=1 writes the page anew, but for lines with `…`",
                shown.output.join("\n")
            );
            self.differs = true;
            shown.output = real;
            return shown.output.len();
        };
        let fresh: Vec<String> = if notes.contains(&Note::AnyOrder) {
            real.clone()
        } else {
            let pairs = shown.output.iter().zip(&lines);
            pairs.map(|(old, n)| n.map_or(old.clone(), |n| renewed(old, &real[n]))).collect()
        };
        self.note_processes(&shown.output, &fresh);
        if is_update() {
            shown.output = fresh;
        }
        lines.iter().flatten().max().map_or(0, |last| last + 1)
    }

    fn note_processes(&mut self, shown: &[String], real: &[String]) {
        let numbers = |lines: &[String]| -> Vec<String> {
            lines
                .iter()
                .flat_map(|line| PROCESS.captures_iter(line).map(|found| found[2].to_owned()))
                .collect()
        };
        self.processes.extend(numbers(shown).into_iter().zip(numbers(real)));
    }

    /// The command with the numbers of the real processes.
    fn real_command(&self, shown: &Shown) -> String {
        let text = shown.text().replace("/home/ada", &self.home);
        let real = |found: &regex::Captures<'_>| {
            self.processes.get(&found[0]).cloned().unwrap_or(found[0].to_owned())
        };
        NUMBER.replace_all(&text, real).into_owned()
    }

    /// The command as the page shows it from now on.
    fn renew_command(&self, shown: &mut Shown) {
        if is_update() {
            shown.command = self.shown(&self.real_command(shown)).lines().map(str::to_owned).collect();
        }
    }
}

fn has_gap(lines: &[String]) -> bool {
    lines.iter().any(|line| line.ends_with('…'))
}

/// A shown line with what the real one has; it ends where the shown one does.
fn renewed(shown: &str, real: &str) -> String {
    let Some(begin) = shown.strip_suffix('…') else { return real.to_owned() };
    let words = begin.split_whitespace().count();
    let end = real
        .split_whitespace()
        .nth(words)
        .map_or(real.len(), |next| next.as_ptr() as usize - real.as_ptr() as usize);
    format!("{}…", &real[..end])
}

/// The number of the real line for each shown one; with `whole` no real line is left.
fn aligned(shown: &[String], real: &[String], from: usize, whole: bool) -> Option<Vec<Option<usize>>> {
    let Some((line, rest)) = shown.split_first() else {
        return (!whole || from == real.len()).then(Vec::new);
    };
    let with = |n, next| Some([vec![n], aligned(rest, real, next, whole)?].concat());
    if line == "…" {
        return (from..=real.len()).find_map(|next| with(None, next));
    }
    let first = real.get(from)?;
    let is_same = line.strip_suffix('…').map_or(first == line, |begin| first.starts_with(begin.trim_end()));
    is_same.then(|| with(Some(from), from + 1))?
}
