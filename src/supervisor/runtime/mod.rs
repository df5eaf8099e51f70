//! Processes, threads and descriptors of the supervisor. Nothing here decides what is to run.

pub(crate) mod checker;
pub(crate) mod checks;
pub(crate) mod children;
pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod dead_letter_writer;
pub(crate) mod environment;
pub(crate) mod errand;
pub(crate) mod guardian;
pub(crate) mod inbox;
pub(crate) mod last_wait;
pub(crate) mod launch;
pub(crate) mod letters;
pub(crate) mod loader;
pub(crate) mod log_writer;
pub(crate) mod services;
pub(crate) mod settler;
pub(crate) mod watch;
