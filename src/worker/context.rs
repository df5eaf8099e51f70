//! What both loops have at hand: the queues, standard output, and the rules of the pipeline file.

use super::console::Console;
use super::item_log::ItemLog;
use super::recycle::Recycling;
use super::spec::WorkerSpec;
use super::stop::Stop;
use crate::append::UndoLog;
use crate::queue::{Arena, Committed, Ending, Order, QueueId, Taken, Tuning, Wait, Waiting, WorkerHandle};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(super) struct WorkerContext {
    pub spec: Rc<WorkerSpec>,
    pub queues: WorkerHandle,
    /// Taken from in this order. The queue of outputs that wait for room comes first, and ends with the others.
    pub inputs: Vec<QueueId>,
    pub outputs: Vec<QueueId>,
    /// Of the outputs the first ones, so many: they get every item.
    pub main_outputs: usize,
    pub console: Console,
    /// What the workers of the run count together.
    pub counts: UndoLog,
    pub item_log: ItemLog,
    pub arena: Arena,
    pub recycling: Recycling,
    /// What the exit code is to say beyond the ending: one of those that [`crate::exit`] names for workers.
    pub exit_code: Option<u8>,
    /// As they were read last.
    pub live: LiveSettings,
}

/// The settings and the order of the worker's slot, as they were read last.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveSettings {
    pub tuning: Tuning,
    pub order: Order,
}

impl LiveSettings {
    /// Whether items go one at a time, because each is followed by a pause or logged.
    pub(super) fn is_single(&self) -> bool {
        !self.tuning.sleep.is_zero() && !self.is_stopping() || self.tuning.log_items
    }

    /// Whether the pipeline or this worker is to end: there are no pauses any more.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.order, Order::Drain | Order::Finish)
    }

    pub(super) fn must_finish(&self) -> bool {
        self.order == Order::Finish
    }

    /// Whether to wait for another order.
    pub(super) fn must_pause(&self) -> bool {
        self.order == Order::Pause
    }

    fn pause_when_full(&self) -> Option<Duration> {
        self.tuning.sleep_when_full.filter(|_| !self.is_stopping())
    }

    pub(super) fn pause_when_empty(&self) -> Option<Duration> {
        self.tuning.sleep_when_empty.filter(|_| !self.is_stopping())
    }
}

/// Lets the supervisor look at what its workers say. If it is gone this worker dies with it anyway.
fn signal(supervisor: Pid) {
    let _ = kill(supervisor, Signal::SIGUSR1);
}

impl WorkerContext {
    pub(super) fn new(
        spec: WorkerSpec,
        arena: Arena,
        log: UndoLog,
        mut queues: WorkerHandle,
    ) -> WorkerContext {
        for token in [spec.token, spec.print_token].into_iter().flatten() {
            queues.add_hidden_queue(QueueId(token));
        }
        let supervisor = spec.supervisor();
        queues.tell_of_failing(Box::new(move || signal(supervisor)));
        let ids = |named: &[(u16, String)]| {
            named.iter().map(|(id, _)| QueueId(*id)).collect::<Vec<_>>().into_iter()
        };
        if let Some(shared) = spec.shared.clone() {
            let [inputs, outputs] = [&spec.inputs, &spec.outputs].map(|named| ids(named).collect::<Vec<_>>());
            queues.share(shared, &inputs, &outputs);
        }
        let outputs: Vec<QueueId> = ids(&spec.outputs).collect();
        if spec.work.apart > 0 {
            queues.route_to(&outputs);
        }
        WorkerContext {
            inputs: spec.spill_queue.map(QueueId).into_iter().chain(ids(&spec.inputs)).collect(),
            outputs,
            main_outputs: spec.outputs.len().saturating_sub(spec.work.apart),
            counts: log.clone(),
            console: Console::new(log, arena.clone(), &spec),
            item_log: ItemLog::default(),
            arena,
            recycling: Recycling::new(spec.recycle),
            spec: Rc::new(spec),
            queues,
            exit_code: None,
            live: LiveSettings { tuning: Tuning::default(), order: Order::Run },
        }
    }

    /// The settings as they are now; an order to finish is the end, one to pause holds here until another comes.
    pub(super) fn poll_orders(&mut self) -> Result<LiveSettings, Stop> {
        let mut live = self.read_orders();
        while live.must_pause() {
            self.report_at_rest();
            self.queues.park()?;
            live = self.read_orders();
        }
        if live.must_finish() { Err(Stop(Ending::Ordered)) } else { Ok(live) }
    }

    /// No item is at work here any more, as the order to pause wants it: the supervisor may look.
    pub(super) fn report_at_rest(&self) {
        if self.queues.set_at_rest(true) {
            self.signal_supervisor();
        }
    }

    /// Notes in the slot that the stage is built, and signals the supervisor to see it.
    pub(super) fn report_ready(&self) {
        self.queues.ready();
        self.signal_supervisor();
    }

    fn signal_supervisor(&self) {
        signal(self.spec.supervisor());
    }

    /// Reads the slot anew each time: that is a few loads, and another reader of it (the queues, in a wait) then can't
    /// hide a change.
    pub(super) fn read_orders(&mut self) -> LiveSettings {
        if self.queues.has_new_orders() {
            self.queues.set_at_rest(false); // if it is to pause still, or again, it says so again
        }
        let (order, tuning) = (self.queues.order(), self.queues.tuning());
        self.item_log.is_on = tuning.log_items;
        self.live = LiveSettings { tuning, order };
        self.live
    }

    /// A pause of the pipeline file: ends early when the pipeline drains, and follows a change of its length.
    pub(super) fn pause(&mut self, length: impl Fn(&Tuning) -> Duration) -> Result<(), Stop> {
        self.pause_as(Waiting::Paused, length)
    }

    /// The same, counted as what it is for.
    pub(super) fn pause_as(
        &mut self,
        why: Waiting,
        length: impl Fn(&Tuning) -> Duration,
    ) -> Result<(), Stop> {
        let start = Instant::now();
        loop {
            let live = self.poll_orders()?;
            let length = length(&live.tuning);
            if live.is_stopping() || length.is_zero() || self.queues.pause(start + length, why)? {
                return Ok(());
            }
        }
    }

    /// Whether an item waits in one of its inputs.
    pub(super) fn has_waiting(&self) -> bool {
        self.inputs.iter().any(|&queue| self.queues.waiting(queue) > 0)
    }

    /// Takes up to `most` items, and waits for the first as the pipeline file says.
    pub(super) fn take(&mut self, most: usize) -> Result<Taken, Stop> {
        let live = self.live;
        let pause = live.pause_when_empty();
        if pause.is_some() || self.item_log.is_on {
            let taken = self.queues.take(&self.inputs, most, Wait::No)?;
            if taken != Taken::Empty {
                return Ok(taken);
            }
            self.item_log.empty(&self.spec.inputs, pause);
        }
        let Some(length) = pause else { return Ok(self.queues.take(&self.inputs, most, Wait::Forever)?) };
        self.pause_as(Waiting::Starved, |tuning| tuning.sleep_when_empty.unwrap_or(length))?;
        Ok(Taken::Empty)
    }

    /// The same, in as many transactions as it needs: one takes a limited number of items. No lease may be held before.
    pub(super) fn take_together(&mut self, most: usize) -> Result<Taken, Stop> {
        let mut taken = self.take(most)?;
        while let Taken::Items { after, .. } = &mut taken
            && *after > 0
            && self.queues.len() < most
            && let Taken::Items { after: left, .. } =
                self.queues.take(&self.inputs, most - self.queues.len(), Wait::No)?
        {
            *after = left;
        }
        Ok(taken)
    }

    /// `log_items`: the leases from `first` on were taken.
    pub(super) fn log_taken(&self, first: usize, before: u64, after: u64) -> Result<(), Stop> {
        for i in (first..self.queues.len()).filter(|_| self.item_log.is_on) {
            let lease = self.queues.item(i)?;
            self.item_log.took(self.name_of(lease.queue), lease.bytes, before, after);
        }
        Ok(())
    }

    /// Does it, and counts the time as a wait if there is a reason.
    pub(super) fn counted_as<T>(&self, why: Option<Waiting>, wait: impl FnOnce(&WorkerHandle) -> T) -> T {
        let Some(why) = why else { return wait(&self.queues) };
        self.queues.begin_wait(why);
        let result = wait(&self.queues);
        self.queues.end_wait(why);
        result
    }

    /// Waits for something outside, or until another order comes. Unlike a pause of the pipeline file, it is as long when
    /// the pipeline drains.
    pub(super) fn wait_outside(&mut self, length: Duration) -> Result<(), Stop> {
        self.poll_orders()?;
        self.queues.pause(Instant::now() + length, Waiting::Blocked)?;
        self.poll_orders().map(drop)
    }

    /// Items took `took` together, including the waits since `waited` was the sum of all.
    pub(super) fn note_items(&self, items: usize, took: Duration, waited: Duration) {
        let waits = self.queues.waited().saturating_sub(waited);
        self.queues.note_items(items, took.saturating_sub(waits));
    }

    /// Publishes what is staged and ends the leases `0 .. upto`; waits for room as the pipeline file says.
    pub(super) fn commit(&mut self, upto: usize) -> Result<(), Stop> {
        let upto = self.print(upto)?;
        self.publish(upto)
    }

    fn publish(&mut self, upto: usize) -> Result<(), Stop> {
        // The queues can't tell: the stage's token, which is staged too, always has a reader.
        if self.queues.are_closed(&self.outputs)? {
            return Err(Stop(Ending::OutputClosed));
        }
        let held = self.queues.len();
        let mut wait_silently = false;
        loop {
            // An order to finish doesn't keep back what is done, if there is room for it.
            let live = self.read_orders();
            let tells = self.item_log.is_on && !wait_silently;
            let look =
                live.pause_when_full().is_some() || tells || live.must_pause() && !self.queues.is_at_rest();
            let upto = upto.saturating_sub(held - self.queues.len());
            match self.queues.commit(upto, if look { Wait::No } else { Wait::UntilOrder })? {
                Committed::Done { before, after } => {
                    self.item_log.produced(&self.spec.outputs, before, after);
                    return Ok(());
                }
                Committed::Full { queue, size } => {
                    if tells || live.pause_when_full().is_some() {
                        self.item_log.full(&self.spec.outputs, queue, size, live.pause_when_full());
                        wait_silently = true;
                    }
                    if live.must_pause() {
                        self.report_at_rest(); // the work on it is done, and there may be no room before `resume`
                    }
                    if let Some(length) = live.pause_when_full() {
                        self.pause_as(Waiting::Blocked, |tuning| tuning.sleep_when_full.unwrap_or(length))?;
                    }
                }
                Committed::Closed => return Err(Stop(Ending::OutputClosed)),
                Committed::Ordered => return Err(Stop(Ending::Ordered)),
            }
        }
    }

    /// Publishes what was staged since [`WorkerHandle::begin_whole`] and ends the leases `0 .. upto`; false: there is no room for
    /// all of it, and nothing is staged any more.
    pub(super) fn commit_whole(&mut self, upto: usize) -> Result<bool, Stop> {
        if self.queues.are_closed(&self.outputs)? {
            self.queues.give_up_whole()?;
            return Err(Stop(Ending::OutputClosed));
        }
        match self.queues.publish_whole(upto)? {
            Some(Committed::Done { before, after }) => {
                self.item_log.produced(&self.spec.outputs, before, after);
                Ok(true)
            }
            Some(Committed::Closed) => Err(Stop(Ending::OutputClosed)),
            Some(Committed::Full { .. } | Committed::Ordered) | None => Ok(false),
        }
    }

    /// [`WorkerContext::commit`] for outputs that can't be made again: an order to finish doesn't end the wait for room in a
    /// queue. On standard output it does, and they are lost.
    pub(super) fn commit_regardless(&mut self, upto: usize) -> Result<(), Stop> {
        let upto = self.print(upto).map_err(|stop| match stop.0 {
            Ending::Ordered => {
                Stop(Ending::Failed("stopped while standard output could not be written".to_owned()))
            }
            other => Stop(other),
        })?;
        let held = self.queues.len();
        match self.publish(upto) {
            Err(Stop(Ending::Ordered)) => {}
            result => return result,
        }
        let upto = upto.saturating_sub(held - self.queues.len());
        match self.queues.commit(upto, Wait::Regardless)? {
            Committed::Done { .. } | Committed::Full { .. } | Committed::Ordered => Ok(()),
            Committed::Closed => Err(Stop(Ending::OutputClosed)),
        }
    }

    /// The name of a queue this worker reads or writes.
    pub(super) fn name_of(&self, queue: QueueId) -> &str {
        let mut named = self.spec.inputs.iter().chain(&self.spec.outputs);
        named.find(|(id, _)| *id == queue.0).map_or("?", |(_, name)| name)
    }
}
