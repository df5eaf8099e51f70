//! `framing = "mprun"`: frames in which a program says of each item how it went. See docs/helper-protocol.md.

use super::framing::{BadFrame, Decoder, NotEncodable};
use crate::config::pipeline::Framing;

/// Bytes of a failure's text, at most.
const LONGEST_REASON: u64 = 1 << 20;
/// No output is longer than the longest item of any queue. Text that is taken for a frame claims to be.
const LONGEST_OUTPUT: u64 = 1 << 30;
/// Bytes of a frame before its payload: the length, and the kind.
const HEAD: usize = 5;

/// Appends an item as the program reads it.
pub(super) fn encode(item: &[u8], attempt: u32, into: &mut Vec<u8>) -> Result<(), NotEncodable> {
    let length = u32::try_from(item.len() + 4).map_err(|_| NotEncodable::TooLong)?;
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(&attempt.to_be_bytes());
    into.extend_from_slice(item);
    Ok(())
}

/// What a program says of the item it is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// One more output.
    Output(&'a [u8]),
    /// One more output, of so many bytes, which no queue takes.
    TooLong(u64),
    /// It is done: its outputs count.
    End,
    /// It has failed, and why.
    Failed(&'a [u8]),
}

/// What came instead of a word.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoWord {
    /// It is in the middle of one.
    NotYet,
    /// Bytes that begin no word.
    Nonsense(Vec<u8>),
    /// The frame itself is bad.
    Bad(BadFrame),
}

/// Listens to a program.
#[derive(Debug)]
pub(super) struct Ear {
    /// Bytes of one output.
    most: u64,
    /// Bytes still to come of a frame that is too long.
    skipping: u64,
}

impl Ear {
    pub fn new(most: u64) -> Ear {
        Ear { most, skipping: 0 }
    }

    /// For bytes that it listens to.
    pub fn decoder(most: u64) -> Decoder {
        Decoder::new(Framing::U32be, 1 + most.max(LONGEST_REASON))
    }

    /// The next whole word.
    pub fn next<'d>(&mut self, decoder: &'d mut Decoder) -> Result<Word<'d>, NoWord> {
        self.skip(decoder)?;
        let bytes = decoder.rest();
        let Some((&[a, b, c, d, kind], _)) = bytes.split_first_chunk::<HEAD>() else {
            return Err(if bytes.starts_with(&[0; 4]) { nonsense(bytes) } else { NoWord::NotYet });
        };
        let length = u64::from(u32::from_be_bytes([a, b, c, d]));
        match (kind, length) {
            (b'o', 1..) if length - 1 <= self.most => {}
            (b'o', 1..) if length - 1 <= LONGEST_OUTPUT => {
                self.skipping = length + 4;
                return Ok(Word::TooLong(length - 1));
            }
            (b'e', 1) => {}
            (b'f', 1..) if length - 1 <= LONGEST_REASON => {}
            _ => return Err(nonsense(bytes)),
        }
        let frame = decoder.next().map_err(NoWord::Bad)?.ok_or(NoWord::NotYet)?;
        let payload = &frame[1..];
        Ok(match kind {
            b'o' => Word::Output(payload),
            b'e' => Word::End,
            _ => Word::Failed(payload),
        })
    }

    fn skip(&mut self, decoder: &mut Decoder) -> Result<(), NoWord> {
        let here = decoder.pending().min(usize::try_from(self.skipping).unwrap_or(usize::MAX));
        decoder.forget(here);
        self.skipping -= here as u64;
        if self.skipping > 0 { Err(NoWord::NotYet) } else { Ok(()) }
    }
}

fn nonsense(bytes: &[u8]) -> NoWord {
    NoWord::Nonsense(bytes[..bytes.len().min(40)].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is heard, however the bytes come.
    fn heard(bytes: &[u8], piece: usize) -> Result<Vec<String>, NoWord> {
        let (mut ear, mut decoder) = (Ear::new(10), Ear::decoder(10));
        let mut all = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.room(piece.len())[..piece.len()].copy_from_slice(piece);
            decoder.filled(piece.len());
            loop {
                match ear.next(&mut decoder) {
                    Ok(word) => all.push(match word {
                        Word::Output(output) => format!("o {}", String::from_utf8_lossy(output)),
                        Word::TooLong(length) => format!("too long {length}"),
                        Word::End => "e".to_owned(),
                        Word::Failed(why) => format!("f {}", String::from_utf8_lossy(why)),
                    }),
                    Err(NoWord::NotYet) => break,
                    Err(bad) => return Err(bad),
                }
            }
        }
        Ok(all)
    }

    #[test]
    fn words_are_the_same_however_they_come() {
        let bytes = b"\0\0\0\x03oHI\0\0\0\x01o\0\0\0\x01e\0\0\0\x05foops\0\0\0\x0coelevenbytes\0\0\0\x01e";
        let expected = ["o HI", "o ", "e", "f oops", "too long 11", "e"];
        for piece in 1..bytes.len() {
            assert_eq!(heard(bytes, piece).unwrap(), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_word_is_found_out_at_its_head() {
        for bad in
            [&b"\0\0\0\0"[..], b"Hello", b"\0\0\0\x02eX", b"\0\0\0\x01x", b"\0\x20\0\0f", b"\x7f\0\0\0o"]
        {
            assert_eq!(heard(bad, 100), Err(NoWord::Nonsense(bad.to_vec())), "{bad:?}");
        }
        assert_eq!(heard(b"\0\0\0\x03oH", 100), Ok(Vec::new()));
    }

    #[test]
    fn an_item_goes_out_with_its_attempt() {
        let mut bytes = Vec::new();
        encode(b"hi", 1, &mut bytes).unwrap();
        encode(b"?", 2, &mut bytes).unwrap();
        assert_eq!(bytes, b"\0\0\0\x06\0\0\0\x01hi\0\0\0\x05\0\0\0\x02?");
    }
}
