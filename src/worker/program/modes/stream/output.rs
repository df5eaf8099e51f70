//! What the program has written, on its way out.

use crate::framing::{BadFrame, Decoder};
use crate::numbers::counted_are;
use crate::queue::MAX_BLOCKS;
use crate::stage::{Failure, Outlet, TooLong};
use crate::sys::wait::Exit;
use crate::worker::context::WorkerContext;
use crate::worker::outlet::StageOutlet;
use crate::worker::program::io::feed::Feed;
use crate::worker::stop::Stop;
use std::time::{Duration, Instant};

/// A remainder waits for this many turns at most.
const REMAINDER_TURNS: u8 = 8;
/// Memory that a long item needed is kept while more of them come, for to get it anew costs as much as to copy them.
const SLACK_KEPT: Duration = Duration::from_secs(1);
/// Bytes of output that there is always room for.
const ROOM_KEPT: usize = 1 << 20;

pub(super) struct StreamOutput {
    pub decoder: Decoder,
    /// What it is called in messages.
    name: String,
    pieces: Pieces,
    /// When memory that long items needed is given back.
    slack_ends: Option<Instant>,
}

/// Many small items are published in pieces of what a transaction takes: a remainder of a few would cost as much, and
/// wake as many sleepers, as a whole one. While more comes at once a remainder waits for it.
#[derive(Default)]
struct Pieces {
    /// What a piece takes, by the last one; 0: unknown.
    bytes: usize,
    /// Turns that a remainder has waited.
    kept: u8,
}

impl Pieces {
    /// Whether to publish, with this many bytes read.
    fn are_due(&mut self, bytes: usize, more_comes: bool) -> bool {
        let keeps = more_comes && bytes < self.bytes && self.kept < REMAINDER_TURNS;
        self.kept += u8::from(keeps);
        !keeps
    }

    /// That was a whole one, or all that there was.
    fn learn(&mut self, is_whole: bool, bytes: usize) {
        self.bytes = if is_whole { bytes } else { 0 };
        self.kept = 0;
    }
}

impl StreamOutput {
    pub(super) fn new(decoder: Decoder, name: String) -> StreamOutput {
        StreamOutput { decoder, name, pieces: Pieces::default(), slack_ends: None }
    }

    /// Whether a remainder waits for more.
    pub(super) fn holds_back(&self) -> bool {
        self.pieces.kept > 0
    }

    /// Stages what is read. Of several pieces all but the last are published, the first with the end of `written`
    /// leases. Returns how many items there were.
    pub(super) fn emit_pieces(
        &mut self,
        worker: &mut WorkerContext,
        feed: &mut Feed,
        written: &mut usize,
        more_comes: bool,
    ) -> Result<usize, Stop> {
        let most = match worker.outputs.len() {
            0 => usize::MAX,
            outputs => (MAX_BLOCKS / outputs).max(1),
        };
        let mut emitted = 0;
        while self.pieces.are_due(self.decoder.pending(), more_comes) {
            if emitted > 0 {
                publish(worker, std::mem::take(written))?;
            }
            let before = self.decoder.pending();
            let n = self.emit(worker, most)?;
            if n > 0 {
                self.tidy(feed);
            }
            self.pieces.learn(n == most, before - self.decoder.pending());
            emitted += n;
            if n < most {
                break;
            }
        }
        Ok(emitted)
    }

    /// Stages up to `most` of the items that are read. Returns how many there were.
    pub(super) fn emit(&mut self, worker: &mut WorkerContext, most: usize) -> Result<usize, Stop> {
        let mut to = StageOutlet::new(worker, None);
        self.decoder.set_most(to.longest());
        let mut emitted = 0;
        while emitted < most {
            if self.decoder.is_between_lines() {
                let (lines, bytes) = to.put_lines(self.decoder.rest(), most - emitted);
                self.decoder.forget(bytes);
                emitted += lines;
                if emitted == most {
                    break;
                }
            }
            match self.decoder.next() {
                Ok(Some(item)) => to.put(item)?,
                Ok(None) => break,
                Err(BadFrame::TooLong { .. }) => match self.skip(&mut to, false)? {
                    true => continue,
                    false => break,
                },
                Err(bad) => return Err(fatal(bad).into()),
            }
            emitted += 1;
        }
        if worker.inputs.is_empty() {
            worker.recycling.count(emitted);
        }
        Ok(emitted)
    }

    /// Skips an item that is too long. False: its end is still to come.
    fn skip(&mut self, to: &mut StageOutlet<'_>, is_over: bool) -> Result<bool, Failure> {
        self.decoder.begin_skip().map_err(fatal)?;
        let Some(item) = self.decoder.skip(is_over).map_err(fatal)? else { return Ok(false) };
        let (offset, length, head) = (item.start, item.length, &item.head[..]);
        to.too_long(&TooLong { file: &self.name, offset, length, head })?;
        Ok(true)
    }

    /// Stages an item that has no end, if it is whole: a killed program may have been in the middle of it.
    pub(super) fn emit_last(
        &mut self,
        worker: &mut WorkerContext,
        exit: Exit,
    ) -> Result<Result<(), BadFrame>, Stop> {
        let mut to = StageOutlet::new(worker, None);
        let skipped = self.decoder.skipping().map(|skip| skip.item.length);
        let item = match (skipped, exit) {
            (Some(_), Exit::Code(_)) => {
                self.skip(&mut to, true)?;
                return Ok(Ok(()));
            }
            (Some(_), Exit::Signal(_)) => None,
            (None, _) => match self.decoder.last() {
                Ok(None) => return Ok(Ok(())),
                Ok(item) => item,
                Err(bad) => return Ok(Err(bad)),
            },
        };
        let length = skipped.unwrap_or_else(|| item.map_or(0, |item| item.len() as u64));
        match (item, exit) {
            (_, Exit::Signal(signal)) => {
                log::warn!(
                    "{signal} ended its program in the middle of an item: {} left out",
                    counted_are(length, "byte")
                );
            }
            (Some(item), Exit::Code(_)) => to.put(item)?,
            (None, Exit::Code(_)) => {}
        }
        Ok(Ok(()))
    }

    /// Gives back what has not been needed for long. Returns when to look again, if there is some.
    pub(super) fn tidy(&mut self, feed: &mut Feed) -> Option<Instant> {
        if !self.decoder.has_slack(ROOM_KEPT) && !feed.has_slack() {
            self.slack_ends = None;
            return None;
        }
        let now = Instant::now();
        let ends = *self.slack_ends.get_or_insert(now + SLACK_KEPT);
        if ends > now {
            return Some(ends);
        }
        self.decoder.shrink(ROOM_KEPT);
        feed.shrink();
        self.slack_ends = None;
        None
    }
}

fn fatal(bad: BadFrame) -> Failure {
    Failure::fatal(bad.to_string())
}

/// Publishes what is staged, and ends the first `written` leases.
pub(super) fn publish(worker: &mut WorkerContext, written: usize) -> Result<(), Stop> {
    worker.commit_regardless(written)?;
    if !worker.inputs.is_empty() {
        worker.recycling.count(written);
    }
    Ok(())
}

/// The same, if there is anything to do.
pub(super) fn publish_any(worker: &mut WorkerContext, written: usize, emitted: usize) -> Result<(), Stop> {
    if written > 0 || emitted > 0 { publish(worker, written) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remainder_waits_for_more_but_not_for_ever() {
        let mut pieces = Pieces::default();
        assert!(pieces.are_due(1, true) && pieces.kept == 0);
        pieces.learn(true, 1000);
        assert!(pieces.are_due(1000, true) && pieces.are_due(999, false));
        let turns = (0..100).take_while(|_| !pieces.are_due(999, true)).count();
        assert_eq!(turns, usize::from(REMAINDER_TURNS));
        assert!(pieces.kept > 0);
        pieces.learn(false, 999);
        assert!(pieces.kept == 0 && pieces.are_due(1, true));
    }
}
