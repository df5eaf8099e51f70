//! The process that brings this machine's commits to the broker, and items from there into the arena (`mprun __link`). See
//! `docs/design/link.md`, and [`crate::broker::link`] for its steps and its crash table.
#![forbid(unsafe_code)]

mod arena_side;
#[cfg(feature = "redis")]
mod connect;
mod driver;
mod pipes;
mod request;
