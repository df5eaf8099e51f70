//! Appending whole lines to a file or a pipe that several workers share, whichever of them is killed at any moment.
//!
//! The kernel keeps one write to a file apart from those of others, but it stops between two pages of it when the
//! writer is killed, or when the disk is full. What is left is half a line, and the next line would be glued to it. So a
//! worker takes a lock that all workers of the run share ([`UndoLog`]) and logs the write before it makes it. The next
//! holder of the lock finds the pending write of a killed worker and takes back what was written; the items come again.
//! Only bytes that are, one by one, the beginning of the logged write are cut off: nothing that another program has
//! written, and nothing that was there before.
//!
//! A pipe keeps one write of up to PIPE_BUF bytes together, whatever happens. So lines go into it in pieces that end
//! with a line and are no longer than that. A longer line needs several writes, and the lock keeps others out meanwhile.
//!
//! # Crash table
//!
//! | killed … | left behind | what the next holder of the lock does |
//! |---|---|---|
//! | waiting for the lock, or before the pending write is logged | nothing (it is logged by one write within a page) | writes |
//! | after that, before the write | a pending write, the file as it was | clears it |
//! | in the write | a pending write, and the beginning of its bytes | cuts them off |
//! | after the write, before the pending write is cleared | a pending write, and all of its bytes | clears it: the items come twice |
//! | taking back, between its two steps | the position moved back, the bytes still there | takes back once more |
//! | in the write of a long line to a pipe | half a line in the pipe | nothing can: the reader may have it already |
//! | in the write, and the file is moved away before another worker looks at it | half a line at its end | nothing, if no worker has it open; else a worker that closes the file cuts it off |
//! | beginning with a file, before that is logged | an empty file, or one more line end | does it again |
//! | the supervisor, and so all workers | at worst half a line at the end | the next run begins on a line of its own |
//!
//! Where a stage's token says how much of a file counts, its workers write by turns instead (`turn.rs`, with a table of its own;
//! `after_power_cut.rs` and `writer_mark.rs` have others).
#![forbid(unsafe_code)]

mod after_power_cut;
mod appender;
mod claim;
mod counters;
mod counts;
mod entry;
mod note;
mod open_note;
mod own_file;
mod run_mark;
mod turn;
mod undo_log;
mod write;
mod writer_mark;

pub(crate) use after_power_cut::sync;
pub(crate) use appender::{Appender, Beginning, Begun};
pub(crate) use claim::Claim;
pub(crate) use counts::{CountedFile, Counts};
#[cfg(test)]
pub(crate) use entry::FileId;
pub(crate) use note::{NOTE_WORDS, Turn, whose};
pub(crate) use open_note::settle;
#[cfg(test)]
pub(crate) use turn::death;
pub(crate) use turn::{Notes, Written};
pub(crate) use undo_log::UndoLog;
pub(crate) use writer_mark::NO_MARK;
