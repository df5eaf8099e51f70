//! What the program has written, on its way out.

use super::StreamLoop;
use crate::framing::{BadFrame, Decoder};
use crate::queue::MAX_BLOCKS;
use crate::stage::{Failure, Outlet, TooLong};
use crate::worker::outlet::ToQueues;
use crate::worker::stop::Stop;
use crate::worker::too_long::ToConsole;

/// A rest waits for so many turns.
const TURNS: u8 = 8;

/// Many small items are published in pieces of what a transaction takes: a rest of a few would cost as much, and wake
/// as many sleepers, as a whole one. While more comes at once a rest waits for it.
#[derive(Default)]
pub(crate) struct Pieces {
    /// What a piece takes, by the last one; 0: nobody knows.
    bytes: usize,
    /// Turns that a rest has waited.
    kept: u8,
}

impl Pieces {
    /// Whether to publish some of so many bytes.
    fn are_due(&mut self, bytes: usize, more_comes: bool) -> bool {
        let keeps = more_comes && bytes < self.bytes && self.kept < TURNS;
        self.kept += u8::from(keeps);
        !keeps
    }

    /// Whether a rest may wait.
    fn hold_back(&self) -> bool {
        self.kept > 0
    }

    /// That was a whole one, or all that there was.
    fn learn(&mut self, is_whole: bool, bytes: usize) {
        self.bytes = if is_whole { bytes } else { 0 };
        self.kept = 0;
    }
}

impl StreamLoop<'_> {
    /// Stages what is read. Of several pieces all but the last are published, the first with the end of `written`
    /// leases. Returns how many items there were.
    pub(crate) fn emit_pieces(&mut self, written: &mut usize, more_comes: bool) -> Result<usize, Stop> {
        let most = match self.worker.outputs.len() {
            0 => usize::MAX,
            outputs => (MAX_BLOCKS / outputs).max(1),
        };
        let mut emitted = 0;
        while self.pieces.are_due(self.decoder.pending(), more_comes) {
            if emitted > 0 {
                self.publish(std::mem::take(written))?;
            }
            let before = self.decoder.pending();
            let n = self.emit(most)?;
            self.pieces.learn(n == most, before - self.decoder.pending());
            emitted += n;
            if n < most {
                break;
            }
        }
        Ok(emitted)
    }

    /// Publishes a rest that has waited for more: nothing more may come before the worker sleeps.
    pub(crate) fn let_go(&mut self) -> Result<(), Stop> {
        if !self.pieces.hold_back() {
            return Ok(());
        }
        let emitted = self.emit_pieces(&mut 0, false)?;
        self.publish_rest(0, emitted)
    }

    /// Stages up to `most` of the items that are read. Returns how many there were.
    pub(crate) fn emit(&mut self, most: usize) -> Result<usize, Stop> {
        let StreamLoop { worker, decoder, output, .. } = self;
        let emitted = match worker.outputs.is_empty() {
            true => hand_over(decoder, &mut ToConsole(worker), output, most)?,
            false => hand_over(decoder, &mut ToQueues::new(worker, None), output, most)?,
        };
        if emitted > 0 {
            self.tidy();
        }
        if self.is_source() {
            self.worker.recycling.count(emitted);
        }
        Ok(emitted)
    }

    /// Publishes what is staged, and ends the leases of so many items more.
    pub(crate) fn publish(&mut self, written: usize) -> Result<(), Stop> {
        self.worker.commit_regardless(written)?;
        if !self.is_source() {
            self.worker.recycling.count(written);
        }
        Ok(())
    }

    /// The same, if there is anything to do.
    pub(crate) fn publish_rest(&mut self, written: usize, emitted: usize) -> Result<(), Stop> {
        if written > 0 || emitted > 0 { self.publish(written) } else { Ok(()) }
    }
}

fn hand_over(from: &mut Decoder, to: &mut impl Outlet, name: &str, most: usize) -> Result<usize, Stop> {
    from.set_most(to.longest());
    let mut n = 0;
    while n < most {
        match from.next() {
            Ok(Some(item)) => to.put(item)?,
            Ok(None) => break,
            Err(BadFrame::TooLong { .. }) => {
                if !skip(from, to, name, false)? {
                    break;
                }
                continue;
            }
            Err(bad) => return Err(Failure::fatal(bad.to_string()).into()),
        }
        n += 1;
    }
    Ok(n)
}

/// Skips an item that is too long. False: its end is still to come.
pub(crate) fn skip(
    from: &mut Decoder,
    to: &mut impl Outlet,
    name: &str,
    is_over: bool,
) -> Result<bool, Failure> {
    let bad = |bad: BadFrame| Failure::fatal(bad.to_string());
    from.begin_skip().map_err(bad)?;
    let Some(item) = from.skip(is_over).map_err(bad)? else { return Ok(false) };
    let (offset, length, head) = (item.start, item.length, &item.head[..]);
    to.too_long(&TooLong { file: name, offset, length, head })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_waits_for_more_but_not_for_ever() {
        let mut pieces = Pieces::default();
        assert!(pieces.are_due(1, true) && !pieces.hold_back());
        pieces.learn(true, 1000);
        assert!(pieces.are_due(1000, true) && pieces.are_due(999, false));
        let turns = (0..100).take_while(|_| !pieces.are_due(999, true)).count();
        assert_eq!(turns, usize::from(TURNS));
        assert!(pieces.hold_back());
        pieces.learn(false, 999);
        assert!(!pieces.hold_back() && pieces.are_due(1, true));
    }
}
