//! One thing measured beside another, in turns: what the machine does meanwhile hits both.
#![allow(dead_code, reason = "each bench uses its own part")]

use std::fmt;
use std::time::Duration;

/// Pairs of a row, unless it says otherwise.
pub const PAIRS: usize = 9;

/// What each turn has given: of ours and of the peer's.
pub struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pairs {
    /// Measures both `n` times; who is first changes from pair to pair.
    pub fn take(n: usize, mut ours: impl FnMut() -> f64, mut theirs: impl FnMut() -> f64) -> Pairs {
        let mut pairs = Pairs { ours: Vec::new(), theirs: Vec::new() };
        for i in 0..n {
            if i % 2 == 0 {
                pairs.ours.push(ours());
                pairs.theirs.push(theirs());
            } else {
                pairs.theirs.push(theirs());
                pairs.ours.push(ours());
            }
        }
        pairs
    }

    pub fn ours(&self) -> Spread {
        Spread::of(self.ours.clone())
    }

    pub fn theirs(&self) -> Spread {
        Spread::of(self.theirs.clone())
    }

    /// Of the pairs: ours to the peer's.
    pub fn ratio(&self) -> Spread {
        Spread::of(self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs).collect())
    }
}

impl FromIterator<(f64, f64)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (f64, f64)>>(pairs: I) -> Pairs {
        let (ours, theirs) = pairs.into_iter().unzip();
        Pairs { ours, theirs }
    }
}

/// The least, the median and the most of several figures.
#[derive(Clone, Copy)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    pub fn of(mut figures: Vec<f64>) -> Spread {
        figures.sort_by(f64::total_cmp);
        Spread { least: figures[0], median: figures[figures.len() / 2], most: figures[figures.len() - 1] }
    }
}

/// The median and, in brackets, the least and the most; with as many digits as `{:.n}` asks for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        write!(f, "{:.digits$} ({:.digits$}-{:.digits$})", self.median, self.least, self.most)
    }
}

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// For comparison.
    None,
}

impl Goal {
    /// The last column: the goal, and whether it is missed.
    pub fn verdict(self, ratio: f64) -> String {
        match self {
            Goal::AtLeast(goal) => format!("at least {goal}{}", if ratio < goal { ", short" } else { "" }),
            Goal::AtMost(goal) => format!("at most {goal}{}", if ratio > goal { ", short" } else { "" }),
            Goal::None => "-".to_owned(),
        }
    }
}

/// A row of a table in Markdown: what, ours, the peer's, the ratio of the pairs, its goal.
pub fn row(what: &str, peer: &str, unit: &str, digits: usize, pairs: &Pairs, goal: Goal) {
    let (ours, theirs, ratio) = (pairs.ours(), pairs.theirs(), pairs.ratio());
    let verdict = goal.verdict(ratio.median);
    println!(
        "| {what} | {ours:.digits$} {unit} | {peer} {theirs:.digits$} {unit} | {ratio:.2} | {verdict} |"
    );
    let _ = std::io::Write::flush(&mut std::io::stdout());
}

pub fn seconds(work: impl FnOnce()) -> f64 {
    let start = std::time::Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
