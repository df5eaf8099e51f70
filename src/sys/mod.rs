//! STUB for the stage branch only: the supervisor builder's file, with these three added.
pub mod inherited;
pub mod readiness;
pub mod worker_timer;
