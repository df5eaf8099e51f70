//! Processes, threads and descriptors of the supervisor. Nothing here decides what is to run.

pub mod checks;
pub mod children;
pub mod control;
pub mod dead_letter_writer;
pub mod environment;
pub mod errand;
pub mod guardian;
pub mod inbox;
pub mod last_wait;
pub mod launch;
pub mod letters;
pub mod loader;
pub mod log_writer;
pub mod watch;
