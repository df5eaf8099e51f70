//! Why a stage could not do its work.

use std::fmt;

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This item; others may fare better.
    Item,
    /// This item, and not for good: it can't be processed now.
    Later,
    /// This item, for good: no further attempt will do it.
    Rejected,
    /// None yet: what is to be written can't be, for now. The caller tries again later; nothing is lost.
    NotYet,
    /// Every item: the worker can't go on.
    Worker,
    /// Every worker of the stage, however often it is started: what must change is outside (a denied system call).
    Never,
    /// The output has no reader left: the worker's good end.
    OutputClosed,
    /// The worker was told to finish while an output waited for room.
    Ordered,
}

/// Why a stage could not do its work, in words for a person.
///
/// A failed item is tried again, and becomes a dead letter after `attempts` tries; its outputs don't count. Any error
/// becomes a failure by `?`, with the errors that caused it:
///
/// ```
/// use mprun::Failure;
///
/// fn parse(text: &str) -> Result<u32, Failure> {
///     let number: u32 = text.parse()?;
///     if number == 0 {
///         return Err(Failure::new("zero is not a number of apples"));
///     }
///     Ok(number)
/// }
/// assert_eq!(parse("0").unwrap_err().to_string(), "zero is not a number of apples");
/// assert_eq!(parse("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    text: String,
    reach: Reach,
}

impl Failure {
    /// This item can't be processed; others may fare better.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), reach: Reach::Item }
    }

    /// This item can't be processed now (a server is away): it is tried again later, with growing delays, and no attempt
    /// is used up.
    pub fn later(text: impl Into<String>) -> Failure {
        Failure::with_reach(text, Reach::Later)
    }

    /// This item can never be processed: it is a dead letter at once, whatever attempts are left.
    pub fn reject(text: impl Into<String>) -> Failure {
        Failure::with_reach(text, Reach::Rejected)
    }

    /// The worker can't go on, whatever the item (a full disk, a lost connection): it ends, the item is not blamed,
    /// and the stage's `restart` says what follows.
    pub fn fatal(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), reach: Reach::Worker }
    }

    /// It can't be done yet (a full disk, a pipe without a reader): to be tried again, with what the stage has kept.
    pub(crate) fn not_yet(text: impl Into<String>) -> Failure {
        Failure::with_reach(text, Reach::NotYet)
    }

    pub(crate) fn with_reach(text: impl Into<String>, reach: Reach) -> Failure {
        Failure { text: text.into(), reach }
    }

    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }

    /// Says what was being done, before the reason: `context: reason`.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Failure {
        Failure { text: format!("{doing}: {}", self.text), reach: self.reach }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// Not an `Error` itself: that is what lets any error become one by `?`.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Failure::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::num::ParseIntError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bad line")
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_failure_names_every_cause() {
        let outer = Outer("".parse::<u8>().unwrap_err());
        assert_eq!(Failure::from(outer).to_string(), "bad line: cannot parse integer from empty string");
    }

    #[test]
    fn context_keeps_the_reach() {
        let failure = Failure::fatal("disk full").context("can't write out.txt");
        assert_eq!(failure.reach(), Reach::Worker);
        assert_eq!(failure.to_string(), "can't write out.txt: disk full");
    }
}
