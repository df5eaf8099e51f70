//! What outlives a process: the arena in a file, what was saved of it, and how the next run continues with either.

mod checkpoint;
pub(super) mod disk;
mod file;
pub(super) mod image;
mod recover;
mod restore;
pub(super) mod usage;

pub use file::{Opened, Saved};
pub use recover::LabelledQueue;
