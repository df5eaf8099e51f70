//! What a decision leaves behind: actions to do, and transitions to remember.

use super::effect::Effect;
use super::history::{History, TransitionKind};
use log::Level;
use std::time::Instant;

/// Collects while one event is handled.
#[derive(Debug)]
pub struct Effects {
    /// The time of the event.
    pub now: Instant,
    /// What must be done, in this order.
    pub actions: Vec<Effect>,
    /// What happened to workers, so far.
    pub history: History,
}

impl Effects {
    /// Nothing to do yet; the history goes on.
    pub fn new(now: Instant, history: History) -> Effects {
        Effects { now, actions: Vec::new(), history }
    }

    /// One more thing to do.
    pub fn act(&mut self, action: Effect) {
        self.actions.push(action);
    }

    /// Says something.
    pub fn say(&mut self, level: Level, text: impl Into<String>) {
        self.actions.push(Effect::Log(level, text.into()));
    }

    /// Remembers a transition, and says it at `level`.
    pub fn note(&mut self, level: Level, worker: String, change: TransitionKind, text: String) {
        self.actions.push(Effect::LogAbout(level, worker.clone(), text));
        self.history.note(self.now, worker, change);
    }
}
