//! Where a stage finds itself when a worker opens it.

use crate::append::{NOTE_WORDS, Notes, UndoLog};
use crate::model::Route;
use crate::queue::{Arena, Order, QueueId, SlotId, Waiting};
use crate::sys::worker_timer;
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What a stage may know about its worker.
#[derive(Debug, Default)]
pub struct Context {
    /// The pipeline's name.
    pub pipeline: String,
    /// The stage's name in the pipeline file.
    pub stage: String,
    /// Which of the stage's workers this is: 0, 1, …
    pub worker: u32,
    /// The pipeline file's folder.
    pub folder: PathBuf,
    /// The names of its outputs.
    pub(crate) outputs: Vec<String>,
    /// Which item is for which of them.
    pub(crate) routes: Vec<Route>,
    pub(crate) holding_pipe: RefCell<Option<Pipe>>,
    pub(crate) undo_log: Option<UndoLog>,
    /// The run's id.
    pub(crate) run: String,
    /// The run continues an earlier one: what that one has written is part of its work.
    pub(crate) continues: bool,
    /// The run of the shared queues, by a number that no other run has: other machines may be in it.
    pub(crate) shared_run: Option<u64>,
    /// What the supervisor wants, for waits outside of the queues. Outside of a run there is none.
    pub(crate) orders: Option<Orders>,
    /// What it writes by turns it notes here. Outside of a run there is nothing.
    pub(crate) notes: Option<TokenNotes>,
    /// The limit of open files that mprun was started with, which programs get again.
    pub(crate) soft_open_files: Option<u64>,
}

/// The orders of a worker, for a stage that waits for the world outside.
#[derive(Clone)]
pub(crate) struct Orders {
    arena: Arena,
    slot: SlotId,
}

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Orders").field(&self.slot).finish()
    }
}

impl Orders {
    pub(crate) fn new(arena: Arena, slot: SlotId) -> Orders {
        Orders { arena, slot }
    }

    /// Whether the worker must end now.
    pub(crate) fn must_finish(&self) -> bool {
        self.arena.order(self.slot) == Order::Finish
    }

    /// Whether the run is about to stop.
    pub(crate) fn must_drain(&self) -> bool {
        matches!(self.arena.order(self.slot), Order::Drain | Order::Finish)
    }

    /// Whether a power cut may not cost everything.
    pub(crate) fn are_queues_saved(&self) -> bool {
        self.arena.is_saved()
    }

    /// Waits for the reader of the output: that time is neither the stage's nor the item's.
    pub(crate) fn while_blocked<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.arena.begin_wait(self.slot, Waiting::Blocked);
        let result = worker_timer::not_counting(wait);
        self.arena.end_wait(self.slot, Waiting::Blocked);
        result
    }
}

/// The notes beside the token of the worker's stage.
#[derive(Clone)]
pub(crate) struct TokenNotes {
    arena: Arena,
    token: QueueId,
}

impl std::fmt::Debug for TokenNotes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenNotes").field(&self.token).finish()
    }
}

impl TokenNotes {
    pub(crate) fn new(arena: Arena, token: QueueId) -> TokenNotes {
        TokenNotes { arena, token }
    }
}

impl Notes for TokenNotes {
    fn load(&self, second: bool) -> io::Result<Option<[u64; NOTE_WORDS]>> {
        self.arena.note(self.token, second).map_err(io::Error::other)
    }

    fn store(&self, second: bool, words: &[u64; NOTE_WORDS]) -> io::Result<()> {
        self.arena.set_note(self.token, second, words).map_err(io::Error::other)
    }

    fn clear(&self) -> io::Result<()> {
        self.arena.clear_notes(self.token).map_err(io::Error::other)
    }
}

/// Both ends of a pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub reader: OwnedFd,
    pub writer: OwnedFd,
}

impl Context {
    /// A path as the pipeline file means it: relative ones start at the file's folder.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    /// Which of the outputs has this name, for [`Emitter::emit_to`](super::Emitter::emit_to).
    pub(crate) fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|output| output == name)
    }

    /// The run's; outside of a run, one of its own.
    pub(crate) fn undo_log(&self) -> io::Result<UndoLog> {
        self.undo_log.clone().map_or_else(UndoLog::create, Ok)
    }
}
