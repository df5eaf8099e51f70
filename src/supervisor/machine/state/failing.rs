//! Stages that are failing: said once, shown as long as it lasts, and after a while the end of the run.

use super::State;
use crate::config::WhenFailing;
use crate::supervisor::machine::effect::Effects;
use crate::supervisor::machine::event::FailingNews;
use crate::supervisor::machine::failing::Failing;
use crate::supervisor::machine::ids::StageKey;
use crate::supervisor::machine::reason::{StopCause, spoken};
use crate::supervisor::machine::restart::Stopping;
use crate::supervisor::machine::stage_state::{Fate, StageState};
use log::Level;
use std::time::{Duration, Instant};

/// The `failing_timeout` of a run that ends by itself.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10 * 60);

impl State {
    pub(super) fn failing(&mut self, key: StageKey, news: Option<FailingNews>, out: &mut Effects) {
        let Some(stage) = self.stages.iter().find(|stage| stage.key == key) else { return };
        let known = self.failing_before.remove(&key);
        let ends_since = self.failing.get(&key).map(|before| before.ends_since);
        let failing = news.map(|FailingNews { since, last_words }| {
            let since = known.or_else(|| out.now.checked_sub(since)).unwrap_or(out.now);
            Failing { since, ends_since: ends_since.unwrap_or(since), last_words }
        });
        let before = match &failing {
            Some(failing) => self.failing.insert(key, failing.clone()),
            None => self.failing.remove(&key),
        };
        let name = &stage.spec.name;
        match (&before, &failing) {
            (Some(before), None) => {
                let time = spoken(out.now.saturating_duration_since(before.since));
                out.log(Level::Info, format!("the stage {name} is no longer failing, after {time}"));
            }
            (None, Some(now)) if stage.spec.tuning.when_failing != WhenFailing::Stop => {
                let why = &now.last_words;
                out.log(
                    Level::Error,
                    format!(
                        "the stage {name} is failing: different items failed one after the other, the last one: {why}. One at \
                         a time is tried now, and an item that fails as they did is charged no attempt"
                    ),
                );
            }
            _ => {}
        }
    }

    /// When a stage has been failing for too long.
    pub(super) fn failing_deadline(&self) -> Option<Instant> {
        self.stages_that_may_fail().filter_map(|stage| self.failing_until(stage)).min()
    }

    fn stages_that_may_fail(&self) -> impl Iterator<Item = &StageState> {
        let works = self.stopping() != Stopping::Killing;
        self.stages.iter().filter(move |stage| works && stage.fate == Fate::Wanted)
    }

    /// `None`: it may be failing for any time.
    fn failing_timeout(&self, stage: &StageState) -> Option<Duration> {
        match (stage.spec.tuning.when_failing, stage.spec.rules.failing_timeout) {
            (WhenFailing::Stop, _) => Some(Duration::ZERO),
            (WhenFailing::DeadLetter, _) => None,
            (WhenFailing::Wait, given @ Some(_)) => given,
            (WhenFailing::Wait, None) => self.ends_by_itself().then_some(DEFAULT_TIMEOUT),
        }
    }

    fn failing_until(&self, stage: &StageState) -> Option<Instant> {
        let failing = self.failing.get(&stage.key)?;
        let is_given = stage.spec.rules.failing_timeout.is_some();
        Some((if is_given { failing.since } else { failing.ends_since }) + self.failing_timeout(stage)?)
    }

    /// The time in which nothing limits it does not count later on.
    pub(super) fn note_end(&mut self, now: Instant) {
        if !self.failing.is_empty() && !self.ends_by_itself() {
            self.failing.values_mut().for_each(|failing| failing.ends_since = now);
        }
    }

    /// Whether all sources are known to come to an end, or have.
    fn ends_by_itself(&self) -> bool {
        let ends = |stage: &StageState| {
            let is_known =
                self.wanted.as_ref().is_some_and(|wanted| wanted.ending.contains(&stage.spec.name));
            is_known || stage.is_through()
        };
        self.stages.iter().filter(|stage| stage.version.is_source()).all(ends)
    }

    pub(super) fn pass_failing_time(&mut self, out: &mut Effects) {
        while self.failing_deadline().is_some_and(|due| due <= out.now) {
            let Some(s) = self.stages.iter().position(|stage| self.is_overdue(stage, out.now)) else {
                return;
            };
            self.stop_for_failing(s, out);
        }
    }

    fn is_overdue(&self, stage: &StageState, now: Instant) -> bool {
        stage.fate == Fate::Wanted && self.failing_until(stage).is_some_and(|until| until <= now)
    }

    /// The items of the stage stay where they are; what is behind it is worked off.
    fn stop_for_failing(&mut self, s: usize, out: &mut Effects) {
        let timeout = self.failing_timeout(&self.stages[s]).unwrap_or_default();
        let stage = &mut self.stages[s];
        let Some(Failing { last_words, .. }) = self.failing.get(&stage.key).cloned() else { return };
        stage.fate = Fate::GaveUp;
        self.failed = true;
        let name = stage.spec.name.clone();
        let setting = match stage.spec.tuning.when_failing {
            WhenFailing::Stop => "when_failing = \"stop\"".to_owned(),
            WhenFailing::Wait | WhenFailing::DeadLetter => {
                format!("failing_timeout, {}", spoken(timeout))
            }
        };
        out.log(
            Level::Error,
            format!(
                "the stage {name} is failing, so the run ends ({setting}): different items failed one after the other, the \
                 last one: {last_words}"
            ),
        );
        // Another one may have ended the run already.
        if self.stopping() == Stopping::No || self.drains_for_any_time() {
            self.begin_stop(StopCause::Failing { stage: name, last_words }, out);
        }
    }
}
