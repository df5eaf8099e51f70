//! Outputs come out exactly once, though a program can't be asked for the same ones again.
//!
//! If all outputs of an item (or of a batch) fit into their queues, they go there in one step with the end of its
//! lease. If not, they go as one item, an output batch, into the stage's spill queue in that step, and from there to their
//! queues as room appears: the lease of the batch is marked with the number of outputs published, so the next worker that
//! leases it continues from there.

use crate::queue::{Committed, Ending, QueueId, Taken, Wait};
use crate::stage::{Failure, Outlet};
use crate::sys::readiness;
use crate::worker::context::WorkerContext;
use crate::worker::outlet::StageOutlet;
use crate::worker::program::io::outputs::{self, OutputSlice};
use crate::worker::stop::{Stop, failure_of};

/// The stage's spill queue.
pub(crate) fn of(worker: &WorkerContext) -> Option<QueueId> {
    worker.spec.spill_queue.map(QueueId)
}

/// Publishes the outputs of the leases `0 .. n` and ends them.
pub(crate) fn publish(worker: &mut WorkerContext, outputs: OutputSlice<'_>, n: usize) -> Result<(), Stop> {
    // One alone can only be out or not, so it may wait as any other, unless there is a dead letter already. What goes to a
    // broker is one commit.
    if (outputs.count > 1 || worker.queues.has_dead_lease())
        && !worker.outputs.is_empty()
        && !worker.queues.shares()
    {
        return publish_whole(worker, outputs, n);
    }
    worker.console.begin_item();
    let mut outlet = StageOutlet::new(worker, n.checked_sub(1));
    outputs.iter().try_for_each(|item| outlet.put(item))?;
    worker.commit(n)
}

fn publish_whole(worker: &mut WorkerContext, outputs: OutputSlice<'_>, n: usize) -> Result<(), Stop> {
    let named = |queue: QueueId| worker.name_of(queue).to_owned();
    let name = worker.outputs.first().map_or(String::new(), |&queue| named(queue));
    let committed = worker.queues.commit_whole(&worker.outputs, outputs.iter(), n);
    match committed.map_err(|error| failure_of(&error, &name))? {
        Some(Committed::Done { before, after }) => {
            if worker.item_log.is_on {
                outputs.iter().for_each(|item| worker.item_log.stage(item));
                worker.item_log.produced(&worker.spec.outputs, before, after);
            }
            Ok(())
        }
        Some(Committed::Closed) => Err(Stop(Ending::OutputClosed)),
        Some(Committed::Full { .. } | Committed::Ordered) | None => into_spill_queue(worker, outputs, n),
    }
}

fn into_spill_queue(worker: &mut WorkerContext, outputs: OutputSlice<'_>, n: usize) -> Result<(), Stop> {
    let Some(spill_queue) = of(worker) else {
        return Err(Failure::fatal("the supervisor gave this worker no spill queue (a bug in mprun)").into());
    };
    let lease = n.checked_sub(1);
    let put = worker.queues.put(&[spill_queue], outputs.bytes, lease);
    put.map_err(|error| failure_of(&error, "the stage's spill queue"))?;
    match worker.queues.commit(n, Wait::Forever)? {
        Committed::Done { .. } | Committed::Full { .. } => drain(worker),
        Committed::Ordered => Err(Stop(Ending::Ordered)),
        Committed::Closed => Err(Stop(Ending::OutputClosed)),
    }
}

/// Publishes the batches in the spill queue, unless leases are held already.
pub(crate) fn drain(worker: &mut WorkerContext) -> Result<(), Stop> {
    let Some(spill_queue) = of(worker) else { return Ok(()) };
    while worker.queues.is_empty() && worker.queues.waiting(spill_queue) > 0 {
        match worker.queues.take(&[spill_queue], 1, Wait::No)? {
            Taken::Items { .. } => publish_batch(worker)?,
            Taken::Empty | Taken::Ended | Taken::Ordered => return Ok(()),
        }
    }
    Ok(())
}

/// Before a worker ends by an order: no worker may come after it. It waits for room as long as the supervisor allows; a SIGTERM ends it at once, and loses nothing.
pub(crate) fn drain_at_exit(worker: &mut WorkerContext) -> Result<(), Stop> {
    let Some(spill_queue) = of(worker) else { return Ok(()) };
    worker.queues.give_back_all()?;
    if worker.queues.waiting(spill_queue) == 0 {
        return Ok(());
    }
    readiness::release_termination().map_err(Failure::from)?;
    worker.queues.publish_before_finish();
    while let Taken::Items { .. } = worker.queues.take(&[spill_queue], 1, Wait::No)? {
        stage_batch(worker)?;
        match worker.queues.commit(1, Wait::Forever)? {
            Committed::Done { .. } | Committed::Full { .. } => {}
            Committed::Ordered | Committed::Closed => break,
        }
    }
    Ok(())
}

/// If a batch of outputs is among the leases all others go back for now. Returns whether there was one.
pub(crate) fn keep_only_batch(worker: &mut WorkerContext) -> Result<bool, Stop> {
    for i in 0..worker.queues.len() {
        if is_batch(worker, i)? {
            worker.queues.give_back_from(i + 1)?;
            while worker.queues.len() > 1 {
                worker.queues.give_back(0, false)?;
            }
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether lease `i` is an output batch.
pub(crate) fn is_batch(worker: &WorkerContext, i: usize) -> Result<bool, Stop> {
    Ok(Some(worker.queues.item(i)?.queue) == of(worker))
}

/// Publishes the outputs of the only lease, an output batch.
pub(crate) fn publish_batch(worker: &mut WorkerContext) -> Result<(), Stop> {
    stage_batch(worker)?;
    worker.commit(1)
}

fn stage_batch(worker: &mut WorkerContext) -> Result<(), Stop> {
    let lease = worker.queues.item(0)?;
    let (bytes, mark) = (lease.bytes.to_vec(), lease.mark);
    let skip = usize::try_from(mark).unwrap_or(usize::MAX);
    let mut outlet = StageOutlet::new(worker, Some(0));
    Ok(outputs::read(&bytes).skip(skip).try_for_each(|item| outlet.put(item))?)
}
