//! What the worker knows of its items and its program's output.

use super::output::StreamOutput;
use crate::numbers::counted;
use crate::queue::{Ending, WorkerHandle};
use crate::worker::context::WorkerContext;
use crate::worker::program::io::feed::Feed;
use crate::worker::program::io::waker::Waker;
use crate::worker::program::pause::ItemPause;
use crate::worker::program::run::ProgramRun;
use crate::worker::stop::Stop;
use std::time::{Duration, Instant};

pub(super) struct Streaming<'a> {
    pub feed: &'a mut Feed,
    pub output: StreamOutput,
    pub waker: Waker,
    pub pause: ItemPause,
    pub found: Found,
    /// The program has written something.
    pub speaks: bool,
    /// A source's program may be over, but what it has written comes no faster for that.
    pub owes: bool,
    pub unaccounted: Unaccounted,
}

/// What the last look at the input has found.
#[derive(Default)]
pub(super) struct Found {
    pub last: Last,
    /// Items come in bursts.
    pub bursts: bool,
}

#[derive(Default, PartialEq)]
pub(super) enum Last {
    #[default]
    Items,
    /// There may be an item, though nothing will tell of it: no waiting.
    Unknown,
    /// No item: before a wait the waker must be asked to tell of one.
    None,
}

impl Found {
    /// Returns when the wait ends though nothing tells of an item.
    pub(super) fn begin_wait(&mut self, waker: &mut Waker, queues: &WorkerHandle) -> Option<Instant> {
        match std::mem::take(&mut self.last) {
            Last::Items => return None,
            Last::Unknown => return Some(Instant::now()),
            Last::None => waker.arm(queues),
        }
        None
    }
}

/// A program that has neither read nor written for this long has done what it had.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// Items that the program may hold: after its end they can't be accounted for.
pub(super) struct Unaccounted {
    items: u64,
    moved: Instant,
}

impl Unaccounted {
    pub(super) fn new() -> Unaccounted {
        Unaccounted { items: 0, moved: Instant::now() }
    }

    /// Bytes have moved, and with them these items have come into the program's hands.
    pub(super) fn moved(&mut self, written: usize) {
        let now = Instant::now();
        if now.duration_since(self.moved) > QUIET_AFTER {
            self.items = 0;
        }
        self.moved = now;
        self.items += written as u64;
    }

    pub(super) fn warn(&self) {
        if self.items > 0 {
            log::warn!(
                "up to {} that its program had read may be lost: with mode = \"stream\" mprun can't know which are done (docs/delivery.md)",
                counted(self.items, "item")
            );
        }
    }

    /// It is not the program that failed. What it had written is gone with what it had read, and no other try brings it
    /// back.
    pub(super) fn lost_with(&self, worker: &WorkerContext, stop: Stop) -> Stop {
        match stop.0 {
            Ending::Failed(why) if worker.console.has_failed() => {
                self.warn();
                Stop(Ending::Lost(why))
            }
            other => Stop(other),
        }
    }
}

impl Streaming<'_> {
    /// Whether more can be done at once, most likely: then a wait would only be a system call more.
    pub(super) fn flows_on(&self, run: &ProgramRun<'_>) -> bool {
        let live = run.worker.live;
        let is_paced = live.tuning.rate.is_some() && run.worker.inputs.is_empty();
        let waits = live.is_single() || is_paced || live.must_pause() || self.pause.is_on();
        !waits && run.conversation.is_undecided() && run.flows(!self.feed.is_empty())
    }
}
