//! The end of a run: what workers were killed over is settled.

use super::performer::Performer;
use crate::queue::QueueId;
use crate::supervisor::machine::recovered::Label;
use crate::supervisor::runtime::settler::{self, Unsettled};
use crate::worker;
use log::{Level, log};

impl Performer<'_> {
    /// All workers are gone, and what they held went back. Mostly a worker has settled what there was, in its turn.
    pub(super) fn settle_notes(&mut self) {
        let tokens: Vec<(QueueId, bool)> = self
            .tokens
            .iter()
            .filter(|(_, label)| matches!(label, Label::Token { .. } | Label::Print))
            .map(|(queue, label)| (*queue, *label == Label::Print))
            .collect();
        let open: Vec<(QueueId, Unsettled)> = tokens
            .into_iter()
            .filter_map(|(queue, is_printed)| Some((queue, self.unsettled(queue, is_printed)?)))
            .filter(|(_, unsettled)| unsettled.is_open())
            .collect();
        let (queues, unsettled): (Vec<_>, Vec<_>) = open.into_iter().unzip();
        let unsettled = [std::mem::take(&mut self.unsettled), unsettled].concat();
        if unsettled.is_empty() {
            return;
        }
        match settler::settle(unsettled, &self.launcher, self.log_writer.stderr()) {
            Ok(true) => {
                let arena = self.store.arena.clone();
                let cleared = queues.into_iter().try_for_each(|queue| arena.clear_notes(queue));
                self.unless_damaged(cleared);
            }
            Ok(false) => log!(
                target: "mprun",
                Level::Warn,
                "what a killed worker has written last is not settled: lines of it may be in a file though they don't count"
            ),
            Err(error) => log!(target: "mprun", Level::Warn, "no process to settle a file with: {error}"),
        }
    }

    /// A token is about to go, with its stage: what is open beside it is settled at the end.
    pub(super) fn keep_unsettled(&mut self, queue: QueueId) {
        let unsettled = self.unsettled(queue, false).filter(Unsettled::is_open);
        self.unsettled.extend(unsettled);
    }

    fn unsettled(&mut self, queue: QueueId, is_printed: bool) -> Option<Unsettled> {
        let token = self.admin(|admin| admin.first(queue)).flatten()?;
        let state = if is_printed { token } else { worker::state_of(&token).to_vec() };
        let note = |second| self.store.arena.note(queue, second).ok().flatten();
        Some(Unsettled { state, notes: [note(false), note(true)], is_printed })
    }
}
