//! What the worker knows of its items and its program's output.

use super::output::StreamOutput;
use crate::config::pipeline::Framing;
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

/// A program that has left nothing unread, and has neither read nor written for this long, is taken to have done what it had. It may have
/// it in a buffer all the same.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// About how many items the program has in hand: if it does not end well they can't be accounted for.
///
/// The number is in the worker's slot. The supervisor logs it at the end of the worker; of a run that was killed, the next one does.
///
/// # Crash table
///
/// | killed … | the slot says | what becomes of the items |
/// |---|---|---|
/// | before the write | these and those before | still leased: they go back. Those before may be lost |
/// | between the write and the commit that ends their leases | these and those before | these come again, though the program may have had them |
/// | behind the commit, until the program has ended well | those whose leases have ended | they may be lost |
/// | after that | those that it has left unread | they are lost |
pub(super) struct Unaccounted {
    items: u64,
    moved: Instant,
}

impl Unaccounted {
    pub(super) fn new() -> Unaccounted {
        Unaccounted { items: 0, moved: Instant::now() }
    }

    /// The program is about to get `more` items. `has_rest`: whether something is left that it has not read, or that is not read of it.
    pub(super) fn hand_over(&mut self, more: usize, has_rest: impl Fn() -> bool, queues: &WorkerHandle) {
        if self.moved.elapsed() > QUIET_AFTER && !has_rest() {
            self.items = 0;
        }
        queues.note_handed_over(self.items + more as u64);
    }

    /// Bytes have moved, and with them these items have come into the program's hands.
    pub(super) fn moved(&mut self, written: usize, queues: &WorkerHandle) {
        self.moved = Instant::now();
        self.items += written as u64;
        queues.note_handed_over(self.items);
    }

    /// The program has ended well: it has done what it has read, but not what it has left `unread`.
    pub(super) fn settle(&mut self, unread: &[u8], framing: Framing, queues: &WorkerHandle) {
        let items = match framing {
            Framing::Lines => memchr::memchr_iter(b'\n', unread).count() as u64,
            Framing::Nul => memchr::memchr_iter(0, unread).count() as u64,
            Framing::Netstring | Framing::U32be if unread.is_empty() => 0,
            // Where a frame begins in it is not known.
            Framing::Netstring | Framing::U32be => self.items,
        };
        self.items = self.items.min(items);
        queues.note_handed_over(self.items);
    }
}

/// Where the output can't be written it is not the program that failed. What it had written is gone with what it had read, and no other
/// try brings it back.
pub(super) fn lost_with_output(worker: &WorkerContext, stop: Stop) -> Stop {
    match stop.0 {
        Ending::Failed(why) if worker.console.has_failed() => Stop(Ending::Lost(why)),
        other => Stop(other),
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
