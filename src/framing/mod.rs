//! How items are delimited in a stream of bytes: written to a program, and read from one, or from a file, piece by piece.
#![forbid(unsafe_code)]

mod decode;
mod encode;

pub(crate) use decode::{BadFrame, Decoder, Overlong, Skip};
pub(crate) use encode::{NotEncodable, begin, encode};

use serde::{Deserialize, Serialize};

/// `framing`: how items are delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framing {
    /// Each ends with a line end.
    #[default]
    Lines,
    /// Each ends with a zero byte.
    Nul,
    /// `5:hello,`
    Netstring,
    /// A length of four bytes, the highest first.
    U32be,
}

impl Framing {
    /// All there are.
    pub(crate) const ALL: [Framing; 4] = [Framing::Lines, Framing::Nul, Framing::Netstring, Framing::U32be];

    /// As the pipeline file says it.
    pub fn word(self) -> &'static str {
        match self {
            Framing::Lines => "lines",
            Framing::Nul => "nul",
            Framing::Netstring => "netstring",
            Framing::U32be => "u32be",
        }
    }

    /// What one item is called.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Framing::Lines => "line",
            Framing::Nul => "item",
            Framing::Netstring => "netstring",
            Framing::U32be => "u32be frame",
        }
    }
}
