//! `framing = "mprun"`: frames in which a program says of each item how it went. See docs/helper-protocol.md.
//!
//! Version 2 differs by the item's number in each frame, version 3 by the frames "later" and "rejected", which a program of
//! any version may use. The program asks for it by its first frame, which may come
//! before or after it got its first items; so mprun says in the stream of items where their numbers begin.

use crate::config::pipeline::Framing;
use crate::framing::{Decoder, NotEncodable};
use crate::worker::program::error::ProgramError;

/// Bytes of a failure's text, at most.
const REASON_BYTES: u64 = 1 << 20;
/// No output is longer than the longest item of any queue. Text that is taken for a frame claims to be.
const OUTPUT_BYTES: u64 = 1 << 30;
/// Bytes of a frame before its payload: the length, and the kind.
const HEAD_BYTES: usize = 5;
/// The newest version of the protocol, as a program's environment tells it.
pub(crate) const NEWEST_VERSION: u8 = 3;
/// How the frame begins by which a program asks for a version; one byte more says which.
const VERSION_REQUEST: [u8; HEAD_BYTES] = *b"\0\0\0\x02v";
/// The frame after which items have numbers, as from version 2 on.
const NUMBERS_BEGIN: [u8; 5] = [0, 0, 0, 1, 2];

/// Items on their way to one program, counted from 1: the number is also that of an item that went without it.
#[derive(Debug, Default)]
pub(crate) struct ProtocolWriter {
    /// Items framed so far.
    count: u32,
    numbers: Numbers,
}

/// Whether items go with their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Numbers {
    #[default]
    NotAsked,
    /// From the next item on.
    Asked,
    Begun,
}

impl ProtocolWriter {
    /// The program has asked for numbers.
    pub(crate) fn begin_numbers(&mut self) {
        if self.numbers == Numbers::NotAsked {
            self.numbers = Numbers::Asked;
        }
    }

    /// Appends an item as the program reads it.
    pub(crate) fn encode(
        &mut self,
        item: &[u8],
        attempt: u32,
        into: &mut Vec<u8>,
    ) -> Result<(), NotEncodable> {
        let head = if self.numbers == Numbers::NotAsked { 4 } else { 8 };
        let length = u32::try_from(item.len() + head).map_err(|_| NotEncodable::TooLong)?;
        self.count = self.count.wrapping_add(1);
        if self.numbers == Numbers::Asked {
            into.extend_from_slice(&NUMBERS_BEGIN);
            self.numbers = Numbers::Begun;
        }
        into.extend_from_slice(&length.to_be_bytes());
        if self.numbers == Numbers::Begun {
            into.extend_from_slice(&self.count.to_be_bytes());
        }
        into.extend_from_slice(&attempt.to_be_bytes());
        into.extend_from_slice(item);
        Ok(())
    }
}

/// What a program says of the item it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// One more output.
    Output(&'a [u8]),
    /// One more output, of this length, which no queue takes.
    TooLong(u64),
    /// It is done: its outputs count.
    End,
    /// It has failed, and why.
    Failed(&'a [u8]),
    /// Not now, and why.
    Later(&'a [u8]),
    /// Never, and why.
    Rejected(&'a [u8]),
}

/// Reads the frames of one program.
#[derive(Debug)]
pub(crate) struct ProtocolReader {
    /// Bytes of one output.
    most: u64,
    /// Bytes still to come of a frame that is too long.
    skipping: u64,
    /// Nothing was read yet.
    is_fresh: bool,
    /// The item whose answer is due, if frames have numbers.
    due: Option<u32>,
}

impl ProtocolReader {
    pub(crate) fn new(most: u64) -> ProtocolReader {
        ProtocolReader { most, skipping: 0, is_fresh: true, due: None }
    }

    /// For the bytes that it reads.
    pub(crate) fn decoder(most: u64) -> Decoder {
        Decoder::new(Framing::U32be, 5 + most.max(REASON_BYTES))
    }

    /// Whether the program has asked for numbers.
    pub(crate) fn wants_numbers(&self) -> bool {
        self.due.is_some()
    }

    /// Reads what a program may say before it is asked anything. Returns whether more was said, or may be on its way.
    pub(crate) fn greet(&mut self, decoder: &mut Decoder) -> Result<bool, ProgramError> {
        let bytes = decoder.rest();
        if !self.is_fresh || bytes.is_empty() {
            return Ok(!bytes.is_empty());
        }
        let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(!VERSION_REQUEST.starts_with(bytes));
        };
        match rest.first() {
            _ if *head != VERSION_REQUEST => return Ok(true),
            None => return Ok(false),
            Some(1) => {}
            Some(2..=NEWEST_VERSION) => self.due = Some(1),
            Some(&other) => return Err(ProgramError::Version { asked: other, newest: NEWEST_VERSION }),
        }
        self.is_fresh = false;
        decoder.forget(HEAD_BYTES + 1);
        Ok(decoder.pending() > 0)
    }

    /// The next whole frame; `None`: its end is still to come.
    pub(crate) fn next<'d>(&mut self, decoder: &'d mut Decoder) -> Result<Option<Frame<'d>>, ProgramError> {
        if self.is_fresh && !self.greet(decoder)? || !self.skip(decoder) {
            return Ok(None);
        }
        let bytes = decoder.rest();
        let Some((&[a, b, c, d, kind], rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return if bytes.starts_with(&[0; 4]) { Err(malformed(bytes)) } else { Ok(None) };
        };
        self.is_fresh = false;
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        let head: u64 = if self.due.is_some() { 5 } else { 1 };
        let Some(payload) = length.checked_sub(head) else { return Err(malformed(bytes)) };
        let is_known = match kind {
            b'o' => payload <= OUTPUT_BYTES,
            b'e' => payload == 0,
            b'f' | b'l' | b'r' => payload <= REASON_BYTES,
            _ => false,
        };
        if !is_known {
            return Err(malformed(bytes));
        }
        if let Some(due) = self.due {
            let Some((about, _)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            let about = u32::from_be_bytes(*about);
            if about != due {
                return Err(ProgramError::OutOfTurn { about, due });
            }
        }
        if kind == b'o' && payload > self.most {
            self.skipping = length + 4;
            return Ok(Some(Frame::TooLong(payload)));
        }
        let Some(frame) = decoder.next().map_err(ProgramError::BadFrame)? else { return Ok(None) };
        let payload = &frame[head as usize..];
        if kind == b'o' {
            return Ok(Some(Frame::Output(payload)));
        }
        self.due = self.due.map(|due| due.wrapping_add(1));
        Ok(Some(match kind {
            b'e' => Frame::End,
            b'l' => Frame::Later(payload),
            b'r' => Frame::Rejected(payload),
            _ => Frame::Failed(payload),
        }))
    }

    /// Whether nothing is left to be skipped.
    fn skip(&mut self, decoder: &mut Decoder) -> bool {
        let here = decoder.pending().min(usize::try_from(self.skipping).unwrap_or(usize::MAX));
        decoder.forget(here);
        self.skipping -= here as u64;
        self.skipping == 0
    }
}

fn malformed(bytes: &[u8]) -> ProgramError {
    ProgramError::Malformed(bytes[..bytes.len().min(40)].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All frames, however the bytes come.
    fn read(bytes: &[u8], piece: usize) -> Result<Vec<String>, ProgramError> {
        let (mut reader, mut decoder) = (ProtocolReader::new(10), ProtocolReader::decoder(10));
        let mut all = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.room(piece.len())[..piece.len()].copy_from_slice(piece);
            decoder.filled(piece.len());
            loop {
                match reader.next(&mut decoder) {
                    Ok(Some(frame)) => all.push(match frame {
                        Frame::Output(output) => format!("o {}", String::from_utf8_lossy(output)),
                        Frame::TooLong(length) => format!("too long {length}"),
                        Frame::End => "e".to_owned(),
                        Frame::Failed(why) => format!("f {}", String::from_utf8_lossy(why)),
                        Frame::Later(why) => format!("l {}", String::from_utf8_lossy(why)),
                        Frame::Rejected(why) => format!("r {}", String::from_utf8_lossy(why)),
                    }),
                    Ok(None) => break,
                    Err(bad) => return Err(bad),
                }
            }
        }
        Ok(all)
    }

    #[test]
    fn words_are_the_same_however_they_come() {
        let bytes = b"\0\0\0\x03oHI\0\0\0\x01o\0\0\0\x01e\0\0\0\x05foops\0\0\0\x0coelevenbytes\0\0\0\x01e\0\0\0\x05ldown\0\0\0\x01r";
        let expected = ["o HI", "o ", "e", "f oops", "too long 11", "e", "l down", "r "];
        for piece in 1..bytes.len() {
            assert_eq!(read(bytes, piece).unwrap(), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_word_is_found_out_at_its_head() {
        for bad in
            [&b"\0\0\0\0"[..], b"Hello", b"\0\0\0\x02eX", b"\0\0\0\x01x", b"\0\x20\0\0f", b"\x7f\0\0\0o"]
        {
            assert_eq!(read(bad, 100), Err(ProgramError::Malformed(bad.to_vec())), "{bad:?}");
        }
        assert_eq!(read(b"\0\0\0\x03oH", 100), Ok(Vec::new()));
    }

    #[test]
    fn an_item_goes_out_with_its_attempt() {
        let mut bytes = Vec::new();
        let mut writer = ProtocolWriter::default();
        writer.encode(b"hi", 1, &mut bytes).unwrap();
        writer.encode(b"?", 2, &mut bytes).unwrap();
        assert_eq!(bytes, b"\0\0\0\x06\0\0\0\x01hi\0\0\0\x05\0\0\0\x02?");
    }

    #[test]
    fn numbers_begin_where_the_stream_of_items_says_so() {
        let mut bytes = Vec::new();
        let mut writer = ProtocolWriter::default();
        writer.encode(b"hi", 1, &mut bytes).unwrap();
        writer.begin_numbers();
        bytes.clear();
        writer.encode(b"?", 2, &mut bytes).unwrap();
        writer.begin_numbers();
        writer.encode(b"", 1, &mut bytes).unwrap();
        assert_eq!(bytes, b"\0\0\0\x01\x02\0\0\0\x09\0\0\0\x02\0\0\0\x02?\0\0\0\x08\0\0\0\x03\0\0\0\x01");
    }

    #[test]
    fn a_program_that_asks_for_numbers_is_held_to_them() {
        let ask = b"\0\0\0\x02v\x02";
        let words = b"\0\0\0\x07o\0\0\0\x01HI\0\0\0\x05e\0\0\0\x01\0\0\0\x09f\0\0\0\x02oops\0\0\0\x10o\0\0\0\x03elevenbytes\0\0\0\x05e\0\0\0\x03";
        let bytes = [&ask[..], words].concat();
        for piece in 1..bytes.len() {
            let expected = ["o HI", "e", "f oops", "too long 11", "e"];
            assert_eq!(read(&bytes, piece).unwrap(), expected, "in pieces of {piece}");
        }
        for (stale, about) in [(b"\0\0\0\x05e\0\0\0\x01", 1), (b"\0\0\0\x05e\0\0\0\x05", 5)] {
            let bytes = [&bytes[..], stale].concat();
            assert_eq!(read(&bytes, 7), Err(ProgramError::OutOfTurn { about, due: 4 }));
        }
        for bad in [&b"\0\0\0\x01e"[..], b"\0\0\0\x06e\0\0\0\x01X", ask] {
            let bytes = [&ask[..], bad].concat();
            assert_eq!(read(&bytes, 100), Err(ProgramError::Malformed(bad.to_vec())), "{bad:?}");
        }
        assert_eq!(
            read(b"\0\0\0\x02v\x04", 100),
            Err(ProgramError::Version { asked: 4, newest: NEWEST_VERSION })
        );
        let third = b"\0\0\0\x02v\x03\0\0\0\x09l\0\0\0\x01down\0\0\0\x08r\0\0\0\x02bad";
        assert_eq!(read(third, 3).unwrap(), ["l down", "r bad"]);
        assert_eq!(read(b"\0\0\0\x02v\x01\0\0\0\x01e", 1).unwrap(), ["e"]);
    }

    #[test]
    fn what_a_program_says_before_it_is_asked_is_its_greeting_or_more() {
        let greeted = |bytes: &[u8]| {
            let (mut reader, mut decoder) = (ProtocolReader::new(10), ProtocolReader::decoder(10));
            decoder.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
            decoder.filled(bytes.len());
            reader.greet(&mut decoder).map(|more| (more, reader.wants_numbers()))
        };
        let ask = b"\0\0\0\x02v\x02";
        for length in 0..ask.len() {
            assert_eq!(greeted(&ask[..length]), Ok((false, false)), "{length}");
        }
        assert_eq!(greeted(ask), Ok((false, true)));
        assert_eq!(greeted(b"\0\0\0\x02v\x02\0"), Ok((true, true)));
        assert_eq!(greeted(b"\0\0\0\x01e"), Ok((true, false)));
        assert_eq!(greeted(b"Hi"), Ok((true, false)));
    }
}
