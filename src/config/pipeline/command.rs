//! A command stage: a program of the user's, and how items meet it.

use super::placeholder::Placeholders;
use crate::config::env_file::Variables;
use crate::exit;
use crate::framing::Framing;
use crate::model::Halt;
use crate::secret;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

/// A program of the user's, and how items meet it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// What is run.
    pub invocation: Invocation,
    /// How items meet it.
    pub mode: Mode,
    /// Which of its words stand for the item.
    #[serde(default, skip_serializing_if = "Placeholders::is_item")]
    pub placeholders: Placeholders,
    /// An item is up to this many arguments, with a zero byte between them; `None`: it is one argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_args: Option<u32>,
    /// What it wrote counts although it failed for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_failed_output: bool,
    /// Each line that it writes begins with its item.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tag: bool,
    /// A row for each item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joblog: Option<JobLog>,
    /// When the run ends although there are items left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// How items are delimited on its standard input.
    pub in_framing: Framing,
    /// The same on its standard output.
    pub out_framing: Framing,
    /// The exit codes that are a good end.
    pub success_codes: Vec<u8>,
    /// The exit codes that say that the item can never be done.
    #[serde(default)]
    pub dead_codes: Vec<u8>,
    /// The exit codes that say "not now".
    #[serde(default, skip_serializing_if = "LaterCodes::is_default")]
    pub later_codes: LaterCodes,
    /// Where its standard output goes, where no queue takes it.
    #[serde(default, skip_serializing_if = "Stdout::is_items")]
    pub stdout: Stdout,
    /// What asks it to end.
    #[serde(default, skip_serializing_if = "StopSignal::is_term")]
    pub stop_signal: StopSignal,
    /// Variables over those that mprun itself was given.
    pub env: Vec<(String, String)>,
    /// Files of further ones, beneath `env`; the later ones hold.
    #[serde(default, with = "super::one_or_more")]
    pub env_file: Vec<PathBuf>,
    /// What these files say; `None`: they were not read yet.
    #[serde(default)]
    pub file_variables: Option<Variables>,
    /// Where it runs; relative to the file's folder, which is the default.
    pub cwd: Option<PathBuf>,
    /// Whom it runs as: a name or a number.
    pub user: Option<String>,
    /// Its group, if not the user's own.
    pub group: Option<String>,
    /// The permissions that its new files don't get.
    pub umask: Option<u32>,
    /// How far it steps back for others.
    pub nice: Option<i32>,
    /// What it may use.
    pub limits: ProgramLimits,
}

/// `later_codes`: exit codes that say that an item can't be done now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaterCodes(pub Vec<u8>);

impl LaterCodes {
    fn is_default(&self) -> bool {
        *self == LaterCodes::default()
    }
}

impl Default for LaterCodes {
    fn default() -> LaterCodes {
        LaterCodes(vec![exit::NOT_NOW])
    }
}

/// `joblog`: a row for each item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLog {
    /// The file; relative to the pipeline file's folder.
    pub path: PathBuf,
    /// Which items of its rows are not run again; `None`: all are.
    pub resume: Option<Resume>,
}

/// `resume`: which items are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resume {
    /// All that have a row.
    Done,
    /// Those that have succeeded.
    Failed,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Invocation {
    /// A program and its arguments; at least one word.
    Direct(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}

impl Default for Invocation {
    fn default() -> Invocation {
        Invocation::Direct(Vec::new())
    }
}

impl Invocation {
    /// The program as it is looked for; a line for the shell names none by itself.
    pub fn program(&self) -> &str {
        match self {
            Invocation::Direct(words) => words.first().map_or("", String::as_str),
            Invocation::Shell(_) => "",
        }
    }

    /// What people read: the program's name, or the shell's line without what is secret in it.
    pub fn title(&self) -> Cow<'_, str> {
        match self {
            Invocation::Direct(words) => words.first().map_or("", String::as_str).into(),
            Invocation::Shell(line) => secret::hidden(line),
        }
    }
}

/// `mode`: how items meet the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// It runs on; what it reads and what it writes are unrelated.
    #[default]
    Stream,
    /// It runs on, and answers each item.
    Reply(Reply),
    /// It is started for each item, or for each batch.
    Each {
        /// What counts as its outputs.
        collect: Collect,
        /// The most items of a batch, each framed; `None`: one, as its argument or its whole standard input.
        batch: Option<u32>,
    },
}

/// `reply`: what an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// One item.
    One,
    /// Any number of items, and then an empty one.
    UntilEmpty,
    /// Any number of items, and then word of whether it went well (`framing = "mprun"`, docs/helper-protocol.md). The
    /// frames are those of [`Framing::U32be`], both ways.
    #[serde(rename = "LinkNews")]
    Protocol,
}

/// `stop_signal`: its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSignal(pub i32);

impl Default for StopSignal {
    fn default() -> StopSignal {
        StopSignal(libc::SIGTERM)
    }
}

impl StopSignal {
    fn is_term(&self) -> bool {
        *self == StopSignal::default()
    }
}

/// `stdout`: where the standard output of a program goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdout {
    /// Its items go to the stage's queues, or to mprun's standard output.
    #[default]
    Items,
    /// Its lines go where those of its standard error go.
    Log,
    /// Nowhere.
    Null,
}

impl Stdout {
    fn is_items(&self) -> bool {
        *self == Stdout::Items
    }
}

/// `collect`: what counts as the outputs of a program that is started for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Collect {
    /// Each framed item.
    Lines,
    /// All that it writes, as one output.
    Whole,
}

/// `limits`: what a program may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramLimits {
    /// Bytes of address space.
    pub memory: Option<u64>,
    /// Processes, with all that it has started.
    #[serde(default)]
    pub processes: Option<u64>,
    /// Descriptors.
    pub open_files: Option<u64>,
    /// Time of computing, in whole seconds.
    pub cpu_time: Option<Duration>,
}
