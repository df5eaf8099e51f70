//! The operating system, in the words of this program: processes, what became of them, descriptors, the process table.
//! Beside the queue this is the only home of `unsafe`.

pub(crate) mod async_fd;
mod close_on_exec;
pub(crate) mod cpus;
pub(crate) mod fd;
pub(crate) mod group;
pub(crate) mod hangup;
pub(crate) mod inherited;
pub(crate) mod lease;
pub(crate) mod local_time;
pub(crate) mod mark;
pub(crate) mod memory;
pub(crate) mod needs;
pub(crate) mod open_files;
pub(crate) mod private_folder;
pub(crate) mod proc_table;
pub(crate) mod process;
pub(crate) mod program_pages;
pub(crate) mod readiness;
pub(crate) mod reexec;
pub(crate) mod start_signals;
pub(crate) mod start_streams;
pub(crate) mod suspend;
pub(crate) mod threads;
pub(crate) mod wait;
pub(crate) mod worker_timer;
