//! The loop of a stage that takes items: take, process, commit.

use super::batch::Batch;
use super::desk::{Desk, Pace};
use super::outlet::ToQueues;
use super::patience::Patience;
use super::stop::Stop;
use super::token::{self, Recall, Token};
use super::{failed, guard};
use crate::queue::{Ending, QueueId, Taken, Wait, Waiting};
use crate::stage::{Emitter, Failure, Item, Memory, Reach, Stage};

/// Items in one transaction of a stage with a state: each of its leases may need a word in the journal.
const LARGEST_WITH_STATE: usize = 32;

pub(super) struct StageLoop<'a> {
    desk: &'a mut Desk,
    stage: Box<dyn Stage>,
    memory: Memory,
    token: Option<Token>,
    batch: Batch,
    /// The item at hand, where its place in queue memory can't be borrowed.
    item: Vec<u8>,
}

impl<'a> StageLoop<'a> {
    pub fn new(desk: &'a mut Desk, stage: Box<dyn Stage>, memory: Memory) -> StageLoop<'a> {
        let token = desk.ticket.token.filter(|_| memory != Memory::Nothing).map(|queue| {
            let mut fresh = Vec::new();
            stage.save(&mut fresh);
            Token::new(QueueId(queue), &fresh)
        });
        let largest = if memory == Memory::State { LARGEST_WITH_STATE } else { usize::MAX };
        StageLoop { desk, stage, memory, token, batch: Batch::new(largest), item: Vec::new() }
    }

    pub fn run(mut self) -> Stop {
        if self.memory == Memory::Once
            && let Err(stop) = self.begin_run()
        {
            return stop;
        }
        loop {
            if let Err(stop) = self.round() {
                return stop;
            }
        }
    }

    /// What only one worker may do: the first who gets the token. The others wait for it, so nobody has taken an item
    /// before it is done.
    fn begin_run(&mut self) -> Result<(), Stop> {
        let Some(mut token) = self.token.take() else {
            self.insist(|stage| stage.begin_run())?;
            return self.preface(None, 0);
        };
        token.take(self.desk)?;
        let is_fresh = self.desk.port.item(token::LEASE)?.bytes.is_empty();
        if !token.differs(|state| self.stage.save(state), false) && !is_fresh {
            return Ok(self.desk.port.give_back_all()?);
        }
        self.insist(|stage| stage.begin_run())?;
        let mark = token.mark(&self.desk.port)?;
        self.preface(Some(token::LEASE), mark)?;
        token.put(&mut self.desk.port)?;
        self.desk.commit(token::LEASE + 1)
    }

    /// Lets the stage say what comes before all items; a lease that it is an output of makes it come once.
    fn preface(&mut self, lease: Option<usize>, mark: u64) -> Result<(), Stop> {
        let StageLoop { desk, stage, .. } = self;
        let mut say = |mut out: Emitter<'_>| {
            let result = guard::run_without_item(|| stage.preface(&mut out));
            out.conclude(result)
        };
        match desk.outputs.is_empty() {
            true => say(Emitter::new(&mut desk.console))?,
            false => say(Emitter::skipping(&mut ToQueues::new(desk, lease), mark))?,
        }
        Ok(())
    }

    fn round(&mut self) -> Result<(), Stop> {
        let pace = self.desk.heed()?;
        self.desk.recycling.check()?;
        if let Some(token) = &mut self.token
            && let Recall::Restore(state) = token.take(self.desk)?
        {
            self.stage.restore(&state)?;
        }
        match self.take(&pace)? {
            Taken::Items { before, after } => {
                self.log_taken(before, after)?;
                self.work(&pace)
            }
            Taken::Empty | Taken::Ordered => Ok(()),
            Taken::Ended => self.end(),
        }
    }

    fn take(&mut self, pace: &Pace) -> Result<Taken, Stop> {
        let desk = &mut *self.desk;
        let one = pace.is_single() || pace.tuning.item_timeout.is_some();
        let most = if one { 1 } else { self.batch.size().min(desk.recycling.items_left()) };
        let looks = pace.when_empty().is_some() || desk.item_log.is_on;
        if !looks {
            return Ok(desk.port.take(&desk.inputs, most, Wait::Forever)?);
        }
        let taken = desk.port.take(&desk.inputs, most, Wait::No)?;
        if taken != Taken::Empty {
            return Ok(taken);
        }
        desk.item_log.empty(&desk.ticket.inputs, pace.when_empty());
        match pace.when_empty() {
            Some(length) => {
                desk.pause_as(Waiting::Starved, |tuning| tuning.sleep_when_empty.unwrap_or(length))?;
                Ok(Taken::Empty)
            }
            None => Ok(desk.port.take(&desk.inputs, most, Wait::Forever)?),
        }
    }

    fn log_taken(&self, before: u64, after: u64) -> Result<(), Stop> {
        for i in (self.first()..self.desk.port.len()).filter(|_| self.desk.item_log.is_on) {
            let lease = self.desk.port.item(i)?;
            self.desk.item_log.took(self.desk.name_of(lease.queue), lease.bytes, before, after);
        }
        Ok(())
    }

    /// The first lease that is an item, not the token.
    fn first(&self) -> usize {
        usize::from(self.token.as_ref().is_some_and(Token::is_held))
    }

    /// One batch. What was not begun when its time is over goes back as it was.
    fn work(&mut self, pace: &Pace) -> Result<(), Stop> {
        let first = self.first();
        let watch = self.batch.start();
        let waited = self.desk.port.waited();
        let mut next = first;
        while next < self.desk.port.len() {
            if let Err(failure) = self.process(next)? {
                self.rest();
                return self.fail(next, failure, pace);
            }
            next += 1;
            if watch.is_over(next - first) {
                break;
            }
        }
        if next - first == 1 {
            // An item that is alone is at hand until what it does outside is done.
            self.flush()?;
        }
        self.rest();
        let took = watch.elapsed();
        self.batch.learn(next - first, took);
        self.desk.note_items(next - first, took, waited);
        self.commit(next)?;
        self.desk.port.give_back_from(0)?;
        self.desk.recycling.count(next - first);
        self.desk.pause(|tuning| tuning.sleep)
    }

    /// Processes lease `i`. The inner result is the item's, the outer one the worker's.
    fn process(&mut self, i: usize) -> Result<Result<(), Failure>, Stop> {
        let StageLoop { desk, stage, item: copy, .. } = self;
        desk.port.begin(i);
        desk.time_limit.begin();
        let lease = desk.port.item(i)?;
        let (attempt, id) = (lease.attempt, lease.id);
        let mut process = |bytes: &[u8], mut out: Emitter<'_>| {
            let item = Item::leased(bytes, attempt, id);
            let result = guard::run(bytes, || stage.process(&item, &mut out));
            out.conclude(result)
        };
        let result = if desk.outputs.is_empty() {
            desk.console.begin_item();
            process(lease.bytes, Emitter::new(&mut desk.console))
        } else {
            let mark = lease.mark;
            copy.clear();
            copy.extend_from_slice(lease.bytes);
            process(copy, Emitter::skipping(&mut ToQueues::new(desk, Some(i)), mark))
        };
        Ok(result)
    }

    /// From now on a crash is no item's fault.
    fn rest(&mut self) {
        self.desk.port.rest();
        self.desk.time_limit.rest();
    }

    fn flush(&mut self) -> Result<(), Stop> {
        self.insist(|stage| guard::run_without_item(|| stage.flush()))
    }

    /// Lets the stage do it, again and again as long as it says that it can't be done yet. An order ends that.
    fn insist(&mut self, act: impl Fn(&mut dyn Stage) -> Result<(), Failure>) -> Result<(), Stop> {
        let mut patience = Patience::default();
        loop {
            match act(&mut *self.stage) {
                Err(failure) if failure.reach() == Reach::NotYet => {
                    self.rest(); // whoever dies in the wait has not died of an item
                    patience.wait(self.desk, &failure)?;
                }
                result => {
                    patience.end(result.is_ok());
                    return Ok(result?);
                }
            }
        }
    }

    /// Ends the leases `0 .. upto`: first what happens outside, then the step in the queues.
    fn commit(&mut self, upto: usize) -> Result<(), Stop> {
        self.flush()?;
        let Some(token) = &mut self.token else { return self.desk.commit(upto) };
        let stage = &self.stage;
        token.differs(|state| stage.save(state), false);
        // Staged last and as an output of the token's own lease, which is the first: so no lease at all ends before
        // it is out, and a state never counts an item that comes back.
        token.put(&mut self.desk.port)?;
        self.desk.commit(upto)?;
        token.committed();
        Ok(())
    }

    /// Item `i` failed. Nothing of it counts; the items before it do, the items after it go back as they were.
    fn fail(&mut self, i: usize, failure: Failure, pace: &Pace) -> Result<(), Stop> {
        if failure.reach() != Reach::Item {
            return Err(failure.into());
        }
        self.batch.restart();
        self.desk.item_log.forget();
        if self.token.is_some() {
            return self.take_back(i, &failure, pace);
        }
        self.desk.port.discard_staged_from(i)?;
        self.desk.console.discard_item();
        self.commit(i)?;
        self.desk.recycling.count(i + 1);
        // The failed item last: so it is the first in its queue again.
        self.desk.port.give_back_from(1)?;
        failed::settle(self.desk, 0, &failure, pace)?;
        self.desk.pause(|tuning| tuning.sleep)
    }

    /// The same for a stage with a state, which the failed item may have spoilt: the whole batch is taken back.
    fn take_back(&mut self, i: usize, failure: &Failure, pace: &Pace) -> Result<(), Stop> {
        let first = self.first();
        self.desk.port.discard_staged()?;
        self.desk.console.discard_all();
        if let Some(token) = &self.token {
            self.stage.restore(token.state())?;
        }
        self.desk.port.give_back_from(i + 1)?;
        failed::settle(self.desk, i, failure, pace)?;
        self.desk.port.give_back_from(first)?;
        self.desk.recycling.count(1);
        self.desk.pause(|tuning| tuning.sleep)
    }

    /// The input has ended.
    fn end(&mut self) -> Result<(), Stop> {
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
        let StageLoop { desk, stage, token, .. } = self;
        let mark = token.as_ref().map_or(Ok(0), |token| token.mark(&desk.port))?;
        let mut finish = |mut out: Emitter<'_>| {
            let result = guard::run_without_item(|| stage.finish(&mut out).and_then(|()| stage.flush()));
            out.conclude(result)
        };
        match desk.outputs.is_empty() {
            true => finish(Emitter::new(&mut desk.console))?,
            false => finish(Emitter::skipping(&mut ToQueues::new(desk, lease), mark))?,
        }
        let Some(token) = token else { return desk.commit(0) };
        token.differs(|state| stage.save(state), true);
        token.put(&mut desk.port)?;
        desk.commit(token::LEASE + 1)?;
        token.committed();
        Ok(())
    }
}
