//! The order of a queue's items: begun, ended, looked at. See `transaction/window.rs`.

use super::queues::QueueAdmin;
use super::windows;
use crate::queue::QueueId;
use crate::queue::arena::fault::Fault;
use crate::queue::arena::layout::{PLACES, QueueAt, queue};
pub use crate::queue::transaction::oldest::NextItem;
use crate::queue::transaction::{counts, oldest, places, window};

/// A number that no item reaches, seen from another.
const NEVER: u64 = 1 << 62;
/// Finished items that may wait, at most: places beyond are for those that workers are at.
const MAX_WAITING: u64 = PLACES / 2;
/// Items among which one is searched for, to be shown.
const MAX_SEARCHED: u64 = 4096;

/// How a window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowState {
    /// The number of the item whose outputs come next.
    pub next: u64,
    /// Items that ended, and whose outputs wait for those before them, or for room.
    pub finished: u64,
    /// Outputs that wait.
    pub outputs: u64,
    /// The output queue that has no room for what comes next.
    pub held_up_by: Option<QueueId>,
    /// Where that item is.
    pub next_is: NextItem,
}

impl QueueAdmin {
    /// From now on what comes of the items of `input` is put to `outputs` in their order, though several workers take them. What is
    /// finished early waits in `window`, a queue of its own: when `most` items wait, no more are taken. Said again it changes
    /// `most`. Items that are taken already are not put in order.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`]; also [`Fault::DiskFull`], and nothing is changed.
    pub fn begin_order(
        &mut self,
        (input, outputs): (QueueId, &[QueueId]),
        window: QueueId,
        most: u64,
    ) -> Result<(), Fault> {
        self.open_queue(window)?;
        let (input, window) = (QueueAt::of(input)?, QueueAt::of(window)?);
        let outputs = outputs.iter().map(|&output| QueueAt::of(output)).collect::<Result<Vec<_>, _>>()?;
        let memory = self.session.memory();
        window::set_outputs(memory, window, &outputs);
        window.places_areas().into_iter().try_for_each(|area| memory.reserve(area))?;
        let mut tx = self.session.begin()?;
        let flags = tx.get(window + queue::FLAGS);
        tx.set(window + queue::FLAGS, flags | queue::USED | queue::IS_WINDOW);
        tx.set(window + queue::CAPACITY, most.clamp(1, MAX_WAITING));
        if window::of(&tx, input) != Some(window) {
            let head = tx.get(input + queue::HEAD);
            if tx.get(window + queue::CLOSED_PLACES) == 0 {
                tx.set(window + queue::NEXT_PLACE, head);
            }
            tx.set(window + queue::ORDERED_FROM, head);
            tx.set(window + queue::WINDOW_OF, input.link());
            tx.set(input + queue::WINDOW, window.link());
            window::move_on(&mut tx, window)?;
        }
        tx.commit()?;
        tx.notify_all(input + queue::NOT_EMPTY);
        Ok(())
    }

    /// What comes of the items of the window's queue is put as it comes again. What waits comes out as soon as there is
    /// room, whatever is before it.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn end_order(&mut self, window: QueueId) -> Result<(), Fault> {
        let window = QueueAt::of(window)?;
        let mut tx = self.session.begin()?;
        if !places::is_one(&tx, window) {
            return Ok(());
        }
        let input = QueueAt::linked(tx.get(window + queue::WINDOW_OF));
        let input = input.filter(|&input| window::of(&tx, input) == Some(window));
        if let Some(input) = input {
            tx.set(input + queue::WINDOW, 0);
        }
        let next = tx.get(window + queue::NEXT_PLACE);
        tx.set(window + queue::ORDERED_FROM, next.wrapping_add(NEVER));
        window::move_on(&mut tx, window)?;
        tx.commit()?;
        tx.notify_all(window + queue::NOT_FULL);
        if let Some(input) = input {
            tx.notify_all(input + queue::NOT_EMPTY);
        }
        Ok(())
    }

    /// Outputs in windows for this queue.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn pending(&mut self, q: QueueId) -> Result<u64, Fault> {
        let queue = QueueAt::of(q)?;
        Ok(self.session.begin()?.get(queue + queue::PENDING))
    }

    /// How a window stands; `None`: there is no such window.
    ///
    /// # Errors
    /// See [`QueueAdmin::set_queue`].
    pub fn window(&mut self, window: QueueId) -> Result<Option<WindowState>, Fault> {
        let window = QueueAt::of(window)?;
        let tx = self.session.begin()?;
        if !places::is_one(&tx, window) {
            return Ok(None);
        }
        let next = window::first_place(&tx, window);
        Ok(Some(WindowState {
            next,
            finished: tx.get(window + queue::CLOSED_PLACES),
            outputs: counts::waiting(&tx, window),
            held_up_by: QueueAt::linked(tx.get(window + queue::HELD_UP_BY)).map(QueueAt::id),
            next_is: oldest::where_is(&tx, window, next, MAX_SEARCHED)?,
        }))
    }

    /// What windows hold moves on, wherever somebody died who was to see to it.
    pub(in crate::queue) fn move_all_windows(&mut self) -> Result<(), Fault> {
        let queues: Vec<QueueAt> = counts::used_queues(self.session.memory()).collect();
        for queue in queues {
            windows::fill(&mut self.session, queue)?;
            let mut tx = self.session.begin()?;
            if places::is_one(&tx, queue) {
                window::move_on(&mut tx, queue)?;
                tx.commit()?;
            }
        }
        Ok(())
    }
}
