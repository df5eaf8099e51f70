//! A stage whose workers process items side by side, and take turns to write outside.
//!
//! ```text
//! take items ─> process ─> take the token ─> begin the turn ─> write ─> commit (the token, and the leases)
//! ```
//!
//! The token is taken after the items, and ends with them in one transaction: what it says is written, and what is done in
//! the queues, never come apart. A worker that dies in its turn leaves a note beside the token of what it was about to write.

use super::StageLoop;
use crate::queue::Ending;
use crate::stage::Emitter;
use crate::worker::builtin::{guard, token};
use crate::worker::outlet::StageOutlet;
use crate::worker::stop::Stop;
use std::time::SystemTime;

impl StageLoop<'_> {
    /// The first turn writes nothing: what an earlier worker has left open is settled, and a run begins.
    pub(super) fn begin_turns(&mut self) -> Result<(), Stop> {
        self.take_turn()?;
        self.worker.queues.give_back_all()?;
        if let Some(token) = &mut self.token {
            token.given_back();
        }
        Ok(())
    }

    /// Waits for the token. What the stage saves at the beginning of its turn is committed before it goes on.
    fn take_turn(&mut self) -> Result<(), Stop> {
        let now = SystemTime::now();
        loop {
            if let Some(token) = &mut self.token
                && let Some(state) = token.take_turn(self.worker)?
            {
                self.stage.restore(&state)?;
            }
            self.insist(|stage| stage.begin_turn(now))?;
            let Self { token, stage, .. } = self;
            let Some(token) = token else { return Ok(()) };
            if !token.differs(|state| stage.save(state), false) {
                return Ok(());
            }
            self.commit_token(token::LEASE + 1)?;
            // A file that the saved token doesn't name could not be cut after a power cut.
            self.worker.queues.save_first();
        }
    }

    /// Commits the token with what the stage saves, and ends the leases `0 .. upto`: the first is the old token.
    fn commit_token(&mut self, upto: usize) -> Result<(), Stop> {
        let Self { token, stage, worker, .. } = self;
        let Some(token) = token else { return worker.commit(upto) };
        token.differs(|state| stage.save(state), false);
        token.put(&mut worker.queues)?;
        worker.commit(upto)?;
        token.committed();
        Ok(())
    }

    /// Ends the leases `0 .. upto`, which are items.
    pub(super) fn commit_in_turn(&mut self, upto: usize) -> Result<(), Stop> {
        self.take_turn()?;
        self.flush()?;
        let tokens = usize::from(self.token.is_some());
        self.commit_token(upto + tokens)
    }

    /// The input has ended: a last turn settles what a dead worker has left.
    pub(super) fn end_turns(&mut self) -> Result<(), Stop> {
        self.take_turn()?;
        let Self { worker, stage, .. } = self;
        let mut finish = |mut out: Emitter<'_>| {
            let result = guard::run_without_item(|| stage.finish(&mut out));
            out.conclude(result)
        };
        finish(Emitter::new(&mut StageOutlet::new(worker, Some(token::LEASE))))?;
        self.commit_token(token::LEASE + 1)?;
        Err(Stop(Ending::InputEnded))
    }

    /// The worker ends in the middle of its turn, by an order or an error: it takes back what it has written of it. If it can't,
    /// the next one does.
    pub(super) fn give_up_turn(&mut self) {
        let Some(token) = self.token.as_ref().filter(|token| token.is_held()) else { return };
        if self.memory == crate::stage::Persistence::Turns
            && self.stage.restore(token.state()).is_ok()
            && let Err(why) = self.stage.begin_turn(SystemTime::now())
        {
            log::debug!("{why}");
        }
    }
}
