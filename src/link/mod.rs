//! The process that brings this machine's commits to the broker, and items from there into the arena (`mprun __link`). See
//! `docs/design/link.md`, and [`crate::broker::link`] for its steps and its crash table.
#![forbid(unsafe_code)]

pub(crate) mod arena;
mod board;
mod connect;
mod driver;
mod held;
mod life;
mod news;
mod overview;
mod pace;
mod pipes;
mod request;
mod show;
#[cfg(test)]
mod tests;

pub(crate) use board::Board;
pub(crate) use life::run;
pub(crate) use request::{LinkNews, LinkOrder, LinkPlan, LinkRequest};

use std::os::fd::RawFd;

/// The hidden verb.
pub(crate) const VERB: &str = "__link";
/// Where the process finds its request, the arena, its orders, where it tells what is new, where snapshots are, and where it shows the
/// whole run.
pub(crate) const FDS: [RawFd; 6] = [3, 4, 5, 6, 7, 8];
