//! The loggers of this process: a line of what is said, for each place that wants it.

use super::file::{LogFile, RotatingFile};
use super::journal::{self, Worker};
use super::record::{self, PIPE_BUF, one_line};
use super::sink::{self, Outgoing};
use super::voice::{self, Spoken};
use crate::terminal;
use env_logger::fmt::Formatter;
use env_logger::{Builder, Logger, Target, WriteStyle};
use log::{Level, Log, Metadata, Record};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

/// What log files and the recent logs keep, however little is to be said on standard error.
const KEPT_LEVEL: Level = Level::Info;

/// The pipeline whose log it is, once that is known.
static PIPELINE: OnceLock<String> = OnceLock::new();

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LogStyle {
    /// As it is.
    Plain,
    /// Standard error is a terminal that wants colour.
    Colour,
    /// Standard error is the systemd journal.
    Journal,
}

/// What is said, and how it looks: decided once, by the supervisor, for all its workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Logging {
    /// As in `RUST_LOG`.
    pub filter: String,
    /// How it looks.
    #[serde(rename = "look")]
    pub style: LogStyle,
}

impl Logging {
    /// By the environment; `verbosity` counts `-v` up and `-q` down.
    pub(crate) fn from_environment(verbosity: i8) -> Logging {
        let filter = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
        let style = match terminal::stderr().colour {
            _ if journal::is_stderr() => LogStyle::Journal,
            true => LogStyle::Colour,
            false => LogStyle::Plain,
        };
        Logging { filter: filter.unwrap_or_else(|| level(verbosity).to_owned()), style }
    }

    /// For a run of a command line: warnings, and what its commands say on standard error.
    pub(crate) fn of_a_line(verbosity: i8, shows_progress: bool) -> Logging {
        let mut logging = Logging::from_environment(verbosity);
        if verbosity == 0 && logging.filter == level(0) && std::env::var_os("RUST_LOG").is_none() {
            logging.filter = format!("{},mprun::worker::program::io::stderr=info", level(-1));
            if shows_progress {
                logging.filter += ",mprun::progress=info";
            }
        }
        logging
    }

    /// Starts logging for this process. `worker`: its stage and number. A second call does nothing.
    pub(crate) fn start(&self, worker: Option<(&str, u32)>) {
        let name = worker.map_or_else(|| "mprun".to_owned(), |(stage, index)| format!("{stage}[{index}]"));
        let copies = Copies { speaker: name.clone() };
        let mut builder = Builder::new();
        builder.parse_filters(&self.filter).target(Target::Pipe(Box::new(ToSink)));
        let colours = if self.style == LogStyle::Colour { WriteStyle::Always } else { WriteStyle::Never };
        builder.write_style(colours).format(move |out, record| write_line(out, &name, record));
        let filter = builder.build();
        log::set_max_level(filter.filter().max(KEPT_LEVEL.to_level_filter()));
        let logger: Box<dyn Log> = match self.style {
            LogStyle::Journal => {
                let worker = worker.map(|(stage, index)| (stage.to_owned(), index));
                Box::new(JournalLogger { filter, copies, worker })
            }
            LogStyle::Colour | LogStyle::Plain => Box::new(StderrLogger { filter, copies }),
        };
        let _ = log::set_boxed_logger(logger);
    }
}

/// Says what its filter lets through, on standard error.
struct StderrLogger {
    filter: Logger,
    copies: Copies,
}

impl Log for StderrLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.copies.write(record, &self.filter) {
            self.filter.log(record);
        }
    }

    fn flush(&self) {}
}

/// The same for the journal.
struct JournalLogger {
    filter: Logger,
    copies: Copies,
    worker: Option<Worker>,
}

impl Log for JournalLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.copies.write(record, &self.filter) {
            let text = one_line(&record.args().to_string(), PIPE_BUF - journal::FIELD_BYTES);
            let pipeline = PIPELINE.get().map(String::as_str);
            let about = journal::worker_of(record);
            let spoken = voice::of(record).and_then(|spoken| journal::worker(&spoken.speaker));
            let worker = about.as_ref().or(spoken.as_ref()).or(self.worker.as_ref());
            let message = journal::message(&text, spoken.as_ref().or(self.worker.as_ref()));
            sink::send(Outgoing::Entry(journal::entry(record.level(), &message, pipeline, worker)));
        }
    }

    fn flush(&self) {}
}

/// Names the pipeline that all further lines are about; once.
pub(crate) fn set_pipeline(name: &str) {
    let _ = PIPELINE.set(name.to_owned());
}

/// Says something about another process: a worker, called `stage[index]`.
pub(crate) fn say_about(level: Level, worker: &str, text: &str) {
    log::log!(target: "mprun", level, worker; "{worker} {text}");
}

/// Shows a text of several lines as it is on standard error. In the journal each line of it has a level, too.
pub(crate) fn show(level: Level, text: &str) {
    let text = match journal::is_stderr() {
        true => text.lines().map(|line| format!("<{}>{line}\n", journal::priority(level))).collect(),
        false => text.to_owned(),
    };
    sink::send(Outgoing::Text(text));
}

/// Takes lines on their way to standard error.
struct ToSink;

impl Write for ToSink {
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

fn write_line(out: &mut Formatter, speaker: &str, record: &Record<'_>) -> io::Result<()> {
    let time = out.timestamp_millis();
    let level = record.level();
    let style = out.default_level_style(level);
    let dim = if level > Level::Warn { style.dimmed() } else { style };
    let spoken = voice::of(record);
    let speaker = spoken.as_ref().map_or(speaker, |spoken| spoken.speaker.as_str());
    writeln!(out, "{time} {style}{level:<5}{style:#} {dim}{speaker}{dim:#} {}", text_of(record, speaker))
}

/// With what stands before it, it is as long as a pipe keeps together at most.
fn text_of(record: &Record<'_>, speaker: &str) -> String {
    one_line(&record.args().to_string(), PIPE_BUF - 128 - speaker.len().min(1024))
}

/// A file that gets lines of this process, too.
enum Copy {
    /// What is on standard error, by the log writer.
    LogFile(String),
    /// The recent logs of a worker's stage, written at once: a worker's last lines are there when it is dead.
    Recent(RotatingFile),
    /// The supervisor's own recent logs, which nothing waits for: by the log writer.
    RecentOfSupervisor(String),
}

static COPIES: Mutex<Vec<Copy>> = Mutex::new(Vec::new());

/// From now on this log file gets lines of this process as well.
pub(crate) fn copy_to_log_file(file: &LogFile) {
    add_copy(Copy::LogFile(record::file_name(file)));
}

/// From now on this worker's lines are in its stage's recent logs, those that `-q` keeps from standard error included.
pub(crate) fn keep_recent(file: LogFile) {
    add_copy(Copy::Recent(RotatingFile::new(file)));
}

/// From now on the supervisor's lines are in its recent logs.
pub(crate) fn keep_recent_of_supervisor(file: &LogFile) {
    add_copy(Copy::RecentOfSupervisor(record::file_name(file)));
}

fn add_copy(copy: Copy) {
    if let Ok(mut copies) = COPIES.lock() {
        copies.push(copy);
    }
}

/// Writes the same lines, without colours, to the files that want them.
struct Copies {
    speaker: String,
}

impl Copies {
    /// Whether the line is to be said, too.
    fn write(&self, record: &Record<'_>, filter: &Logger) -> bool {
        let is_said = filter.matches(record);
        let is_kept = is_said || record.level() <= KEPT_LEVEL;
        if let Some(spoken) = voice::of(record) {
            if is_kept {
                copy_spoken(&spoken, record);
            }
            return is_said;
        }
        let Ok(mut copies) = COPIES.lock() else { return is_said };
        if !is_kept || copies.is_empty() {
            return is_said;
        }
        let line = plain_line(record, &self.speaker);
        for copy in copies.iter_mut() {
            match copy {
                Copy::LogFile(file) | Copy::RecentOfSupervisor(file) => {
                    sink::send(Outgoing::Line(file.clone(), line.clone()));
                }
                // Without it `mprun logs` has less to show.
                Copy::Recent(file) => drop(file.append(line.as_bytes())),
            }
        }
        is_said
    }
}

/// Nothing waits for these files either.
fn copy_spoken(spoken: &Spoken, record: &Record<'_>) {
    let files = spoken.log_file.iter().chain(&spoken.recent);
    let line = plain_line(record, &spoken.speaker);
    files.for_each(|file| sink::send(Outgoing::Line(file.clone(), line.clone())));
}

fn plain_line(record: &Record<'_>, speaker: &str) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    format!("{time} {:<5} {speaker} {}\n", record.level(), text_of(record, speaker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_and_verbose_choose_the_level() {
        let levels: Vec<_> = (-3..4).map(level).collect();
        assert_eq!(levels, ["off", "error", "warn", "info", "debug", "trace", "trace"]);
    }
}
