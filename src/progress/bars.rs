//! The bars on the terminal.

use super::estimate::Reading;
use super::lines::figures;
use super::screen::{Screen, is_narrow};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A full bar.
const BAR_LENGTH: u64 = 1000;
/// More stages than this are not drawn.
const MAX_BARS: usize = 40;
/// How often bars are drawn.
pub(super) const DRAW_INTERVAL: Duration = Duration::from_millis(250);

/// Wide and narrow; without an end and with one.
const TEMPLATES: [[&str; 2]; 2] = [
    ["{prefix} {spinner:>24}       {wide_msg}", "{prefix} {bar:24} {percent:>3} % {wide_msg}"],
    ["{prefix} {spinner:>8}       {wide_msg}", "{prefix} {bar:8} {percent:>3} % {wide_msg}"],
];

/// One bar for each stage, below all that is said.
#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    stages: Vec<(String, ProgressBar)>,
}

impl Bars {
    pub(super) fn new() -> Bars {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(
            Box::new(Screen::default()),
            10,
        ));
        Bars { all, stages: Vec::new() }
    }

    /// Takes the bars away while something else is on the terminal.
    pub(super) fn without(&self, act: impl FnOnce()) {
        self.all.suspend(act);
    }

    /// Draws what was seen.
    pub(super) fn draw(&mut self, readings: &[Reading]) {
        let is_there = |name: &str| readings.iter().any(|reading| reading.name == name);
        self.stages.retain(|(name, bar)| {
            if !is_there(name) {
                self.all.remove(bar);
            }
            is_there(name)
        });
        let widest = readings.iter().map(|reading| reading.name.chars().count()).max().unwrap_or(0).min(24);
        for reading in readings.iter().take(MAX_BARS) {
            let bar = match self.stages.iter().position(|(name, _)| *name == reading.name) {
                Some(known) => &self.stages[known].1,
                None => {
                    let bar = self.all.add(ProgressBar::new(BAR_LENGTH));
                    self.stages.push((reading.name.clone(), bar));
                    &self.stages[self.stages.len() - 1].1
                }
            };
            bar.set_style(style(reading.share.is_some()));
            bar.set_prefix(format!("{:<widest$.widest$}", reading.name));
            bar.set_message(figures(reading));
            match reading.share {
                Some(share) => bar.set_position((share * BAR_LENGTH as f64) as u64),
                None => bar.tick(),
            }
        }
    }

    /// Leaves the terminal as if there had been none.
    pub(super) fn clear(&self) {
        let _ = self.all.clear(); // the terminal may be gone
    }
}

fn style(has_end: bool) -> ProgressStyle {
    let text = TEMPLATES[usize::from(is_narrow())][usize::from(has_end)];
    // All are good: there is a test.
    let style = ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("█▉▊▋▌▍▎▏░").tick_strings(&["·   ", " ·  ", "  · ", "   ·", "  · ", " ·  "])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_bar_has_a_good_template() {
        for text in TEMPLATES.into_iter().flatten() {
            assert!(ProgressStyle::with_template(text).is_ok());
        }
    }
}
