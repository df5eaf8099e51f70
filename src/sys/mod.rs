//! The operating system, in the words of this program: processes, what became of them, descriptors, the process table.
//! Beside the queue this is the only home of `unsafe`.

mod close_on_exec;
pub mod cpus;
pub mod fd;
pub mod group;
pub mod hangup;
pub mod inherited;
pub mod lease;
pub mod local_time;
pub mod memory;
pub mod needs;
pub mod open_files;
pub mod private_folder;
pub mod proc_table;
pub mod process;
pub mod readiness;
pub mod reexec;
pub mod start_signals;
pub mod start_streams;
pub mod suspend;
pub mod threads;
pub mod wait;
pub mod worker_timer;
