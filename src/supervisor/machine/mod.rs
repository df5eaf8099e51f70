//! The pure middle of the supervisor: no I/O, no clock. [`state::State`] takes an event and the time, and returns effects.

mod aims;
pub(super) mod condition;
mod daemon;
mod dead_letters;
pub(super) mod effect;
pub(super) mod event;
mod failing;
mod helper;
pub(super) mod history;
pub(super) mod ids;
mod link_state;
pub(super) mod notifier;
pub(super) mod observe;
mod phase;
mod pipeline_file;
mod queue_state;
pub(super) mod reason;
pub(super) mod recovered;
pub(super) mod reload_plan;
pub(super) mod restart;
pub(super) mod saved;
mod stage_state;
pub(super) mod state;
pub(super) mod totals;
pub(super) mod wanted;
pub(super) mod worker_state;
