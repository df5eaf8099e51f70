//! What a stage is: the two traits, and the item.

use super::{Emitter, Failure};
pub use crate::status::Progress;
use std::os::fd::BorrowedFd;
use std::time::{Instant, SystemTime};

/// One item: a byte string, by convention a line of text without its end.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    bytes: &'a [u8],
    attempt: u32,
    id: u64,
}

impl<'a> Item<'a> {
    /// An item as a test of your own stage may want it: at its first attempt.
    pub fn new(bytes: &'a [u8]) -> Item<'a> {
        Item::leased(bytes, 1, 0)
    }

    pub(crate) fn leased(bytes: &'a [u8], attempt: u32, id: u64) -> Item<'a> {
        Item { bytes, attempt, id }
    }

    /// The payload.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The payload as text.
    ///
    /// # Errors
    /// When it isn't UTF-8.
    pub fn text(&self) -> Result<&'a str, Failure> {
        std::str::from_utf8(self.bytes)
            .map_err(|error| Failure::new(format!("the item is not UTF-8 text: {error}")))
    }

    /// Which try this is: 1, and one more for each time that it failed or its worker died of it. Effects outside of
    /// the queues (a request, a file) may have happened already when it is more than 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Its number in its queue: 0 for the first that was ever put there. With the queue's name it tells two items of a
    /// run apart, also when the same item is delivered again.
    pub fn id(&self) -> u64 {
        self.id
    }
}

/// A stage with an input: a transform or a sink.
///
/// Outputs and the end of the input's lease are published in one step, so in the queues every item has its effect
/// exactly once, whatever is killed when. An item that fails, or whose worker dies of it, is tried again.
///
/// ```
/// use mprun::{Emitter, Failure, Item, Stage};
///
/// struct Shout;
///
/// impl Stage for Shout {
///     fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure> {
///         out.emit(item.text()?.to_uppercase())
///     }
/// }
///
/// let mut seen = Vec::new();
/// Shout.process(&Item::new(b"hello"), &mut Emitter::new(&mut seen)).unwrap();
/// assert_eq!(seen, [b"HELLO"]);
/// ```
pub trait Stage {
    /// Processes one item; emits any number of outputs, in order.
    ///
    /// # Errors
    /// Say why in the failure: it becomes the cause in the dead letter.
    fn process(&mut self, item: &Item<'_>, out: &mut Emitter<'_>) -> Result<(), Failure>;

    /// The input has ended: emits what is left to say. Without [`Persistence::State`](super::Persistence) each worker of the
    /// stage is asked; with it, one, once.
    ///
    /// # Errors
    /// The worker ends as failed and its successor is asked again.
    fn finish(&mut self, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let _ = out;
        Ok(())
    }

    /// Whatever the items so far should do outside of the queues must be done when this returns: only then do their
    /// leases end. A stage that buffers what it writes writes it here.
    ///
    /// # Errors
    /// The worker ends as failed; the items are processed again.
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// With [`Persistence::Once`](super::Persistence): what only one worker may do, once per run, before any item is taken.
    ///
    /// # Errors
    /// The worker ends as failed; the next one tries it.
    fn begin_run(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// With [`Persistence::Once`](super::Persistence): what the stage says before anything else, once per run: after
    /// [`begin_run`](Stage::begin_run), in the step that notes that this was done.
    ///
    /// # Errors
    /// The worker ends as failed; the next one tries it.
    fn preface(&mut self, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let _ = out;
        Ok(())
    }

    /// With [`Persistence::Turns`](super::Persistence): it is this worker's turn to write; the last one's is saved. What it saves
    /// now is saved for good before [`flush`](Stage::flush) is called. `now` stays the same within a turn.
    ///
    /// # Errors
    /// The worker ends as failed, or tries it again.
    fn begin_turn(&mut self, now: SystemTime) -> Result<(), Failure> {
        let _ = now;
        Ok(())
    }

    /// With [`Persistence`](super::Persistence): appends the state as it is after the last item.
    fn save(&self, state: &mut Vec<u8>) {
        let _ = state;
    }

    /// With [`Persistence::State`](super::Persistence) or `Turns`: continues from a saved state, perhaps another worker's. Whatever this
    /// worker knew before counts no more. A stage that was never saved is not restored.
    ///
    /// # Errors
    /// When the state makes no sense.
    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        let _ = state;
        Ok(())
    }
}

/// What a source says after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There may be more at once.
    More,
    /// Go on only when what was emitted and what [`Source::save`] says are safe: the next step changes the world
    /// outside (it consumes what it has read).
    Checkpoint,
    /// Nothing to emit until [`Source::readable`] has something to read, or until this instant, whichever comes first.
    Wait(Option<Instant>),
    /// Nothing will come any more.
    End,
}

/// A stage without an input.
///
/// ```
/// use mprun::{Emitter, Failure, Next, Source};
///
/// struct Countdown(u32);
///
/// impl Source for Countdown {
///     fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure> {
///         if self.0 == 0 {
///             return Ok(Next::End);
///         }
///         out.emit(self.0.to_string())?;
///         self.0 -= 1;
///         Ok(Next::More)
///     }
/// }
/// ```
///
/// With [`Persistence::State`](super::Persistence) the position belongs to the stage, not to the worker: saved in the same step
/// that publishes the outputs, it lets several processes share the work, and a killed one lose and double nothing. Two
/// such sources must emit the same items after the same `restore`, or say that they don't ([`Source::repeats`]).
pub trait Source {
    /// One short step: emits the items that are at hand, at best one. It must not wait: that is what [`Next::Wait`] is
    /// for, so that the worker can obey meanwhile. The stage's `sleep` follows each step that emits.
    ///
    /// # Errors
    /// The worker ends as failed; nothing of this step is published.
    fn next(&mut self, out: &mut Emitter<'_>) -> Result<Next, Failure>;

    /// What to wait for after [`Next::Wait`].
    fn readable(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// With [`Persistence::State`](super::Persistence): whether two of them emit the same items in the same order after the same
    /// `restore`. One that reads what changes meanwhile can't: its outputs are published together with the position
    /// after them or not at all, then it is asked again for fewer.
    fn repeats(&self) -> bool {
        true
    }

    /// How far it is, for `mprun run --progress`; `None` if it can't know how much is still to come.
    /// Asked often: it must be quick.
    fn progress(&self) -> Option<Progress> {
        None
    }

    /// With [`Persistence::State`](super::Persistence): appends the position as it is after the last step.
    fn save(&self, state: &mut Vec<u8>) {
        let _ = state;
    }

    /// With [`Persistence::State`](super::Persistence): continues from a saved position, perhaps another worker's. A source that
    /// was never saved is not restored.
    ///
    /// # Errors
    /// When the position makes no sense.
    fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        let _ = state;
        Ok(())
    }
}
