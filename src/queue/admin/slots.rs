//! What the supervisor does to workers' slots: opened, tuned, ordered, read.

use super::queues::QueueAdmin;
use crate::model::{Totals, Tuning};
use crate::queue::arena::item_times::{self, ItemTimes};
use crate::queue::arena::layout::{self, QueueAt, SlotAt, StageAt, queue, slot};
use crate::queue::arena::orders::{self, Ending, Order, Phase};
use crate::queue::arena::worker_time::{self, WorkTimes};
use crate::queue::arena::{attach::Arena, fault::Fault, futex, slot_queues, tuning};
use crate::queue::transaction::{counts, delayed, event, failing};
use crate::queue::{QueueId, SlotId, StageId};
use std::sync::atomic::Ordering::{AcqRel, SeqCst};
use std::sync::atomic::fence;

/// What a worker left in its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotReport {
    /// How far it came.
    pub phase: Phase,
    /// How it said that it ends; `None`: it did not say.
    pub ending: Option<Ending>,
    /// What keeps it from its work: a disk without room.
    pub obstacle: Option<String>,
    /// What it did, but for what was too long.
    pub counts: Totals,
    /// About how many items its program has in hand without a lease.
    pub handed_over: u64,
    /// How far the source is that it runs, and of how much.
    pub progress: Option<(u64, u64)>,
    /// How it spent its time until now.
    pub times: WorkTimes,
    /// How long its items took.
    pub item_times: ItemTimes,
}

impl QueueAdmin {
    /// Makes a slot ready for a new worker, before its fork.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`]; also [`Fault::DiskFull`].
    pub fn open_slot(&mut self, id: SlotId, tuning: &Tuning) -> Result<(), Fault> {
        let slot = SlotAt::of(id)?;
        let memory = self.session.memory();
        if u64::from(id.0) >= memory.load(layout::OPENED) {
            memory.reserve(slot.area())?;
        }
        let cleared =
            [slot::PID, slot::PHASE, slot::ENDING, slot::ENDING_LEN, slot::ORDER, slot::BEGUN, slot::PROGRAM];
        memory.store(slot + slot::STAGE, 0);
        memory.store(slot + slot::LAST_WORDS_LEN, 0);
        slot_queues::clear(memory, slot);
        let counters = [slot::TAKEN, slot::COMPLETED, slot::EMITTED, slot::DEAD, slot::HANDED_OVER];
        cleared.iter().chain(&counters).chain(&slot::PROGRESS).for_each(|&word| memory.store(slot + word, 0));
        worker_time::clear(memory, slot);
        item_times::clear(memory, slot);
        tuning::store(*tuning, memory, slot);
        memory.store(layout::OPENED, memory.load(layout::OPENED).max(u64::from(id.0) + 1));
        Ok(())
    }

    /// Takes the room on the disk for the slots of new workers, and for stages that are not open yet.
    ///
    /// # Errors
    /// See [`QueueAdmin::open_slot`].
    pub fn reserve_places(&mut self, places: &[(SlotId, Option<StageId>)]) -> Result<(), Fault> {
        let memory = self.session.memory();
        for &(slot, stage) in places {
            if u64::from(slot.0) >= memory.load(layout::OPENED) {
                memory.reserve(SlotAt::of(slot)?.area())?;
            }
            if let Some(stage) = stage {
                memory.reserve(StageAt::of(stage)?.area())?;
            }
        }
        Ok(())
    }

    /// Notes which queues the worker will use, before its fork: orders to it, and its death, then concern no others.
    /// Its items come from the first of them, the `inputs`, where none waits longer than its settings say.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_queues_of(&mut self, id: SlotId, queues: &[QueueId], inputs: usize) -> Result<(), Fault> {
        slot_queues::store(self.session.memory(), SlotAt::of(id)?, queues, inputs);
        self.limit_delays(id)
    }

    /// Notes the stage of the worker, before its fork: its failures count there.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_stage_of(&mut self, id: SlotId, stage: StageId) -> Result<(), Fault> {
        StageAt::of(stage)?;
        self.session.memory().store(SlotAt::of(id)? + slot::STAGE, u64::from(stage.0) + 1);
        Ok(())
    }

    /// Makes a stage's place ready for it, before its first worker: all that an earlier one has left there goes.
    ///
    /// # Errors
    /// See [`QueueAdmin::open_slot`].
    pub fn open_stage(&mut self, id: StageId) -> Result<(), Fault> {
        let (stage, memory) = (StageAt::of(id)?, self.session.memory());
        memory.reserve(stage.area())?;
        stage.words().for_each(|word| memory.store(word, 0));
        failing::open(memory, stage);
        Ok(())
    }

    /// Notes the worker's process, for the process that must clean up after the supervisor.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_pid(&mut self, id: SlotId, pid: u32) -> Result<(), Fault> {
        self.session.memory().store(SlotAt::of(id)? + slot::PID, u64::from(pid));
        Ok(())
    }

    /// The program that a worker had running when it was last seen: its group may need to be killed.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn program(&self, id: SlotId) -> Result<Option<u32>, Fault> {
        let pid = self.session.memory().load(SlotAt::of(id)? + slot::PROGRAM) as u32;
        Ok((pid != 0).then_some(pid))
    }

    /// Gives a running worker other settings.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn tune(&mut self, id: SlotId, tuning: &Tuning) -> Result<(), Fault> {
        self.tune_all(&[(id, *tuning)])
    }

    /// The same for many, who are woken once all of them have theirs.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn tune_all(&mut self, workers: &[(SlotId, Tuning)]) -> Result<(), Fault> {
        for (id, tuning) in workers {
            tuning::store(*tuning, self.session.memory(), SlotAt::of(*id)?);
        }
        workers.iter().try_for_each(|(id, _)| self.limit_delays(*id))?;
        let ids: Vec<SlotId> = workers.iter().map(|(id, _)| *id).collect();
        self.announce_orders(&ids)
    }

    /// What waits in a worker's inputs waits no longer than its `retry.max`, also where that was more when the item failed.
    /// Killed in between, the supervisor's successor does it again with each worker that it starts.
    fn limit_delays(&mut self, id: SlotId) -> Result<(), Fault> {
        let (slot, memory) = (SlotAt::of(id)?, self.session.memory());
        let most = delayed::longest(tuning::load(memory, slot).retry);
        for queue in slot_queues::inputs(memory, slot) {
            if !delayed::may_wait_longer(self.session.memory(), queue, most) {
                continue;
            }
            let mut tx = self.session.begin()?;
            delayed::limit(&mut tx, queue, most);
            tx.commit()?;
            tx.notify_all(queue + queue::NOT_EMPTY);
        }
        Ok(())
    }

    /// Gives a worker an order; it wakes wherever it sleeps in the queue.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn order(&mut self, id: SlotId, order: Order) -> Result<(), Fault> {
        self.order_all(&[id], order)
    }

    /// The same order for many, who are woken at once.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn order_all(&mut self, ids: &[SlotId], order: Order) -> Result<(), Fault> {
        for &id in ids {
            self.session.memory().store(SlotAt::of(id)? + slot::ORDER, order as u64);
        }
        fence(SeqCst); // pairs with the one in `WorkerHandle::set_at_rest`: it sees the order, or its phase is seen to change
        self.announce_orders(ids)
    }

    fn announce_orders(&mut self, ids: &[SlotId]) -> Result<(), Fault> {
        let memory = self.session.memory();
        for &id in ids {
            let sequence = memory.word32(SlotAt::of(id)? + slot::ORDER_SEQUENCE);
            // Pairs with the Acquire in `WorkerHandle::order_sequence`: then the order is seen too.
            sequence.fetch_add(1, AcqRel);
            futex::wake(sequence, i32::MAX);
        }
        self.wake_beside(ids)
    }

    /// How many workers are stopped (SIGSTOP, a debugger) now: call it whenever one stops, continues, or dies.
    ///
    /// A stopped worker may owe a wake-up, have consumed one, or, asleep, be the one that the kernel picks for the next.
    /// So all are woken now, and while any is stopped every change wakes all that wait for it.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn set_stopped(&mut self, workers: usize) -> Result<(), Fault> {
        self.session.memory().store(layout::STOPPED, workers as u64);
        self.wake_all();
        Ok(())
    }

    /// Wakes every waiter on a queue.
    fn wake_all(&self) {
        let memory = self.session.memory();
        counts::used_queues(memory).for_each(|queue| event::wake_all(memory, queue));
        let slots = SlotAt::opened(memory.load(layout::OPENED));
        let stages = slots.filter_map(|slot| StageAt::named_by(memory.load(slot + slot::STAGE)));
        stages.for_each(|stage| event::wake_all_on(memory, stage + layout::stage::MAY_TAKE));
    }

    /// The queues that a worker uses; all, where that is not known.
    pub(super) fn queues_of(&self, slot: SlotAt) -> Vec<QueueAt> {
        let memory = self.session.memory();
        slot_queues::load(memory, slot).unwrap_or_else(|| counts::used_queues(memory).collect())
    }

    /// Wakes every waiter on the queues that these workers use, each queue once.
    pub(super) fn wake_beside(&self, ids: &[SlotId]) -> Result<(), Fault> {
        let (memory, mut queues) = (self.session.memory(), Vec::new());
        for &id in ids {
            if let Some(stage) = StageAt::named_by(memory.load(SlotAt::of(id)? + slot::STAGE)) {
                event::wake_all_on(memory, stage + layout::stage::MAY_TAKE);
            }
            match slot_queues::load(memory, SlotAt::of(id)?) {
                Some(used) => queues.extend(used),
                None => {
                    self.wake_all();
                    return Ok(());
                }
            }
        }
        // Who waits for its turn in the order of one of them sleeps on its window.
        let windows = queues.iter().filter_map(|&queue| QueueAt::linked(memory.load(queue + queue::WINDOW)));
        let windows: Vec<QueueAt> = windows.collect();
        queues.extend(windows);
        queues.sort_unstable_by_key(|queue| queue.index());
        queues.dedup();
        queues.into_iter().for_each(|queue| event::wake_all(memory, queue));
        Ok(())
    }

    /// What a worker left in its slot so far.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn report(&self, id: SlotId) -> Result<SlotReport, Fault> {
        let (memory, slot) = (self.session.memory(), SlotAt::of(id)?);
        Ok(SlotReport {
            phase: Phase::load(memory, slot),
            ending: Ending::load(memory, slot),
            obstacle: orders::obstacle(memory, slot),
            counts: Totals {
                taken: memory.load(slot + slot::TAKEN),
                done: memory.load(slot + slot::COMPLETED),
                emitted: memory.load(slot + slot::EMITTED),
                dead: memory.load(slot + slot::DEAD),
                too_long: 0,
                repeated: 0,
                perhaps_lost: 0,
            },
            handed_over: memory.load(slot + slot::HANDED_OVER),
            progress: {
                let [done, total] = slot::PROGRESS.map(|word| memory.load(slot + word));
                (total > 0).then_some((done, total))
            },
            times: worker_time::load(memory, slot),
            item_times: item_times::load(memory, slot),
        })
    }
}

impl Arena {
    /// The processes noted in the worker slots, and their programs, to clean up after a dead supervisor. A process may
    /// have ended long ago.
    pub fn pids(&self) -> Vec<u32> {
        let slots = SlotAt::opened(self.0.load(layout::OPENED));
        let noted =
            slots.flat_map(|slot| [slot::PID, slot::PROGRAM].map(|word| self.0.load(slot + word) as u32));
        noted.filter(|&pid| pid != 0).collect()
    }
}
