//! What mprun says: one line each, whole also from many processes, on standard error.
//!
//! `2026-11-24T02:29:01.123Z INFO  produce[0] text`: time, level, who speaks, what. `RUST_LOG` decides what is said,
//! else `-v` and `-q`; colour is for terminals. The systemd journal keeps time, level and speaker by itself and gets
//! them as fields ([`journal`]).
#![forbid(unsafe_code)]

mod journal;
mod record;
pub mod sink;
pub mod writer;

use crate::log_file::{Appender, LogFile};
use crate::terminal;
use env_logger::fmt::Formatter;
use env_logger::{Builder, Logger, Target, WriteStyle};
use log::{Level, Log, Metadata, Record};
use serde::{Deserialize, Serialize};
use sink::Outgoing;
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

/// A pipe keeps one write of so many bytes together (PIPE_BUF); a longer line is cut.
const LONGEST: usize = 4096;

/// What is worth keeping for `mprun logs` and `why`, however little is to be said on standard error.
const KEPT: Level = Level::Info;

/// Whose log it is, once that is known.
static PIPELINE: OnceLock<String> = OnceLock::new();

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Look {
    /// As it is.
    Plain,
    /// Standard error is a terminal that wants colour.
    Colour,
    /// Standard error is the systemd journal.
    Journal,
}

/// What is said, and how it looks: decided once, by the supervisor, for all its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// As in `RUST_LOG`.
    pub filter: String,
    /// How it looks.
    pub look: Look,
}

impl Logging {
    /// By the environment; `verbosity` counts `-v` up and `-q` down.
    pub fn from_environment(verbosity: i8) -> Logging {
        let filter = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
        let look = match terminal::stderr().colour {
            _ if journal::is_stderr() => Look::Journal,
            true => Look::Colour,
            false => Look::Plain,
        };
        Logging { filter: filter.unwrap_or_else(|| level(verbosity).to_owned()), look }
    }

    /// Starts logging for this process. `who`: stage and number of a worker. A second call does nothing.
    pub fn start(&self, who: Option<(&str, u32)>) {
        let name = who.map_or_else(|| "mprun".to_owned(), |(stage, worker)| format!("{stage}[{worker}]"));
        let copies = Copies { who: name.clone() };
        let mut builder = Builder::new();
        builder.parse_filters(&self.filter).target(Target::Pipe(Box::new(Lines)));
        let style = if self.look == Look::Colour { WriteStyle::Always } else { WriteStyle::Never };
        builder.write_style(style).format(move |out, record| write_line(out, &name, record));
        let logger = builder.build();
        log::set_max_level(logger.filter().max(KEPT.to_level_filter()));
        let voice: Box<dyn Log> = match self.look {
            Look::Journal => Box::new(journal::Journal::new(logger, who, copies)),
            Look::Colour | Look::Plain => Box::new(Voice { logger, copies }),
        };
        let _ = log::set_boxed_logger(voice);
    }
}

/// Says what its filter lets through, on standard error.
struct Voice {
    logger: Logger,
    copies: Copies,
}

impl Log for Voice {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let said = self.logger.matches(record);
        self.copies.write(record, said);
        if said {
            self.logger.log(record);
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

/// Names the pipeline that all further lines are about; once.
pub fn set_pipeline(name: &str) {
    let _ = PIPELINE.set(name.to_owned());
}

/// Says something about another process: a worker, called `stage[index]`.
pub fn say_about(level: Level, worker: &str, text: &str) {
    log::log!(target: "mprun", level, worker; "{worker} {text}");
}

/// Shows a text of several lines as it is on standard error. In the journal each line of it has a level, too.
pub fn show(level: Level, text: &str) {
    let text = match journal::is_stderr() {
        true => text.lines().map(|line| format!("<{}>{line}\n", journal::priority(level))).collect(),
        false => text.to_owned(),
    };
    sink::send(Outgoing::Text(text));
}

/// Takes lines on their way to standard error.
struct Lines;

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        sink::send(Outgoing::Text(String::from_utf8_lossy(text).into_owned()));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn level(verbosity: i8) -> &'static str {
    match verbosity {
        ..=-3 => "off",
        -2 => "error",
        -1 => "warn",
        0 => "info",
        1 => "debug",
        2.. => "trace",
    }
}

fn write_line(out: &mut Formatter, who: &str, record: &Record<'_>) -> io::Result<()> {
    let time = out.timestamp_millis();
    let level = record.level();
    let style = out.default_level_style(level);
    let dim = if level > Level::Warn { style.dimmed() } else { style };
    let text = one_line(&record.args().to_string(), LONGEST - 128 - who.len().min(1024));
    writeln!(out, "{time} {style}{level:<5}{style:#} {dim}{who}{dim:#} {text}")
}

/// A line about the log itself, without colours.
fn own_line(level: Level, text: &str) -> String {
    if journal::is_stderr() {
        return format!("<{}>{text}\n", journal::priority(level));
    }
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{time} {level:<5} mprun {text}\n")
}

/// A file that gets every line of this process as well.
enum Copy {
    /// What is on standard error goes to this one, too, by the log writer.
    LogFile(String),
    /// The stage's tail: also what `-q` keeps from standard error. Written at once, so that a worker's last words are
    /// there when it is dead.
    Tail(Appender),
    /// The supervisor's own tail, which nothing waits for: by the log writer.
    OwnTail(String),
}

static COPIES: Mutex<Vec<Copy>> = Mutex::new(Vec::new());

/// From now on this log file gets lines of this process as well.
pub fn copy_to_log_file(file: &LogFile) {
    add_copy(Copy::LogFile(record::file_name(file)));
}

/// From now on this worker's lines are kept in its stage's tail.
pub fn keep_in_tail(file: LogFile) {
    add_copy(Copy::Tail(Appender::new(file)));
}

/// From now on the supervisor's lines are kept in its tail.
pub fn keep_in_own_tail(file: &LogFile) {
    add_copy(Copy::OwnTail(record::file_name(file)));
}

fn add_copy(copy: Copy) {
    if let Ok(mut copies) = COPIES.lock() {
        copies.push(copy);
    }
}

/// Writes the same lines, without colours, to the files that want them.
struct Copies {
    who: String,
}

impl Copies {
    /// `said`: it is on standard error, too.
    fn write(&self, record: &Record<'_>, said: bool) {
        let Ok(mut copies) = COPIES.lock() else { return };
        let kept = record.level() <= KEPT;
        let wants = |copy: &Copy| said || kept && !matches!(copy, Copy::LogFile(_));
        if !copies.iter().any(wants) {
            return;
        }
        let (time, who) = (humantime::format_rfc3339_millis(SystemTime::now()), &self.who);
        let text = one_line(&record.args().to_string(), LONGEST - 128 - who.len().min(1024));
        let line = format!("{time} {:<5} {who} {text}\n", record.level());
        for copy in copies.iter_mut().filter(|copy| wants(copy)) {
            match copy {
                Copy::LogFile(file) | Copy::OwnTail(file) => {
                    sink::send(Outgoing::Line(file.clone(), line.clone()));
                }
                // Without it `mprun logs` has less to show.
                Copy::Tail(appender) => drop(appender.append(line.as_bytes())),
            }
        }
    }
}

/// The text on one line, cut if it is too long.
fn one_line(text: &str, longest: usize) -> String {
    let mut line = crate::text::one_line(text.trim_end()).into_owned();
    if line.len() > longest {
        let end = (0..=longest).rev().find(|&end| line.is_char_boundary(end));
        line.truncate(end.unwrap_or(0));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_that_a_pipe_keeps_together() {
        assert_eq!(one_line("a\nb\r\n", 100), "a\\nb");
        let long = one_line(&"ä".repeat(5000), 1001);
        assert_eq!(long.len(), 1000 + '…'.len_utf8());
    }

    #[test]
    fn quiet_and_verbose_choose_the_level() {
        let levels: Vec<_> = (-3..4).map(level).collect();
        assert_eq!(levels, ["off", "error", "warn", "info", "debug", "trace", "trace"]);
    }
}
