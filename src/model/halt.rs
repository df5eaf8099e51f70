//! `halt`: when a run ends although there are items left, as GNU parallel's `--halt` has it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Before the last item has come, a percentage counts no earlier than at this many items: that of one item is 100.
const LEAST_OF_A_SHARE: u64 = 3;

/// What ends the run, and how. In text: `soon,fail=1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Halt {
    /// What becomes of the commands that run then.
    pub when: HaltWhen,
    /// What is counted.
    pub of: HaltOf,
    /// At how many.
    pub at: HaltAt,
}

/// What becomes of the commands that run when a stage halts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaltWhen {
    /// They end by themselves.
    Soon,
    /// They are stopped.
    Now,
}

/// The items that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaltOf {
    /// Those that have failed for good.
    Fail,
    /// Those that have succeeded.
    Success,
    /// Both.
    Done,
}

/// How many items it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaltAt {
    /// From 1.
    Items(u64),
    /// Of all that have come so far; 1 ..= 100.
    Percent(u64),
}

/// The items of a stage, as they are counted for its `halt`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tried {
    /// All that have come.
    pub put: u64,
    /// Of them those that have succeeded.
    pub done: u64,
    /// Of them those that have failed for good.
    pub dead: u64,
    /// No more come.
    pub is_all: bool,
}

impl Halt {
    /// Whether no further item is to be tried.
    pub(crate) fn is_reached(self, tried: Tried) -> bool {
        let Tried { put, done, dead, is_all } = tried;
        let counted = match self.of {
            HaltOf::Fail => dead,
            HaltOf::Success => done,
            HaltOf::Done => done + dead,
        };
        match self.at {
            HaltAt::Items(items) => counted >= items,
            HaltAt::Percent(share) => {
                counted > 0 && counted * 100 >= put * share && (is_all || counted >= LEAST_OF_A_SHARE)
            }
        }
    }
}

impl HaltOf {
    const ALL: [(&'static str, HaltOf); 3] =
        [("fail", HaltOf::Fail), ("success", HaltOf::Success), ("done", HaltOf::Done)];
}

impl HaltWhen {
    const ALL: [(&'static str, HaltWhen); 2] = [("soon", HaltWhen::Soon), ("now", HaltWhen::Now)];
}

fn named<T: Copy>(all: &[(&str, T)], word: &str) -> Option<T> {
    all.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

fn name_of<T: PartialEq>(all: &[(&'static str, T)], value: &T) -> &'static str {
    all.iter().find(|(_, other)| other == value).map_or("", |(name, _)| name)
}

impl FromStr for Halt {
    type Err = String;

    fn from_str(text: &str) -> Result<Halt, String> {
        let halt = || {
            let (when, rest) = text.split_once(',')?;
            let (of, at) = rest.split_once('=')?;
            let (number, is_share) = at.strip_suffix('%').map_or((at, false), |number| (number, true));
            let number = Some(number).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))?;
            let at = match (number.parse::<u32>().ok()?, is_share) {
                (0, _) => return None,
                (items, false) => HaltAt::Items(items.into()),
                (share @ 1..=100, true) => HaltAt::Percent(share.into()),
                (_, true) => return None,
            };
            Some(Halt { when: named(&HaltWhen::ALL, when)?, of: named(&HaltOf::ALL, of)?, at })
        };
        halt().ok_or_else(|| format!("`{text}` does not say when to halt"))
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (when, of) = (name_of(&HaltWhen::ALL, &self.when), name_of(&HaltOf::ALL, &self.of));
        match self.at {
            HaltAt::Items(items) => write!(f, "{when},{of}={items}"),
            HaltAt::Percent(share) => write!(f, "{when},{of}={share}%"),
        }
    }
}

impl TryFrom<String> for Halt {
    type Error = String;

    fn try_from(text: String) -> Result<Halt, String> {
        text.parse()
    }
}

impl From<Halt> for String {
    fn from(halt: Halt) -> String {
        halt.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(halt: &str, put: u64, done: u64, dead: u64, is_all: bool) -> bool {
        halt.parse::<Halt>().unwrap().is_reached(Tried { put, done, dead, is_all })
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["soon,fail=1", "now,fail=30%", "now,success=2", "soon,done=100%", "soon,fail=4294967295"]
        {
            assert_eq!(text.parse::<Halt>().unwrap().to_string(), text);
        }
        for text in ["", "soon", "soon,fail", "soon,fail=", "soon,fail=0", "never,fail=1", "soon,fail=101%"] {
            assert!(text.parse::<Halt>().is_err(), "{text}");
        }
        for text in
            ["soon,fail=+1", "soon,fail=1.5", "soon,failed=1", " soon,fail=1", "soon,fail=99999999999"]
        {
            assert!(text.parse::<Halt>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_is_reached_by_what_it_counts_alone() {
        assert!(!reached("soon,fail=1", 9, 8, 0, true));
        assert!(reached("soon,fail=1", 9, 0, 1, false));
        assert!(!reached("now,success=2", 9, 1, 5, true));
        assert!(reached("now,success=2", 9, 2, 0, false));
        assert!(reached("now,done=3", 9, 1, 2, false));
        assert!(!reached("now,done=3", 9, 1, 1, false));
    }

    #[test]
    fn a_share_is_one_of_all_items_and_before_they_are_known_one_of_three_at_least() {
        assert!(!reached("now,fail=50%", 1, 0, 1, false));
        assert!(reached("now,fail=50%", 1, 0, 1, true));
        assert!(!reached("now,fail=50%", 4, 0, 2, false));
        assert!(reached("now,fail=50%", 4, 0, 2, true));
        assert!(!reached("now,fail=50%", 7, 0, 3, false));
        assert!(reached("now,fail=50%", 6, 3, 3, false));
        assert!(!reached("now,fail=1%", 1000, 991, 9, true));
        assert!(reached("now,fail=1%", 1000, 0, 10, true));
        assert!(!reached("soon,fail=1%", 0, 0, 0, true));
    }
}
