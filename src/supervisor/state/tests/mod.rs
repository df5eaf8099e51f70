//! The state against a world of plain values.

mod bench;
mod random;
mod reloading;
mod restarting;
mod stopping;
