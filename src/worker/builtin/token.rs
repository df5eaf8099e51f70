//! The token: a stage's memory, as the one item of a queue of its own.
//!
//! A worker leases it, continues from its state, and commits the new one together with what it did meanwhile. So
//! position and outputs, or state and inputs, can't come apart, and only the worker that has the token works.
//!
//! Its bytes: nothing at all before the first save ([`BEGUN`] in a run that only works off dead letters, for a stage that
//! emits something once a run); then one byte that says whether the stage has come to its end, then what the stage saved.

use crate::queue::{Ending, Fault, QueueId, Taken, Wait, WorkerHandle};
use crate::stage::Persistence;
use crate::worker::context::WorkerContext;
use crate::worker::stop::{Stop, failure_of};

/// The lease of the token: it is always taken first.
pub(crate) const LEASE: usize = 0;

const GOING: u8 = 0;
const ENDED: u8 = 1;

/// The token of a stage that saves nothing, and has begun.
pub(crate) const BEGUN: &[u8] = &[GOING];

pub(crate) struct Token {
    queue: QueueId,
    held: bool,
    /// What the stage in this worker knows, as a token would say it.
    known: Vec<u8>,
    scratch: Vec<u8>,
}

impl Token {
    /// The token of this worker's stage, if it has one. `save`: what it saves before it has done anything.
    pub(crate) fn of(
        worker: &WorkerContext,
        memory: Persistence,
        save: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Token> {
        let queue = worker.spec.token.map(QueueId).filter(|_| memory != Persistence::Nothing)?;
        let mut known = vec![GOING];
        save(&mut known);
        Some(Token { queue, held: false, known, scratch: Vec::new() })
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Whether the stage has come to its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.known[0] == ENDED
    }

    /// The state that the token says, without the changes since.
    pub(crate) fn state(&self) -> &[u8] {
        &self.known[1..]
    }

    /// Waits for the token, as long as another worker has it. No lease may be held before. Returns the state to go on
    /// from, if the stage has changed since this worker had it last.
    pub(crate) fn take(&mut self, worker: &mut WorkerContext) -> Result<Option<Vec<u8>>, Stop> {
        self.take_by(worker, |queues, queue| queues.take(&[queue], 1, Wait::Forever))
    }

    /// The same where leases are held: they come after it from now on.
    pub(crate) fn take_turn(&mut self, worker: &mut WorkerContext) -> Result<Option<Vec<u8>>, Stop> {
        self.take_by(worker, |queues, queue| queues.take_first(queue, Wait::Forever))
    }

    fn take_by(
        &mut self,
        worker: &mut WorkerContext,
        take: impl Fn(&mut WorkerHandle, QueueId) -> Result<Taken, Fault>,
    ) -> Result<Option<Vec<u8>>, Stop> {
        while !self.held {
            worker.poll_orders()?;
            match take(&mut worker.queues, self.queue)? {
                Taken::Items { .. } => return Ok(self.recall(&worker.queues)?),
                Taken::Ordered | Taken::Empty => {}
                // Only a supervisor that wants nothing more of this stage ends its token.
                Taken::Ended => return Err(Stop(Ending::Ordered)),
            }
        }
        Ok(None)
    }

    fn recall(&mut self, queues: &WorkerHandle) -> Result<Option<Vec<u8>>, Fault> {
        self.held = true;
        let bytes = queues.item(LEASE)?.bytes;
        if bytes.is_empty() || bytes == self.known {
            return Ok(None);
        }
        self.known.clear();
        self.known.extend_from_slice(bytes);
        Ok(Some(self.state().to_vec()))
    }

    /// Outputs of the next step that are out already.
    pub(crate) fn mark(&self, queues: &WorkerHandle) -> Result<u64, Fault> {
        if self.held { Ok(queues.item(LEASE)?.mark) } else { Ok(0) }
    }

    /// Whether this state is another one than the token says.
    pub(crate) fn differs(&mut self, save: impl FnOnce(&mut Vec<u8>), ended: bool) -> bool {
        self.scratch.clear();
        self.scratch.push(if ended { ENDED } else { GOING });
        save(&mut self.scratch);
        self.scratch != self.known
    }

    /// Stages the token as [`Token::differs`] has seen it. To be committed with the lease of the old one.
    pub(crate) fn put(&mut self, queues: &mut WorkerHandle) -> Result<(), Stop> {
        queues
            .put(&[self.queue], &self.scratch, Some(LEASE))
            .map_err(|error| failure_of(&error, "the stage's memory"))?;
        Ok(())
    }

    /// It went back as it was.
    pub(crate) fn given_back(&mut self) {
        self.held = false;
    }

    /// The staged token is out.
    pub(crate) fn committed(&mut self) {
        std::mem::swap(&mut self.known, &mut self.scratch);
        self.held = false;
    }
}

/// Whether a token says that its stage has come to its end.
pub(crate) fn says_end(token: &[u8]) -> bool {
    token.first() == Some(&ENDED)
}

/// What the stage has saved, of a whole token.
pub(crate) fn state_of(token: &[u8]) -> &[u8] {
    token.get(1..).unwrap_or_default()
}

/// The stage continues from the state in the token: it has not come to its end after all.
pub(crate) fn reopen(token: &mut [u8]) {
    if let Some(flag) = token.first_mut() {
        *flag = GOING;
    }
}
