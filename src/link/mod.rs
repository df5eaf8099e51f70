//! The process that brings this machine's commits to the broker, and items from there into the arena. See
//! `docs/design/link.md`, and [`crate::broker::link`] for its steps and its crash table.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), expect(dead_code, reason = "the process that uses it is not written yet"))]

pub(crate) mod arena;
mod held;
mod news;
mod pace;
#[cfg(test)]
mod tests;
