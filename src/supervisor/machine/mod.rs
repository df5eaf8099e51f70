//! The pure middle of the supervisor: no I/O, no clock. [`state::State`] takes an event and the time, and returns effects.

mod dead_letters;
pub mod effect;
pub mod event;
mod helper;
pub mod history;
pub mod ids;
pub mod notifier;
pub mod observe;
mod phase;
mod pipeline_file;
mod queue_state;
pub mod reason;
pub mod recovered;
pub mod reload_plan;
pub mod restart;
pub mod saved;
mod stage_state;
pub mod state;
pub mod totals;
pub mod wanted;
pub mod worker_state;
