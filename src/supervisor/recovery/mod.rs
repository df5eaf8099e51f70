//! What outlives a run, or a program of a run: where the queues are kept and how they are recovered, the state that one
//! program leaves to the next in an upgrade, the files that are replaced at the end.

pub(super) mod begun_files;
pub(super) mod membership;
pub(super) mod queue_store;
pub(super) mod replacing;
pub(super) mod saved_services;
pub(super) mod saver;
pub(super) mod state_folder;
pub(super) mod upgrade_state;
