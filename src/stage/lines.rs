//! What a source reads piece by piece, as items.

use super::emitter::TooLong;
use super::{Emitter, Failure, Next, Settings};
use crate::framing::{BadFrame, Decoder, Framing, Skip};
use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

/// Bytes asked for at once.
const READ_BYTES: usize = 64 * 1024;
/// Memory that is kept although nothing is held.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// An item of which more is there already is long: what was read of it is saved again and again until its end comes.
const LONG_ITEM_BYTES: usize = 1 << 20;
/// The time for which its bytes gather before they are read.
const GATHER_TIME: Duration = Duration::from_millis(10);

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The parameter of a source that reads items.
pub(crate) fn framing(with: &mut Settings<'_>) -> Framing {
    let doc = "How items are delimited: \"lines\", or for bytes of any kind \"nul\" (a zero byte after each), \"netstring\" (`5:hello,`), \"u32be\" (four bytes of length before each).";
    with.key("framing", doc).or(Framing::Lines)
}

/// Bytes read and not yet emitted. With [`Framing::Lines`] an item ends with `\n`, which is not part of it; a `\r`
/// before it is. A byte order mark at the start is no part of the first line.
///
/// # An item that is too long
///
/// It is skipped, and becomes a dead letter of its own kind once its end was seen. Each turn is a checkpoint:
///
/// | killed … | the saved position | the next worker |
/// |---|---|---|
/// | before the skipping was saved | the start of the item | finds it again |
/// | while it is skipped | in the middle, with what is known of the item | skips the rest: no tail is taken for an item |
/// | after the letter was written, before that was saved | in the middle | writes the letter a second time |
/// | after that | the end of the item | |
///
/// No other output is published in the step that writes the letter, so that step is not done half.
#[derive(Debug)]
pub(crate) struct Lines {
    framing: Framing,
    decoder: Decoder,
    /// The output was asked for its limit since bytes were added: once for all items in them.
    knows_limit: bool,
}

impl Lines {
    /// From the start.
    pub(super) fn new(framing: Framing) -> Lines {
        Lines::at(framing, 0, None)
    }

    /// Continues at what [`Lines::position`] and [`Lines::skipping`] said.
    pub(super) fn at(framing: Framing, position: u64, skip: Option<Skip>) -> Lines {
        // The limit is the output's.
        Lines { framing, decoder: Decoder::resume(framing, u64::MAX, position, skip), knows_limit: false }
    }

    /// Bytes that are done: emitted, or skipped.
    pub(super) fn position(&self) -> u64 {
        self.decoder.position()
    }

    /// The item that is being skipped at this position.
    pub(super) fn skipping(&self) -> Option<&Skip> {
        self.decoder.skipping()
    }

    /// Where the item at hand begins: a position that needs no knowledge of a skipping.
    pub(super) fn item_start(&self) -> u64 {
        self.skipping().map_or(self.position(), |skip| skip.item.start)
    }

    /// Bytes that were read: where to read on.
    pub(super) fn end(&self) -> u64 {
        self.position() + self.decoder.pending() as u64
    }

    /// What was read and not emitted.
    pub(super) fn rest(&self) -> &[u8] {
        self.decoder.rest()
    }

    /// Emits one item, or does one step of skipping one that is too long for the output. `None`: that needs more bytes;
    /// or, if `is_over`, since none will come: all is done. `file`: whose bytes they are.
    pub(super) fn step(
        &mut self,
        file: &dyn Display,
        is_over: bool,
        out: &mut Emitter<'_>,
    ) -> Result<Option<Next>, Failure> {
        if !self.knows_limit {
            self.decoder.set_most(out.longest());
            self.knows_limit = true;
        }
        let start = self.position();
        let is_first = start == 0 && self.framing == Framing::Lines;
        let next = match self.decoder.next() {
            Err(BadFrame::TooLong { .. }) => return self.skip(file, is_over, out),
            Ok(None) if is_over => {
                let last = self.decoder.last().map_err(|bad| bad_frame(file, start, bad))?;
                last.filter(|item| !(is_first && *item == BYTE_ORDER_MARK))
            }
            next => next.map_err(|bad| bad_frame(file, start, bad))?,
        };
        let Some(item) = next else { return Ok(None) };
        // Of the first line only: even a comparison with nothing costs more than the rest of a line.
        let item = if is_first { item.strip_prefix(BYTE_ORDER_MARK).unwrap_or(item) } else { item };
        let emitted = out.emit(item);
        emitted.map_err(|failure| failure.context(format_args!("the item at byte {start} of {file}")))?;
        Ok(Some(Next::More))
    }

    fn skip(
        &mut self,
        file: &dyn Display,
        is_over: bool,
        out: &mut Emitter<'_>,
    ) -> Result<Option<Next>, Failure> {
        let start = self.item_start();
        if self.skipping().is_none() {
            self.decoder.begin_skip().map_err(|bad| bad_frame(file, start, bad))?;
            return Ok(Some(Next::Checkpoint));
        }
        let Some(item) = self.decoder.skip(is_over).map_err(|bad| bad_frame(file, start, bad))? else {
            return Ok(None);
        };
        let file = file.to_string();
        out.too_long(&TooLong { file: &file, offset: item.start, length: item.length, head: &item.head })?;
        Ok(Some(Next::Checkpoint))
    }

    /// Adds bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.knows_limit = false;
        self.decoder.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.decoder.filled(bytes.len());
    }

    /// Adds what one call of `read` gives; returns how much that was (0: the end).
    pub(super) fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.knows_limit = false;
        self.decoder.shrink(KEPT_BUFFER_BYTES);
        let n = read(self.decoder.room(READ_BYTES))?;
        self.decoder.filled(n);
        Ok(n)
    }
}

/// Keeps small the number of times that the beginning of a long item is saved, where that is a part of the position.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    until: Option<Instant>,
}

impl Gathering {
    /// Until when more of the item at hand should come before what is there is read; `None`: now is the time.
    pub(super) fn wait(&mut self, lines: &Lines) -> Option<Instant> {
        if lines.rest().len() < LONG_ITEM_BYTES {
            self.until = None;
            return None;
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + GATHER_TIME);
        if until <= Instant::now() {
            self.until = None;
        }
        self.until
    }

    /// Whether there is no need to look before that time.
    pub(super) fn is_under_way(&self) -> bool {
        self.until.is_some()
    }
}

fn bad_frame(file: &dyn Display, start: u64, bad: BadFrame) -> Failure {
    let why = match bad {
        BadFrame::Malformed(framing) => format!("what begins there is no {}", framing.noun()),
        BadFrame::Truncated(framing) => format!("the {} that begins there has no end", framing.noun()),
        BadFrame::TooLong { least, most } => format!("an item of {least} bytes is longer than {most} bytes"),
    };
    Failure::fatal(format!("{file}, byte {start}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::emitter::testing::Narrow;

    /// Reads `text` in pieces; each time that more is needed another worker goes on from the position.
    fn read(framing: Framing, text: &[u8], size: usize) -> Narrow {
        let mut seen = Narrow::new(8);
        let (mut position, mut skip) = (0, None);
        loop {
            let mut lines = Lines::at(framing, position, skip);
            for mut piece in text[position as usize..].chunks(size) {
                lines.fill(|into| io::Read::read(&mut piece, into)).unwrap();
                while lines.step(&"f", false, &mut Emitter::new(&mut seen)).unwrap().is_some() {}
                if lines.skipping().is_some() {
                    break;
                }
            }
            if lines.end() == text.len() as u64 {
                while lines.step(&"f", true, &mut Emitter::new(&mut seen)).unwrap().is_some() {}
                assert_eq!(lines.position(), text.len() as u64);
                return seen;
            }
            (position, skip) = (lines.position(), lines.skipping().cloned());
        }
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let text = b"one\n\ntwo\r\n\xff\nlast";
        for size in 1..text.len() {
            let seen = read(Framing::Lines, text, size);
            assert_eq!(seen.items, [&b"one"[..], b"", b"two\r", b"\xff", b"last"], "pieces of {size}");
            let seen = read(Framing::Nul, b"one\n\0\0last", size);
            assert_eq!(seen.items, [&b"one\n"[..], b"", b"last"], "pieces of {size}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_is_read() {
        for text in [&b"before\n123456789\nafter\n"[..], b"before\n123456789\nafter"] {
            for size in 1..text.len() {
                let seen = read(Framing::Lines, text, size);
                assert_eq!(seen.items, [&b"before"[..], b"after"], "pieces of {size}");
                assert_eq!(seen.too_long, ["f, byte 7: 9 bytes: 123456789"], "pieces of {size}");
            }
        }
        let seen = read(Framing::Lines, b"123456789", 2);
        assert_eq!((seen.items.len(), seen.too_long.len()), (0, 1));
    }

    #[test]
    fn a_byte_order_mark_is_dropped_at_the_start_alone() {
        for size in 1..12 {
            let seen = read(Framing::Lines, b"\xef\xbb\xbf1\n\xef\xbb\xbf2\n", size);
            assert_eq!(seen.items, [&b"1"[..], b"\xef\xbb\xbf2"]);
        }
        assert!(read(Framing::Lines, b"\xef\xbb\xbf", 5).items.is_empty());
        assert_eq!(read(Framing::Lines, b"\xef\xbb\xbf\n", 5).items, [b""]);
        assert_eq!(read(Framing::Nul, b"\xef\xbb\xbf\0", 5).items, [b"\xef\xbb\xbf"]);
    }

    #[test]
    fn a_frame_that_is_none_is_told_with_its_place() {
        let said = |text: &[u8]| {
            let mut lines = Lines::new(Framing::Netstring);
            lines.push(text);
            let mut seen = Narrow::new(8);
            let mut step = || lines.step(&"f", true, &mut Emitter::new(&mut seen));
            std::iter::from_fn(|| Some(step())).find_map(Result::err).unwrap().to_string()
        };
        assert_eq!(said(b"1:a,x"), "f, byte 4: what begins there is no netstring");
        assert_eq!(said(b"1:a,3:ab"), "f, byte 4: the netstring that begins there has no end");
    }

    #[test]
    fn a_failed_read_changes_nothing() {
        let mut lines = Lines::new(Framing::Lines);
        lines.push(b"a\nb");
        assert!(lines.fill(|_| Err(io::ErrorKind::Other.into())).is_err());
        assert_eq!(lines.rest(), b"a\nb");
    }
}
