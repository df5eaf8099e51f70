//! What is on the screen, and what keys mean. Pure.

use super::keys::Key;
use crate::status::{Snapshot, Stage};
use std::collections::{BTreeMap, VecDeque};

/// Looks that a sparkline shows at most.
const KEPT: usize = 60;

/// All that is shown.
pub struct Screen {
    pub snapshot: Snapshot,
    /// Items a second between the looks, for each stage, the newest last.
    pub rates: BTreeMap<String, VecDeque<f64>>,
    /// The last lines of the log.
    pub lines: Vec<String>,
    /// Which stage keys are about.
    pub selected: usize,
    /// What came of the last key.
    pub said: String,
    /// Why what is shown is old.
    pub missed: Option<String>,
    /// How much was asked for so far.
    pub wishes: u64,
}

/// What a key asks for.
#[derive(Debug, PartialEq)]
pub enum Asked {
    Nothing,
    Quit,
    /// To be out of the way for a while.
    Suspend,
    /// Something that the pipeline has to do.
    For(Wish),
}

/// What the pipeline is to do.
#[derive(Debug, PartialEq)]
pub enum Wish {
    Scale(String, u32),
    Restart(String),
    /// A stage, or all.
    Pause(Option<String>),
    Resume(Option<String>),
}

impl Screen {
    /// With the first look.
    pub fn new(snapshot: Snapshot) -> Screen {
        Screen {
            snapshot,
            rates: BTreeMap::new(),
            lines: Vec::new(),
            selected: 0,
            said: String::new(),
            missed: None,
            wishes: 0,
        }
    }

    /// Another look. The stage that was selected stays so, wherever it stands now.
    pub fn seen(&mut self, snapshot: Snapshot, lines: Vec<String>) {
        self.rates.retain(|name, _| snapshot.stages.iter().any(|stage| stage.name == *name));
        for stage in &snapshot.stages {
            let rates = self.rates.entry(stage.name.clone()).or_default();
            rates.extend(rate(&self.snapshot, &snapshot, stage));
            while rates.len() > KEPT {
                rates.pop_front();
            }
        }
        let name = self.snapshot.stages.get(self.selected).map(|stage| stage.name.as_str());
        let same = snapshot.stages.iter().position(|stage| Some(stage.name.as_str()) == name);
        self.selected = same.unwrap_or(self.selected.min(snapshot.stages.len().saturating_sub(1)));
        (self.snapshot, self.lines, self.missed) = (snapshot, lines, None);
    }

    /// What is told at the bottom.
    pub fn say(&mut self, said: String) {
        self.said = said;
    }

    /// A key was pressed. Its effect is shown at once, so that the next key counts from there; the next look puts right
    /// what did not come about.
    pub fn key(&mut self, key: Key) -> Asked {
        self.said.clear();
        match key {
            Key::Quit => return Asked::Quit,
            Key::Suspend => return Asked::Suspend,
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => {
                self.selected = (self.selected + 1).min(self.snapshot.stages.len().saturating_sub(1));
            }
            Key::PauseAll => {
                self.snapshot.paused = !self.snapshot.paused;
                return pause(self.snapshot.paused, None);
            }
            Key::More | Key::Fewer | Key::Pause | Key::Restart => return self.about_stage(key),
        }
        Asked::Nothing
    }

    fn about_stage(&mut self, key: Key) -> Asked {
        let Some(stage) = self.snapshot.stages.get_mut(self.selected) else { return Asked::Nothing };
        let name = stage.name.clone();
        match key {
            Key::Restart => return Asked::For(Wish::Restart(name)),
            Key::Pause => {
                stage.paused = !stage.paused;
                return pause(stage.paused, Some(name));
            }
            Key::Fewer if stage.processes <= 1 => {
                self.say(format!("{name} needs one process at least: p pauses it"));
                return Asked::Nothing;
            }
            Key::Fewer => stage.processes -= 1,
            _ => stage.processes += 1,
        }
        Asked::For(Wish::Scale(name, stage.processes))
    }
}

fn pause(is_wanted: bool, stage: Option<String>) -> Asked {
    Asked::For(if is_wanted { Wish::Pause(stage) } else { Wish::Resume(stage) })
}

/// Items that a stage took (a source: put out) a second, since the look before.
fn rate(before: &Snapshot, now: &Snapshot, stage: &Stage) -> Option<f64> {
    let seconds = now.uptime - before.uptime;
    let earlier = before.stages.iter().find(|other| other.name == stage.name)?;
    let count = |stage: &Stage| if stage.is_source() { stage.totals.emitted } else { stage.totals.done };
    (seconds > 0.0).then(|| count(stage).saturating_sub(count(earlier)) as f64 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::fixture::{snapshot, stage};

    fn screen() -> Screen {
        let stages = vec![stage("in", "", "a", [1.0, 0.0, 0.0]), stage("out", "a", "b", [1.0, 0.0, 0.0])];
        Screen::new(Snapshot { stages, ..snapshot() })
    }

    #[test]
    fn keys_are_about_the_stage_that_is_selected() {
        let mut screen = screen();
        assert_eq!(screen.key(Key::More), Asked::For(Wish::Scale("in".into(), 2)));
        for _ in 0..3 {
            assert_eq!(screen.key(Key::Down), Asked::Nothing);
        }
        assert_eq!(screen.key(Key::Restart), Asked::For(Wish::Restart("out".into())));
        assert_eq!(screen.key(Key::Fewer), Asked::Nothing);
        assert!(screen.said.starts_with("out needs one process at least"));
        assert_eq!(screen.key(Key::Quit), Asked::Quit);
    }

    #[test]
    fn keys_that_come_faster_than_looks_count_from_each_other() {
        let mut screen = screen();
        assert_eq!(screen.key(Key::More), Asked::For(Wish::Scale("in".into(), 2)));
        assert_eq!(screen.key(Key::More), Asked::For(Wish::Scale("in".into(), 3)));
        assert_eq!(screen.key(Key::Fewer), Asked::For(Wish::Scale("in".into(), 2)));
        let stage = || Some("in".to_owned());
        assert_eq!(screen.key(Key::Pause), Asked::For(Wish::Pause(stage())));
        assert_eq!(screen.key(Key::Pause), Asked::For(Wish::Resume(stage())));
        assert_eq!(screen.key(Key::PauseAll), Asked::For(Wish::Pause(None)));
        assert_eq!(screen.key(Key::PauseAll), Asked::For(Wish::Resume(None)));
    }

    #[test]
    fn a_rate_is_that_between_two_looks_and_a_stage_that_is_gone_is_forgotten() {
        let mut screen = screen();
        let mut later = screen.snapshot.clone();
        later.uptime += 2.0;
        later.stages[1].totals.done += 30;
        later.stages.remove(0);
        screen.selected = 1;
        screen.seen(later, vec!["a line".into()]);
        assert_eq!(screen.rates["out"], [15.0]);
        assert!(!screen.rates.contains_key("in") && screen.selected == 0);
    }
}
