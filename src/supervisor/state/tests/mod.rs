//! The state against a world of plain values.

mod announcing;
mod bench;
mod burials;
mod commands;
mod keeping;
mod random;
mod reloading;
mod restarting;
mod rounds;
mod stopping;
