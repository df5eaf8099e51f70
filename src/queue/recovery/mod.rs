//! What outlives a process: the arena in a file, what was saved of it, and how the next run continues with either.

mod checkpoint;
pub(super) mod disk;
mod file;
mod fresh;
pub(super) mod image;
mod migrate;
mod recover;
mod restore;
pub(super) mod usage;
mod version6;

pub use file::{Opened, Replaced};
pub use image::LoneItem;
pub use recover::LabelledQueue;
