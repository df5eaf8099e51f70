//! What mprun says: one line each, whole also from many processes, on standard error, in log files, and in the recent
//! logs of each stage for `mprun logs`.
//!
//! `2026-11-24T02:29:01.123Z INFO  produce[0] text`: time, level, who speaks, what. `RUST_LOG` decides what is said,
//! else `-v` and `-q`; colour is for terminals. The systemd journal keeps time, level and speaker by itself and gets
//! them as fields.
//!
//! | part | what it does |
//! |---|---|
//! | [`logger`] | makes a line of what is said, for each place that wants it |
//! | [`sink`] | brings lines of this process to the log pipe or to standard error |
//! | [`voice`] | a program without a worker, whose lines the supervisor says |
//! | [`record`] | what travels through the log pipe |
//! | [`writer`] | the process that reads the log pipe and writes |
//! | [`journal`] | the native protocol of the systemd journal |
//! | [`mod@file`] | log files that many processes append to, and their rotation |
//! | [`recent`], [`follow`] | the last lines of each stage, and following them |
#![forbid(unsafe_code)]

mod file;
mod follow;
mod journal;
mod logger;
mod recent;
mod record;
pub(crate) mod sink;
mod voice;
pub(crate) mod writer;

pub(crate) use file::LogFile;
pub(crate) use follow::Follower;
#[cfg(test)]
pub(crate) use logger::LogStyle;
pub(crate) use logger::{
    Logging, copy_to_log_file, keep_recent, keep_recent_of_supervisor, say_about, set_pipeline, show,
};
pub(crate) use recent::RecentLogs;
pub(crate) use voice::Voice;
