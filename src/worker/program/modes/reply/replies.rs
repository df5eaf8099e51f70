//! What the worker knows of its items and answers, for one program after the other.

use super::trial::Trial;
use super::window::Window;
use crate::queue::{Wait, Waiting};
use crate::worker::context::{LiveSettings, WorkerContext};
use crate::worker::program::conversation::Event;
use crate::worker::program::io::answers::Answers;
use crate::worker::program::io::feed::Feed;
use crate::worker::program::io::waker::Waker;
use crate::worker::program::pause::ItemPause;
use crate::worker::program::run::ProgramRun;
use crate::worker::program::spec::CommandSpec;
use crate::worker::stop::Stop;
use std::collections::VecDeque;
use std::time::Instant;

pub(super) struct Replies<'a> {
    pub spec: &'a CommandSpec,
    pub answers: &'a mut Answers,
    pub feed: &'a mut Feed,
    /// Where the items on their way begin in the bytes that the program gets.
    pub starts: VecDeque<u64>,
    pub waker: Waker,
    pub window: Window,
    pub trial: Trial,
    pub intake: Intake,
    pub pause: ItemPause,
    /// There was an item: what a program without one does wrong is no longer a fault of its start.
    pub has_had_item: bool,
}

/// What is known of the items to come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Intake {
    Open,
    /// There was none, and some are on their way: before the waker is asked to wait for more, mostly an answer comes.
    HeldOff {
        until: Instant,
    },
    /// The next one must be alone: it waits until everything is answered.
    AwaitsAnswers,
    /// None will come any more.
    Ended,
}

impl Intake {
    /// An answer came: there is no reason to hold off any more.
    pub(super) fn answered(&mut self) {
        if let Intake::HeldOff { .. } = self {
            *self = Intake::Open;
        }
    }
}

impl Replies<'_> {
    pub(super) fn pass_on_wake_up(&mut self, worker: &mut WorkerContext) -> Result<(), Stop> {
        if self.waker.has_fired() {
            // It was a wake-up for one worker: if this one can't use it, the look passes it on.
            worker.queues.take(&worker.inputs, 0, Wait::No)?;
        }
        Ok(())
    }

    /// Why there is no item at work.
    pub(super) fn idles_for(&self, live: &LiveSettings) -> Waiting {
        if self.pause.is_on() || live.must_pause() { Waiting::Paused } else { Waiting::Starved }
    }
}

/// The oldest lease is the one whose answer comes next.
pub(super) fn begin(run: &mut ProgramRun<'_>) {
    charge_if_alone(run.worker);
    if !run.worker.queues.is_empty() {
        run.apply(Event::Begun);
    }
}

/// Only an item that is alone is charged for what happens meanwhile.
pub(super) fn charge_if_alone(worker: &WorkerContext) {
    match worker.queues.len() {
        1 => worker.queues.begin(0),
        _ => worker.queues.rest(),
    }
}
