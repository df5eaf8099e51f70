//! Items to bytes.

use super::Framing;
use std::fmt;

/// Appends an item as a program reads it.
pub(crate) fn encode(framing: Framing, item: &[u8], into: &mut Vec<u8>) -> Result<(), NotEncodable> {
    let tail = begin(framing, item, into)?;
    into.extend_from_slice(item);
    into.extend_from_slice(tail);
    Ok(())
}

/// Appends what comes before an item; returns what comes after it.
pub(crate) fn begin(
    framing: Framing,
    item: &[u8],
    into: &mut Vec<u8>,
) -> Result<&'static [u8], NotEncodable> {
    let ended = |by: &'static [u8; 1]| match memchr::memchr(by[0], item) {
        Some(_) => Err(NotEncodable::Holds(framing)),
        None => Ok(&by[..]),
    };
    match framing {
        Framing::Lines => ended(b"\n"),
        Framing::Nul => ended(b"\0"),
        Framing::Netstring => {
            into.extend_from_slice(item.len().to_string().as_bytes());
            into.push(b':');
            Ok(b",")
        }
        Framing::U32be => {
            let length = u32::try_from(item.len()).map_err(|_| NotEncodable::TooLong)?;
            into.extend_from_slice(&length.to_be_bytes());
            Ok(b"")
        }
    }
}

/// Why an item can't be written to a program with this framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotEncodable {
    /// It holds the byte that would end it.
    Holds(Framing),
    /// Its length doesn't fit.
    TooLong,
}

impl fmt::Display for NotEncodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotEncodable::Holds(Framing::Nul) => {
                f.write_str("the item holds a NUL byte, so it can't be handed over with framing \"nul\"")
            }
            NotEncodable::Holds(_) => f.write_str(
                "the item holds a line end, so it can't be handed over as a line: another framing can",
            ),
            NotEncodable::TooLong => f.write_str("the item is too long for framing \"u32be\""),
        }
    }
}
