//! `mode = "stream"`: one program that runs on; what it reads and what it writes are unrelated.
//!
//! An item's lease ends when the item is wholly written: from then on it is in the program's hands, as in a shell pipe.
//! What the program has written is published as it comes. Without an input the program is a source, or, without an
//! output too, simply a process under supervision.

mod exchange;
mod intake;
mod output;
mod serve;
mod streaming;

pub(crate) use serve::serve;
