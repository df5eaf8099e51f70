//! The state against a world of plain values.

mod announcing;
mod bench;
mod called_back;
mod checks;
mod commands;
mod dead_letters;
mod failing;
mod keeping;
mod random;
mod reloading;
mod restarting;
mod rounds;
mod scheduling;
mod services;
mod start_order;
mod stopping;
