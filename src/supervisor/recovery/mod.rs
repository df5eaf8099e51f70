//! What outlives a run, or a program of a run: where the queues are kept and how they are recovered, the state that one
//! program leaves to the next in an upgrade, the files that are replaced at the end.

pub mod queue_store;
pub mod replacing;
pub mod saver;
pub mod state_folder;
pub mod upgrade_state;
