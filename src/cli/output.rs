//! Standard output and error: a reader that goes away is no fault, a full disk is.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use crate::config::diagnostic::reason;
use crate::sys::start_streams;
use crate::{exit, logs, secret, terminal, text};
use nix::errno::Errno;

/// Why a verb could not do its work.
#[derive(Debug)]
pub(super) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// Bad usage.
    pub(super) fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: exit::USAGE }
    }

    /// It can't be done here, or not now.
    pub(super) fn failed(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: exit::FAILED }
    }

    /// Something went wrong; `action` fits after "failed to".
    pub(super) fn io(action: &str, cause: &io::Error) -> Failure {
        Failure { message: format!("failed to {action}: {}", reason(cause)), code: exit::FAILED }
    }

    /// With an exit code of its own.
    pub(super) fn with_code(message: impl Into<String>, code: u8) -> Failure {
        Failure { message: message.into(), code }
    }

    /// The exit code for it.
    pub(super) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Writes to standard output, to the end.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    // `mprun schema | head -1` closes it early.
    print_on(text).map(drop)
}

/// The same; false: the reader has closed it.
pub(super) fn print_on(text: &str) -> Result<bool, Failure> {
    print_as_it_is(&text::lines(text))
}

/// The same for text that may do what it likes with a terminal, or doesn't go to one.
pub(super) fn print_as_it_is(text: &str) -> Result<bool, Failure> {
    match write(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::io("write to standard output", &error)),
        Ok(()) => Ok(true),
    }
}

/// To Rust's own standard output a closed one is as good as any.
fn write(text: &str) -> io::Result<()> {
    if start_streams::is_output_closed() {
        return Err(Errno::EBADF.into());
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a value to standard output: as JSON, or as the text for people.
pub(super) fn show(
    as_json: bool,
    value: &impl serde::Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    if as_json { json(value) } else { print(&text()) }
}

/// Writes a value as JSON to standard output.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Failure::io("write JSON", &error.into()))?;
    print_as_it_is(&(text::json(&text) + "\n")).map(drop)
}

/// Writes an error to standard error: with the one prefix that faults of a file and bad usage have, too.
pub(super) fn report_error(message: &str) {
    say(&error_text(message));
}

/// The faults of a file that a supervisor has found have their prefix already.
fn error_text(message: &str) -> String {
    let message = secret::hidden_in_addresses(message);
    let lines = text::lines(&message);
    let prefix = if lines.starts_with("error: ") { "" } else { "error: " };
    format!("{prefix}{lines}\n")
}

/// Writes to standard error.
pub(super) fn say(text: &str) {
    logs::show(log::Level::Error, text);
}

/// Whether messages on standard error may have colours.
pub(super) fn is_colourful() -> bool {
    terminal::stderr().colour
}

/// Shows what clap has to say: help and version on standard output, bad usage on standard error.
pub(super) fn clap(answer: &clap::Error) -> Result<u8, Failure> {
    if start_streams::is_output_closed() && !answer.use_stderr() {
        return Err(Failure::io("write to standard output", &Errno::EBADF.into()));
    }
    match answer.print() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe && !answer.use_stderr() => {
            Err(Failure::io("write to standard output", &error))
        }
        _ if answer.use_stderr() => Ok(exit::USAGE),
        _ => Ok(exit::DONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_one_prefix_wherever_it_was_found() {
        assert_eq!(error_text("no pipeline runs here"), "error: no pipeline runs here\n");
        assert_eq!(
            error_text("error: no such key\n --> p.toml:1:1"),
            "error: no such key\n --> p.toml:1:1\n"
        );
    }
}
