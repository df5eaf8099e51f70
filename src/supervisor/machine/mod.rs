//! The pure middle of the supervisor: no I/O, no clock. [`state::State`] takes an event and the time, and returns effects.

pub mod effect;
pub mod effects;
pub mod event;
pub mod history;
pub mod ids;
pub mod queue_state;
pub mod reason;
pub mod recovered;
pub mod reload_plan;
pub mod restart;
pub mod stage_state;
pub mod state;
pub mod wanted;
pub mod worker_state;
