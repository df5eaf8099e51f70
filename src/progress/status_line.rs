//! One line at the bottom of the terminal, for a run whose commands print on the same terminal.
//!
//! Their output comes from other processes at any time. So the line has a row of its own: the scrolling region ends above
//! it, and each drawing is one write that leaves the cursor where it was.

use super::estimate::Reading;
use crate::numbers;
use crate::terminal::{self, Size};
use std::io::{self, Write};

/// Columns of the longest bar.
const MAX_BAR_COLUMNS: usize = 40;
/// A shorter one is left out.
const MIN_BAR_COLUMNS: usize = 5;
/// On a terminal of fewer rows there is no line.
const MIN_ROWS: u16 = 3;

/// Gives the whole terminal back: all rows scroll, and the last one is empty.
pub(crate) const GIVE_BACK: &str = "\x1b7\x1b[r\x1b[999;1H\x1b[2K\x1b8";

#[derive(Debug)]
pub(super) struct StatusLine {
    /// The stage that it is about.
    stage: String,
    /// Of the terminal, while the line is on it.
    size: Option<Size>,
}

impl StatusLine {
    pub(super) fn new(stage: String) -> StatusLine {
        StatusLine { stage, size: None }
    }

    /// Takes the line away while something else has the terminal.
    pub(super) fn without(&mut self, act: impl FnOnce()) {
        self.clear();
        act();
    }

    pub(super) fn draw(&mut self, readings: &[Reading]) {
        let Some(reading) = readings.iter().find(|reading| reading.name == self.stage) else { return };
        let size = terminal::size(io::stderr());
        if size.rows < MIN_ROWS {
            return self.clear();
        }
        // Its row may be the one of the cursor: that goes up into the region.
        let room = if self.size == Some(size) { "" } else { "\n\x1b[1A" };
        self.size = Some(size);
        let (above, row) = (size.rows - 1, size.rows);
        // Not the last column: some terminals go to the next line there.
        let line = line(reading, usize::from(size.columns) - 1);
        write(&format!("{room}\x1b7\x1b[1;{above}r\x1b[{row};1H\x1b[2K{line}\x1b8"));
    }

    /// Leaves the terminal as if there had been none.
    pub(super) fn clear(&mut self) {
        if self.size.take().is_some() {
            write(GIVE_BACK);
        }
    }
}

fn write(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes()); // the terminal may be gone
}

/// As much as fits into some columns: the bar is as long as the rest lets it.
fn line(reading: &Reading, columns: usize) -> String {
    let figures = figures(reading);
    let room = columns.saturating_sub(figures.chars().count() + 3).min(MAX_BAR_COLUMNS);
    let bar = reading.share.filter(|_| room >= MIN_BAR_COLUMNS).map(|share| {
        let full = (share * room as f64) as usize;
        format!("[{}{}] ", "█".repeat(full), "░".repeat(room - full))
    });
    (bar.unwrap_or_default() + &figures).chars().take(columns).collect()
}

/// What is known, the most important first.
fn figures(reading: &Reading) -> String {
    let share = reading.share.map(|share| format!("{:.0} % ", (share * 100.0).floor()));
    let items = match reading.total {
        Some(total) => format!("{}/{total}", reading.items),
        None => format!("{} done", reading.items),
    };
    let left = reading.left.filter(|left| left.is_finite() && *left < 1e7 && !reading.is_done);
    let left = left.map(|left| format!(", {} left", numbers::time(left.ceil())));
    let failed = (reading.failed > 0).then(|| format!(", {} failed", reading.failed));
    let rate = format!(", {}/s", numbers::rate(reading.rate));
    [share.unwrap_or_default(), items, left.unwrap_or_default(), failed.unwrap_or_default(), rate].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(share: Option<f64>, total: Option<u64>) -> Reading {
        let left = share.map(|_| 61.2);
        Reading { name: "a".into(), items: 42, total, failed: 3, rate: 5.0, share, left, is_done: false }
    }

    #[test]
    fn a_line_fits_into_its_columns_and_says_what_is_known() {
        let known = reading(Some(0.5), Some(84));
        assert_eq!(
            line(&known, 60),
            format!("[{}] 50 % 42/84, 1m 2s left, 3 failed, 5.0/s", "█".repeat(9) + &"░".repeat(9))
        );
        assert_eq!(line(&known, 40), "50 % 42/84, 1m 2s left, 3 failed, 5.0/s");
        assert_eq!(line(&known, 12), "50 % 42/84, ");
        assert_eq!(line(&reading(None, None), 80), "42 done, 3 failed, 5.0/s");
        assert_eq!(line(&reading(Some(0.25), None), 200).chars().count(), 43 + 41);
        for columns in 0..200 {
            assert!(line(&known, columns).chars().count() <= columns);
        }
    }
}
