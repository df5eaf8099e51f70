//! What there is to see: items, counters, the whole pipeline as it is.

use super::performer::Performer;
use crate::broker::MARK_LEN;
use crate::control::protocol::{Audit, Reason, Refused, Tap};
use crate::dead_letter::WhenFull;
use crate::model::Totals;
use crate::queue::{
    Fault, ItemPreview, ItemTimes, Phase, QueueAdmin, QueueCounts, QueueId, SlotId, SlotReport, StageId,
    WindowState, WorkTimes,
};
use crate::status::{Glimpse, Snapshot};
use crate::supervisor::machine::event::Event;
use crate::supervisor::machine::observe::{Counters, Moment};
use crate::supervisor::machine::state::State;
use crate::supervisor::runtime::link::LinkProcess;
use crate::text;

impl Performer<'_> {
    pub(super) fn tap(&mut self, tap: &Tap) -> Result<Option<Glimpse>, Refused> {
        let queue = self.queue_called(&tap.queue)?;
        let seen = self.admin(|admin| admin.tap(queue)).flatten().map(|look| self.without_mark(look));
        Ok(seen.map(|look| Glimpse {
            queue: tap.queue.clone(),
            id: look.id,
            attempt: look.attempt,
            bytes: look.len as u64,
            text: Glimpse::text_of(&look.start),
        }))
    }

    fn without_mark(&self, mut seen: ItemPreview) -> ItemPreview {
        if self.is_marked(seen.queue) {
            seen.start.drain(..MARK_LEN.min(seen.start.len()));
            seen.len = seen.len.saturating_sub(MARK_LEN);
        }
        seen
    }

    /// What a dead worker was at, and which try that was; 0: at nothing.
    pub(super) fn item_of(&mut self, slot: SlotId) -> (Option<Glimpse>, u32) {
        let Some(begun) = self.admin(|admin| admin.begun_item(slot, Glimpse::MAX_BYTES)).flatten() else {
            return (None, 0);
        };
        let begun = self.without_mark(begun);
        let (id, attempt) = (begun.id, begun.attempt);
        let glimpse = |queue: String| {
            let text = Glimpse::text_of(&begun.start);
            Glimpse { queue, id, attempt, bytes: begun.len as u64, text }
        };
        (self.names.get(&begun.queue).cloned().map(glimpse), attempt)
    }

    /// What there is to see now.
    pub(super) fn snapshot(&mut self, state: &State) -> Snapshot {
        let mut counters = Arena { admin: &mut self.store.admin, fault: None };
        let mut snapshot = state.snapshot(&self.identity, Moment::now(), self.dead.before, &mut counters);
        if let Some(fault) = counters.fault {
            self.events.push_back(Event::Damaged(fault));
        }
        for stage in &mut snapshot.stages {
            stage.totals.dead += self.dead.by_stage.get(&stage.name).copied().unwrap_or(0);
            stage.totals.too_long = self.launcher.undo_log.counted(&stage.name).unwrap_or(0);
            stage.totals.repeated = self.launcher.undo_log.repeated(&stage.name).unwrap_or(0);
        }
        snapshot.save_fault = self.store.save_fault();
        let store = &self.launcher.dead_letters;
        snapshot.letters.max_size = store.max_size;
        snapshot.letters.drops_old = store.when_full == WhenFull::DropOld;
        snapshot.totals.too_long = self.launcher.undo_log.counted_in_all().unwrap_or(0);
        snapshot.totals.repeated = self.launcher.undo_log.repeated_in_all().unwrap_or(0);
        snapshot.totals.dead += self.dead.by_stage.values().sum::<u64>();
        snapshot
    }

    /// The whole run of the shared queues, as the link has seen it last; `None`: it has yet to look.
    pub(super) fn overview(&mut self) -> Result<Option<Vec<u8>>, Refused> {
        if self.membership.is_none() {
            let error = "this pipeline has no shared queues: it runs on this machine alone";
            return Err(Refused::new(Reason::NotServed, error));
        }
        Ok(self.link.as_mut().and_then(LinkProcess::overview))
    }

    pub(super) fn audit(&mut self, state: &State) -> Audit {
        let fault = self.store.admin.audit_leases().err();
        let queues = self.snapshot(state).queues;
        let unsound = queues.iter().find(|queue| queue.unaccounted() != 0);
        let fault = fault.or_else(|| {
            let queue = unsound?;
            let missing = queue.unaccounted();
            Some(format!("queue {}: items not accounted for: {missing}", queue.name))
        });
        Audit { ok: fault.is_none(), fault, queues }
    }
}

/// Counters, read from the arena. What can't be read counts as nothing; the fault is kept.
struct Arena<'a> {
    admin: &'a mut QueueAdmin,
    fault: Option<String>,
}

impl Arena<'_> {
    fn keep<T>(&mut self, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.fault = Some(fault.to_string())).ok()
    }
}

impl Counters for Arena<'_> {
    fn slot(&mut self, slot: SlotId) -> SlotReport {
        let read = self.admin.report(slot);
        let nothing = SlotReport {
            phase: Phase::Starting,
            ending: None,
            obstacle: None,
            handed_over: 0,
            counts: Totals::default(),
            progress: None,
            times: WorkTimes::default(),
            item_times: ItemTimes::default(),
        };
        self.keep(read).unwrap_or(nothing)
    }

    fn program(&mut self, slot: SlotId) -> Option<u32> {
        let read = self.admin.program(slot);
        self.keep(read).flatten()
    }

    fn queue(&mut self, queue: QueueId) -> QueueCounts {
        let read = self.admin.counts(queue);
        self.keep(read).unwrap_or_default()
    }

    fn window(&mut self, window: QueueId) -> Option<WindowState> {
        let read = self.admin.window(window);
        self.keep(read).flatten()
    }

    fn last_words(&mut self, stage: StageId) -> Option<String> {
        let read = self.admin.failing(stage);
        let last_words = self.keep(read).flatten()?.last_words;
        (!last_words.is_empty()).then(|| text::one_line(&last_words).into_owned())
    }
}
