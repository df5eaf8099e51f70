//! The loop of a sink that hands items over to something outside: take, deliver, commit.
//!
//! | killed … | left behind | what follows |
//! |---|---|---|
//! | before the items went out | leased items | they come again |
//! | while they were on their way, or before the commit | the same; the other side may have them | they come again, with the same key |
//! | after the commit | nothing | – |

mod key;

use super::guard;
use crate::queue::{Ending, Taken, Waiting};
use crate::stage::{Delivery, Failure, Parcel, Reach, Undelivered};
use crate::worker::context::WorkerContext;
use crate::worker::dead_letters;
use crate::worker::stop::{Stop, until_stop};
use std::time::{Duration, Instant};

/// `item_timeout` where there is none: a peer that never answers must not have a worker for ever.
const USUAL_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct DeliveryLoop<'a> {
    worker: &'a mut WorkerContext,
    sink: Box<dyn Delivery>,
}

impl<'a> DeliveryLoop<'a> {
    pub(crate) fn new(worker: &'a mut WorkerContext, sink: Box<dyn Delivery>) -> DeliveryLoop<'a> {
        DeliveryLoop { worker, sink }
    }

    pub(crate) fn run(mut self) -> Stop {
        until_stop(|| self.round())
    }

    fn round(&mut self) -> Result<(), Stop> {
        self.worker.poll_orders()?;
        self.worker.recycling.check()?;
        match self.take()? {
            Taken::Items { before, after } => {
                self.worker.log_taken(0, before, after)?;
                self.work()
            }
            Taken::Empty | Taken::Ordered => Ok(()),
            Taken::Ended => Err(Stop(Ending::InputEnded)),
        }
    }

    /// Leases a parcel, or as much of one as is there.
    fn take(&mut self) -> Result<Taken, Stop> {
        let worker = &mut *self.worker;
        let most = if worker.live.is_single() { 1 } else { self.sink.most() };
        let most = most.min(worker.recycling.items_left());
        worker.take_together(most)
    }

    /// Works off all leases. A parcel that is refused is halved until the item is found that is at fault.
    fn work(&mut self) -> Result<(), Stop> {
        let mut size = self.first_size()?;
        while !self.worker.queues.is_empty() {
            let wanted = size.clamp(1, self.worker.queues.len());
            let admitted = self.worker.admit(wanted)?;
            let (key, together) = key::of(&self.worker.queues, admitted, &self.worker.spec)?;
            self.worker.give_admitted_back(admitted - together);
            let begun = Instant::now();
            let result = self.attempt(&key, together)?;
            self.worker.queues.note_items(together, begun.elapsed());
            match result {
                Ok(()) => {
                    self.worker.commit(together)?;
                    self.worker.recycling.count(together);
                    self.worker.pause(|tuning| tuning.sleep)?;
                }
                Err(refused) => size = self.refused(together, refused)?,
            }
        }
        Ok(())
    }

    /// How many of the leases may go together: one that has failed before goes alone.
    fn first_size(&self) -> Result<usize, Stop> {
        for i in 0..self.worker.queues.len() {
            if self.worker.queues.item(i)?.attempt > 1 {
                return Ok(i.max(1));
            }
        }
        Ok(self.worker.queues.len())
    }

    fn attempt(&mut self, key: &str, size: usize) -> Result<Result<(), Undelivered>, Stop> {
        let DeliveryLoop { worker, sink } = self;
        // Which one of several has killed this worker can't be known.
        if size == 1 {
            worker.queues.begin(0);
        }
        let mut items = Vec::with_capacity(size);
        for i in 0..size {
            items.push(worker.queues.item(i)?.bytes);
        }
        let timeout = worker.live.tuning.item_timeout.unwrap_or(USUAL_TIMEOUT);
        let parcel = Parcel { items: &items, key, until: Instant::now() + timeout };
        let result = guard::run(items[0], || sink.deliver(parcel));
        worker.queues.rest();
        Ok(result)
    }

    /// Nothing of the first `size` leases counts. Returns how many may go together from now on.
    fn refused(&mut self, size: usize, refused: Undelivered) -> Result<usize, Stop> {
        let Undelivered { failure, pause } = refused;
        match failure.reach() {
            Reach::Later => {
                self.put_off(&failure, pause.unwrap_or_default())?;
                Ok(1)
            }
            reach if dead_letters::item_failure(reach).is_none() => Err(failure.into()),
            _ if size > 1 => {
                log::debug!("{size} items together were refused: {failure}");
                Ok(size / 2)
            }
            _ => {
                self.worker.item_log.forget();
                // The others first: so the failed one is the first in its queue again.
                self.worker.queues.give_back_from(1)?;
                dead_letters::fail(self.worker, 0, &failure)?;
                self.worker.recycling.count(1);
                self.worker.pause(|tuning| tuning.sleep)?;
                Ok(1)
            }
        }
    }

    /// The other side can't be reached, or can't take anything now. It is the first item that is put off, for it will do to find
    /// out when that is over; the others go back as they were. For `pause` this worker leaves the other side alone.
    fn put_off(&mut self, failure: &Failure, pause: Duration) -> Result<(), Stop> {
        let worker = &mut *self.worker;
        worker.item_log.forget();
        worker.queues.give_back_from(1)?;
        let pause = pause.min(worker.live.tuning.retry.max);
        let said = dead_letters::put_off(worker, 0, pause, &failure.to_string())?;
        log::warn!("{said}");
        self.leave_alone(pause)
    }

    /// Waits. That is as long when the pipeline drains.
    fn leave_alone(&mut self, length: Duration) -> Result<(), Stop> {
        let until = Instant::now() + length;
        while Instant::now() < until {
            self.worker.poll_orders()?;
            self.worker.queues.pause(until, Waiting::Blocked)?;
        }
        Ok(())
    }
}
