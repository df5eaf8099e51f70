//! The small tables of a command stage.

use crate::config::elements::{Count, Period, Size, table};

table! {
    /// `limits`.
    LimitKeys = "`limits`" {
        /// The address space of a process.
        memory: Option<Size<{ 1 << 50 }>> = None, also "ram" "as" "rss";
        /// The number of file descriptors that a process may have open.
        open_files: Option<Count<3, 1_048_576>> = None, also "nofile" "files" "descriptors";
        /// The number of processes, of the program and all that it has started. With one more they are killed, and
        /// the worker fails.
        processes: Option<Count<1, 1_000_000>> = None, also "nproc" "procs" "tasks" "pids";
        /// The CPU time of a process, in whole seconds.
        cpu_time: Option<Period> = None, also "cpu" "time";
    }
}
