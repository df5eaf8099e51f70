//! mprun
pub mod queue;
