//! Dead letters on behalf of dead workers: begun here, and settled when their helper has ended.

use super::Performer;
use crate::queue::{FailureAttribution, SlotId};
use crate::supervisor::action::Release;
use crate::supervisor::burial;
use crate::supervisor::children::Auxiliary;
use crate::supervisor::event::Event;
use crate::sys::group;
use log::{Level, log};
use nix::sys::signal::Signal;

impl Performer<'_> {
    /// What the worker had only fetched goes back at once; the item that it died of stays leased until the letter is there.
    pub(super) fn bury(&mut self, release: &Release) {
        let slot = release.slot;
        let others = self.steward.release_others(slot);
        if self.unless_damaged(others).is_none() {
            return;
        }
        let doomed = match self.steward.dead_letter_candidate(slot, release.attempts) {
            Ok(Some(doomed)) => doomed,
            other => {
                let none = other.map(|_| ());
                if self.unless_damaged(none).is_some() {
                    self.release(release);
                    self.events.push_back(Event::Buried(slot));
                }
                return;
            }
        };
        match burial::begin(&doomed, release, &self.names, &self.launcher) {
            Ok(burial) => {
                self.children.add_auxiliary(burial.pid, Auxiliary::Undertaker(slot));
                self.burials.insert(slot, burial);
            }
            Err(error) => self.events.push_back(Event::NotBuried(slot, error.to_string())),
        }
    }

    /// Its end is told as any child's.
    pub(super) fn end_burial(&mut self, slot: SlotId) {
        if let Some(burial) = self.burials.get(&slot) {
            let _ = group::signal_process(burial.pid, Signal::SIGKILL);
        }
    }

    pub(super) fn undertaker_ended(&mut self, slot: SlotId) {
        let Some(burial) = self.burials.remove(&slot) else { return };
        let dropped = match burial.outcome() {
            Ok(appended) => appended.dropped,
            Err(why) => return self.events.push_back(Event::NotBuried(slot, why)),
        };
        let release = &burial.release;
        let released =
            self.steward.release(slot, FailureAttribution::Begun, release.attempts, &mut |_| Ok(()));
        let Some(released) = self.unless_damaged(released) else { return };
        *self.buried.entry(release.stage.clone()).or_default() += released.dead;
        let ((id, queue, attempts), stage, index) = (&burial.item, &release.stage, release.worker.index);
        log!(
            target: "mprun",
            Level::Warn,
            "item {id} of {queue} is a dead letter after {attempts} attempts: {stage}[{index}] {}", release.end
        );
        if dropped > 0 {
            let most = self.launcher.dead_letters.max_size;
            let text =
                format!("the {dropped} oldest dead letters are dropped: [dead_letters] max_size is {most}");
            log!(target: "mprun", Level::Warn, "{text}");
        }
        self.events.push_back(Event::Buried(slot));
    }
}
