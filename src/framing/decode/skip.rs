//! Items that are too long, skipped in bounded memory.

use super::{BadFrame, Decoder, Overlong, Skip};
use crate::framing::Framing;

/// Bytes kept of the beginning of an item that is skipped.
pub(crate) const MAX_HEAD_BYTES: usize = 1024;

impl Decoder {
    /// The item that [`Decoder::next`] has refused as too long is to be skipped.
    pub(crate) fn begin_skip(&mut self) -> Result<(), BadFrame> {
        if self.skip.is_some() {
            return Ok(());
        }
        let start = self.position();
        let (head, left) = match self.framing {
            Framing::Lines | Framing::Nul => (0, None),
            Framing::Netstring => {
                let (digits, length) = self.netstring_head()?.unwrap_or_default();
                (digits + 1, Some(length + 1))
            }
            Framing::U32be => (4, self.u32be_head().map(u64::from)),
        };
        self.start += head.min(self.pending());
        self.scanned = 0;
        self.skip = Some(Skip { item: Overlong { start, length: 0, head: Vec::new() }, left });
        Ok(())
    }

    /// Skips what is there of it. Returns it once its end was seen; `is_over`: nothing more will come.
    pub(crate) fn skip(&mut self, is_over: bool) -> Result<Option<Overlong>, BadFrame> {
        let Some(mut skip) = self.skip.take() else { return Ok(None) };
        let here = &self.buffer[self.start..self.filled];
        let (bytes, frame, ended) = match (self.framing, skip.left) {
            (Framing::Lines, _) => until(b'\n', here, is_over),
            (Framing::Nul, _) => until(0, here, is_over),
            (Framing::Netstring, Some(left)) => {
                let n = here.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let ended = n as u64 == left;
                if ended && here[n - 1] != b',' {
                    return Err(BadFrame::Malformed(self.framing));
                }
                (n - usize::from(ended), usize::from(ended), ended)
            }
            (Framing::U32be, Some(left)) => {
                let n = here.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                (n, 0, n as u64 == left)
            }
            (Framing::Netstring | Framing::U32be, None) => return Err(BadFrame::Malformed(self.framing)),
        };
        skip.note(&here[..bytes], frame);
        self.start += bytes + frame;
        match ended {
            true => return Ok(Some(skip.item)),
            false if is_over => return Err(BadFrame::Truncated(self.framing)),
            false => self.skip = Some(skip),
        }
        Ok(None)
    }
}

impl Skip {
    /// Notes skipped bytes of the item, and of its frame.
    fn note(&mut self, bytes: &[u8], frame: usize) {
        let room = MAX_HEAD_BYTES - self.item.head.len().min(MAX_HEAD_BYTES);
        self.item.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.item.length += bytes.len() as u64;
        self.left = self.left.map(|left| left - (bytes.len() + frame) as u64);
    }
}

/// The bytes before the end, those of the end, and whether it is there.
fn until(end: u8, bytes: &[u8], is_over: bool) -> (usize, usize, bool) {
    match memchr::memchr(end, bytes) {
        Some(at) => (at, 1, true),
        None => (bytes.len(), 0, is_over),
    }
}
