//! The loop of a source: step, publish, wait.
//!
//! If there is no room for all outputs of a stretch, the first of them are published with a mark in the token's lease: the
//! next worker makes the same outputs again and skips those. A source that can't make the same again (it follows files)
//! must never be in between. Its stretches are published whole; one for which there is no room is thrown away, the
//! source goes back to the token's state, and the next stretch is a single output, which waits for its room.

use super::batch::Batch;
use super::guard;
use super::token::{self, Token};
use crate::exit;
use crate::queue::{Ending, Waiting};
use crate::stage::{Emitter, Failure, Next, Persistence, Reach, Source};
use crate::sys::readiness;
use crate::worker::context::WorkerContext;
use crate::worker::outlet::StageOutlet;
use crate::worker::stop::{Stop, until_stop};
use std::time::{Duration, Instant};

/// Items published at once, at most.
const LARGEST_STRETCH: usize = 480;

/// A wait without an end, in pieces: `Instant` has no end of time.
const ENDLESS_WAIT: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct SourceLoop<'a> {
    worker: &'a mut WorkerContext,
    source: Box<dyn Source>,
    token: Option<Token>,
    batch: Batch,
    /// The last stretch found no room.
    is_short: bool,
}

/// What the steps since the last publication came to.
struct Stretch {
    next: Next,
    emitted: usize,
}

impl<'a> SourceLoop<'a> {
    pub(crate) fn new(
        worker: &'a mut WorkerContext,
        source: Box<dyn Source>,
        memory: Persistence,
    ) -> SourceLoop<'a> {
        let token = Token::of(worker, memory, |fresh| source.save(fresh));
        SourceLoop { worker, source, token, batch: Batch::new(LARGEST_STRETCH), is_short: false }
    }

    pub(crate) fn run(mut self) -> Stop {
        until_stop(|| self.round())
    }

    fn round(&mut self) -> Result<(), Stop> {
        let live = self.worker.poll_orders()?;
        if live.is_stopping() {
            // A pipeline that drains wants nothing new.
            return Err(Stop(Ending::Ordered));
        }
        self.worker.recycling.check()?;
        self.take_token()?;
        let Some((stretch, published)) = self.stretch()? else { return self.go_back() };
        if let Some(progress) = self.source.progress() {
            self.worker.queues.note_progress(progress.done, progress.total);
        }
        self.worker.recycling.count(stretch.emitted);
        match stretch.next {
            Next::End => return Err(Stop(Ending::Finished)),
            // After a publication the token may be another worker's: take it again first, and see.
            Next::Wait(until) if !published => return self.wait(until),
            Next::Wait(_) | Next::More | Next::Checkpoint => {}
        }
        if stretch.emitted > 0 { self.worker.pause(|tuning| tuning.sleep) } else { Ok(()) }
    }

    fn take_token(&mut self) -> Result<(), Stop> {
        let Some(token) = &mut self.token else { return Ok(()) };
        if let Some(state) = token.take(self.worker)? {
            self.source.restore(&state)?;
        }
        if token.has_ended() { Err(Stop(Ending::Finished)) } else { Ok(()) }
    }

    /// Steps and publishes. `None`: there is no room for all that came, and nothing is published.
    fn stretch(&mut self) -> Result<Option<(Stretch, bool)>, Stop> {
        let must_be_whole = self.token.is_some() && !self.worker.outputs.is_empty() && !self.source.repeats();
        let most = match must_be_whole {
            true if std::mem::take(&mut self.is_short) => 1,
            true => {
                self.worker.queues.room(&self.worker.outputs)?.try_into().unwrap_or(LARGEST_STRETCH).max(1)
            }
            false => LARGEST_STRETCH,
        };
        let most = most.min(self.worker.live.most_by_rate());
        let most = most.min(self.worker.queues.most_of_a_commit(&self.worker.outputs)?);
        let whole = must_be_whole && most > 1;
        if whole {
            self.worker.queues.begin_whole();
        }
        let result = self.produce(most).and_then(|stretch| {
            self.keep_to_rate(stretch.emitted)?;
            let published = self.publish(&stretch, whole)?;
            Ok(published.map(|published| (stretch, published)))
        });
        if result.is_ok() || !whole {
            return result;
        }
        let lacked_room = self.worker.queues.lacked_room();
        self.worker.queues.give_up_whole()?;
        if lacked_room { Ok(None) } else { result }
    }

    /// Waits until the stage's rate admits what was emitted: only then it is known that there is an item, and no end.
    fn keep_to_rate(&mut self, emitted: usize) -> Result<(), Stop> {
        let mut left = emitted;
        while left > 0 {
            match self.worker.try_admit(left) {
                Ok(admitted) => left -= admitted,
                Err(at) => drop(self.worker.queues.pause(at, Waiting::Paused)?),
            }
            if left > 0 && self.worker.read_orders().is_stopping() {
                return Err(Stop(Ending::Ordered));
            }
        }
        Ok(())
    }

    /// To the state that the token says.
    fn go_back(&mut self) -> Result<(), Stop> {
        self.is_short = true;
        if let Some(token) = &self.token {
            self.source.restore(token.state())?;
        }
        Ok(())
    }

    /// Steps until it is time to publish. What an earlier worker has published of these very steps is skipped.
    fn produce(&mut self, most: usize) -> Result<Stretch, Stop> {
        let live = self.worker.live;
        let mut skip = match &self.token {
            Some(token) => token.mark(&self.worker.queues)?,
            None => 0,
        };
        let usual =
            if live.is_single() { 1 } else { self.batch.size().min(self.worker.recycling.items_left()) };
        let most = usual.min(most);
        let watch = self.batch.start();
        let waited = self.worker.queues.waited();
        let (mut emitted, mut steps) = (0, 0);
        loop {
            let (next, n) = self.step(skip)?;
            skip = skip.saturating_sub(n);
            emitted += usize::try_from(n).unwrap_or(usize::MAX);
            steps += 1;
            let is_full = emitted >= most || watch.is_over(steps) || self.worker.console.is_full();
            let is_time = skip == 0 && is_full;
            if next != Next::More || is_time {
                if emitted > 0 {
                    let took = watch.elapsed();
                    self.batch.learn(emitted, took);
                    self.worker.note_items(emitted, took, waited);
                }
                return Ok(Stretch { next, emitted });
            }
        }
    }

    fn step(&mut self, skip: u64) -> Result<(Next, u64), Failure> {
        let lease = self.token.as_ref().map(|_| token::LEASE);
        let source = &mut self.source;
        let mut emitted = 0;
        let mut step = |mut out: Emitter<'_>| {
            let next = guard::run_without_item(|| source.next(&mut out));
            emitted = out.emitted();
            out.conclude(next)
        };
        let next = step(Emitter::skipping(&mut StageOutlet::new(self.worker, lease), skip));
        let cannot_start = next.as_ref().is_err_and(|failure| failure.reach() == Reach::Never);
        if cannot_start {
            self.worker.exit_code = Some(exit::CANNOT_START);
        }
        Ok((next?, emitted))
    }

    /// Publishes the outputs together with the position after them; false if there was nothing to publish. `whole`: all
    /// or nothing; `None`: there is no room for that.
    fn publish(&mut self, stretch: &Stretch, whole: bool) -> Result<Option<bool>, Stop> {
        let SourceLoop { worker, source, token, .. } = self;
        let Some(token) = token else {
            if stretch.emitted > 0 {
                worker.commit(0)?;
            }
            return Ok(Some(stretch.emitted > 0));
        };
        let has_moved = token.differs(|state| source.save(state), stretch.next == Next::End);
        if !has_moved && stretch.emitted == 0 {
            if whole {
                worker.queues.give_up_whole()?;
            }
            return Ok(Some(false));
        }
        token.put(&mut worker.queues)?;
        if whole && !worker.commit_whole(token::LEASE + 1)? {
            return Ok(None);
        } else if !whole {
            worker.commit(token::LEASE + 1)?;
        }
        token.committed();
        Ok(Some(true))
    }

    fn wait(&mut self, until: Option<Instant>) -> Result<(), Stop> {
        self.worker.queues.settle()?;
        match self.source.readable() {
            Some(fd) => {
                self.worker.queues.begin_wait(Waiting::Starved);
                let wait = readiness::wait(fd, until);
                self.worker.queues.end_wait(Waiting::Starved);
                wait.map_err(|error| Failure::fatal(format!("can't wait for input: {error}")))?;
            }
            None => {
                let until = until.unwrap_or_else(|| Instant::now() + ENDLESS_WAIT);
                // No pause of the file's: more processes would not make it come sooner.
                self.worker.queues.pause(until, Waiting::Starved)?;
            }
        }
        Ok(())
    }
}
