//! Outputs come out exactly once, though a program can't be asked for the same ones again.
//!
//! If all outputs of an item (or of a batch) fit into their queues, they go there in one step with the end of its
//! lease. If not, they go as *one* item into the stage's outbox in that step, and from there to their queues as room
//! appears: the lease of that item is marked with how many are out, so whoever has it next goes on from there.

use super::outputs::{self, Part};
use crate::queue::{Committed, Ending, QueueId, Taken, Wait};
use crate::stage::{Failure, Outlet};
use crate::sys::readiness;
use crate::worker::desk::Desk;
use crate::worker::outlet::ToQueues;
use crate::worker::stop::{Stop, failure_of};

/// The stage's outbox.
pub(super) fn of(desk: &Desk) -> Option<QueueId> {
    desk.ticket.outbox.map(QueueId)
}

/// What the stage takes from: the outbox first, which ends with the inputs.
pub(super) fn inputs(desk: &Desk) -> Vec<QueueId> {
    of(desk).into_iter().chain(desk.inputs.iter().copied()).collect()
}

/// Publishes the outputs of the leases `0 .. n` and ends them.
pub(super) fn publish(desk: &mut Desk, outputs: Part<'_>, n: usize) -> Result<(), Stop> {
    if desk.outputs.is_empty() {
        desk.console.begin_item();
        outputs.iter().try_for_each(|item| desk.console.put(item))?;
        return desk.commit(n);
    }
    match outputs.count {
        // One alone can only be out or not, so it may wait as any other.
        0 | 1 => {
            let mut outlet = ToQueues::new(desk, n.checked_sub(1));
            outputs.iter().try_for_each(|item| outlet.put(item))?;
            desk.commit(n)
        }
        _ => publish_whole(desk, outputs, n),
    }
}

fn publish_whole(desk: &mut Desk, outputs: Part<'_>, n: usize) -> Result<(), Stop> {
    let named = |queue: QueueId| desk.name_of(queue).to_owned();
    let name = desk.outputs.first().map_or(String::new(), |&queue| named(queue));
    let committed = desk.port.commit_whole(&desk.outputs, outputs.iter(), n);
    match committed.map_err(|error| failure_of(&error, &name))? {
        Some(Committed::Done { before, after }) => {
            if desk.item_log.is_on {
                outputs.iter().for_each(|item| desk.item_log.stage(item));
                desk.item_log.produced(&desk.ticket.outputs, before, after);
            }
            Ok(())
        }
        Some(Committed::Closed) => Err(Stop(Ending::OutputClosed)),
        Some(Committed::Full { .. } | Committed::Ordered) | None => into_outbox(desk, outputs, n),
    }
}

fn into_outbox(desk: &mut Desk, outputs: Part<'_>, n: usize) -> Result<(), Stop> {
    let Some(outbox) = of(desk) else {
        return Err(Failure::fatal("the supervisor gave this worker no outbox").into());
    };
    let lease = n.checked_sub(1);
    let put = desk.port.put(&[outbox], outputs.bytes, lease);
    put.map_err(|error| failure_of(&error, "the stage's outbox"))?;
    match desk.port.commit(n, Wait::Forever)? {
        Committed::Done { .. } | Committed::Full { .. } => work_off(desk),
        Committed::Ordered => Err(Stop(Ending::Ordered)),
        Committed::Closed => Err(Stop(Ending::OutputClosed)),
    }
}

/// Publishes what waits in the outbox. Leases that are held already stay where they are.
pub(super) fn work_off(desk: &mut Desk) -> Result<(), Stop> {
    let Some(outbox) = of(desk) else { return Ok(()) };
    while desk.port.is_empty() && desk.port.waiting(outbox) > 0 {
        match desk.port.take(&[outbox], 1, Wait::No)? {
            Taken::Items { .. } => publish_bundle(desk)?,
            Taken::Empty | Taken::Ended | Taken::Ordered => return Ok(()),
        }
    }
    Ok(())
}

/// Before a worker ends that was told to: nobody may come after it. It is in no hurry, only as patient as the
/// supervisor; a SIGTERM ends it at once, and loses nothing.
pub(super) fn leave_empty(desk: &mut Desk) -> Result<(), Stop> {
    let Some(outbox) = of(desk) else { return Ok(()) };
    desk.port.give_back_all()?;
    if desk.port.waiting(outbox) == 0 {
        return Ok(());
    }
    readiness::release_termination().map_err(Failure::from)?;
    desk.port.insist();
    while let Taken::Items { .. } = desk.port.take(&[outbox], 1, Wait::No)? {
        stage_bundle(desk)?;
        match desk.port.commit(1, Wait::Forever)? {
            Committed::Done { .. } | Committed::Full { .. } => {}
            Committed::Ordered | Committed::Closed => break,
        }
    }
    Ok(())
}

/// Whether lease `i` is one from the outbox.
pub(super) fn is_bundle(desk: &Desk, i: usize) -> Result<bool, Stop> {
    Ok(Some(desk.port.item(i)?.queue) == of(desk))
}

/// Publishes what the only lease, one from the outbox, holds.
pub(super) fn publish_bundle(desk: &mut Desk) -> Result<(), Stop> {
    stage_bundle(desk)?;
    desk.commit(1)
}

fn stage_bundle(desk: &mut Desk) -> Result<(), Stop> {
    let lease = desk.port.item(0)?;
    let (bytes, mark) = (lease.bytes.to_vec(), lease.mark);
    let skip = usize::try_from(mark).unwrap_or(usize::MAX);
    let mut outlet = ToQueues::new(desk, Some(0));
    Ok(outputs::read(&bytes).skip(skip).try_for_each(|item| outlet.put(item))?)
}
