//! `log_items`: each item's way, with what its queue held before and after.

use crate::item::Shown;
use crate::queue::QueueId;
use std::time::Duration;

#[derive(Default)]
pub(super) struct ItemLog {
    pub is_on: bool,
    /// Outputs that are staged, as they are shown.
    staged: Vec<String>,
    /// The queue that the last of them is for; none: all of the stage's.
    queue: Option<QueueId>,
}

type Named = [(u16, String)];

impl ItemLog {
    /// An output is on its way.
    #[inline]
    pub(super) fn stage(&mut self, item: &[u8]) {
        if self.is_on {
            self.staged.push(Shown(item).to_string());
        }
    }

    /// An output is on its way to this queue alone.
    #[inline]
    pub(super) fn stage_for(&mut self, queue: QueueId, item: &[u8]) {
        self.queue = Some(queue);
        self.stage(item);
    }

    /// The staged outputs were thrown away.
    pub(super) fn forget(&mut self) {
        self.staged.clear();
    }

    /// The staged outputs are out. Sizes are those of the first output.
    pub(super) fn produced(&mut self, outputs: &Named, before: u64, after: u64) {
        let queue = self.queue.take();
        let named = outputs.iter().find(|(id, _)| queue.is_none_or(|queue| queue.0 == *id));
        if let Some((_, queue)) = named
            && !self.staged.is_empty()
        {
            log::info!("produced {}: {queue} held {before} before, {after} after", self.staged.join(", "));
        }
        self.staged.clear();
    }

    /// An item was taken.
    pub(super) fn took(&self, queue: &str, item: &[u8], before: u64, after: u64) {
        if self.is_on {
            log::info!("took {}: {queue} held {before} before, {after} after", Shown(item));
        }
    }

    /// There is no room for an output.
    pub(super) fn full(&self, outputs: &Named, queue: QueueId, size: u64, pause: Option<Duration>) {
        if self.is_on {
            let name = outputs
                .iter()
                .find(|(id, _)| *id == queue.0)
                .map_or("the line to the broker", |(_, name)| name);
            log::info!("{name} is full ({size}): {}", waiting(pause, "room"));
        }
    }

    /// There is no item.
    pub(super) fn empty(&self, inputs: &Named, pause: Option<Duration>) {
        if self.is_on {
            let names: Vec<&str> = inputs.iter().map(|(_, name)| name.as_str()).collect();
            log::info!("{} is empty (0): {}", names.join(" and "), waiting(pause, "an item"));
        }
    }
}

fn waiting(pause: Option<Duration>, what: &str) -> String {
    match pause {
        Some(pause) => format!("looking again in {}", humantime::format_duration(pause)),
        None => format!("waiting for {what}"),
    }
}
