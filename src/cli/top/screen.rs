//! What is on the screen, and what keys mean. Pure.

use super::keys::Key;
use crate::control::protocol::{Command, Restart, Scale, StageOrAll};
use crate::status::{Snapshot, StageStatus};
use std::collections::{BTreeMap, VecDeque};

/// Rates that a sparkline shows at most.
const MAX_RATES: usize = 60;

/// All that is shown.
pub(super) struct Screen {
    pub snapshot: Snapshot,
    /// Items a second between two snapshots, for each stage, the newest last.
    pub rates: BTreeMap<String, VecDeque<f64>>,
    /// The last lines of the log.
    pub lines: Vec<String>,
    /// The stage that keys act on.
    pub selected: usize,
    /// The answer to the last key.
    pub message: String,
    /// Why what is shown is old.
    pub missed: Option<String>,
    pub commands_sent: u64,
    /// Keys change nothing: what is shown are many machines.
    pub looks_only: bool,
}

/// The action of a key.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    Nothing,
    Quit,
    /// Stop the process, as Ctrl-Z does.
    Suspend,
    For(Command),
}

impl Screen {
    pub(super) fn new(snapshot: Snapshot) -> Screen {
        Screen {
            snapshot,
            rates: BTreeMap::new(),
            lines: Vec::new(),
            selected: 0,
            message: String::new(),
            missed: None,
            commands_sent: 0,
            looks_only: false,
        }
    }

    /// Another snapshot. The selected stage stays selected, wherever it stands now.
    pub(super) fn update(&mut self, snapshot: Snapshot, lines: Vec<String>) {
        self.rates.retain(|name, _| snapshot.stages.iter().any(|stage| stage.name == *name));
        for stage in &snapshot.stages {
            let rates = self.rates.entry(stage.name.clone()).or_default();
            rates.extend(rate(&self.snapshot, &snapshot, stage));
            while rates.len() > MAX_RATES {
                rates.pop_front();
            }
        }
        let name = self.snapshot.stages.get(self.selected).map(|stage| stage.name.as_str());
        let same = snapshot.stages.iter().position(|stage| Some(stage.name.as_str()) == name);
        self.selected = same.unwrap_or(self.selected.min(snapshot.stages.len().saturating_sub(1)));
        (self.snapshot, self.lines, self.missed) = (snapshot, lines, None);
    }

    /// A key was pressed. Its effect is shown at once, so that the next key counts from there; the next snapshot corrects
    /// what did not happen.
    pub(super) fn key(&mut self, key: Key) -> Asked {
        self.message.clear();
        match key {
            Key::PauseAll | Key::More | Key::Fewer | Key::Pause | Key::Restart if self.looks_only => {
                self.message =
                    "these are all machines: `mprun top` on one of them steers that one".to_owned();
            }
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
            Key::Restart => {
                return Asked::For(Command::Restart(Restart { stage: name, wait: false }));
            }
            Key::Pause => {
                stage.paused = !stage.paused;
                return pause(stage.paused, Some(name));
            }
            Key::Fewer if stage.processes <= 1 => {
                self.message = format!("{name} needs one process at least: p pauses it");
                return Asked::Nothing;
            }
            Key::Fewer => stage.processes -= 1,
            _ => stage.processes += 1,
        }
        Asked::For(scale(name, stage.processes))
    }
}

fn scale(stage: String, processes: u32) -> Command {
    Command::Scale(Scale { stage, processes: Some(processes), by: None, wait: false })
}

fn pause(is_wanted: bool, stage: Option<String>) -> Asked {
    let stages = StageOrAll { stage, wait: false };
    Asked::For(if is_wanted { Command::Pause(stages) } else { Command::Resume(stages) })
}

/// Items that a stage took (a source: put out) a second, since the look before.
fn rate(before: &Snapshot, now: &Snapshot, stage: &StageStatus) -> Option<f64> {
    let seconds = now.uptime - before.uptime;
    let earlier = before.stages.iter().find(|other| other.name == stage.name)?;
    let count =
        |stage: &StageStatus| if stage.is_source() { stage.totals.emitted } else { stage.totals.done };
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
        assert_eq!(screen.key(Key::More), Asked::For(scale("in".into(), 2)));
        for _ in 0..3 {
            assert_eq!(screen.key(Key::Down), Asked::Nothing);
        }
        assert_eq!(
            screen.key(Key::Restart),
            Asked::For(Command::Restart(Restart { stage: "out".into(), wait: false }))
        );
        assert_eq!(screen.key(Key::Fewer), Asked::Nothing);
        assert!(screen.message.starts_with("out needs one process at least"));
        assert_eq!(screen.key(Key::Quit), Asked::Quit);
    }

    #[test]
    fn keys_that_come_faster_than_looks_count_from_each_other() {
        let mut screen = screen();
        assert_eq!(screen.key(Key::More), Asked::For(scale("in".into(), 2)));
        assert_eq!(screen.key(Key::More), Asked::For(scale("in".into(), 3)));
        assert_eq!(screen.key(Key::Fewer), Asked::For(scale("in".into(), 2)));
        let stage = || Some("in".to_owned());
        assert_eq!(screen.key(Key::Pause), pause(true, stage()));
        assert_eq!(screen.key(Key::Pause), pause(false, stage()));
        assert_eq!(screen.key(Key::PauseAll), pause(true, None));
        assert_eq!(screen.key(Key::PauseAll), pause(false, None));
    }

    #[test]
    fn of_many_machines_no_key_changes_anything() {
        let mut screen = Screen { looks_only: true, ..screen() };
        for key in [Key::More, Key::Fewer, Key::Pause, Key::PauseAll, Key::Restart] {
            assert_eq!(screen.key(key), Asked::Nothing);
            assert!(screen.message.contains("all machines"), "{}", screen.message);
        }
        assert!(!screen.snapshot.paused && screen.snapshot.stages[0].processes == 1);
        assert_eq!(screen.key(Key::Down), Asked::Nothing);
        assert_eq!((screen.selected, screen.key(Key::Quit)), (1, Asked::Quit));
    }

    #[test]
    fn a_rate_is_that_between_two_looks_and_a_stage_that_is_gone_is_forgotten() {
        let mut screen = screen();
        let mut later = screen.snapshot.clone();
        later.uptime += 2.0;
        later.stages[1].totals.done += 30;
        later.stages.remove(0);
        screen.selected = 1;
        screen.update(later, vec!["a line".into()]);
        assert_eq!(screen.rates["out"], [15.0]);
        assert!(!screen.rates.contains_key("in") && screen.selected == 0);
    }
}
