//! The loop of a stage that takes items: take, process, commit.

mod turns;

use super::batch::Batch;
use super::guard;
use super::time_limit::TimeLimit;
use super::token::{self, Token};
use crate::queue::{Ending, SlotId, Taken};
use crate::stage::{Emitter, Failure, Item, Persistence, Reach, Stage};
use crate::worker::context::WorkerContext;
use crate::worker::dead_letters;
use crate::worker::outlet::StageOutlet;
use crate::worker::retry::Retry;
use crate::worker::stop::{Stop, until_stop};

/// Items in one transaction of a stage with a state: each of its leases may need a word in the journal.
const LARGEST_WITH_STATE: usize = 32;

pub(crate) struct StageLoop<'a> {
    worker: &'a mut WorkerContext,
    stage: Box<dyn Stage>,
    memory: Persistence,
    token: Option<Token>,
    batch: Batch,
    time_limit: TimeLimit,
    /// The item at hand, where its place in queue memory can't be borrowed.
    item: Vec<u8>,
}

impl<'a> StageLoop<'a> {
    pub(crate) fn new(
        worker: &'a mut WorkerContext,
        stage: Box<dyn Stage>,
        memory: Persistence,
    ) -> StageLoop<'a> {
        let token = Token::of(worker, memory, |fresh| stage.save(fresh));
        let largest = if memory == Persistence::State { LARGEST_WITH_STATE } else { usize::MAX };
        let time_limit = TimeLimit::new(worker.arena.clone(), SlotId(worker.spec.slot));
        StageLoop { worker, stage, memory, token, batch: Batch::new(largest), time_limit, item: Vec::new() }
    }

    pub(crate) fn run(mut self) -> Stop {
        let begun = match self.memory {
            Persistence::Once => self.begin_run(),
            Persistence::Turns => self.begin_turns(),
            Persistence::Nothing | Persistence::State => Ok(()),
        };
        let stop = match begun {
            Ok(()) => until_stop(|| self.round()),
            Err(stop) => stop,
        };
        self.give_up_turn();
        stop
    }

    /// What only one worker may do: the first who gets the token. The others wait for it, so no item is taken before
    /// it is done.
    fn begin_run(&mut self) -> Result<(), Stop> {
        let Some(mut token) = self.token.take() else {
            self.insist(|stage| stage.begin_run())?;
            return self.preface(None, 0);
        };
        token.take(self.worker)?;
        let is_fresh = self.worker.queues.item(token::LEASE)?.bytes.is_empty();
        if !token.differs(|state| self.stage.save(state), false) && !is_fresh {
            return Ok(self.worker.queues.give_back_all()?);
        }
        self.insist(|stage| stage.begin_run())?;
        let mark = token.mark(&self.worker.queues)?;
        self.preface(Some(token::LEASE), mark)?;
        token.put(&mut self.worker.queues)?;
        self.worker.commit(token::LEASE + 1)
    }

    /// Lets the stage say what comes before all items; a lease that it is an output of makes it come once.
    fn preface(&mut self, lease: Option<usize>, mark: u64) -> Result<(), Stop> {
        let StageLoop { worker, stage, .. } = self;
        if worker.spec.works_off {
            return Ok(());
        }
        let mut say = |mut out: Emitter<'_>| {
            let result = guard::run_without_item(|| stage.preface(&mut out));
            out.conclude(result)
        };
        Ok(say(Emitter::skipping(&mut StageOutlet::new(worker, lease), mark))?)
    }

    fn round(&mut self) -> Result<(), Stop> {
        self.worker.poll_orders()?;
        self.worker.recycling.check()?;
        if let Some(token) = &mut self.token
            && self.memory != Persistence::Turns
            && let Some(state) = token.take(self.worker)?
        {
            self.stage.restore(&state)?;
        }
        match self.take()? {
            Taken::Items { before, after } => {
                self.worker.log_taken(self.first(), before, after)?;
                self.work()
            }
            Taken::Empty | Taken::Ordered => Ok(()),
            Taken::Ended => self.end(),
        }
    }

    fn take(&mut self) -> Result<Taken, Stop> {
        let live = self.worker.live;
        let worker = &mut *self.worker;
        let one = live.is_single() || live.tuning.item_timeout.is_some();
        let most = self.batch.size().min(worker.recycling.items_left()).min(live.most_by_rate());
        let most = if one { 1 } else { most };
        worker.take(most)
    }

    /// The first lease that is an item, not the token.
    fn first(&self) -> usize {
        usize::from(self.token.as_ref().is_some_and(Token::is_held))
    }

    /// One batch. What was not begun when its time is over goes back as it was.
    fn work(&mut self) -> Result<(), Stop> {
        let first = self.first();
        let end = first + self.worker.admit(self.worker.queues.len() - first)?;
        let watch = self.batch.start();
        let waited = self.worker.queues.waited();
        let mut next = first;
        while next < end {
            if let Err(failure) = self.process(next)? {
                self.rest();
                return self.fail(next, failure);
            }
            next += 1;
            if watch.is_over(next - first) || self.worker.console.is_full() {
                break;
            }
        }
        if next - first == 1 && self.memory != Persistence::Turns {
            // An item that is alone is at hand until what it does outside is done.
            self.flush()?;
        }
        self.rest();
        let took = watch.elapsed();
        self.batch.learn(next - first, took);
        self.worker.note_items(next - first, took, waited);
        self.commit(next)?;
        self.worker.queues.give_back_from(0)?;
        self.worker.recycling.count(next - first);
        self.worker.pause(|tuning| tuning.sleep)
    }

    /// Processes lease `i`. The inner result is the item's, the outer one the worker's.
    fn process(&mut self, i: usize) -> Result<Result<(), Failure>, Stop> {
        let StageLoop { worker, stage, time_limit, item: copy, .. } = self;
        worker.queues.begin(i);
        time_limit.begin(worker.live.tuning.item_timeout);
        let lease = worker.queues.item(i)?;
        let (attempt, id) = (lease.attempt, lease.id);
        let mut process = |bytes: &[u8], mut out: Emitter<'_>| {
            let item = Item::leased(bytes, attempt, id);
            let result = guard::run(bytes, || stage.process(&item, &mut out));
            out.conclude(result)
        };
        let result = if worker.outputs.is_empty() {
            worker.console.begin_item();
            process(lease.bytes, Emitter::new(&mut worker.console))
        } else {
            let mark = lease.mark;
            copy.clear();
            copy.extend_from_slice(lease.bytes);
            process(copy, Emitter::skipping(&mut StageOutlet::new(worker, Some(i)), mark))
        };
        Ok(result)
    }

    /// From now on a crash is no item's fault.
    fn rest(&mut self) {
        self.worker.queues.rest();
        self.time_limit.rest();
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.insist(|stage| guard::run_without_item(|| stage.flush()))
    }

    /// Lets the stage do it, again and again as long as it says that it can't be done yet. An order ends that.
    fn insist(&mut self, act: impl Fn(&mut dyn Stage) -> Result<(), Failure>) -> Result<(), Stop> {
        let mut retry = Retry::default();
        loop {
            match act(&mut *self.stage) {
                Err(failure) if failure.reach() == Reach::NotYet => {
                    self.rest(); // a worker that dies in the wait has not died of an item
                    self.worker.wait_outside(retry.again(&failure, &self.worker.queues))?;
                }
                result => {
                    retry.end(result.is_ok(), &self.worker.queues);
                    return Ok(result?);
                }
            }
        }
    }

    /// Ends the leases `0 .. upto`: first what happens outside, then the step in the queues.
    fn commit(&mut self, upto: usize) -> Result<(), Stop> {
        if self.memory == Persistence::Turns {
            return if upto > 0 { self.commit_in_turn(upto) } else { Ok(()) };
        }
        self.flush()?;
        let Some(token) = &mut self.token else { return self.worker.commit(upto) };
        let stage = &self.stage;
        token.differs(|state| stage.save(state), false);
        // Staged last and as an output of the token's own lease, which is the first: so no lease at all ends before
        // it is out, and a state never counts an item that comes back.
        token.put(&mut self.worker.queues)?;
        self.worker.commit(upto)?;
        token.committed();
        Ok(())
    }

    /// Item `i` failed. Nothing of it counts; the items before it do, the items after it go back as they were.
    fn fail(&mut self, i: usize, failure: Failure) -> Result<(), Stop> {
        if dead_letters::item_failure(failure.reach()).is_none() {
            return Err(failure.into());
        }
        self.batch.restart();
        self.worker.item_log.forget();
        if self.token.is_some() && self.memory == Persistence::State {
            return self.take_back(i, &failure);
        }
        self.worker.queues.discard_staged_from(i)?;
        self.worker.console.discard_item();
        self.commit(i)?;
        self.worker.recycling.count(i + 1);
        // The failed item last: so it is the first in its queue again.
        self.worker.queues.give_back_from(1)?;
        dead_letters::fail(self.worker, 0, &failure)?;
        self.worker.pause(|tuning| tuning.sleep)
    }

    /// The same for a stage with a state, which the failed item may have spoilt: the whole batch is taken back.
    fn take_back(&mut self, i: usize, failure: &Failure) -> Result<(), Stop> {
        let first = self.first();
        self.worker.queues.discard_staged()?;
        self.worker.console.discard_all();
        if let Some(token) = &self.token {
            self.stage.restore(token.state())?;
        }
        self.worker.queues.give_back_from(i + 1)?;
        dead_letters::fail(self.worker, i, failure)?;
        self.worker.queues.give_back_from(first)?;
        self.worker.recycling.count(1);
        self.worker.pause(|tuning| tuning.sleep)
    }

    /// The input has ended.
    fn end(&mut self) -> Result<(), Stop> {
        if self.memory == Persistence::Turns {
            return self.end_turns();
        }
        let lease = self.token.as_ref().map(|_| token::LEASE);
        let said = self.token.as_ref().is_some_and(Token::has_ended);
        if !said {
            self.finish(lease)?;
        }
        Err(Stop(Ending::InputEnded))
    }

    /// Lets the stage say what is left to say, together with the note that it was said.
    fn finish(&mut self, lease: Option<usize>) -> Result<(), Stop> {
        self.flush()?;
        let StageLoop { worker, stage, token, .. } = self;
        let mark = token.as_ref().map_or(Ok(0), |token| token.mark(&worker.queues))?;
        let mut finish = |mut out: Emitter<'_>| {
            let result = guard::run_without_item(|| stage.finish(&mut out).and_then(|()| stage.flush()));
            out.conclude(result)
        };
        finish(Emitter::skipping(&mut StageOutlet::new(worker, lease), mark))?;
        let Some(token) = token else { return worker.commit(0) };
        token.differs(|state| stage.save(state), true);
        token.put(&mut worker.queues)?;
        worker.commit(token::LEASE + 1)?;
        token.committed();
        Ok(())
    }
}
