//! Why a program could not do what it should: in words, and as the cause in a dead letter.

use crate::dead_letter::Cause;
use crate::framing::{BadFrame, NotEncodable};
use crate::item::Shown;
use crate::model::ItemFailure;
use crate::sys::wait::Exit;
use crate::text::last_words;
use crate::worker::dead_letters::Reason;
use std::fmt;
use std::time::Duration;

/// What went wrong with a program over an item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ProgramError {
    /// It exit_text badly.
    Ended(Exit),
    /// It exit_text before it had answered.
    LeftUnanswered(Exit),
    /// It took too long.
    TimedOut(Duration),
    /// What it wrote makes no sense.
    BadFrame(BadFrame),
    /// It wrote more than its output queues hold.
    TooMuchOutput(u64),
    /// It answered more than it was asked.
    AnsweredTwice,
    /// It went on after the end of its answer.
    OutputAfterEnd,
    /// It said itself that it failed, and why.
    Reported(String),
    /// It said itself that it can't do the item now, and why.
    Later(String),
    /// It said itself that the item can never be done, and why.
    Rejected(String),
    /// What it wrote, which begins like this, is no word of framing "mprun".
    Malformed(Vec<u8>),
    /// What it wrote is about another item than the one whose answer is due.
    OutOfTurn { about: u32, due: u32 },
    /// It asked for this version of the protocol.
    Version { asked: u8, newest: u8 },
    /// It closed its output.
    ClosedOutput,
    /// The item can't be handed over.
    NotEncodable(NotEncodable),
    /// The item can't be an argument.
    NotAnArgument(&'static str),
}

/// A failed attempt, with the last stderr lines of the program.
#[derive(Clone, Debug)]
pub(crate) struct FailedAttempt {
    pub error: ProgramError,
    /// What that means for the item.
    pub failure: ItemFailure,
    pub stderr: Vec<String>,
}

impl FailedAttempt {
    /// One that says nothing of its item: an attempt that counts.
    pub(super) fn charged(error: ProgramError, stderr: Vec<String>) -> FailedAttempt {
        FailedAttempt { error, failure: ItemFailure::Charged, stderr }
    }

    pub(super) fn reason(&self) -> Reason<'_> {
        Reason { text: self.to_string(), cause: self.error.cause(), stderr: &self.stderr }
    }
}

impl ProgramError {
    /// What the end of a program, or what it said, means for the item that it was at.
    pub(super) fn item_failure(
        &self,
        success_codes: &[u8],
        dead_codes: &[u8],
        later_codes: &[u8],
    ) -> ItemFailure {
        match self {
            ProgramError::Later(_) => ItemFailure::Later,
            ProgramError::Rejected(_) => ItemFailure::Never,
            ProgramError::Ended(Exit::Code(code)) | ProgramError::LeftUnanswered(Exit::Code(code)) => {
                match u8::try_from(*code) {
                    Ok(code) if dead_codes.contains(&code) => ItemFailure::Never,
                    Ok(code) if later_codes.contains(&code) && !success_codes.contains(&code) => {
                        ItemFailure::Later
                    }
                    _ => ItemFailure::Charged,
                }
            }
            _ => ItemFailure::Charged,
        }
    }

    /// How the program ended by itself, if it did.
    pub(super) fn exit(&self) -> Option<Exit> {
        match self {
            ProgramError::Ended(exit) | ProgramError::LeftUnanswered(exit) => Some(*exit),
            _ => None,
        }
    }

    /// How a dead letter says it.
    pub(super) fn cause(&self) -> Cause {
        match self {
            ProgramError::Ended(Exit::Code(code)) => Cause::ExitCode(*code),
            ProgramError::Ended(Exit::Signal(signal))
            | ProgramError::LeftUnanswered(Exit::Signal(signal)) => Cause::Signal(signal.to_string()),
            ProgramError::TimedOut(_) => Cause::TimedOut,
            ProgramError::Reported(why) | ProgramError::Later(why) | ProgramError::Rejected(why) => {
                Cause::Error(why.clone())
            }
            _ => Cause::Error(self.to_string()),
        }
    }
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProgramError::Ended(exit) => exit_text(*exit).fmt(f),
            ProgramError::LeftUnanswered(exit) => write!(f, "{} before it had answered", exit_text(*exit)),
            ProgramError::TimedOut(limit) => {
                write!(
                    f,
                    "it took longer than its time limit of {} (item_timeout)",
                    humantime::format_duration(*limit)
                )
            }
            ProgramError::BadFrame(bad) => bad.fmt(f),
            ProgramError::TooMuchOutput(most) => {
                write!(f, "it wrote more than {most} bytes, which no output queue holds")
            }
            ProgramError::AnsweredTwice => {
                f.write_str("it answered with more than one item; `reply = \"until-empty\"` allows it")
            }
            ProgramError::OutputAfterEnd => f.write_str("it wrote on after the end of its answer"),
            ProgramError::Reported(why) | ProgramError::Later(why) | ProgramError::Rejected(why) => {
                f.write_str(last_line(why))
            }
            ProgramError::Malformed(bytes) => {
                write!(
                    f,
                    "what it wrote is no answer in framing \"mprun\": it begins with `{}`",
                    Shown(bytes)
                )
            }
            ProgramError::OutOfTurn { about, due } => write!(
                f,
                "it answered the item that it got as number {about} while the answer to number {due} was due: does \
                 another process, a fork of it, read its items or answer in its place?"
            ),
            ProgramError::Version { asked, newest } => {
                write!(f, "it asks for version {asked} of framing \"mprun\"; this mprun speaks 1 to {newest}")
            }
            ProgramError::ClosedOutput => f.write_str("it closed its standard output before it had answered"),
            ProgramError::NotEncodable(why) => why.fmt(f),
            ProgramError::NotAnArgument(why) => f.write_str(why),
        }
    }
}

/// Of a traceback, what happened.
fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason")
}

/// How a program ended, in words.
pub(crate) fn exit_text(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("it ended with exit code {code}"),
        Exit::Signal(signal) => format!("it was killed by {signal}"),
    }
}

impl fmt::Display for FailedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)?;
        if let ProgramError::Reported(_) | ProgramError::Later(_) | ProgramError::Rejected(_) = self.error {
            return Ok(()); // the program has given its reason
        }
        match self.stderr.iter().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => f.write_str(&last_words(line)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_says_what_becomes_of_the_item() {
        let of = |code: i32, success: &[u8], dead: &[u8]| {
            let ends = [ProgramError::Ended, ProgramError::LeftUnanswered];
            let [ended, left] = ends.map(|end| end(Exit::Code(code)).item_failure(success, dead, &[75]));
            assert_eq!(ended, left, "{code}");
            ended
        };
        assert_eq!(of(1, &[0], &[65]), ItemFailure::Charged);
        assert_eq!(of(65, &[0], &[65]), ItemFailure::Never);
        assert_eq!(of(75, &[0], &[65]), ItemFailure::Later);
        assert_eq!(of(75, &[0], &[75]), ItemFailure::Never);
        assert_eq!(of(75, &[0, 75], &[]), ItemFailure::Charged);
        assert_eq!(of(256 + 75, &[0], &[75]), ItemFailure::Charged);
        let of = |code: i32| ProgramError::Ended(Exit::Code(code)).item_failure(&[0], &[], &[1]);
        assert_eq!([1, 75].map(of), [ItemFailure::Later, ItemFailure::Charged]);
    }

    #[test]
    fn what_a_program_says_of_an_item_holds_whatever_the_codes_are() {
        let why = || "why".to_owned();
        let of = |error: ProgramError| error.item_failure(&[0, 75], &[65], &[75]);
        assert_eq!(of(ProgramError::Later(why())), ItemFailure::Later);
        assert_eq!(of(ProgramError::Rejected(why())), ItemFailure::Never);
        assert_eq!(of(ProgramError::Reported(why())), ItemFailure::Charged);
        assert_eq!(of(ProgramError::TimedOut(Duration::ZERO)), ItemFailure::Charged);
    }
}
