//! The state against a world of plain values.

mod announcing;
mod bench;
mod commands;
mod dead_letters;
mod keeping;
mod random;
mod reloading;
mod restarting;
mod rounds;
mod services;
mod stopping;
